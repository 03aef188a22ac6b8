import { nameBasedId, type EventEnvelope } from '../../events/envelope.ts'
import { alarmArn, type AlarmSettings } from './alarm.ts'
import { amazonTime } from './evaluation.ts'

interface StateTold {
  readonly value: string
  readonly reason: string
  readonly data: string | null
  readonly at: number
}

export interface AlarmChangeTold {
  readonly accountId: string
  readonly region: string
  readonly name: string
  readonly id: number
  readonly settings: AlarmSettings
  readonly previous: StateTold
  readonly state: StateTold
}

/** As CloudWatch tells it: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html */
export function alarmEvent({ accountId, region, name, id, settings, previous, state }: AlarmChangeTold): EventEnvelope {
  const { namespace, metricName, dimensions, periodSeconds, statistic, unit, description } = settings
  const told = ({ value, reason, data, at }: StateTold) => ({ value, reason, ...(data === null ? {} : { reasonData: data }), timestamp: amazonTime(at) })
  return {
    version: '0',
    id: nameBasedId([accountId, region, 'alarm', id, state.value, state.at]),
    'detail-type': 'CloudWatch Alarm State Change',
    source: 'aws.cloudwatch',
    account: accountId,
    time: `${new Date(state.at).toISOString().slice(0, 19)}Z`,
    region,
    resources: [alarmArn({ accountId, region }, name)],
    detail: {
      alarmName: name,
      configuration: {
        ...(description === undefined ? {} : { description }),
        metrics: [
          {
            id: 'm1',
            metricStat: { metric: { dimensions: Object.fromEntries(dimensions), name: metricName, namespace }, period: periodSeconds, stat: statistic, ...(unit === undefined ? {} : { unit }) },
            returnData: true,
          },
        ],
      },
      previousState: told(previous),
      state: told(state),
    },
  }
}
