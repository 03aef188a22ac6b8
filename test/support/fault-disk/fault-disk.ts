import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync, realpathSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { run } from '../run.ts'
import { ensureTool, projectDir } from '../tools.ts'
import { readRecording, type DiskEvent } from './recording.ts'

/** In the order of `enum operation` in fault-disk.c. */
export const operations = [
  'open', 'create', 'close', 'read', 'write', 'truncate', 'fsync', 'link', 'unlink', 'rename', 'mkdir', 'rmdir', 'stat', 'readdir', 'answer', 'fault',
] as const
export type Operation = (typeof operations)[number]

export type ErrorName = 'EIO' | 'ENOSPC' | 'EMFILE'

export interface Fault {
  /** `short`: a write takes half its bytes. `die-…`: SIGKILL, before the call has any effect or as soon as it had it. */
  readonly action: ErrorName | 'short' | 'die-before' | 'die-after'
  /** Calls that count; default: all. */
  readonly operations?: readonly Operation[]
  /** Only files whose path contains this count. An answer has no path. */
  readonly path?: string
  /** The first call that is struck, counted from 1; 0 only counts. */
  readonly nth: number
  /** And how many; default: one. */
  readonly times?: number
}

/**
 * The disk of one program that tests start with `env`: every call of it on files below `dir`, from Node and SQLite
 * alike, can be made to fail, and what changed the folder is recorded in order. See docs/internals/fault-disk.md.
 */
export interface FaultDisk {
  readonly env: Readonly<Record<string, string>>
  /** From now on, in place of what was armed before. */
  arm(fault: Fault): void
  disarm(): void
  /**
   * The program is ended, as if by SIGKILL from outside, within a few milliseconds, at any moment but between a call and the
   * record of it. The caller waits until it is gone, and then calls `allow`.
   */
  kill(): void
  /** Programs may be started again. */
  allow(): void
  /** Calls that counted, and those that were struck, since `arm`. */
  counts(): { readonly seen: number; readonly fired: number }
  /** What changed so far. */
  events(): DiskEvent[]
}

const controlBytes = 256
const armedOffset = 0
const seenOffset = 48
const firedOffset = 56
const pathOffset = 64
const pathBytes = 184
const killOffset = pathOffset + pathBytes

/** @param scratchDir where its own files lie: not below `dir`. `dir` must exist. */
export async function createFaultDisk(dir: string, scratchDir: string): Promise<FaultDisk> {
  const controlFile = join(scratchDir, 'fault-disk.control')
  const logFile = join(scratchDir, 'fault-disk.log')
  writeFileSync(controlFile, Buffer.alloc(controlBytes))
  writeFileSync(logFile, '')

  const write = (bytes: Buffer, offset: number): void => {
    const descriptor = openSync(controlFile, 'r+')
    writeSync(descriptor, bytes, 0, bytes.length, offset)
    closeSync(descriptor)
  }
  const disarm = (): void => {
    write(Buffer.alloc(8), armedOffset)
  }
  return {
    env: {
      LD_PRELOAD: await library(),
      FAULT_DISK_DIR: realpathSync(dir),
      FAULT_DISK_CONTROL: controlFile,
      FAULT_DISK_LOG: logFile,
    },
    arm(fault) {
      disarm()
      write(controlOf(fault), 0)
      write(words([1n]), armedOffset)
    },
    disarm,
    kill() {
      write(words([1n]), killOffset)
    },
    allow() {
      write(words([0n]), killOffset)
    },
    counts() {
      const bytes = Buffer.alloc(controlBytes)
      const descriptor = openSync(controlFile, 'r')
      readSync(descriptor, bytes, 0, controlBytes, 0)
      closeSync(descriptor)
      return { seen: Number(bytes.readBigUInt64LE(seenOffset)), fired: Number(bytes.readBigUInt64LE(firedOffset)) }
    },
    events: () => readRecording(readFileSync(logFile)),
  }
}

/** `struct control`, not yet armed. */
function controlOf(fault: Fault): Buffer {
  const actions = { short: 2n, 'die-before': 3n, 'die-after': 4n }
  const { action } = fault
  const [code, error] = action in actions ? [actions[action as keyof typeof actions], 0n] : [1n, BigInt(constants.errno[action as ErrorName])]
  const mask = (fault.operations ?? operations).reduce((bits, name) => bits | (1n << BigInt(operations.indexOf(name))), 0n)
  const nth = fault.nth === 0 ? 2n ** 63n : BigInt(fault.nth)
  const control = Buffer.alloc(controlBytes)
  words([0n, mask, code, error, nth, BigInt(fault.times ?? 1), 0n, 0n]).copy(control)
  control.write(fault.path ?? '', pathOffset)
  return control
}

function words(values: readonly bigint[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8)
  values.forEach((value, index) => bytes.writeBigUInt64LE(value, index * 8))
  return bytes
}

/** Compiled once for each version of its source. */
async function library(): Promise<string> {
  const source = join(import.meta.dirname, 'fault-disk.c')
  const version = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16)
  const folder = join(projectDir, '.cache/fault-disk')
  const file = join(folder, `${version}-${process.arch}.so`)
  if (existsSync(file)) return file
  mkdirSync(folder, { recursive: true })
  // Under a name of its own first: test files run side by side.
  const draft = `${file}.${process.pid}`
  await run(ensureTool('gcc'), ['-O1', '-Wall', '-Werror', '-fPIC', '-shared', '-o', draft, source, '-ldl', '-lpthread'])
  renameSync(draft, file)
  return file
}
