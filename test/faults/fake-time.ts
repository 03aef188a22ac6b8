import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ensureTool } from '../support/tools.ts'

/** What a server process is given so that it lives by another clock. */
export interface FakeTime {
  readonly env: Readonly<Record<string, string>>
  /** Moves the clock of a running process against the real one, such as `+1d` or `-1h`. */
  set(offset: string): void
}

/** The wall clock alone, which jumps when `set` says so: timers go on as they do when an operator sets the clock. */
export function jumpingClock(dir: string): FakeTime {
  const stampFile = join(dir, 'faketime')
  writeFileSync(stampFile, '+0\n')
  return {
    env: { ...preload(), FAKETIME_TIMESTAMP_FILE: stampFile, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' },
    set: (offset) => writeFileSync(stampFile, `${offset}\n`),
  }
}

/** Every clock of the process, so that an hour and its timers pass in a moment. */
export function fastClock(factor: number): Readonly<Record<string, string>> {
  return { ...preload(), FAKETIME: `+0 x${factor}` }
}

/** The library that the `faketime` command loads into programs; a server that keeps its process id loads it itself. */
function preload(): Record<string, string> {
  ensureTool('faketime')
  const folders = readdirSync('/usr/lib', { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const path = folders
    .map(({ name }) => join('/usr/lib', name, 'faketime/libfaketimeMT.so.1'))
    .find((candidate) => existsSync(candidate))
  if (path === undefined) throw new Error('faketime came without its library')
  return { LD_PRELOAD: path }
}
