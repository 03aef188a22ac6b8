import type { Entry, EntryTable } from './entry.ts'

/** https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html */
function entry(operation: string, resource: string, input: object, granted: string): Entry {
  return {
    subject: 'own account',
    needs: [`events:${operation}`],
    resource,
    granted,
    request: () => ({ protocol: 'json', service: 'events', target: `AWSEvents.${operation}`, input }),
  }
}

function onRule(operation: string, input: object, granted: string): Entry {
  return entry(operation, 'arn:aws:events:us-east-1:{account}:rule/none', input, granted)
}

const unknown = 'ResourceNotFoundException'
const named = { Name: 'none' }
const event = JSON.stringify({ id: '', account: '', source: '', time: '', region: '', resources: [], 'detail-type': '' })

export const eventsEntries: EntryTable = {
  'events:PutRule': onRule('PutRule', { ...named, EventPattern: '{}' }, 'InvalidEventPatternException'),
  'events:DescribeRule': onRule('DescribeRule', named, unknown),
  'events:DeleteRule': onRule('DeleteRule', named, '200'),
  'events:EnableRule': onRule('EnableRule', named, unknown),
  'events:DisableRule': onRule('DisableRule', named, unknown),
  'events:ListRules': entry('ListRules', '*', {}, '200'),
  'events:PutTargets': onRule('PutTargets', { Rule: 'none', Targets: [{ Id: 'a', Arn: 'arn:aws:events:us-east-1:000000000000:api-destination/x' }] }, unknown),
  'events:PutTargets to a log group': {
    ...onRule('PutTargets', {}, unknown),
    needsElsewhere: [{ action: 'logs:PutLogEvents', resource: (accountId) => `arn:aws:logs:us-east-1:${accountId}:log-group:any:log-stream:none` }],
    request: ({ accountId }) => ({ protocol: 'json', service: 'events', target: 'AWSEvents.PutTargets', input: { Rule: 'none', Targets: [{ Id: 'a', Arn: `arn:aws:logs:us-east-1:${accountId}:log-group:any` }] } }),
  },
  'events:ListTargetsByRule': onRule('ListTargetsByRule', { Rule: 'none' }, unknown),
  'events:RemoveTargets': onRule('RemoveTargets', { Rule: 'none', Ids: ['a'] }, unknown),
  'events:ListRuleNamesByTarget': entry('ListRuleNamesByTarget', '*', { TargetArn: 'arn:aws:events:us-east-1:000000000000:api-destination/x' }, '200'),
  'events:TestEventPattern': entry('TestEventPattern', '*', { EventPattern: '{"source":["x"]}', Event: event }, '200'),
}
