import { commandContext, type RequestContext } from '../registry/context.ts'
import { toPage } from '../registry/paging.ts'
import type { Page } from '../registry/types.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import {
  findEventRule,
  listEventRules,
  listRulesOfDestination,
  targetsOfRule,
  type EventRuleRow,
  type EventTargetRow,
} from '../storage/metadata/stores/event-rule-store.ts'
import { findStructuralProblem } from '../values/json-structure.ts'
import { deleteRule, putRule, putTargets, removeTargets, ruleUnknown, setRuleState, type FailedTarget, type RuleSettings, type RuleState, type TargetSettings } from './commands/rules.ts'
import { eventsError } from './errors.ts'
import { destinationNameOf } from './names.ts'
import { parseEventPattern } from './pattern/index.ts'
import { requireTargetBody, type TargetBody } from './target-body.ts'

export type { EventRuleRow, EventTargetRow } from '../storage/metadata/stores/event-rule-store.ts'

export interface TargetRequest extends TargetBody {
  readonly id: string
  readonly arn: string
  readonly roleArn: string | undefined
  readonly maxAgeMs: number | undefined
  readonly maxRetries: number | undefined
}

/** EventBridge's: a day, and as many attempts as back-off has in it. */
const defaultMaxAgeMs = 24 * 60 * 60 * 1000
const defaultMaxRetries = 185

/** What an event that a pattern is tried with has to have. https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_TestEventPattern.html */
const membersOfEvent = ['id', 'account', 'source', 'time', 'region', 'resources', 'detail-type']

/** A small part of EventBridge's own limit, and far more than an event of a registry has. */
const maxEventLength = 256 * 1024

/**
 * Rules about what happens in a registry, and where it is told. What they say is acted by in `delivery/`.
 */
export class EventRules {
  readonly #database: MetadataDatabase
  readonly #onChange: () => void

  /** @param onChange hears of every change of what is sent where */
  constructor(database: MetadataDatabase, onChange: () => void) {
    this.#database = database
    this.#onChange = onChange
  }

  /** Throws `event-pattern-invalid`, `event-limit-exceeded`. */
  async put(context: RequestContext, settings: RuleSettings): Promise<void> {
    parseEventPattern(settings.pattern)
    await this.#database.execute(putRule, settings, commandContext(context))
    this.#onChange()
  }

  /** Throws `event-resource-unknown`. */
  async get(context: RequestContext, name: string): Promise<EventRuleRow> {
    const row = await findEventRule(this.#database.reader, context.registry.id, name)
    if (row === undefined) throw ruleUnknown(name)
    return row
  }

  /** By name. */
  async list(context: RequestContext, page: { readonly prefix: string; readonly limit: number; readonly after: string | undefined }): Promise<Page<EventRuleRow>> {
    const rows = await listEventRules(this.#database.reader, context.registry.id, page.after ?? '')
    return pageOf(rows.filter(({ name }) => name.startsWith(page.prefix)), page.limit)
  }

  /** Throws `event-resource-unknown`. */
  async setState(context: RequestContext, name: string, state: RuleState): Promise<void> {
    await this.#database.execute(setRuleState, { name, state }, commandContext(context))
    this.#onChange()
  }

  /** Throws `event-input-invalid` while it has targets. */
  async delete(context: RequestContext, name: string): Promise<void> {
    await this.#database.execute(deleteRule, { name }, commandContext(context))
  }

  /** Answers what could not be added. Throws `event-resource-unknown`, `event-input-invalid`, `event-limit-exceeded`. */
  async putTargets(context: RequestContext, rule: string, requests: readonly TargetRequest[]): Promise<readonly FailedTarget[]> {
    const targets = requests.map(({ id, arn, roleArn, maxAgeMs, maxRetries, input, inputPath, inputTransformer }): TargetSettings => {
      const body: TargetBody = { input, inputPath, inputTransformer }
      requireTargetBody(body)
      return {
        id,
        arn,
        destinationName: destinationNameOf(context.registry, arn),
        roleArn: roleArn ?? null,
        body: JSON.stringify(body),
        maxAgeMs: maxAgeMs ?? defaultMaxAgeMs,
        maxAttempts: 1 + (maxRetries ?? defaultMaxRetries),
      }
    })
    const failed = await this.#database.execute(putTargets, { rule, targets }, commandContext(context))
    this.#onChange()
    return failed
  }

  /** Throws `event-resource-unknown`. */
  async targets(context: RequestContext, rule: string, page: { readonly limit: number; readonly after: string | undefined }): Promise<Page<EventTargetRow>> {
    const { id } = await this.get(context, rule)
    const rows = await targetsOfRule(this.#database.reader, id)
    return pageOf(rows.filter(({ name }) => page.after === undefined || name > page.after), page.limit)
  }

  /** Answers what was not there. Throws `event-resource-unknown`. */
  async removeTargets(context: RequestContext, rule: string, ids: readonly string[]): Promise<readonly FailedTarget[]> {
    return this.#database.execute(removeTargets, { rule, ids }, commandContext(context))
  }

  /** The names of the rules that send to a target. Throws `event-input-invalid`. */
  async rulesOfTarget(context: RequestContext, arn: string, page: { readonly limit: number; readonly after: string | undefined }): Promise<Page<string>> {
    const destination = destinationNameOf(context.registry, arn)
    const names = destination === undefined ? [] : await listRulesOfDestination(this.#database.reader, context.registry.id, destination)
    const { items, next } = pageOf(names.filter((name) => page.after === undefined || name > page.after).map((name) => ({ name })), page.limit)
    return { items: items.map(({ name }) => name), next }
  }

  /** Throws `event-pattern-invalid`, `event-input-invalid`. */
  testPattern(pattern: string, event: string): boolean {
    const parsed = parseEventPattern(pattern)
    const problem = event.length > maxEventLength ? `It has more than ${maxEventLength} characters.` : findStructuralProblem(event)
    if (problem !== undefined) throw eventInvalid(problem)
    let value: unknown
    try {
      value = JSON.parse(event)
    } catch {
      throw eventInvalid('It is not valid JSON.')
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw eventInvalid('It is not a JSON object.')
    const missing = membersOfEvent.find((name) => !Object.hasOwn(value, name))
    if (missing !== undefined) throw eventInvalid(`It has no '${missing}'.`)
    return parsed.matches(value)
  }
}

function eventInvalid(reason: string): Error {
  return eventsError('event-input-invalid', `Parameter Event is not valid. Reason: ${reason}`)
}

function pageOf<Row extends { readonly name: string }>(rows: readonly Row[], limit: number): Page<Row> {
  return toPage(rows, limit, (row) => row, ({ name }) => name)
}
