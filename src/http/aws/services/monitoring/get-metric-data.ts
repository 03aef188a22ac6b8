import type { Keyring } from '../../../../iam/index.ts'
import { roundedStart, statistics, type MetricReader, type StatisticName } from '../../../../metrics/metric-reader.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { integer, required, string, structure, timestamp, type Input } from '../../shapes.ts'
import { PageTokens, type ListIdentity } from '../ecr/page-token.ts'
import { validation } from './errors.ts'
import { GraphLines } from './graph-lines.ts'
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
        const periodMs = (query.MetricStat?.Period ?? Number.POSITIVE_INFINITY) * 1000
        if ((EndTime.getTime() - StartTime.getTime()) / periodMs > maxPeriods) throw validation(`The query ${query.Id} has more than ${maxPeriods} periods: increase Period, or decrease the time range.`)
      }
      const returned = queries.filter(({ ReturnData }) => ReturnData !== false)
      if (returned.length === 0) throw validation('At least one of the queries must have ReturnData true.')

      const identity: ListIdentity = ['GetMetricData', registry.accountId, registry.region, JSON.stringify([queries, StartTime, EndTime, ScanBy])]
      let { query: at, line, offset } = positionOf(readToken(tokens, identity, input.NextToken))
      const from = roundedStart(StartTime.getTime(), clock.now())
      const requests = new Map(
        queries.flatMap(({ MetricStat: stat }) => {
          if (stat === undefined) return []
          const { Metric, Period, Stat, Unit } = stat
          return [[stat, { account: registry.accountId, region: registry.region, metric: metricOf(Metric), unit: Unit, statistic: Stat as StatisticName, periodMs: Period * 1000, from, to: EndTime.getTime() }]]
        }),
      )
      const reading = reader.readAhead([...requests.values()])
      const lines = new GraphLines(queries, { from, to: EndTime.getTime() }, (stat) => reading.of(requests.get(stat)!))
      let room = MaxDatapoints
      const results: { Id: string; Label: string; Timestamps: Date[]; Values: number[]; StatusCode: 'Complete' | 'PartialData' }[] = []
      let next: string | undefined
      for (; at < returned.length && next === undefined; at += 1, line = 0) {
        const query = returned[at]!
        const found = await lines.of(query)
        for (; line < found.length && next === undefined; line += 1, offset = 0) {
          if (room === 0) {
            next = JSON.stringify([at, line, offset])
            break
          }
          const { id, series } = found[line]!
          const values = [...series].sort(([a], [b]) => (ScanBy === 'TimestampAscending' ? a - b : b - a))
          const page = values.slice(offset, offset + room)
          const isComplete = offset + page.length >= values.length
          room -= page.length
          results.push({
            Id: query.Id,
            Label: query.Label ?? (query.Expression === undefined ? labelOf(query, returned) : id),
            Timestamps: page.map(([time]) => new Date(time)),
            Values: page.map(([, value]) => value),
            StatusCode: isComplete ? 'Complete' : 'PartialData',
          })
          if (!isComplete) next = JSON.stringify([at, line, offset + page.length])
        }
      }
      return { MetricDataResults: results, NextToken: tokens.issue(identity, next), Messages: [] }
    },
  })
}

/** @throws AwsError ValidationError for what a query must not be, and for what is not here. */
function requireServed({ Id, MetricStat, Expression, Label, Period, AccountId }: Query, account: string): void {
  if (!/^[a-z][A-Za-z0-9_]*$/u.test(Id)) throw validation(`The value ${Id} for parameter Id is not valid: it begins with a lower-case letter, and has letters, digits and underscores.`)
  if (Expression !== undefined && MetricStat !== undefined) throw validation(`The query ${Id} must have one of MetricStat and Expression, not both.`)
  if (Label?.includes('${') === true) throw validation(`The label of the query ${Id} has dynamic values, which are not supported.`)
  if (AccountId !== undefined && AccountId !== account) throw validation(`The query ${Id} asks for the account ${AccountId}, which is not linked.`)
  if (Expression !== undefined) return
  if (MetricStat === undefined) throw validation(`The query ${Id} must have MetricStat or Expression.`)
  if (Period !== undefined) throw validation(`The query ${Id} must have its Period in MetricStat.`)
  if (MetricStat.Metric.Namespace === undefined || MetricStat.Metric.MetricName === undefined) throw validation(`The query ${Id} must have Namespace and MetricName.`)
  if (!isPeriod(MetricStat.Period)) throw validation(`The query ${Id} has a Period that is no multiple of 60, nor one of 1, 5, 10, 20 and 30.`)
  if (!(statistics as readonly string[]).includes(MetricStat.Stat)) throw validation(`The statistic ${MetricStat.Stat} of the query ${Id} is not supported: there are ${statistics.join(', ')}.`)
}

/** What tells a graph's lines apart: the metrics' names, or the dimensions where the names are one. */
function labelOf({ MetricStat }: Query, all: readonly Query[]): string {
  const { MetricName = '', Dimensions = [] } = MetricStat!.Metric
  const isOne = all.length > 1 && all.filter(({ Expression }) => Expression === undefined).every((other) => other.MetricStat?.Metric.MetricName === MetricName)
  return isOne && Dimensions.length > 0 ? Dimensions.map(({ Value }) => Value).join(' ') : MetricName
}

function positionOf(text: string | undefined): { query: number; line: number; offset: number } {
  const [query, line, offset] = text === undefined ? [0, 0, 0] : (JSON.parse(text) as [number, number, number])
  return { query, line, offset }
}
