import { registryForChange } from '../../registry/commands/registries.ts'
import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import {
  deleteEventRule,
  deleteUnusedLogGroups,
  deleteEventTarget,
  findEventDestination,
  findEventRule,
  insertEventRule,
  insertEventDestination,
  listEventRules,
  putEventTarget,
  targetsOfRule,
  updateEventRule,
  type EventDestinationRow,
  type EventRuleRow,
} from '../../storage/metadata/stores/event-rule-store.ts'
import { lockRegistryRow } from '../../storage/metadata/stores/repository-store.ts'
import { eventsError } from '../errors.ts'
import { isLogGroup, ruleArn } from '../names.ts'

/** As many as EventBridge allows on a bus. */
const mostRules = 300
/** Likewise of a rule. */
const mostTargets = 5

export type RuleState = 'ENABLED' | 'DISABLED'

export interface RuleSettings {
  readonly name: string
  /** One that was read, in the form it was written in. */
  readonly pattern: string
  readonly state: RuleState
  readonly description: string | null
  readonly roleArn: string | null
}

/** Makes a rule, or gives the one of this name all these settings. Throws `event-limit-exceeded`. */
export const putRule = defineCommand({
  name: 'put-event-rule',
  durability: 'durable',
  async run(tx, input: RuleSettings, context): Promise<void> {
    const registryId = await registryForChange(tx, context)
    await lockRegistryRow(tx, registryId)
    const { name, pattern, state, description, roleArn } = input
    const existing = await findEventRule(tx, registryId, name)
    if (existing === undefined && (await listEventRules(tx, registryId)).length >= mostRules) {
      throw eventsError('event-limit-exceeded', `The requested resource exceeds the maximum number allowed: ${mostRules} rules.`)
    }
    if (existing === undefined) await insertEventRule(tx, { registryId, name, pattern, state, description, roleArn, now: context.nowMs, by: context.actorArn })
    else await updateEventRule(tx, { id: existing.id, pattern, state, description, roleArn })
    await audit(tx, context, 'PutRule', name, { eventPattern: pattern, state })
  },
})

/** Throws `event-resource-unknown`. */
export const setRuleState = defineCommand({
  name: 'set-event-rule-state',
  durability: 'durable',
  async run(tx, input: { name: string; state: RuleState }, context): Promise<void> {
    const { id, pattern, description, roleArn } = await lockRule(tx, context, input.name)
    await updateEventRule(tx, { id, pattern, state: input.state, description, roleArn })
    await audit(tx, context, input.state === 'ENABLED' ? 'EnableRule' : 'DisableRule', input.name, {})
  },
})

/** One that is not there is gone already. Throws `event-input-invalid` where it has targets. */
export const deleteRule = defineCommand({
  name: 'delete-event-rule',
  durability: 'durable',
  async run(tx, input: { name: string }, context): Promise<void> {
    if (context.registryId === 0) return
    await lockRegistryRow(tx, context.registryId)
    const rule = await findEventRule(tx, context.registryId, input.name)
    if (rule === undefined) return
    if ((await targetsOfRule(tx, rule.id)).length > 0) throw eventsError('event-input-invalid', "Rule can't be deleted since it has targets.")
    await deleteEventRule(tx, rule.id)
    await audit(tx, context, 'DeleteRule', input.name, {})
  },
})

export interface TargetSettings {
  readonly id: string
  /** Undefined: another registry's, which is as unknown as one that is not there. */
  readonly destinationName: string | undefined
  readonly arn: string
  readonly roleArn: string | null
  /** JSON, see target-body.ts. */
  readonly body: string
  readonly maxAgeMs: number
  readonly maxAttempts: number
}

export interface FailedTarget {
  readonly targetId: string
  readonly code: 'ResourceNotFoundException'
  readonly message: string
}

/** Adds targets to a rule, or gives those of the same ids other settings; answers which could not be. Throws `event-resource-unknown`, `event-limit-exceeded`. */
export const putTargets = defineCommand({
  name: 'put-event-targets',
  durability: 'durable',
  async run(tx, input: { rule: string; targets: readonly TargetSettings[] }, context): Promise<FailedTarget[]> {
    const rule = await lockRule(tx, context, input.rule)
    const failed: FailedTarget[] = []
    const put: string[] = []
    for (const { id, destinationName, arn, roleArn, body, maxAgeMs, maxAttempts } of input.targets) {
      const destination = destinationName === undefined ? undefined : await destinationOf(tx, context, destinationName)
      if (destination === undefined) {
        failed.push({ targetId: id, code: 'ResourceNotFoundException', message: `There is no destination ${arn}. Make one with "stowage events destination create".` })
        continue
      }
      await putEventTarget(tx, { ruleId: rule.id, name: id, destinationId: destination.id, roleArn, body, maxAgeMs, maxAttempts }, context.nowMs)
      put.push(id)
    }
    if ((await targetsOfRule(tx, rule.id)).length > mostTargets) {
      throw eventsError('event-limit-exceeded', `The requested resource exceeds the maximum number allowed: ${mostTargets} targets of a rule.`)
    }
    await deleteUnusedLogGroups(tx, context.registryId)
    if (put.length > 0) await audit(tx, context, 'PutTargets', rule.name, { targets: input.targets.filter(({ id }) => put.includes(id)).map(({ id, arn }) => ({ id, arn })) })
    return failed
  },
})

/** Removes targets, and what is on its way to them; answers which are not there. Throws `event-resource-unknown`. */
export const removeTargets = defineCommand({
  name: 'remove-event-targets',
  durability: 'durable',
  async run(tx, input: { rule: string; ids: readonly string[] }, context): Promise<FailedTarget[]> {
    const rule = await lockRule(tx, context, input.rule)
    const present = new Map((await targetsOfRule(tx, rule.id)).map(({ id, name }) => [name, id]))
    const failed: FailedTarget[] = []
    const removed: string[] = []
    for (const name of new Set(input.ids)) {
      const id = present.get(name)
      if (id === undefined) {
        failed.push({ targetId: name, code: 'ResourceNotFoundException', message: `Rule ${rule.name} does not have a target with id ${name}.` })
        continue
      }
      await deleteEventTarget(tx, id)
      removed.push(name)
    }
    await deleteUnusedLogGroups(tx, context.registryId)
    if (removed.length > 0) await audit(tx, context, 'RemoveTargets', rule.name, { ids: removed })
    return failed
  },
})

/** A log group needs nobody to make it a destination: it is one while a target sends there, whether or not it exists by then. */
async function destinationOf(tx: Session, context: CommandContext, name: string): Promise<EventDestinationRow | undefined> {
  const { registryId } = context
  const existing = await findEventDestination(tx, registryId, name)
  if (existing !== undefined || !isLogGroup(name)) return existing
  await insertEventDestination(tx, { registryId, name, url: name, description: null, secretSealed: '', now: context.nowMs, by: context.actorArn })
  return findEventDestination(tx, registryId, name)
}

export function ruleUnknown(name: string): Error {
  return eventsError('event-resource-unknown', `Rule ${name} does not exist on EventBus default.`)
}

async function lockRule(tx: Session, context: CommandContext, name: string): Promise<EventRuleRow> {
  if (context.registryId === 0) throw ruleUnknown(name)
  await lockRegistryRow(tx, context.registryId)
  const rule = await findEventRule(tx, context.registryId, name)
  if (rule === undefined) throw ruleUnknown(name)
  return rule
}

function audit(tx: Session, context: CommandContext, action: string, name: string, detail: Readonly<Record<string, unknown>>): Promise<void> {
  return recordAudit(tx, context, { action, resource: ruleArn(context, name), detail: { name, ...detail } })
}
