import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../internal/clock.ts'
import { systemIds } from '../internal/ids.ts'
import { isPlatformError, type PlatformError } from '../internal/platform-error.ts'
import { newKeyring, serializeKeyring } from './keyring-document.ts'
import { openKeyring, type Keyring } from './keyring.ts'

/** A clock that stands still until it is moved. */
export class SteppedClock implements Clock {
  #now: number

  constructor(now: number) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  advance(milliseconds: number): void {
    this.#now += milliseconds
  }
}

export const testStart = Date.UTC(2026, 0, 15)

export async function textKeyring(text = newKeyringText()): Promise<Keyring> {
  const clock = new SteppedClock(testStart)
  return openKeyring({ dataDir: '/nonexistent', keyring: text, requireExisting: true, clock, ids: systemIds })
}

export function newKeyringText(): string {
  return serializeKeyring(newKeyring(new SteppedClock(testStart), systemIds))
}

/** The expected failure that `action` ends in. */
export async function failureOf(action: () => unknown): Promise<PlatformError> {
  try {
    await action()
  } catch (error) {
    if (isPlatformError(error)) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

export async function withTemporaryDirectory<Result>(use: (path: string) => Promise<Result>): Promise<Result> {
  const path = await mkdtemp(join(tmpdir(), 'stowage-iam-'))
  try {
    return await use(path)
  } finally {
    await rm(path, { recursive: true, force: true })
  }
}
