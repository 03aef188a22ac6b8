import { setImmediate } from 'node:timers/promises'
import { dimensionsOf, dimensionsText, findSeries, listSeries, readBuckets, type Bucket, type Dimension, type ListedSeries, type SeriesFilter } from '../storage/metadata/observe/metric-store.ts'
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
  async buckets({ account, region, metric, unit, periodMs, from, to }: BucketRequest): Promise<UnitBuckets[]> {
    const name = { registry: registryOfMetrics(account, region), namespace: metric.namespace, name: metric.name, dimensions: dimensionsText(metric.dimensions) }
    const found: UnitBuckets[] = []
    for (const series of await findSeries(this.#session, name)) {
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
  async readSeries(request: BucketRequest & { readonly statistic: StatisticName }): Promise<SeriesValue[]> {
    const merged = new Map<number, Bucket>()
    for (const { buckets } of await this.buckets(request)) {
      for (const bucket of buckets) {
        const other = merged.get(bucket.at)
        merged.set(bucket.at, other === undefined ? bucket : { at: bucket.at, samples: bucket.samples + other.samples, total: bucket.total + other.total, low: Math.min(bucket.low, other.low), high: Math.max(bucket.high, other.high) })
      }
    }
    return [...merged.values()].sort((a, b) => a.at - b.at).map((bucket) => ({ at: bucket.at, value: valueOf(bucket, request.statistic) }))
  }
}
