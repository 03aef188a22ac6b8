import { settingNotes } from './setting-notes.ts'
import { parsed } from './setting-values.ts'

const maxDays = 3650

/** Three numbers of days, none smaller than the one before. Undefined for any other text. */
function parseRetention(text: string): readonly number[] | undefined {
  const days = text.split(',').map((part) => (/^\s*\d{1,4}\s*$/u.test(part) ? Number(part) : Number.NaN))
  const isOrdered = days.every((count, n) => count >= (days[n - 1] ?? 1) && count <= maxDays)
  return days.length === 3 && isOrdered ? days : undefined
}

/** How long points of metrics are kept. */
export const metricSettings = {
  metricRetentionDays: parsed(parseRetention, 'write three numbers of days, none smaller than the one before, such as 15,63,455')
    .prefault('15,63,455')
    .register(settingNotes, {
      env: 'STOWAGE_METRICS_RETENTION_DAYS',
      group: 'Operation',
      form: 'three numbers of days',
      description: 'How long points of [metrics](../operations/monitoring.md#metrics-of-cloudwatch) are kept by the minute, by five minutes, and by the hour. The default is what CloudWatch has.',
    }),
}
