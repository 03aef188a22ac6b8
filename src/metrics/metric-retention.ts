import { removeOldPoints, resolutions } from '../storage/metadata/observe/metric-store.ts'
import type { ObserveStore } from '../storage/metadata/observe/store.ts'

/** How long points are kept by the minute, by five minutes and by the hour. */
export interface MetricRetention {
  readonly minuteMs: number
  readonly fiveMinutesMs: number
  readonly hourMs: number
}

/** Series in one transaction: after weeks without a server each has some twenty thousand points to go, and others wait for it to end. */
const seriesAtOnce = 20

/** Removes points that are older. Never throws for the signal: what is left goes the next time. */
export async function removeOldMetricPoints(store: ObserveStore, retention: MetricRetention, now: number, signal?: AbortSignal): Promise<void> {
  const before = {
    metric_minute: now - retention.minuteMs,
    metric_five_minutes: now - retention.fiveMinutesMs,
    metric_hour: now - retention.hourMs,
  }
  let after: number | undefined = 0
  while (after !== undefined && signal?.aborted !== true) {
    const from: number = after
    after = await store.transaction((tx) => removeOldPoints(tx, { after: from, limit: seriesAtOnce, before }))
  }
}

const dayMs = 24 * 60 * 60_000

/** As CloudWatch keeps them. */
export const cloudWatchRetentionDays: readonly number[] = resolutions.map(({ days }) => days).toReversed()

export function metricRetention(days: readonly number[]): MetricRetention {
  const [minute = 15, fiveMinutes = 63, hour = 455] = days
  return { minuteMs: minute * dayMs, fiveMinutesMs: fiveMinutes * dayMs, hourMs: hour * dayMs }
}
