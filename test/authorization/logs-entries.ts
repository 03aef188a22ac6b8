import type { Entry, EntryTable } from './entry.ts'

/** https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html */
function entry(operation: string, resource: string, input: object | ((accountId: string) => object), granted: string): Entry {
  return {
    subject: 'own account',
    needs: [`logs:${operation}`],
    resource,
    granted,
    request: ({ accountId }) => ({ protocol: 'json', service: 'logs', target: `Logs_20140328.${operation}`, input: typeof input === 'function' ? input(accountId) : input }),
  }
}

const group = 'arn:aws:logs:us-east-1:{account}:log-group:none'
const arnOf = (accountId: string): string => group.replace('{account}', accountId)
const unknown = 'ResourceNotFoundException'
const named = { logGroupName: 'none' }
const stream = { ...named, logStreamName: 'none' }

export const logsEntries: EntryTable = {
  'logs:CreateLogGroup': entry('CreateLogGroup', `${group}:log-stream:`, { ...named, logGroupClass: 'DELIVERY' }, 'InvalidParameterException'),
  'logs:DeleteLogGroup': entry('DeleteLogGroup', `${group}:log-stream:`, named, unknown),
  'logs:DescribeLogGroups': entry('DescribeLogGroups', 'arn:aws:logs:us-east-1:{account}:log-group::log-stream:', {}, '200'),
  'logs:PutRetentionPolicy': entry('PutRetentionPolicy', `${group}:log-stream:`, { ...named, retentionInDays: 1 }, unknown),
  'logs:DeleteRetentionPolicy': entry('DeleteRetentionPolicy', `${group}:log-stream:`, named, unknown),
  'logs:PutLogGroupDeletionProtection': entry('PutLogGroupDeletionProtection', `${group}:log-stream:`, { logGroupIdentifier: 'none', deletionProtectionEnabled: true }, unknown),
  'logs:CreateLogStream': entry('CreateLogStream', `${group}:log-stream:`, stream, unknown),
  'logs:DeleteLogStream': entry('DeleteLogStream', `${group}:log-stream:none`, stream, unknown),
  'logs:DescribeLogStreams': entry('DescribeLogStreams', `${group}:log-stream:`, named, unknown),
  'logs:PutLogEvents': entry('PutLogEvents', `${group}:log-stream:none`, { ...stream, logEvents: [{ timestamp: Date.now(), message: 'line' }] }, unknown),
  'logs:GetLogEvents': entry('GetLogEvents', `${group}:log-stream:none`, stream, unknown),
  'logs:FilterLogEvents': entry('FilterLogEvents', `${group}:log-stream:`, named, unknown),
  'logs:TagResource': entry('TagResource', group, (accountId) => ({ resourceArn: arnOf(accountId), tags: { a: 'b' } }), unknown),
  'logs:UntagResource': entry('UntagResource', group, (accountId) => ({ resourceArn: arnOf(accountId), tagKeys: ['a'] }), unknown),
  'logs:ListTagsForResource': entry('ListTagsForResource', group, (accountId) => ({ resourceArn: arnOf(accountId) }), unknown),
}
