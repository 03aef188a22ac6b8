import type { VerifyProgress, VerifyReport } from './verify.ts'
import { noCounts, walkStart } from './verify.ts'

/*
 * What was read, and when. Nothing is written for a blob that was read: blobs are numbered as they came and read in that
 * order, so two numbers say it for all of them. Plain data, kept as JSON.
 */

/** Every blob up to this one was read whole and hashed, none of them earlier than this. */
export interface Coverage {
  readonly throughLocationId: number
  readonly readSinceMs: number
}

/** One walk over everything, in as many runs as it takes. */
export interface Round {
  readonly startedAtMs: number
  /** Blobs after this one are read; those before it were read lately. 0: all are. */
  readonly hashAfterLocationId: number
  /** The earliest that any blob was read, once the round is complete. */
  readonly readSinceMs: number
  readonly progress: VerifyProgress
}

/** What is known of the rounds so far. */
export interface RoundState {
  /** Of the last complete round. */
  readonly coverage?: Coverage | undefined
  /** The one under way or interrupted. */
  readonly round?: Round | undefined
}

export interface RoundRequest {
  readonly nowMs: number
  /** Whatever was read longer ago than this is read again. 0: everything. */
  readonly maxAgeMs: number
  /** Begins anew, also where a round could go on. */
  readonly restart?: boolean | undefined
  /** An interrupted round is gone on with when it began no longer ago. Default: `maxAgeMs`, and a week at least. */
  readonly patienceMs?: number | undefined
  /** What others have read. */
  readonly alsoCovered?: readonly Coverage[] | undefined
}

/** The round to go on with: the interrupted one where it does what is asked, else a new one. */
export function nextRound(state: RoundState, request: RoundRequest): Round {
  const { nowMs, maxAgeMs, restart, alsoCovered = [] } = request
  const { patienceMs = Math.max(maxAgeMs, leastPatienceMs) } = request
  const { round, coverage } = state
  if (round && restart !== true) {
    const isFullEnough = maxAgeMs > 0 || round.hashAfterLocationId === 0
    // What it read first must not be too old by the time it is done, whatever its end finds.
    const isFresh = nowMs - round.startedAtMs < patienceMs
    if (isFullEnough && isFresh) return round
  }
  const fresh = [...(coverage ? [coverage] : []), ...alsoCovered].filter(({ readSinceMs }) => nowMs - readSinceMs < maxAgeMs)
  const best = fresh.toSorted((a, b) => b.throughLocationId - a.throughLocationId)[0]
  return {
    startedAtMs: nowMs,
    hashAfterLocationId: best?.throughLocationId ?? 0,
    readSinceMs: best?.readSinceMs ?? nowMs,
    progress: { position: walkStart, counts: noCounts },
  }
}

/** An interrupted round is worth going on with for so long, however fresh everything is to be. */
const leastPatienceMs = 7 * 24 * 60 * 60 * 1000

/**
 * The state after a round that was walked to its end. While a bad blob is still in service nothing counts as covered, by
 * an earlier round neither: the next one must not pass over it as read.
 */
export function afterRound(round: Round, { position, counts }: VerifyReport): RoundState {
  const bad = badBlobKinds.reduce((sum, kind) => sum + (counts.findings[kind] ?? 0), 0)
  if (position.phase !== 'blobs' || bad > counts.quarantined) return {}
  return { coverage: { throughLocationId: position.id, readSinceMs: round.readSinceMs } }
}

/** Found of blobs in service. */
const badBlobKinds = ['blob-missing', 'blob-wrong-size', 'blob-corrupt', 'blob-unreadable'] as const

/** What a round under way has covered already. */
export function coverageSoFar({ round }: RoundState): Coverage[] {
  if (!round || round.hashAfterLocationId > 0 || round.progress.position.phase !== 'blobs') return []
  return [{ throughLocationId: round.progress.position.id, readSinceMs: round.readSinceMs }]
}
