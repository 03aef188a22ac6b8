import { callsOf, each, refused, upTo, type Scenario, type Step } from './step.ts'

const iam = callsOf('iam')
const logs = callsOf('logs')

/** Quotas that a few calls reach. */
export const logsQuotas = { STOWAGE_QUOTA_LOG_GROUPS: '3' }

const group = (number: number) => ({ logGroupName: `/client/${number}` })
const stream = (number: number) => ({ ...group(1), logStreamName: `stream-${number}` })
const arn = 'arn:aws:logs:us-east-1:000000000000:log-group:/client/1'
const now = Date.now()
const lines = upTo(3).map((number) => ({ timestamp: now - 10_000 + number, message: `{"number": ${number}} höchste Zeit` }))

const tags = (count: number) => Object.fromEntries(upTo(count).map((number) => [`key-${number}`, 'a value']))
const nobody = { logGroupName: 'nobody' }
const broken = { logGroupName: 'no group' }

/** The same call of a group that is not there, and of what cannot be the name of one. */
function ofNobody(step: Step): Step[] {
  return [refused('ResourceNotFoundException', step, nobody), refused('InvalidParameterException', step, broken)]
}

const create = logs('CreateLogGroup', { ...group(1), tags: tags(1), logGroupClass: 'STANDARD', deletionProtectionEnabled: false })
const createStream = logs('CreateLogStream', stream(1))
const put = logs('PutLogEvents', { ...stream(1), logEvents: lines, sequenceToken: 'any' })
const get = logs('GetLogEvents', { ...stream(1), startFromHead: true, limit: 2, startTime: 0, endTime: now + 1000 })
const filter = logs('FilterLogEvents', { ...group(1), logStreamNamePrefix: 'stream', filterPattern: '{ $.number > 1 }' })
const protect = logs('PutLogGroupDeletionProtection', { logGroupIdentifier: arn, deletionProtectionEnabled: true })
const tag = logs('TagResource', { resourceArn: arn, tags: tags(50) })
const untag = logs('UntagResource', { resourceArn: arn, tagKeys: ['key-2'] })
const ofResource = { resourceArn: arn.replace('/client/1', 'nobody') }
const noResource = { resourceArn: 'nobody' }
const retention = logs('PutRetentionPolicy', { ...group(1), retentionInDays: 7 })

const steps: readonly Step[] = [
  create,
  ...each([2, 3], (number) => logs('CreateLogGroup', group(number))),
  refused('ResourceAlreadyExistsException', create),
  refused('InvalidParameterException', create, broken),
  refused('LimitExceededException', create, group(4)),
  ...each(upTo(3), (number) => logs('CreateLogStream', stream(number))),
  refused('ResourceAlreadyExistsException', createStream),
  ...ofNobody(createStream),
  put,
  { ...put, input: { ...put.input, ...stream(2) } },
  // Older than anything that is taken: what is told of it is in the answer.
  logs('PutLogEvents', { ...stream(3), logEvents: [{ timestamp: 1_000_000_000_000, message: 'old' }], entity: { keyAttributes: { Type: 'Service' } } }),
  ...ofNobody(put),
  { ...refused('UnrecognizedClientException', put), as: 'stranger' },
  get,
  ...ofNobody(get),
  filter,
  ...ofNobody(filter),
  logs('DescribeLogGroups', { logGroupNamePrefix: '/client', limit: 50 }),
  refused('InvalidParameterException', logs('DescribeLogGroups', { logGroupNamePrefix: 'no group' })),
  logs('DescribeLogStreams', { logGroupIdentifier: arn, orderBy: 'LastEventTime', descending: true }),
  ...ofNobody(logs('DescribeLogStreams', group(1))),
  retention,
  ...ofNobody(retention),
  tag,
  refused('ResourceNotFoundException', tag, ofResource),
  refused('InvalidParameterException', tag, { tags: { 'aws:key': '' } }),
  refused('TooManyTagsException', tag, { tags: { another: '' } }),
  ...each([untag, logs('ListTagsForResource', { resourceArn: arn })], (step) => [step, refused('ResourceNotFoundException', step, ofResource), refused('InvalidParameterException', step, noResource)]),
  protect,
  refused('ResourceNotFoundException', protect, { logGroupIdentifier: 'nobody' }),
  refused('InvalidParameterException', protect, { logGroupIdentifier: 'no group' }),
  refused('ValidationException', logs('DeleteLogGroup', group(1))),
  iam('CreateUser', { UserName: 'client-without-rights' }),
  iam('CreateAccessKey', { UserName: 'client-without-rights' }, { save: { 'powerless.id': 'AccessKey.AccessKeyId', 'powerless.secret': 'AccessKey.SecretAccessKey' } }),
  { ...refused('AccessDeniedException', protect), as: 'powerless' },
]

const cleaning: readonly Step[] = [
  { ...protect, input: { ...protect.input, deletionProtectionEnabled: false } },
  logs('DeleteRetentionPolicy', group(1)),
  ...ofNobody(logs('DeleteRetentionPolicy', group(1))),
  ...each(upTo(3), (number) => logs('DeleteLogStream', stream(number))),
  ...ofNobody(logs('DeleteLogStream', stream(1))),
  ...each(upTo(3), (number) => logs('DeleteLogGroup', group(number))),
  ...ofNobody(logs('DeleteLogGroup', group(1))),
  iam('DeleteAccessKey', { UserName: 'client-without-rights', AccessKeyId: '${powerless.id}' }),
  iam('DeleteUser', { UserName: 'client-without-rights' }),
]

/** The keys of somebody whom no server knows, as further values. */
export const stranger = { 'stranger.id': 'AKIASTRANGERSTRANGER', 'stranger.secret': 'of somebody whom nobody knows' } as const

export const logsScenario: Scenario = {
  steps,
  lists: [
    { service: 'logs', operation: 'DescribeLogGroups', input: { logGroupNamePrefix: '/client' } },
    { service: 'logs', operation: 'DescribeLogStreams', input: group(1) },
    { service: 'logs', operation: 'FilterLogEvents', input: group(1) },
  ],
  waits: [],
  cleaning,
}
