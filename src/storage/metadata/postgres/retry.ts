import { setTimeout as sleep } from 'node:timers/promises'
import type { IdSource } from '../../../internal/ids.ts'

/** Serialization failure and deadlock: the command did nothing and may run again. */
const retryableStates = new Set(['40001', '40P01'])
/** With the pauses below they take less than half a second: a client gives up later than that. */
const maxAttempts = 5
/** About the length of a command, so that whom it collided with is gone; doubled after each further attempt. */
const firstPauseMs = 10

/** PostgreSQL's SQLSTATE, or the system's code of a network failure. */
export function stateOf(error: unknown): string | undefined {
  return (error as { code?: string } | undefined)?.code
}

/** Runs `attempt` again after a deadlock or serialization failure; throws the last one's error as it came. */
export async function withRetries<Result>(attempt: () => Promise<Result>, ids: IdSource): Promise<Result> {
  for (let failures = 0; ; ) {
    try {
      return await attempt()
    } catch (error) {
      failures += 1
      if (failures === maxAttempts || !retryableStates.has(stateOf(error) ?? '')) throw error
    }
    await sleep(pauseMs(failures, ids))
  }
}

/** Between half and one and a half times the mean: commands that met once must not meet again in step. */
function pauseMs(failures: number, ids: IdSource): number {
  const meanMs = firstPauseMs * 2 ** (failures - 1)
  return meanMs * (0.5 + ids.bytes(1).readUInt8() / 256)
}
