import type { Dimension, StatisticName } from '../metric-reader.ts'

export const alarmStates = ['OK', 'ALARM', 'INSUFFICIENT_DATA'] as const

export type AlarmState = (typeof alarmStates)[number]

export const comparisons = ['GreaterThanOrEqualToThreshold', 'GreaterThanThreshold', 'LessThanThreshold', 'LessThanOrEqualToThreshold'] as const

export type Comparison = (typeof comparisons)[number]

export const missingDataTreatments = ['breaching', 'notBreaching', 'ignore', 'missing'] as const

export type MissingDataTreatment = (typeof missingDataTreatments)[number]

/** What an alarm watches, and when it is one. */
export interface AlarmSettings {
  readonly description?: string | undefined
  readonly namespace: string
  readonly metricName: string
  readonly dimensions: readonly Dimension[]
  readonly statistic: StatisticName
  readonly unit?: string | undefined
  readonly periodSeconds: number
  readonly evaluationPeriods: number
  readonly datapointsToAlarm?: number | undefined
  readonly threshold: number
  readonly comparison: Comparison
  readonly treatMissingData?: MissingDataTreatment | undefined
}

export function alarmArn({ accountId, region }: { readonly accountId: string; readonly region: string }, name: string): string {
  return `arn:aws:cloudwatch:${region}:${accountId}:alarm:${name}`
}

export function isBreaching(value: number, comparison: Comparison, threshold: number): boolean {
  switch (comparison) {
    case 'GreaterThanOrEqualToThreshold':
      return value >= threshold
    case 'GreaterThanThreshold':
      return value > threshold
    case 'LessThanThreshold':
      return value < threshold
    case 'LessThanOrEqualToThreshold':
      return value <= threshold
  }
}
