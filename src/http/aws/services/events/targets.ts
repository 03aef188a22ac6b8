import type { EventTargetRow, EventRules, TargetRequest } from '../../../../events/event-rules.ts'
import { eventsError } from '../../../../events/errors.ts'
import { destinationArn, destinationNameOf, isLogGroup, logGroupOf, requireDefaultBus, ruleArn } from '../../../../events/names.ts'
import type { TargetBody } from '../../../../events/target-body.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { boolean, required, structure, type Input } from '../../shapes.ts'
import type { PageTokens } from '../ecr/page-token.ts'
import { streamArn } from '../logs/names.ts'
import * as shapes from './shapes.ts'

/** Where the events of a rule go. */
export function targetOperations({ rules, pageTokens }: { readonly rules: EventRules; readonly pageTokens: PageTokens }): Record<string, AwsOperation> {
  return {
    PutTargets: operation({
      action: 'events:PutTargets',
      resource: ({ Rule }, call) => ruleArn(call.context.registry, Rule),
      // One after another: no right to one of them stands for another.
      conditions: ({ Targets }) => Targets.map(({ Arn }) => ({ 'events:TargetArn': [Arn] })),
      input: structure({ Rule: required(shapes.ruleName), EventBusName: shapes.busName, Targets: required(shapes.targets) }),
      async handler(call, { Rule, EventBusName, Targets }) {
        const { context } = call
        requireDefaultBus(context.registry, EventBusName)
        for (const { Arn } of Targets) {
          const name = destinationNameOf(context.registry, Arn)
          // At AWS the group's owner lets EventBridge write there, by a policy of the group.
          if (name !== undefined && isLogGroup(name)) await call.authorize('logs:PutLogEvents', streamArn(context.registry, logGroupOf(name), Rule))
        }
        return failures(await rules.putTargets(context, Rule, Targets.map(toRequest)))
      },
    }),

    ListTargetsByRule: operation({
      action: 'events:ListTargetsByRule',
      resource: ({ Rule }, call) => ruleArn(call.context.registry, Rule),
      input: structure({ Rule: required(shapes.ruleName), EventBusName: shapes.busName, NextToken: shapes.nextToken, Limit: shapes.limit }),
      async handler(call, { Rule, EventBusName, NextToken, Limit }) {
        const { context } = call
        requireDefaultBus(context.registry, EventBusName)
        const list = ['ListTargetsByRule', context.registry.id, Rule]
        const { items, next } = await rules.targets(context, Rule, { limit: Limit ?? shapes.defaultLimit, after: pageTokens.read(list, NextToken) })
        return { Targets: items.map((target) => shown(call, target)), NextToken: pageTokens.issue(list, next) }
      },
    }),

    RemoveTargets: operation({
      action: 'events:RemoveTargets',
      resource: ({ Rule }, call) => ruleArn(call.context.registry, Rule),
      input: structure({ Rule: required(shapes.ruleName), EventBusName: shapes.busName, Ids: required(shapes.targetIds), Force: boolean() }),
      async handler({ context }, { Rule, EventBusName, Ids }) {
        requireDefaultBus(context.registry, EventBusName)
        return failures(await rules.removeTargets(context, Rule, Ids))
      },
    }),

    ListRuleNamesByTarget: operation({
      action: 'events:ListRuleNamesByTarget',
      resource: () => '*',
      input: structure({ TargetArn: required(shapes.targetArn), EventBusName: shapes.busName, NextToken: shapes.nextToken, Limit: shapes.limit }),
      async handler({ context }, { TargetArn, EventBusName, NextToken, Limit }) {
        requireDefaultBus(context.registry, EventBusName)
        const list = ['ListRuleNamesByTarget', context.registry.id, TargetArn]
        const { items, next } = await rules.rulesOfTarget(context, TargetArn, { limit: Limit ?? shapes.defaultLimit, after: pageTokens.read(list, NextToken) })
        return { RuleNames: items, NextToken: pageTokens.issue(list, next) }
      },
    }),
  }
}

type TargetInput = Input<typeof shapes.targets>[number]

/** Throws `event-input-invalid` for settings that are not here: none is taken and then not kept. */
function toRequest({ Id, Arn, RoleArn, Input: input, InputPath, InputTransformer, RetryPolicy, DeadLetterConfig, HttpParameters }: TargetInput): TargetRequest {
  if (DeadLetterConfig?.Arn !== undefined) {
    throw eventsError('event-input-invalid', 'DeadLetterConfig is not served: what cannot be delivered is kept by Stowage itself, see "stowage events dead-letters".')
  }
  if (HttpParameters !== undefined) throw eventsError('event-input-invalid', 'HttpParameters is not served: write a query string into the URL of the event destination.')
  return {
    id: Id,
    arn: Arn,
    roleArn: RoleArn,
    input,
    inputPath: InputPath,
    inputTransformer: InputTransformer && { paths: InputTransformer.InputPathsMap ?? {}, template: InputTransformer.InputTemplate },
    maxAgeMs: RetryPolicy?.MaximumEventAgeInSeconds === undefined ? undefined : RetryPolicy.MaximumEventAgeInSeconds * 1000,
    maxRetries: RetryPolicy?.MaximumRetryAttempts,
  }
}

function failures(failed: readonly { readonly targetId: string; readonly code: string; readonly message: string }[]) {
  return {
    FailedEntryCount: failed.length,
    FailedEntries: failed.map(({ targetId, code, message }) => ({ TargetId: targetId, ErrorCode: code, ErrorMessage: message })),
  }
}

function shown({ context }: AwsCall, { name, destinationName, roleArn, body, maxAgeMs, maxAttempts }: EventTargetRow) {
  const { input, inputPath, inputTransformer } = JSON.parse(body) as TargetBody
  return {
    Id: name,
    Arn: destinationArn(context.registry, destinationName),
    RoleArn: roleArn ?? undefined,
    Input: input,
    InputPath: inputPath,
    InputTransformer: inputTransformer && { InputPathsMap: inputTransformer.paths, InputTemplate: inputTransformer.template },
    RetryPolicy: { MaximumRetryAttempts: maxAttempts - 1, MaximumEventAgeInSeconds: maxAgeMs / 1000 },
  }
}
