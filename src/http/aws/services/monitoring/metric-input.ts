import type { MetricId } from '../../../../metrics/metric-reader.ts'
import { invalidValue } from './errors.ts'

/** Periods of less than a minute that CloudWatch knows. */
const shortPeriods: ReadonlySet<number> = new Set([1, 5, 10, 20, 30])

export function isPeriod(seconds: number): boolean {
  return shortPeriods.has(seconds) || seconds % 60 === 0
}

export interface MetricInput {
  readonly Namespace?: string | undefined
  readonly MetricName?: string | undefined
  readonly Dimensions?: readonly { readonly Name: string; readonly Value: string }[] | undefined
}

/** @throws AwsError InvalidParameterValueException where a dimension is named twice. */
export function metricOf({ Namespace, MetricName, Dimensions = [] }: MetricInput): MetricId {
  const names = new Set(Dimensions.map(({ Name }) => Name))
  if (names.size < Dimensions.length) throw invalidValue('The parameter Dimensions must not name a dimension more than once.')
  return { namespace: Namespace ?? '', name: MetricName ?? '', dimensions: Dimensions.map(({ Name, Value }) => [Name, Value] as const) }
}
