import { callsOf, each, refused, upTo, type Scenario, type Step } from './step.ts'

const events = callsOf('events')

/** The ARN of a webhook, as a further value. */
export type EventHook = 'hook'

const EventPattern = JSON.stringify({ source: ['aws.ecr'] })
const event = JSON.stringify({ id: '1', account: '1', source: 'aws.ecr', time: '2027-03-01T00:00:00Z', region: 'us-east-1', resources: [], 'detail-type': 'x' })
const ofRule = (number: number): { readonly Name: string } => ({ Name: `client-${number}` })
const targets = (count: number) => upTo(count).map((number) => ({ Id: `client-${number}`, Arn: '${hook}' }))

/** The same call of a bus that is not there. */
function elsewhere(step: Step): Step {
  return refused('ResourceNotFoundException', step, { EventBusName: 'nowhere' })
}

const steps: readonly Step[] = [
  ...each(upTo(3), (number) => events('PutRule', { ...ofRule(number), EventPattern, Description: 'a rule of a test' })),
  elsewhere(events('PutRule', { ...ofRule(4), EventPattern })),
  refused('InvalidEventPatternException', events('PutRule', { ...ofRule(4), EventPattern: '{"source":"aws.ecr"}' })),
  events('DescribeRule', ofRule(1)),
  refused('ResourceNotFoundException', events('DescribeRule', ofRule(4))),
  ...each(['DisableRule', 'EnableRule'], (operation) => [events(operation, ofRule(1)), refused('ResourceNotFoundException', events(operation, ofRule(4)))]),
  events('ListRules', { NamePrefix: 'client' }),
  elsewhere(events('ListRules')),
  events('PutTargets', { Rule: 'client-1', Targets: targets(3) }),
  ...each([2, 3], (number) => events('PutTargets', { Rule: `client-${number}`, Targets: targets(1) })),
  refused('ResourceNotFoundException', events('PutTargets', { Rule: 'client-4', Targets: targets(1) })),
  refused('LimitExceededException', events('PutTargets', { Rule: 'client-1', Targets: targets(6) })),
  events('ListTargetsByRule', { Rule: 'client-1' }),
  refused('ResourceNotFoundException', events('ListTargetsByRule', { Rule: 'client-4' })),
  events('ListRuleNamesByTarget', { TargetArn: '${hook}' }),
  elsewhere(events('ListRuleNamesByTarget', { TargetArn: '${hook}' })),
  events('TestEventPattern', { EventPattern, Event: event }),
  refused('InvalidEventPatternException', events('TestEventPattern', { EventPattern: '[]', Event: event })),
]

const cleaning: readonly Step[] = [
  refused('ResourceNotFoundException', events('RemoveTargets', { Rule: 'client-4', Ids: ['client-1'] })),
  events('RemoveTargets', { Rule: 'client-1', Ids: ['client-1', 'client-2', 'client-3'] }),
  ...each([2, 3], (number) => events('RemoveTargets', { Rule: `client-${number}`, Ids: ['client-1'] })),
  elsewhere(events('DeleteRule', ofRule(1))),
  ...each(upTo(3), (number) => events('DeleteRule', ofRule(number))),
]

export const eventsScenario: Scenario = {
  steps,
  lists: [
    { service: 'events', operation: 'ListRules', input: { NamePrefix: 'client' } },
    { service: 'events', operation: 'ListTargetsByRule', input: { Rule: 'client-1' } },
    { service: 'events', operation: 'ListRuleNamesByTarget', input: { TargetArn: '${hook}' } },
  ],
  waits: [],
  cleaning,
}
