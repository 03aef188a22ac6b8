import { eventsError } from '../../../../events/errors.ts'
import type { EventRuleRow, EventRules } from '../../../../events/event-rules.ts'
import { defaultBus, requireDefaultBus, ruleArn } from '../../../../events/names.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { required, string, structure } from '../../shapes.ts'
import type { PageTokens } from '../ecr/page-token.ts'
import * as shapes from './shapes.ts'

const named = structure({ Name: required(shapes.ruleName), EventBusName: shapes.busName })

/** Rules: which events are sent on. */
export function ruleOperations({ rules, pageTokens }: { readonly rules: EventRules; readonly pageTokens: PageTokens }): Record<string, AwsOperation> {
  return {
    PutRule: operation({
      action: 'events:PutRule',
      resource: ({ Name }, call) => ruleArn(call.context.registry, Name),
      input: structure({
        Name: required(shapes.ruleName),
        EventPattern: shapes.eventPattern,
        ScheduleExpression: shapes.scheduleExpression,
        State: shapes.ruleState,
        Description: shapes.description,
        RoleArn: shapes.roleArn,
        Tags: shapes.tags,
        EventBusName: shapes.busName,
      }),
      async handler({ context }, { Name, EventPattern, ScheduleExpression, State, Description, RoleArn, Tags, EventBusName }) {
        requireDefaultBus(context.registry, EventBusName)
        if ((ScheduleExpression ?? '') !== '') throw eventsError('event-input-invalid', 'ScheduleExpression is not served: a rule is about events.')
        if (EventPattern === undefined) throw eventsError('event-input-invalid', 'Parameter EventPattern is not valid. Reason: a rule has one.')
        if (State === 'ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS') throw eventsError('event-input-invalid', `The state ${State} is not served.`)
        if (Tags !== undefined && Tags.length > 0) throw eventsError('event-input-invalid', 'Tags of rules are not served.')
        await rules.put(context, { name: Name, pattern: EventPattern, state: State ?? 'ENABLED', description: Description ?? null, roleArn: RoleArn ?? null })
        return { RuleArn: ruleArn(context.registry, Name) }
      },
    }),

    DescribeRule: operation({
      action: 'events:DescribeRule',
      resource: ({ Name }, call) => ruleArn(call.context.registry, Name),
      input: named,
      async handler(call, { Name, EventBusName }) {
        requireDefaultBus(call.context.registry, EventBusName)
        return { ...shown(call, await rules.get(call.context, Name)), CreatedBy: call.context.registry.accountId }
      },
    }),

    ListRules: operation({
      action: 'events:ListRules',
      resource: () => '*',
      input: structure({ NamePrefix: shapes.ruleName, EventBusName: shapes.busName, NextToken: shapes.nextToken, Limit: shapes.limit }),
      async handler(call, { NamePrefix = '', EventBusName, NextToken, Limit }) {
        const { context } = call
        requireDefaultBus(context.registry, EventBusName)
        const list = ['ListRules', context.registry.id, NamePrefix]
        const { items, next } = await rules.list(context, { prefix: NamePrefix, limit: Limit ?? shapes.defaultLimit, after: pageTokens.read(list, NextToken) })
        return { Rules: items.map((rule) => shown(call, rule)), NextToken: pageTokens.issue(list, next) }
      },
    }),

    DeleteRule: operation({
      action: 'events:DeleteRule',
      resource: ({ Name }, call) => ruleArn(call.context.registry, Name),
      input: named,
      async handler({ context }, { Name, EventBusName }) {
        requireDefaultBus(context.registry, EventBusName)
        await rules.delete(context, Name)
        return {}
      },
    }),

    EnableRule: setState('EnableRule', 'ENABLED'),
    DisableRule: setState('DisableRule', 'DISABLED'),

    TestEventPattern: operation({
      action: 'events:TestEventPattern',
      resource: () => '*',
      input: structure({ EventPattern: required(shapes.eventPattern), Event: required(string()) }),
      async handler(_, { EventPattern, Event }) {
        return { Result: rules.testPattern(EventPattern, Event) }
      },
    }),
  }

  function setState(name: string, state: 'ENABLED' | 'DISABLED'): AwsOperation {
    return operation({
      action: `events:${name}`,
      resource: ({ Name }, call) => ruleArn(call.context.registry, Name),
      input: named,
      async handler({ context }, { Name, EventBusName }) {
        requireDefaultBus(context.registry, EventBusName)
        await rules.setState(context, Name, state)
        return {}
      },
    })
  }
}

function shown({ context }: AwsCall, { name, pattern, state, description, roleArn }: EventRuleRow) {
  return {
    Name: name,
    Arn: ruleArn(context.registry, name),
    EventPattern: pattern,
    State: state,
    Description: description ?? undefined,
    RoleArn: roleArn ?? undefined,
    EventBusName: defaultBus,
  }
}
