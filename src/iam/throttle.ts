import type { Clock } from '../internal/clock.ts'
import { BoundedMap } from './bounded-map.ts'
import { sourceGroup } from './source-group.ts'

export type ThrottleDecision =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly retryAfterMs: number }

/** Times in milliseconds. A budget of failures holds `budget` at most and gets one back every `refillMs`. */
export interface ThrottleLimits {
  /** Failures in a row that a source may have with one key id before it has to wait. */
  readonly pairFreeFailures: number
  /** The first wait of a source with one key id; each further failure doubles it. */
  readonly pairDelayMs: number
  readonly pairMaxDelayMs: number
  /** What a source may fail with one key id in the long run, successes in between or not. */
  readonly pairBudget: number
  readonly pairRefillMs: number
  /** What a source may fail with all key ids together. */
  readonly sourceBudget: number
  readonly sourceRefillMs: number
  /** What all sources together may fail with one key id before each of those that failed is slowed down. */
  readonly keyBudget: number
  readonly keyRefillMs: number
  /** The wait between two failures of such a source. */
  readonly keyDelayMs: number
  /** How long after its last failure a source counts as one that never failed. */
  readonly forgetAfterMs: number
  /** Entries of each of the four tables; at 20,000 they take 20 MB together when all are full. */
  readonly maxEntries: number
}

export const defaultThrottleLimits: ThrottleLimits = {
  // A person mistyping, or a fleet of a few machines restarting with an old secret, stays below.
  pairFreeFailures: 5,
  pairDelayMs: 1_000,
  // Long enough to stop guessing, short enough that a repaired client needs nobody's help.
  pairMaxDelayMs: 60_000,
  pairBudget: 30,
  pairRefillMs: 5_000,
  // More than one pair may fail: an office or a CI farm behind one address has several broken clients.
  sourceBudget: 50,
  sourceRefillMs: 5_000,
  keyBudget: 200,
  keyRefillMs: 1_000,
  keyDelayMs: 30_000,
  // Longer than any wait and than an empty budget takes to fill (250 s).
  forgetAfterMs: 15 * 60_000,
  maxEntries: 20_000,
}

/** A budget that refills by itself. */
interface Budget {
  left: number
  asOf: number
}

interface Pair {
  failuresInRow: number
  failedAt: number
  readonly budget: Budget
}

interface Source {
  failedAt: number
  readonly budget: Budget
}

const allowed: ThrottleDecision = Object.freeze({ allowed: true })

/**
 * Slows down whoever tries wrong secrets, without letting them lock out others.
 *
 * 1. *The pair* of source and key id is blocked quickly: after a few failures in a row it waits, twice as long each
 *    time, up to a minute. It also has a budget of failures that a success in between does not give back.
 * 2. *The source* has a budget of failures over all key ids. While that is used up it is blocked, except with key ids
 *    it has used rightly before: those are held to their own pair's rule, so that one bad neighbour behind a shared
 *    address does not stop the rest.
 * 3. *The key id* has a budget of failures over all sources. While that is used up, each source that has failed with
 *    it waits half a minute between failures. A source that has not is untouched.
 *
 * So a right secret from a source that has not failed lately is never blocked, whatever others do with its key id; and
 * the longest anybody waits is until the sender's own last failure is a minute back or its budget has a failure to
 * spare. A source is an IPv4 address or an IPv6 /64.
 *
 * Call `check` before a secret is compared, then one of the other two. Do not count a request without credentials or
 * with a genuine expired token. A sealed token is read first: a genuine one passes whatever this says, since it cannot
 * be guessed; only a forged one is checked and counted, under the user name it came with. Failures already under way
 * when a block begins still count, so simultaneous requests can exceed a limit by their number, once.
 */
export class CredentialThrottle {
  readonly #clock: Clock
  readonly #limits: ThrottleLimits
  readonly #sources: BoundedMap<Source>
  readonly #pairs: BoundedMap<Pair>
  readonly #keys: BoundedMap<Budget>
  /** When a source last used a key id rightly. */
  readonly #proven: BoundedMap<number>

  constructor(options: { readonly clock: Clock; readonly limits?: Partial<ThrottleLimits> }) {
    this.#clock = options.clock
    this.#limits = { ...defaultThrottleLimits, ...options.limits }
    this.#sources = new BoundedMap(this.#limits.maxEntries)
    this.#pairs = new BoundedMap(this.#limits.maxEntries)
    this.#keys = new BoundedMap(this.#limits.maxEntries)
    this.#proven = new BoundedMap(this.#limits.maxEntries)
  }

  /** Remembered entries in all tables together. */
  get size(): number {
    return this.#sources.size + this.#pairs.size + this.#keys.size + this.#proven.size
  }

  /** Whether this source may try this key id now. Changes nothing; `retryAfterMs` is at least 1. */
  check(sourceIp: string, keyId: string): ThrottleDecision {
    if (this.#sources.size === 0) return allowed
    const limits = this.#limits
    const now = this.#clock.now()
    const source = sourceGroup(sourceIp)
    const sourceEntry = this.#live(this.#sources.get(source), now)
    if (sourceEntry === undefined) return allowed

    const pairName = pairKey(source, keyId)
    const pair = this.#live(this.#pairs.get(pairName), now)
    let waitMs = 0
    if (pair !== undefined) {
      const sinceFailureMs = elapsedMs(pair.failedAt, now)
      waitMs = Math.max(
        backOffMs(pair.failuresInRow, limits) - sinceFailureMs,
        untilSpareMs(pair.budget, limits.pairBudget, limits.pairRefillMs, now),
      )
      const key = this.#keys.get(keyName(keyId))
      const slowed = key !== undefined && untilSpareMs(key, limits.keyBudget, limits.keyRefillMs, now) > 0
      if (slowed && pair.failuresInRow > 0) waitMs = Math.max(waitMs, limits.keyDelayMs - sinceFailureMs)
    }
    if (this.#proven.get(pairName) === undefined) {
      const sourceWaitMs = untilSpareMs(sourceEntry.budget, limits.sourceBudget, limits.sourceRefillMs, now)
      waitMs = Math.max(waitMs, sourceWaitMs)
    }
    return waitMs <= 0 ? allowed : { allowed: false, retryAfterMs: Math.ceil(waitMs) }
  }

  /** A wrong secret, a wrong signature, an unknown key id or a forged token. */
  recordFailure(sourceIp: string, keyId: string): void {
    const limits = this.#limits
    const now = this.#clock.now()
    const source = sourceGroup(sourceIp)

    const sourceEntry = this.#live(this.#sources.get(source), now) ?? {
      failedAt: now,
      budget: { left: limits.sourceBudget, asOf: now },
    }
    sourceEntry.failedAt = now
    spend(sourceEntry.budget, limits.sourceBudget, limits.sourceRefillMs, now)
    this.#sources.set(source, sourceEntry)

    const pairName = pairKey(source, keyId)
    const pair = this.#live(this.#pairs.get(pairName), now) ?? {
      failuresInRow: 0,
      failedAt: now,
      budget: { left: limits.pairBudget, asOf: now },
    }
    pair.failedAt = now
    pair.failuresInRow += 1
    spend(pair.budget, limits.pairBudget, limits.pairRefillMs, now)
    this.#pairs.set(pairName, pair)

    const key = this.#keys.get(keyName(keyId)) ?? { left: limits.keyBudget, asOf: now }
    spend(key, limits.keyBudget, limits.keyRefillMs, now)
    this.#keys.set(keyName(keyId), key)
  }

  /** A right secret. Forgives the pair's failures in a row, but neither its budget nor the source's. */
  recordSuccess(sourceIp: string, keyId: string): void {
    const now = this.#clock.now()
    const pairName = pairKey(sourceGroup(sourceIp), keyId)
    const pair = this.#pairs.get(pairName)
    if (pair !== undefined) pair.failuresInRow = 0
    const provenAt = this.#proven.get(pairName)
    // Moving the entry to the young end once a minute keeps it as well as doing so with every request.
    if (provenAt === undefined || elapsedMs(provenAt, now) >= 60_000) this.#proven.set(pairName, now)
  }

  /** The entry, unless its last failure is so long ago that it no longer counts. Repairs one from a clock's future. */
  #live<Entry extends { failedAt: number }>(entry: Entry | undefined, now: number): Entry | undefined {
    if (entry === undefined || elapsedMs(entry.failedAt, now) >= this.#limits.forgetAfterMs) return undefined
    // A clock that was set back must not stretch a wait by the jump.
    if (entry.failedAt > now) entry.failedAt = now
    return entry
  }
}

function backOffMs(failuresInRow: number, limits: ThrottleLimits): number {
  const excess = failuresInRow - limits.pairFreeFailures
  return excess < 0 ? 0 : Math.min(limits.pairMaxDelayMs, limits.pairDelayMs * 2 ** Math.min(excess, 30))
}

/** How long until the budget holds a whole failure again; 0 when it does. Brings the budget up to date. */
function untilSpareMs(budget: Budget, size: number, refillMs: number, now: number): number {
  budget.left = Math.min(size, budget.left + elapsedMs(budget.asOf, now) / refillMs)
  budget.asOf = now
  return budget.left >= 1 ? 0 : (1 - budget.left) * refillMs
}

function spend(budget: Budget, size: number, refillMs: number, now: number): void {
  untilSpareMs(budget, size, refillMs, now)
  budget.left = Math.max(0, budget.left - 1)
}

function elapsedMs(since: number, now: number): number {
  return Math.max(0, now - since)
}

// Access key ids have at most 128 characters; longer ones are no one's and share an entry, to keep entries small.
const maxKeyIdLength = 128

function keyName(keyId: string): string {
  return keyId.length > maxKeyIdLength ? 'overlong' : `id ${keyId}`
}

function pairKey(source: string, keyId: string): string {
  return `${source} ${keyName(keyId)}`
}
