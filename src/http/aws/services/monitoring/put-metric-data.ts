import type { MetricWriter, NewPoint, StatisticSet } from '../../../../metrics/metric-writer.ts'
import { AwsError } from '../../errors.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { boolean, required, structure, type Input } from '../../shapes.ts'
import { invalidCombination, invalidValue, missing, validation } from './errors.ts'
import { metricOf } from './metric-input.ts'
import * as shapes from './shapes.ts'

/** CloudWatch's own limits. */
const maxMetrics = 1_000
const maxValues = 150
const maxMagnitude = 2 ** 360
const minuteMs = 60_000
const hourMs = 60 * minuteMs
const oldestMs = 14 * 24 * hourMs
const newestMs = 2 * hourMs

type Datum = Input<typeof shapes.metricData>[number]

/**
 * Durable when it answers.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
 */
export function putMetricData({ writer }: { readonly writer: MetricWriter }): AwsOperation {
  return operation({
    action: 'cloudwatch:PutMetricData',
    resource: () => '*',
    conditions: ({ Namespace }) => [{ 'cloudwatch:namespace': Namespace }],
    // A thousand metrics with a hundred and fifty values and counts each fill the body.
    maxInputValues: 500_000,
    input: structure({
      Namespace: required(shapes.namespace),
      MetricData: shapes.metricData,
      EntityMetricData: shapes.unservedEntities,
      StrictEntityValidation: boolean(),
    }),
    async handler({ context: { registry, clock } }, { Namespace, MetricData = [], EntityMetricData }) {
      if (Namespace.startsWith('AWS/') || Namespace === 'Stowage') throw invalidValue(`The value ${Namespace} for parameter Namespace is invalid.`)
      if (EntityMetricData !== undefined) throw invalidValue('The parameter EntityMetricData is not supported: leave it out.')
      if (MetricData.length === 0) throw missing('MetricData')
      if (MetricData.length > maxMetrics) throw validation(`The collection MetricData must not have a size greater than ${maxMetrics}.`)
      const now = clock.now()
      const points = MetricData.map((datum, n) => pointOf(Namespace, datum, `MetricData.member.${n + 1}`, now))
      const outcome = await writer.put(registry.accountId, registry.region, points)
      if (outcome === 'too-many-series') throw new AwsError('LimitExceededFault', 'There are as many metrics with different dimensions as there may be.')
      if (outcome === 'busy') throw new AwsError('ThrottlingException', 'Rate exceeded')
      return undefined
    },
  })
}

function pointOf(namespace: string, datum: Datum, place: string, now: number): NewPoint {
  const { Timestamp, Unit = 'None', StorageResolution = 60 } = datum
  const at = Timestamp?.getTime() ?? now
  if (at < now - oldestMs) throw invalidValue(`The parameter ${place}.Timestamp must specify a time no more than two weeks in the past.`)
  if (at > now + newestMs) throw invalidValue(`The parameter ${place}.Timestamp must specify a time no more than two hours in the future.`)
  if (StorageResolution !== 60) throw invalidValue(`The parameter ${place}.StorageResolution must be 60: points are kept by the minute.`)
  const metric = metricOf({ Namespace: namespace, ...datum })
  for (const [dimensionName, value] of metric.dimensions) {
    if (!/^[\x20-\x7e]+$/u.test(dimensionName + value) || dimensionName.startsWith(':') || value.trim() === '') throw invalidValue(`The dimension ${dimensionName} of ${place} has to be ASCII text, with a value that is not blank and a name that does not begin with a colon.`)
  }
  return { metric, unit: Unit, at: at - (at % minuteMs), set: setOf(datum, place) }
}

function setOf({ Value, StatisticValues, Values, Counts }: Datum, place: string): StatisticSet {
  const given = Object.entries({ Value, StatisticValues, Values }).flatMap(([name, value]) => (value === undefined ? [] : [name]))
  if (given.length === 0) throw missing(`${place}.Value`)
  if (given.length > 1) throw invalidCombination(`The parameters ${place}.${given[0]} and ${place}.${given[1]} are mutually exclusive and you have specified both.`)
  if (Value !== undefined) {
    requireNumbers([Value], `${place}.Value`)
    return { samples: 1, total: Value, low: Value, high: Value }
  }
  if (StatisticValues !== undefined) {
    const { SampleCount, Sum, Minimum, Maximum } = StatisticValues
    requireNumbers([SampleCount, Sum, Minimum, Maximum], `${place}.StatisticValues`)
    if (SampleCount <= 0) throw invalidValue(`The parameter ${place}.StatisticValues.SampleCount must be greater than 0.`)
    if (Minimum > Maximum) throw invalidCombination(`The parameter ${place}.StatisticValues.Minimum must not be greater than ${place}.StatisticValues.Maximum.`)
    return { samples: SampleCount, total: Sum, low: Minimum, high: Maximum }
  }
  const values = Values ?? []
  const counts = Counts ?? values.map(() => 1)
  if (values.length === 0) throw missing(`${place}.Values`)
  if (values.length > maxValues) throw invalidValue(`The collection ${place}.Values must not have a size greater than ${maxValues}.`)
  if (counts.length !== values.length) throw invalidValue(`The parameters ${place}.Values and ${place}.Counts must be of the same size.`)
  requireNumbers(values, `${place}.Values`)
  requireNumbers(counts, `${place}.Counts`)
  if (counts.some((count) => count <= 0)) throw invalidValue(`The values of the parameter ${place}.Counts must be greater than 0.`)
  return {
    samples: counts.reduce((sum, count) => sum + count, 0),
    total: values.reduce((sum, value, n) => sum + value * counts[n]!, 0),
    low: Math.min(...values),
    high: Math.max(...values),
  }
}

/** Special values are refused as CloudWatch does, and so is what is beyond its range. */
function requireNumbers(values: readonly number[], place: string): void {
  for (const value of values) if (!(Math.abs(value) <= maxMagnitude)) throw invalidValue(`The value ${value} for parameter ${place} is invalid.`)
}
