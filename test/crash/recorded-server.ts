import { cpSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CrashModel } from '../support/fault-disk/crash-model.ts'
import { createFaultDisk, type FaultDisk } from '../support/fault-disk/fault-disk.ts'
import type { DiskEvent } from '../support/fault-disk/recording.ts'
import { startStowage, type Stowage, type StowageOptions } from '../support/start-stowage.ts'
import { createTempDir } from '../support/temp-dir.ts'

/** The data folder within the folder that is recorded: one that the server has to make. */
export const dataFolder = 'data'

/** A real server whose disk is recorded and can be made to fail. */
export interface RecordedServer {
  readonly stowage: Stowage
  readonly disk: FaultDisk
  /** Holds `dataFolder`. */
  readonly rootDir: string
}

/** Starts `stowage serve` on a fault disk. Both folders exist; the first may hold what an earlier server left. */
export async function startRecorded(rootDir: string, scratchDir: string, options: StowageOptions = {}): Promise<RecordedServer> {
  const disk = await createFaultDisk(rootDir, scratchDir)
  // Calls that Node leaves to the kernel's own queue would pass by the recorder; it has that off by default too.
  const env = { ...options.env, ...disk.env, UV_USE_IO_URING: '0' }
  const stowage = await startStowage({ ...options, dataDir: join(rootDir, dataFolder), env })
  return { stowage, disk, rootDir }
}

export interface TestFolders {
  readonly path: string
  /** A new folder, by its name. */
  make(name: string): string
  remove(): void
}

/** In memory where the machine has it: thousands of states are written and read, and none has to last. */
export function createTestFolders(purpose: string): TestFolders {
  const dir = createTempDir(purpose, existsSync('/dev/shm') ? '/dev/shm' : tmpdir())
  return {
    path: dir.path,
    make(name) {
      const path = join(dir.path, name)
      mkdirSync(path)
      return path
    },
    remove: () => {
      dir.remove()
    },
  }
}

/** Everything that happened from one start of a server to its end, and the folder it began with. */
export interface Recording {
  readonly events: readonly DiskEvent[]
  newModel(): CrashModel
}

/** The recording of a server that began with an empty folder. */
export function recordingOf(disk: FaultDisk): Recording {
  return { events: disk.events(), newModel: () => new CrashModel() }
}

export function copyFolder(from: string, to: string): void {
  cpSync(from, to, { recursive: true })
}
