import { z } from 'zod'
import { settingNotes } from './setting-notes.ts'
import { parsed, wholeNumber } from './setting-values.ts'

const maxDays = 3650

/** Three numbers of days, none smaller than the one before. Undefined for any other text. */
function parseRetention(text: string): readonly number[] | undefined {
  const days = text.split(',').map((part) => (/^\s*\d{1,4}\s*$/u.test(part) ? Number(part) : Number.NaN))
  const isOrdered = days.every((count, n) => count >= (days[n - 1] ?? 1) && count <= maxDays)
  return days.length === 3 && isOrdered ? days : undefined
}

/** How long points of metrics are kept, and what is told of them without an alarm. */
export const metricSettings = {
  metricRetentionDays: parsed(parseRetention, 'write three numbers of days, none smaller than the one before, such as 15,63,455')
    .prefault('15,63,455')
    .register(settingNotes, {
      env: 'STOWAGE_METRICS_RETENTION_DAYS',
      group: 'Operation',
      form: 'three numbers of days',
      description: 'How long points of [metrics](../operations/monitoring.md#metrics-of-cloudwatch) are kept by the minute, by five minutes, and by the hour. The default is what CloudWatch has.',
    }),
  watch: z
    .enum(['on', 'off'])
    .prefault('on')
    .register(settingNotes, {
      env: 'STOWAGE_WATCH',
      group: 'Operation',
      form: '`on` or `off`',
      description: 'Whether [unusual use](../operations/monitoring.md#unusual-use) of a registry is looked for and told.',
    }),
  watchIntervalSeconds: wholeNumber(1, 3600, 'seconds')
    .prefault('300')
    .register(settingNotes, {
      env: 'STOWAGE_WATCH_INTERVAL_SECONDS',
      group: 'Operation',
      form: 'seconds',
      description: 'How often unusual use is looked for.',
    }),
  watchLearningDays: wholeNumber(0, 365, 'days')
    .prefault('7')
    .register(settingNotes, {
      env: 'STOWAGE_WATCH_LEARNING_DAYS',
      group: 'Operation',
      form: 'days',
      description: 'How long a registry is watched before anything of it is told as unusual.',
    }),
  watchFactor: wholeNumber(2, 1000, 'times')
    .prefault('5')
    .register(settingNotes, {
      env: 'STOWAGE_WATCH_FACTOR',
      group: 'Operation',
      form: 'a whole number',
      description: 'How many times the highest hour of the last four weeks an hour has to have to be told as unusual.',
    }),
}
