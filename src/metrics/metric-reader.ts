import { setImmediate } from 'node:timers/promises'
import {
  dimensionsOf,
  dimensionsText,
  findSeries,
  findSeriesOfAll,
  listSeries,
  readBuckets,
  readBucketsOfAll,
  type Bucket,
  type Dimension,
  type ListedSeries,
  type MetricName,
  type SeriesFilter,
} from '../storage/metadata/observe/metric-store.ts'
import type { Session } from '../storage/metadata/session.ts'
import { registryOfMetrics } from './metric-names.ts'

export type { Dimension } from '../storage/metadata/observe/metric-store.ts'

export const statistics = ['SampleCount', 'Average', 'Sum', 'Minimum', 'Maximum'] as const

export type StatisticName = (typeof statistics)[number]

/** A metric with exactly these dimensions. */
export interface MetricId {
  readonly namespace: string
  readonly name: string
  readonly dimensions: readonly Dimension[]
}

export interface BucketRequest {
  readonly account: string
  readonly region: string
  readonly metric: MetricId
  /** Without it the points of every unit, each by itself. */
  readonly unit?: string | undefined
  readonly periodMs: number
  /** From the first until before the second; buckets begin at the first. */
  readonly from: number
  readonly to: number
}

export interface UnitBuckets {
  readonly unit: string
  readonly buckets: readonly Bucket[]
}

/** A value of a statistic for a period that begins at `at`. */
export interface SeriesValue {
  readonly at: number
  readonly value: number
}

/** On SQLite a read takes the thread that answers requests: a longer one lets others in between. */
const bucketsAtOnce = 5_000

const hourMs = 60 * 60_000
const minuteMs = 60_000

export function valueOf({ samples, total, low, high }: Bucket, statistic: StatisticName): number {
  switch (statistic) {
    case 'SampleCount':
      return samples
    case 'Average':
      return total / samples
    case 'Sum':
      return total
    case 'Minimum':
      return low
    case 'Maximum':
      return high
  }
}

/**
 * The beginning of a request for points, as CloudWatch rounds it: to the minute, and to five minutes or an hour where finer points
 * are not kept any more. https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html
 */
export function roundedStart(from: number, now: number): number {
  const days = (now - from) / (24 * hourMs)
  const step = days > 63 ? hourMs : days > 15 ? 5 * minuteMs : minuteMs
  return from - (((from % step) + step) % step)
}

/** Reads metrics. */
export class MetricReader {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  /** Metrics of an account in a region, by namespace, name and then as they came. */
  async list(account: string, region: string, filter: Omit<SeriesFilter, 'registry'>, page: Parameters<typeof listSeries>[2]): Promise<(MetricId & { readonly id: number })[]> {
    const rows: ListedSeries[] = await listSeries(this.#session, { ...filter, registry: registryOfMetrics(account, region) }, page)
    return rows.map(({ dimensions, ...row }) => ({ ...row, dimensions: dimensionsOf(dimensions) }))
  }

  /** What there is of a metric, by unit; nothing of one that there is not. */
  async buckets(request: BucketRequest): Promise<UnitBuckets[]> {
    const { unit, periodMs, from, to } = request
    const found: UnitBuckets[] = []
    for (const series of await findSeries(this.#session, nameOf(request))) {
      if (unit !== undefined && series.unit !== unit) continue
      const buckets: Bucket[] = []
      for (let start = from; start < to; start += bucketsAtOnce * periodMs) {
        if (start > from) await setImmediate()
        buckets.push(...(await readBuckets(this.#session, { id: series.id, periodMs, from: start, to: Math.min(to, start + bucketsAtOnce * periodMs) })))
      }
      if (buckets.length > 0) found.push({ unit: series.unit, buckets })
    }
    return found
  }

  /**
   * The values of a statistic, oldest first, over all units: periods without points are left out. `from` has to be the beginning
   * of a minute.
   */
  async readSeries(request: SeriesRequest): Promise<SeriesValue[]> {
    return valuesOf((await this.buckets(request)).map(({ buckets }) => buckets), request.statistic)
  }

  /** For series that are asked for one after another. */
  readAhead(requests: readonly SeriesRequest[]): SeriesReadAhead {
    return new SeriesReadAhead(this, requests)
  }

  /** As `readSeries`, of several that are of one registry and have the same periods, in few statements. */
  async readSeriesTogether(requests: readonly SeriesRequest[]): Promise<SeriesValue[][]> {
    const [first] = requests
    if (first === undefined) return []
    const names = requests.map(nameOf)
    const seriesOf = await findSeriesOfAll(this.#session, names)
    const wanted = requests.map(({ unit }, n) => seriesOf(names[n]!).flatMap((series) => (unit === undefined || series.unit === unit ? [series.id] : [])))
    const buckets = await readBucketsOfAll(this.#session, { ids: [...new Set(wanted.flat())], periodMs: first.periodMs, from: first.from, to: first.to })
    return requests.map(({ statistic }, n) => valuesOf(wanted[n]!.map((id) => buckets.get(id) ?? []), statistic))
  }
}

export interface SeriesRequest extends BucketRequest {
  readonly statistic: StatisticName
}

/**
 * Series of one registry and span that are asked for one after another, each once: with one come those behind it that have the same
 * period, as many as are read at once.
 */
class SeriesReadAhead {
  readonly #reader: MetricReader
  readonly #left: Set<SeriesRequest>
  readonly #read = new Map<SeriesRequest, SeriesValue[]>()

  constructor(reader: MetricReader, requests: readonly SeriesRequest[]) {
    this.#reader = reader
    this.#left = new Set(requests)
  }

  /** Of one of the requests. */
  async of(request: SeriesRequest): Promise<SeriesValue[]> {
    if (!this.#read.has(request)) await this.#readFrom(request)
    const values = this.#read.get(request)!
    this.#read.delete(request)
    return values
  }

  async #readFrom(request: SeriesRequest): Promise<void> {
    const periods = Math.ceil((request.to - request.from) / request.periodMs)
    const together = [request]
    let isBehind = false
    for (const other of this.#left) {
      if ((together.length + 1) * periods > bucketsAtOnce) break
      if (other === request) isBehind = true
      else if (isBehind && other.periodMs === request.periodMs) together.push(other)
    }
    for (const each of together) this.#left.delete(each)
    // Others have their turns between two readings.
    await setImmediate()
    const found = periods > bucketsAtOnce ? [await this.#reader.readSeries(request)] : await this.#reader.readSeriesTogether(together)
    for (const [n, each] of together.entries()) this.#read.set(each, found[n]!)
  }
}

function nameOf({ account, region, metric }: BucketRequest): MetricName {
  return { registry: registryOfMetrics(account, region), namespace: metric.namespace, name: metric.name, dimensions: dimensionsText(metric.dimensions) }
}

function valuesOf(byUnit: readonly (readonly Bucket[])[], statistic: StatisticName): SeriesValue[] {
  const merged = new Map<number, Bucket>()
  for (const bucket of byUnit.flat()) {
    const other = merged.get(bucket.at)
    merged.set(bucket.at, other === undefined ? bucket : { at: bucket.at, samples: bucket.samples + other.samples, total: bucket.total + other.total, low: Math.min(bucket.low, other.low), high: Math.max(bucket.high, other.high) })
  }
  return [...merged.values()].sort((a, b) => a.at - b.at).map((bucket) => ({ at: bucket.at, value: valueOf(bucket, statistic) }))
}
