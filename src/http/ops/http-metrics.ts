import type { CounterSeries, HistogramSeries, MetricSet } from '../../metrics/index.ts'
import type { ExchangeRecord } from './access-log.ts'

/** What is counted of requests to one operation with statuses of one class. */
interface Tally {
  readonly requests: CounterSeries
  readonly duration: HistogramSeries
  readonly bytesIn: CounterSeries
  readonly bytesOut: CounterSeries
}

/** Counts what passes through the listener. */
export class HttpMetrics {
  readonly #requests
  readonly #duration
  readonly #bytesIn
  readonly #bytesOut
  readonly #errors
  readonly #aborted
  /** A request costs one look-up here: a busy server answers thousands a second. Operations and protocols are few. */
  readonly #tallies = new Map<string, Tally>()

  constructor(set: MetricSet, inFlight: () => number) {
    this.#requests = set.counter('stowage_http_requests_total')
    this.#duration = set.histogram('stowage_http_request_duration_seconds')
    this.#bytesIn = set.counter('stowage_http_received_bytes_total')
    this.#bytesOut = set.counter('stowage_http_sent_bytes_total')
    this.#errors = set.counter('stowage_http_errors_total')
    this.#aborted = set.counter('stowage_http_aborted_total')
    set.read('stowage_http_requests_in_flight', inFlight)
  }

  observe({ meta: { protocol = 'none', operation = 'none', errorCode }, status, durationMs, bytesIn, bytesOut, aborted }: ExchangeRecord): void {
    const statusClass = `${Math.floor(status / 100)}xx`
    const key = `${protocol} ${operation} ${statusClass}`
    let tally = this.#tallies.get(key)
    if (tally === undefined) {
      const labels = { protocol, operation, status: statusClass }
      tally = { requests: this.#requests(labels), duration: this.#duration(labels), bytesIn: this.#bytesIn({ protocol }), bytesOut: this.#bytesOut({ protocol }) }
      this.#tallies.set(key, tally)
    }
    tally.requests.add()
    tally.duration.observe(durationMs / 1000)
    tally.bytesIn.add(bytesIn)
    tally.bytesOut.add(bytesOut)
    if (errorCode !== undefined) this.#errors({ protocol, code: errorCode }).add()
    if (aborted) this.#aborted({ protocol }).add()
  }
}
