import { callsOf, each, refused, upTo, type Scenario, type Step } from './step.ts'

const cloudwatch = callsOf('cloudwatch')

const minuteMs = 60_000
/** The minute in which all points are, whenever the calls are made: it is over, and so are its neighbours. */
const minute = Math.floor(Date.now() / minuteMs) * minuteMs - 10 * minuteMs
const at = (minutes: number): { readonly $time: string } => ({ $time: new Date(minute + minutes * minuteMs).toISOString() })
const span = { StartTime: at(-5), EndTime: at(5) }

/** A page of CloudWatch has this many metrics, whatever is asked for. */
const metricsOfPage = 500

const Namespace = 'Client'
const Dimensions = [{ Name: 'Host', Value: 'a b&c' }]
const metric = (number: number) => ({ Namespace, MetricName: `metric-${number}`, Dimensions })
const datum = (number: number) => ({ MetricName: `metric-${number}`, Dimensions, Timestamp: at(0), Values: [1, 2.5, 4], Counts: [1, 2, 1], Unit: 'Count' })

const put = cloudwatch('PutMetricData', { Namespace, MetricData: upTo(metricsOfPage).map(datum) })
const moreData = { MetricData: [{ MetricName: 'last', Dimensions, Timestamp: at(0), StatisticValues: { SampleCount: 3, Sum: 6, Minimum: 0.25, Maximum: 4 }, StorageResolution: 60 }] }
const statistics = cloudwatch('GetMetricStatistics', { ...metric(1), ...span, Period: 60, Statistics: ['SampleCount', 'Average', 'Sum', 'Minimum', 'Maximum'], Unit: 'Count' })
/** Each has one point, so that pages of one point are pages of one query. */
const queries = upTo(3).map((number) => ({ Id: `q${number}`, Label: `label ${number}`, MetricStat: { Metric: metric(number), Period: 60, Stat: 'Sum', Unit: 'Count' } }))
const data = cloudwatch('GetMetricData', { ...span, MetricDataQueries: queries, ScanBy: 'TimestampAscending' })

/** Of a metric without points, whose state nothing but a call changes. */
const newAlarm = (number: number): Step =>
  cloudwatch('PutMetricAlarm', {
    ...{ AlarmName: `client-${number}`, AlarmDescription: 'of a test', Namespace, MetricName: 'absent', Dimensions, Statistic: 'Maximum', Unit: 'Seconds', Period: 60 },
    ...{ EvaluationPeriods: 3, DatapointsToAlarm: 2, Threshold: 2.5, ComparisonOperator: 'GreaterThanThreshold', TreatMissingData: 'ignore', ActionsEnabled: true },
  })
const state = cloudwatch('SetAlarmState', { AlarmName: 'client-1', StateValue: 'ALARM', StateReason: 'a drill', StateReasonData: '{"drill":true}' })
const first = { AlarmNames: ['client-1'] }
const history = cloudwatch('DescribeAlarmHistory', { AlarmName: 'client-1', StartDate: { $time: '2020-01-01T00:00:00Z' }, EndDate: { $time: '2099-01-01T00:00:00Z' } })
const foreignToken = { NextToken: 'of somebody else' }

const steps: readonly Step[] = [
  put,
  { ...put, input: { ...put.input, ...moreData } },
  refused('InvalidParameterValueException', put, { Namespace: 'AWS/ECR', ...moreData }),
  refused('MissingRequiredParameterException', put, { MetricData: [] }),
  refused('InvalidParameterCombinationException', put, { MetricData: [{ ...datum(1), Value: 1 }] }),
  cloudwatch('ListMetrics', { Namespace, MetricName: 'metric-1', Dimensions: [{ Name: 'Host' }], RecentlyActive: 'PT3H', IncludeLinkedAccounts: true }),
  refused('InvalidParameterValueException', cloudwatch('ListMetrics'), foreignToken),
  statistics,
  refused('InvalidParameterValueException', statistics, { Period: 61 }),
  { ...statistics, input: Object.fromEntries(Object.entries(statistics.input).filter(([name]) => name !== 'Statistics')), error: 'MissingRequiredParameterException' },
  refused('InvalidParameterCombinationException', statistics, { StartTime: at(-2000) }),
  data,
  cloudwatch('GetMetricData', { ...span, MetricDataQueries: [{ ...queries[0], ReturnData: false }, { Id: 'twice', Expression: 'q1 * 2' }] }),
  refused('InvalidNextToken', data, foreignToken),

  ...upTo(3).map(newAlarm),
  cloudwatch('DescribeAlarms', { ...first, AlarmTypes: ['MetricAlarm'], StateValue: 'INSUFFICIENT_DATA' }),
  refused('InvalidNextToken', cloudwatch('DescribeAlarms'), foreignToken),
  cloudwatch('DescribeAlarmsForMetric', { Namespace, MetricName: 'absent', Dimensions }),
  state,
  refused('ResourceNotFound', state, { AlarmName: 'nobody' }),
  refused('InvalidFormatFault', state, { StateReasonData: 'no JSON' }),
  ...each(['DisableAlarmActions', 'EnableAlarmActions'], (operation) => cloudwatch(operation, first)),
  history,
  refused('InvalidNextToken', history, foreignToken),
]

const cleaning: readonly Step[] = [
  cloudwatch('DeleteAlarms', { AlarmNames: ['client-1', 'client-2', 'client-3'] }),
  refused('ResourceNotFound', cloudwatch('DeleteAlarms', first)),
]

export const cloudwatchScenario: Scenario = {
  steps,
  lists: [
    { service: 'cloudwatch', operation: 'ListMetrics', input: { Namespace }, fixedPages: { size: metricsOfPage, items: metricsOfPage + 1 } },
    { service: 'cloudwatch', operation: 'GetMetricData', input: data.input },
    { service: 'cloudwatch', operation: 'DescribeAlarms', input: { AlarmNamePrefix: 'client' } },
    { service: 'cloudwatch', operation: 'DescribeAlarmHistory', input: history.input },
  ],
  waits: [{ service: 'cloudwatch', waiter: 'AlarmExists', input: { AlarmNamePrefix: 'client' } }],
  cleaning,
}
