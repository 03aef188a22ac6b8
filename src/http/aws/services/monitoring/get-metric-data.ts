import type { Keyring } from '../../../../iam/index.ts'
import { roundedStart, statistics, type MetricReader, type SeriesValue, type StatisticName } from '../../../../metrics/metric-reader.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { integer, required, string, structure, timestamp, type Input } from '../../shapes.ts'
import { PageTokens, type ListIdentity } from '../ecr/page-token.ts'
import { validation } from './errors.ts'
import { readToken } from './list-metrics.ts'
import { isPeriod, metricOf } from './metric-input.ts'
import * as shapes from './shapes.ts'

/** CloudWatch's own limits for a request. */
const maxQueries = 500
const maxDatapoints = 100_800

/** A query may look at no more periods than these: as many as there are minutes in the days for which they are kept by default. */
const maxPeriods = 21_600

type Query = Input<typeof shapes.metricDataQueries>[number]

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html */
export function getMetricData({ reader, keyring }: { readonly reader: MetricReader; readonly keyring: Keyring }): AwsOperation {
  const tokens = new PageTokens(keyring)
  return operation({
    action: 'cloudwatch:GetMetricData',
    resource: () => '*',
    input: structure({
      MetricDataQueries: required(shapes.metricDataQueries),
      StartTime: required(timestamp()),
      EndTime: required(timestamp()),
      NextToken: shapes.nextToken,
      ScanBy: shapes.scanBy,
      MaxDatapoints: integer(),
      LabelOptions: structure({ Timezone: string({ max: 32 }) }),
    }),
    async handler({ context: { registry, clock } }, input) {
      const { MetricDataQueries: queries, StartTime, EndTime, ScanBy = 'TimestampDescending', MaxDatapoints = maxDatapoints } = input
      if (queries.length === 0) throw validation('The parameter MetricDataQueries is required.')
      if (queries.length > maxQueries) throw validation(`The collection MetricDataQueries must not have a size greater than ${maxQueries}.`)
      if (MaxDatapoints < 1 || MaxDatapoints > maxDatapoints) throw validation(`The parameter MaxDatapoints must be from 1 to ${maxDatapoints}.`)
      if (StartTime >= EndTime) throw validation('The parameter StartTime must be less than the parameter EndTime.')
      const ids = new Set<string>()
      for (const query of queries) {
        requireServed(query, registry.accountId)
        if (ids.has(query.Id)) throw validation(`The value ${query.Id} of the parameter Id is not unique.`)
        ids.add(query.Id)
        const periodMs = query.MetricStat!.Period * 1000
        if ((EndTime.getTime() - StartTime.getTime()) / periodMs > maxPeriods) throw validation(`The query ${query.Id} has more than ${maxPeriods} periods: increase Period, or decrease the time range.`)
      }
      const returned = queries.filter(({ ReturnData }) => ReturnData !== false)
      if (returned.length === 0) throw validation('At least one of the queries must have ReturnData true.')

      const identity: ListIdentity = ['GetMetricData', registry.accountId, registry.region, JSON.stringify([queries, StartTime, EndTime, ScanBy])]
      let [at, offset] = positionOf(readToken(tokens, identity, input.NextToken))
      let room = MaxDatapoints
      const results = []
      for (; at < returned.length && room > 0; at += 1, offset = 0) {
        const query = returned[at]!
        const { Metric, Period, Stat, Unit } = query.MetricStat!
        const values: SeriesValue[] = await reader.readSeries({
          account: registry.accountId,
          region: registry.region,
          metric: metricOf(Metric),
          unit: Unit,
          statistic: Stat as StatisticName,
          periodMs: Period * 1000,
          from: roundedStart(StartTime.getTime(), clock.now()),
          to: EndTime.getTime(),
        })
        if (ScanBy === 'TimestampDescending') values.reverse()
        const page = values.slice(offset, offset + room)
        const isComplete = offset + page.length >= values.length
        room -= page.length
        results.push({
          Id: query.Id,
          Label: query.Label ?? labelOf(query, returned),
          Timestamps: page.map((value) => new Date(value.at)),
          Values: page.map(({ value }) => value),
          StatusCode: isComplete ? 'Complete' : 'PartialData',
        })
        if (!isComplete) {
          offset += page.length
          break
        }
      }
      const isLast = at >= returned.length
      return { MetricDataResults: results, NextToken: tokens.issue(identity, isLast ? undefined : JSON.stringify([at, offset])), Messages: [] }
    },
  })
}

/** @throws AwsError ValidationError for what a query must not be, and for what is not here. */
function requireServed({ Id, MetricStat, Expression, Label, Period, AccountId }: Query, account: string): void {
  if (!/^[a-z][A-Za-z0-9_]*$/u.test(Id)) throw validation(`The value ${Id} for parameter Id is not valid: it begins with a lower-case letter, and has letters, digits and underscores.`)
  if (Expression !== undefined && MetricStat !== undefined) throw validation(`The query ${Id} must have one of MetricStat and Expression, not both.`)
  if (Expression !== undefined) throw validation(`Error in expression '${Id}': Expressions are not supported.`)
  if (MetricStat === undefined) throw validation(`The query ${Id} must have MetricStat.`)
  if (Period !== undefined) throw validation(`The query ${Id} must have its Period in MetricStat.`)
  if (AccountId !== undefined && AccountId !== account) throw validation(`The query ${Id} asks for the account ${AccountId}, which is not linked.`)
  if (Label?.includes('${') === true) throw validation(`The label of the query ${Id} has dynamic values, which are not supported.`)
  if (MetricStat.Metric.Namespace === undefined || MetricStat.Metric.MetricName === undefined) throw validation(`The query ${Id} must have Namespace and MetricName.`)
  if (!isPeriod(MetricStat.Period)) throw validation(`The query ${Id} has a Period that is no multiple of 60, nor one of 1, 5, 10, 20 and 30.`)
  if (!(statistics as readonly string[]).includes(MetricStat.Stat)) throw validation(`The statistic ${MetricStat.Stat} of the query ${Id} is not supported: there are ${statistics.join(', ')}.`)
}

/** What tells a graph's lines apart: the metrics' names, or the dimensions where the names are one. */
function labelOf({ MetricStat }: Query, all: readonly Query[]): string {
  const { MetricName = '', Dimensions = [] } = MetricStat!.Metric
  const isOne = all.length > 1 && all.every((other) => other.MetricStat?.Metric.MetricName === MetricName)
  return isOne && Dimensions.length > 0 ? Dimensions.map(({ Value }) => Value).join(' ') : MetricName
}

function positionOf(text: string | undefined): [query: number, offset: number] {
  return text === undefined ? [0, 0] : (JSON.parse(text) as [number, number])
}
