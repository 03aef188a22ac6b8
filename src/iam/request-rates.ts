import { ratedCalls, type RatedCall, type RequestRates } from '../config/request-rates.ts'
import type { Clock } from '../internal/clock.ts'
import { iamError } from './errors.ts'

/** A registry's entry has about 300 bytes. */
const defaultMaxRegistries = 10_000

/** Whose calls are counted together: an account in a region, or whatever else is counted in its place. */
export interface RatedRegistry {
  readonly accountId: string
  readonly region: string
}

/** What is left of each call, and as of when, by the calls' positions in `ratedCalls`. */
interface Buckets {
  /** In thousandths of a call: at whole milliseconds and rates these are whole numbers, which nothing rounds. */
  readonly left: Float64Array
  readonly asOf: Float64Array
}

/**
 * Holds each registry to so many calls a second, each kind of call for itself. A registry that was quiet for a second
 * may make a second's calls at once; in any stretch of time it makes no more than that and the rate together.
 *
 * Counts for this process alone. Where it would remember more than `maxRegistries` it forgets them all: for a moment,
 * each may make a second's calls again.
 */
export class RequestRateLimit {
  readonly #perSecond: Float64Array
  readonly #clock: Clock
  readonly #maxRegistries: number
  readonly #isIdle: boolean
  /** In two steps, so that nothing has to be put together for a look. */
  readonly #registries = new Map<string, Map<string, Buckets>>()
  #size = 0

  constructor(options: { readonly rates: RequestRates; readonly clock: Clock; readonly maxRegistries?: number }) {
    this.#perSecond = Float64Array.from(ratedCalls, (call) => options.rates[call] ?? Number.POSITIVE_INFINITY)
    this.#isIdle = this.#perSecond.every((rate) => rate === Number.POSITIVE_INFINITY)
    this.#clock = options.clock
    this.#maxRegistries = options.maxRegistries ?? defaultMaxRegistries
  }

  /** Registries that are remembered. */
  get size(): number {
    return this.#size
  }

  /**
   * Counts the calls of one request; of one that is refused none counts.
   * @throws `throttled`, with `detail.retryAfterMs`
   */
  admit(registry: RatedRegistry, calls: readonly RatedCall[]): void {
    if (this.#isIdle || calls.length === 0) return
    const buckets = this.#bucketsOf(registry)
    const now = this.#clock.now()
    let waitMs = 0
    for (const call of calls) waitMs = Math.max(waitMs, this.#untilSpareMs(buckets, positions[call], now))
    if (waitMs > 0) throw iamError('throttled', 'Rate exceeded', { retryAfterMs: Math.ceil(waitMs) })
    for (const call of calls) buckets.left[positions[call]]! -= wholeCall
  }

  /** Brings a bucket up to date. 0 where it holds a whole call. */
  #untilSpareMs({ left, asOf }: Buckets, position: number, now: number): number {
    const perSecond = this.#perSecond[position]!
    if (perSecond === Number.POSITIVE_INFINITY) return 0
    // A clock that was set back gives nothing, and takes nothing.
    const elapsedMs = Math.max(0, now - asOf[position]!)
    left[position] = Math.min(perSecond * wholeCall, left[position]! + elapsedMs * perSecond)
    asOf[position] = now
    return left[position] >= wholeCall ? 0 : (wholeCall - left[position]) / perSecond
  }

  #bucketsOf({ accountId, region }: RatedRegistry): Buckets {
    const known = this.#registries.get(accountId)?.get(region)
    if (known !== undefined) return known
    if (this.#size >= this.#maxRegistries) {
      this.#registries.clear()
      this.#size = 0
    }
    const fresh = { left: this.#perSecond.map((rate) => rate * wholeCall), asOf: new Float64Array(ratedCalls.length).fill(this.#clock.now()) }
    const regions = this.#registries.get(accountId)
    if (regions === undefined) this.#registries.set(accountId, new Map([[region, fresh]]))
    else regions.set(region, fresh)
    this.#size += 1
    return fresh
  }
}

/** A call in the units of `Buckets`. */
const wholeCall = 1000

const positions = Object.fromEntries(ratedCalls.map((call, position) => [call, position])) as Record<RatedCall, number>
