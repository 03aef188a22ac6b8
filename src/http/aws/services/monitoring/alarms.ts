import type { Keyring } from '../../../../iam/index.ts'
import { alarmArn, alarmStates, comparisons, missingDataTreatments, type AlarmSettings, type Comparison } from '../../../../metrics/alarms/alarm.ts'
import type { Alarm, MetricAlarms } from '../../../../metrics/alarms/metric-alarms.ts'
import { AwsError } from '../../errors.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { boolean, double, enumeration, integer, list, map, required, string, structure, timestamp, type Input } from '../../shapes.ts'
import { PageTokens, type ListIdentity } from '../ecr/page-token.ts'
import { readToken } from './list-metrics.ts'
import { validation } from './errors.ts'
import { metricOf } from './metric-input.ts'
import * as shapes from './shapes.ts'

const defaultPageSize = 50
const daySeconds = 24 * 60 * 60

const alarmName = string({ min: 1, max: 255 })
const alarmNames = list(alarmName, { max: 100 })
const actions = list(string({ min: 1, max: 1024 }), { max: 5 })
const maxRecords = integer({ min: 1, max: 100 })
const stateValue = enumeration(alarmStates)
const alarmTypes = list(enumeration(['CompositeAlarm', 'MetricAlarm', 'LogAlarm']))
/** Looked at only to refuse it. */
const unserved = map(string(), string())

const putMetricAlarmInput = structure({
  AlarmName: required(alarmName),
  AlarmDescription: string({ max: 1024 }),
  ActionsEnabled: boolean(),
  OKActions: actions,
  AlarmActions: actions,
  InsufficientDataActions: actions,
  MetricName: shapes.metricName,
  Namespace: shapes.namespace,
  Statistic: shapes.statistic,
  ExtendedStatistic: string({ max: 255 }),
  Dimensions: shapes.dimensions,
  Period: shapes.period,
  Unit: shapes.unit,
  EvaluationPeriods: integer({ min: 1 }),
  DatapointsToAlarm: integer({ min: 1 }),
  Threshold: double(),
  ComparisonOperator: enumeration([...comparisons, 'LessThanLowerOrGreaterThanUpperThreshold', 'LessThanLowerThreshold', 'GreaterThanUpperThreshold']),
  TreatMissingData: string({ min: 1, max: 255 }),
  EvaluateLowSampleCountPercentile: string({ min: 1, max: 255 }),
  Metrics: shapes.metricDataQueries,
  Tags: list(structure({ Key: string(), Value: string() })),
  ThresholdMetricId: string(),
  EvaluationWindow: unserved,
  WarmUpConfiguration: unserved,
  EvaluationCriteria: unserved,
  EvaluationInterval: integer(),
  ActionConfiguration: unserved,
})

/**
 * Alarms on metrics, whose changes are told as events.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html and its neighbours.
 */
export function alarmOperations({ alarms, keyring }: { readonly alarms: MetricAlarms; readonly keyring: Keyring }): Record<string, AwsOperation> {
  const tokens = new PageTokens(keyring)
  return {
    PutMetricAlarm: operation({
      action: 'cloudwatch:PutMetricAlarm',
      resource: ({ AlarmName }, call) => alarmArn(call.context.registry, AlarmName),
      input: putMetricAlarmInput,
      async handler({ context }, input) {
        const settings = settingsOf(input)
        if (await alarms.put(context, input.AlarmName, settings, input.ActionsEnabled ?? true)) return undefined
        throw new AwsError('LimitExceededFault', 'There are as many alarms as there may be.')
      },
    }),

    DescribeAlarms: operation({
      action: 'cloudwatch:DescribeAlarms',
      resource: (_, call) => alarmArn(call.context.registry, '*'),
      input: structure({
        AlarmNames: alarmNames,
        AlarmNamePrefix: alarmName,
        AlarmTypes: alarmTypes,
        ChildrenOfAlarmName: alarmName,
        ParentsOfAlarmName: alarmName,
        StateValue: stateValue,
        ActionPrefix: string({ min: 1, max: 1024 }),
        MaxRecords: maxRecords,
        NextToken: shapes.nextToken,
      }),
      async handler(call, input) {
        const { AlarmNames: names, AlarmNamePrefix: prefix = '', AlarmTypes, StateValue, ActionPrefix, MaxRecords: limit = defaultPageSize } = input
        if (input.ChildrenOfAlarmName !== undefined || input.ParentsOfAlarmName !== undefined) throw validation('There are no composite alarms here.')
        if (names !== undefined && prefix !== '') throw validation('AlarmNamePrefix and AlarmNames are mutually exclusive.')
        // No alarm has actions, or is of another type.
        if (ActionPrefix !== undefined || AlarmTypes?.includes('MetricAlarm') === false) return { MetricAlarms: [], CompositeAlarms: [] }
        const identity: ListIdentity = ['DescribeAlarms', call.context.registry.accountId, call.context.registry.region, JSON.stringify([names, prefix, StateValue])]
        const isWanted = ({ name, state }: Alarm): boolean => name.startsWith(prefix) && (names === undefined || names.includes(name)) && (StateValue === undefined || state === StateValue)
        const found = await alarms.list(call.context, isWanted, { after: readToken(tokens, identity, input.NextToken) ?? '', limit: limit + 1 })
        const page = found.slice(0, limit)
        return { MetricAlarms: page.map((alarm) => shown(call, alarm)), CompositeAlarms: [], NextToken: tokens.issue(identity, found.length > limit ? page.at(-1)?.name : undefined) }
      },
    }),

    DescribeAlarmsForMetric: operation({
      action: 'cloudwatch:DescribeAlarmsForMetric',
      resource: () => '*',
      input: structure({
        MetricName: required(shapes.metricName),
        Namespace: required(shapes.namespace),
        Statistic: shapes.statistic,
        ExtendedStatistic: string({ max: 255 }),
        Dimensions: shapes.dimensions,
        Period: shapes.period,
        Unit: shapes.unit,
      }),
      async handler(call, input) {
        const { Statistic, ExtendedStatistic, Period, Unit } = input
        const { namespace, name, dimensions } = metricOf(input)
        const wanted = dimensionsKey(dimensions)
        const isWanted = ({ settings }: Alarm): boolean =>
          settings.namespace === namespace &&
          settings.metricName === name &&
          dimensionsKey(settings.dimensions) === wanted &&
          (Statistic === undefined || settings.statistic === Statistic) &&
          ExtendedStatistic === undefined &&
          (Period === undefined || settings.periodSeconds === Period) &&
          (Unit === undefined || settings.unit === Unit)
        const found = await alarms.list(call.context, isWanted, { after: '', limit: maxAlarmsOfMetric })
        return { MetricAlarms: found.map((alarm) => shown(call, alarm)) }
      },
    }),

    DescribeAlarmHistory: operation({
      action: 'cloudwatch:DescribeAlarmHistory',
      resource: ({ AlarmName = '*' }, call) => alarmArn(call.context.registry, AlarmName),
      input: structure({
        AlarmName: alarmName,
        AlarmContributorId: string({ min: 1, max: 16 }),
        AlarmTypes: alarmTypes,
        HistoryItemType: enumeration(['ConfigurationUpdate', 'StateUpdate', 'Action', 'AlarmContributorStateUpdate', 'AlarmContributorAction']),
        StartDate: timestamp(),
        EndDate: timestamp(),
        MaxRecords: maxRecords,
        NextToken: shapes.nextToken,
        ScanBy: shapes.scanBy,
      }),
      async handler({ context }, input) {
        const { AlarmName, AlarmContributorId, AlarmTypes, HistoryItemType, StartDate, EndDate, MaxRecords: limit = defaultPageSize, ScanBy } = input
        if (AlarmContributorId !== undefined || AlarmTypes?.includes('MetricAlarm') === false) return { AlarmHistoryItems: [] }
        const identity: ListIdentity = ['DescribeAlarmHistory', context.registry.accountId, context.registry.region, JSON.stringify([AlarmName, HistoryItemType, StartDate, EndDate, ScanBy])]
        const after = readToken(tokens, identity, input.NextToken)
        const found = await alarms.history(context, {
          alarmName: AlarmName,
          kind: HistoryItemType,
          from: StartDate?.getTime() ?? 0,
          until: EndDate?.getTime() ?? Number.MAX_SAFE_INTEGER,
          isAscending: ScanBy === 'TimestampAscending',
          after: after === undefined ? undefined : Number(after),
          limit: limit + 1,
        })
        const page = found.slice(0, limit)
        return {
          AlarmHistoryItems: page.map(({ alarmName: name, at, kind, summary, data }) => ({ AlarmName: name, AlarmType: 'MetricAlarm', Timestamp: new Date(at), HistoryItemType: kind, HistorySummary: summary, HistoryData: data })),
          NextToken: tokens.issue(identity, found.length > limit ? String(page.at(-1)?.id) : undefined),
        }
      },
    }),

    SetAlarmState: operation({
      action: 'cloudwatch:SetAlarmState',
      resource: ({ AlarmName }, call) => alarmArn(call.context.registry, AlarmName),
      input: structure({ AlarmName: required(alarmName), StateValue: required(stateValue), StateReason: required(string({ max: 1023 })), StateReasonData: string({ max: 4000 }) }),
      async handler({ context }, { AlarmName, StateValue, StateReason, StateReasonData }) {
        if (StateReasonData !== undefined && !isJson(StateReasonData)) throw new AwsError('InvalidFormatFault', 'StateReasonData is not JSON.')
        if (await alarms.setState(context, AlarmName, { state: StateValue, reason: StateReason, data: StateReasonData ?? null })) return undefined
        throw unknownAlarm(AlarmName)
      },
    }),

    EnableAlarmActions: ofNames('EnableAlarmActions', (call, names) => alarms.setActions(call.context, names, true)),
    DisableAlarmActions: ofNames('DisableAlarmActions', (call, names) => alarms.setActions(call.context, names, false)),

    DeleteAlarms: ofNames('DeleteAlarms', async (call, names) => {
      const absent = await alarms.delete(call.context, names)
      if (absent !== undefined) throw unknownAlarm(absent)
    }),
  }
}

/** Of one metric; CloudWatch's answer has no pages. */
const maxAlarmsOfMetric = 5_000

/** An operation on alarms by their names, of which each has to be allowed. */
function ofNames(name: string, work: (call: AwsCall, names: readonly string[]) => Promise<void>): AwsOperation {
  const action = `cloudwatch:${name}`
  return operation({
    action,
    resource: ({ AlarmNames }, call) => alarmArn(call.context.registry, AlarmNames[0] ?? '*'),
    input: structure({ AlarmNames: required(alarmNames) }),
    async handler(call, { AlarmNames }) {
      const names = [...new Set(AlarmNames)]
      for (const other of names.slice(1)) await call.authorize(action, alarmArn(call.context.registry, other))
      await work(call, names)
      return undefined
    },
  })
}

/** @throws AwsError ValidationError for what no alarm can be, and for what is not here: nothing is taken and then not done. */
function settingsOf(input: Input<typeof putMetricAlarmInput>): AlarmSettings {
  const { Period, EvaluationPeriods, DatapointsToAlarm, Threshold, ComparisonOperator, Statistic, TreatMissingData, MetricName, Namespace } = input
  const unservedMembers = ['ExtendedStatistic', 'EvaluateLowSampleCountPercentile', 'Metrics', 'ThresholdMetricId', 'EvaluationWindow', 'WarmUpConfiguration', 'EvaluationCriteria', 'EvaluationInterval', 'ActionConfiguration'] as const
  const given = unservedMembers.find((name) => input[name] !== undefined)
  if (given !== undefined) throw validation(`The parameter ${given} is not supported: an alarm is on one metric and one statistic.`)
  if ((input.Tags ?? []).length > 0) throw validation('Tags of alarms are not supported.')
  if ([input.OKActions, input.AlarmActions, input.InsufficientDataActions].some((list) => (list ?? []).length > 0)) {
    throw validation('Actions of alarms are not supported: a rule of the service events for "CloudWatch Alarm State Change" sends each change to a webhook.')
  }
  if (MetricName === undefined || Namespace === undefined || Period === undefined || EvaluationPeriods === undefined || Threshold === undefined || ComparisonOperator === undefined || Statistic === undefined) {
    throw validation('MetricName, Namespace, Statistic, Period, EvaluationPeriods, Threshold and ComparisonOperator are required.')
  }
  const comparison = comparisons.find((name) => name === ComparisonOperator)
  if (comparison === undefined) throw validation(`The comparison ${ComparisonOperator} needs anomaly detection, which is not supported.`)
  const treatMissingData = TreatMissingData === undefined ? undefined : missingDataTreatments.find((name) => name === TreatMissingData)
  if (TreatMissingData !== undefined && treatMissingData === undefined) throw validation(`The value ${TreatMissingData} for TreatMissingData is not one of ${missingDataTreatments.join(', ')}.`)
  if (!Number.isFinite(Threshold)) throw validation('The threshold has to be a number.')
  if (Period % 60 !== 0) throw validation('Period must be a multiple of 60: points are kept by the minute.')
  if ((DatapointsToAlarm ?? 1) > EvaluationPeriods) throw validation('DatapointsToAlarm must be less than or equal to EvaluationPeriods.')
  const days = Period >= 3600 ? 7 : 1
  if (Period * EvaluationPeriods > days * daySeconds) throw validation(`Metrics cannot be checked across more than ${days === 1 ? 'a day' : 'seven days'} (EvaluationPeriods * Period must be <= ${days * daySeconds}).`)
  return {
    description: input.AlarmDescription,
    namespace: Namespace,
    metricName: MetricName,
    dimensions: metricOf(input).dimensions,
    statistic: Statistic,
    unit: input.Unit,
    periodSeconds: Period,
    evaluationPeriods: EvaluationPeriods,
    datapointsToAlarm: DatapointsToAlarm,
    threshold: Threshold,
    comparison: comparison satisfies Comparison,
    treatMissingData,
  }
}

function shown({ context: { registry } }: AwsCall, { name, settings, actionsEnabled, state, stateReason, stateData, stateAt, transitionedAt, configuredAt }: Alarm) {
  return {
    AlarmName: name,
    AlarmArn: alarmArn(registry, name),
    AlarmDescription: settings.description,
    AlarmConfigurationUpdatedTimestamp: new Date(configuredAt),
    ActionsEnabled: actionsEnabled,
    OKActions: [],
    AlarmActions: [],
    InsufficientDataActions: [],
    StateValue: state,
    StateReason: stateReason,
    StateReasonData: stateData ?? undefined,
    StateUpdatedTimestamp: new Date(stateAt),
    MetricName: settings.metricName,
    Namespace: settings.namespace,
    Statistic: settings.statistic,
    Dimensions: settings.dimensions.map(([Name, Value]) => ({ Name, Value })),
    Period: settings.periodSeconds,
    Unit: settings.unit,
    EvaluationPeriods: settings.evaluationPeriods,
    DatapointsToAlarm: settings.datapointsToAlarm,
    Threshold: settings.threshold,
    ComparisonOperator: settings.comparison,
    TreatMissingData: settings.treatMissingData,
    StateTransitionedTimestamp: new Date(transitionedAt),
  }
}

function dimensionsKey(dimensions: AlarmSettings['dimensions']): string {
  return JSON.stringify(dimensions.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function unknownAlarm(name: string): AwsError {
  return new AwsError('ResourceNotFound', `There is no alarm ${name}.`, { status: 404 })
}
