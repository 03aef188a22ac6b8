import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ExchangeRecord } from './access-log.ts'

/** From an answer out of memory to a layer over a slow line. */
const durationBucketsSeconds = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600]

const namedMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Counts what passes through the listener. Labels hold no name of a repository or client: they stay few. */
export class HttpMetrics {
  readonly #registry = new Registry()
  readonly #requests: Counter<'protocol' | 'method' | 'status'>
  readonly #duration: Histogram<'protocol'>
  readonly #bytesIn: Counter<'protocol'>
  readonly #bytesOut: Counter<'protocol'>

  constructor(inFlight: () => number) {
    const registers = [this.#registry]
    this.#requests = new Counter({
      name: 'stowage_http_requests_total',
      help: 'Requests answered.',
      labelNames: ['protocol', 'method', 'status'],
      registers,
    })
    this.#duration = new Histogram({
      name: 'stowage_http_request_duration_seconds',
      help: 'Time from the request line to the last byte of the answer.',
      labelNames: ['protocol'],
      buckets: durationBucketsSeconds,
      registers,
    })
    this.#bytesIn = new Counter({
      name: 'stowage_http_received_bytes_total',
      help: 'Bytes of request bodies.',
      labelNames: ['protocol'],
      registers,
    })
    this.#bytesOut = new Counter({
      name: 'stowage_http_sent_bytes_total',
      help: 'Bytes of answers, headers included.',
      labelNames: ['protocol'],
      registers,
    })
    new Gauge({
      name: 'stowage_http_requests_in_flight',
      help: 'Requests whose answer has not ended.',
      registers,
      collect() {
        this.set(inFlight())
      },
    })
  }

  observe(record: ExchangeRecord): void {
    const protocol = record.meta.protocol ?? 'none'
    const method = namedMethods.has(record.method) ? record.method : 'other'
    this.#requests.inc({ protocol, method, status: String(record.status) })
    this.#duration.observe({ protocol }, record.durationMs / 1000)
    this.#bytesIn.inc({ protocol }, record.bytesIn)
    this.#bytesOut.inc({ protocol }, record.bytesOut)
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }
}
