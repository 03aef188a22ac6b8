import { roundedStart, valueOf, type MetricReader, type UnitBuckets } from '../../../../metrics/metric-reader.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { list, required, structure, timestamp, type Input } from '../../shapes.ts'
import { invalidCombination, invalidValue, missing } from './errors.ts'
import { isPeriod, metricOf } from './metric-input.ts'
import * as shapes from './shapes.ts'

/** In one answer. */
const maxDatapoints = 1_440

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html */
export function getMetricStatistics({ reader }: { readonly reader: MetricReader }): AwsOperation {
  return operation({
    action: 'cloudwatch:GetMetricStatistics',
    resource: () => '*',
    input: structure({
      Namespace: required(shapes.namespace),
      MetricName: required(shapes.metricName),
      Dimensions: shapes.dimensions,
      StartTime: required(timestamp()),
      EndTime: required(timestamp()),
      Period: required(shapes.period),
      Statistics: list(shapes.statistic, { min: 1, max: 5 }),
      ExtendedStatistics: shapes.extendedStatistics,
      Unit: shapes.unit,
    }),
    async handler({ context: { registry, clock } }, input) {
      const { MetricName, StartTime, EndTime, Period, Statistics = [], ExtendedStatistics, Unit } = input
      if (Statistics.length === 0 && ExtendedStatistics === undefined) throw missing('Statistics')
      // Values are kept as statistic sets, which have no percentiles.
      if (ExtendedStatistics !== undefined) throw invalidValue(`The value ${ExtendedStatistics[0]} for parameter ExtendedStatistics is not supported: there are SampleCount, Average, Sum, Minimum and Maximum.`)
      if (!isPeriod(Period)) throw invalidValue(`The parameter Period must be a multiple of 60, or one of 1, 5, 10, 20 and 30.`)
      if (StartTime >= EndTime) throw invalidCombination('The parameter StartTime must be less than the parameter EndTime.')
      const from = roundedStart(StartTime.getTime(), clock.now())
      const periodMs = Period * 1000
      const count = Math.ceil((EndTime.getTime() - from) / periodMs)
      if (count > maxDatapoints) {
        throw invalidCombination(`You have requested up to ${count.toLocaleString('en')} datapoints, which exceeds the limit of 1,440. You may reduce the datapoints requested by increasing Period, or decreasing the time range.`)
      }
      const found = await reader.buckets({ account: registry.accountId, region: registry.region, metric: metricOf(input), unit: Unit, periodMs, from, to: EndTime.getTime() })
      return { Label: MetricName, Datapoints: found.flatMap((each) => datapoints(each, Statistics)) }
    },
  })
}

function datapoints({ unit, buckets }: UnitBuckets, wanted: readonly Input<typeof shapes.statistic>[]) {
  return buckets.map((bucket) => ({
    Timestamp: new Date(bucket.at),
    ...Object.fromEntries(wanted.map((statistic) => [statistic, valueOf(bucket, statistic)])),
    Unit: unit,
  }))
}
