import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CrashModel } from '../support/fault-disk/crash-model.ts'
import { createFaultDisk, type FaultDisk } from '../support/fault-disk/fault-disk.ts'
import type { DiskEvent } from '../support/fault-disk/recording.ts'
import { startStowage, type Stowage, type StowageOptions } from '../support/start-stowage.ts'
import { createTempDir } from '../support/temp-dir.ts'

/** The data folder within the folder that is recorded: the server has to make it. */
export const dataFolder = 'data'

/** A fault disk with folders of its own, and the real server on it, as often as it is started. */
export interface Bench {
  readonly disk: FaultDisk
  /** What is recorded; holds `dataFolder`. */
  readonly rootDir: string
  readonly dataDir: string
  /** A new folder beside it, where nothing is recorded. */
  makeFolder(name: string): string
  start(options?: StowageOptions): Promise<Stowage>
  /** As `kill -9`, at any moment but between a call and the record of it; returns when the server is gone. */
  kill(stowage: Stowage): Promise<void>
  /** All that happened so far, which is checked to be all that happened: no server may run. */
  recording(): readonly DiskEvent[]
  remove(): void
}

const keys = { accessKeyId: 'AKIACRASHCRASHCRASH2', secretAccessKey: 'crash-crash-crash-crash' }

export async function createBench(purpose: string): Promise<Bench> {
  // In memory where the machine has it: thousands of states are written and read, and none has to last.
  const dir = createTempDir(purpose, existsSync('/dev/shm') ? '/dev/shm' : tmpdir())
  let count = 0
  const makeFolder = (name: string): string => {
    const path = join(dir.path, `${name}-${(count += 1)}`)
    mkdirSync(path)
    return path
  }
  const rootDir = makeFolder('root')
  const dataDir = join(rootDir, dataFolder)
  const disk = await createFaultDisk(rootDir, makeFolder('fault-disk'))
  const running = new Set<Stowage>()
  return {
    disk,
    rootDir,
    dataDir,
    makeFolder,
    async start(options = {}) {
      // Calls that Node leaves to the kernel's own queue would pass by the recorder; it has that off by default too.
      const env = { ...options.env, ...disk.env, UV_USE_IO_URING: '0' }
      const stowage = await startStowage({ keys, ...options, dataDir, env })
      running.add(stowage)
      void stowage.exited.then(() => running.delete(stowage))
      return stowage
    },
    async kill(stowage) {
      disk.kill()
      await stowage.exited
      disk.allow()
    },
    recording() {
      if (running.size > 0) throw new Error('a server that runs may write while its recording is checked')
      const events = disk.events()
      const model = new CrashModel()
      for (const event of events) model.apply(event)
      const replayed = makeFolder('replayed')
      model.crash('everything').writeTo(replayed)
      execFileSync('diff', ['--recursive', '--exclude=*-shm', rootDir, replayed], { stdio: ['ignore', 'inherit', 'inherit'] })
      return events
    },
    remove() {
      for (const stowage of running) stowage.kill('SIGKILL')
      dir.remove()
    },
  }
}
