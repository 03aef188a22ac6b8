import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CommandContext } from '../../storage/metadata/command.ts'
import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import { outboxEvents, type OutboxEvent } from '../../storage/metadata/stores/event-delivery-store.ts'
import { rulesInForce, type RuleInForce } from '../../storage/metadata/stores/event-rule-store.ts'
import { dropEvents, fanOutEvents, type MatchedEvent } from '../commands/delivery.ts'
import { envelopeOf, type EventEnvelope } from '../envelope.ts'
import { parseEventPattern, type EventPattern } from '../pattern/index.ts'

/** Events compared with the rules, and put on their way, by one command. */
const batchSize = 200
/** What is compared in one turn of the event loop: other requests have theirs. */
const longestTurnMs = 5
/** How far apart the clocks of servers may be: what happened before there was a rule is not told by it. */
const clockSkewMs = 60_000

export interface FanOutDependencies {
  readonly database: MetadataDatabase
  readonly systemContext: () => CommandContext
  /** A pattern in the database that is none any more; its rule takes nothing. */
  readonly onUnreadable: (rule: { readonly registryId: number; readonly rule: string }, error: unknown) => void
}

/**
 * Compares what is in the outbox with the rules, and puts it on its way. Rules are read after events, so that a rule that was
 * there before an event takes it.
 */
export class FanOut {
  readonly #deps: FanOutDependencies
  /** By their text: a few hundred at most are in use. */
  #patterns = new Map<string, EventPattern | undefined>()

  constructor(deps: FanOutDependencies) {
    this.#deps = deps
  }

  /** Works until the outbox is empty. Answers how many events went on their way. */
  async run(signal: AbortSignal): Promise<number> {
    const { database, systemContext } = this.#deps
    let sent = 0
    while (!signal.aborted) {
      const events = await outboxEvents(database.reader, batchSize)
      if (events.length === 0) break
      const rules = await this.#rulesByRegistry()
      const outboxIds = events.map(({ id }) => id)
      const matched = rules.size === 0 ? [] : await this.#match(events, rules)
      if (matched.length === 0) await database.execute(dropEvents, { outboxIds }, systemContext())
      else sent += await database.execute(fanOutEvents, { outboxIds, matched }, systemContext())
      if (events.length < batchSize) break
    }
    return sent
  }

  /** The targets of the rules of a registry that take an event which is in no outbox. */
  async targetsOf(registryId: number, envelope: EventEnvelope): Promise<readonly number[]> {
    const rules = (await this.#rulesByRegistry()).get(registryId) ?? []
    return rules.filter(({ pattern }) => this.#patterns.get(pattern)?.matches(envelope) ?? false).map(({ targetId }) => targetId)
  }

  async #rulesByRegistry(): Promise<Map<number, RuleInForce[]>> {
    const rules = new Map<number, RuleInForce[]>()
    const patterns = new Map<string, EventPattern | undefined>()
    for (const rule of await rulesInForce(this.#deps.database.reader)) {
      rules.set(rule.registryId, [...(rules.get(rule.registryId) ?? []), rule])
      if (!patterns.has(rule.pattern)) patterns.set(rule.pattern, this.#patterns.get(rule.pattern) ?? this.#read(rule))
    }
    this.#patterns = patterns
    return rules
  }

  #read({ pattern, registryId, ruleName }: RuleInForce): EventPattern | undefined {
    try {
      return parseEventPattern(pattern)
    } catch (error) {
      this.#deps.onUnreadable({ registryId, rule: ruleName }, error)
      return undefined
    }
  }

  async #match(events: readonly OutboxEvent[], rules: ReadonlyMap<number, readonly RuleInForce[]>): Promise<MatchedEvent[]> {
    const matched: MatchedEvent[] = []
    let turnEndsAt = performance.now() + longestTurnMs
    for (const event of events) {
      const candidates = (rules.get(event.registryId) ?? []).filter(({ ruleCreatedAt }) => event.createdAt >= ruleCreatedAt - clockSkewMs)
      if (candidates.length === 0) continue
      const envelope = envelopeOf(event)
      // A rule's targets follow each other's pattern.
      const verdicts = new Map<string, boolean>()
      const targetIds: number[] = []
      for (const { pattern, targetId } of candidates) {
        const verdict = verdicts.get(pattern) ?? this.#patterns.get(pattern)?.matches(envelope) ?? false
        verdicts.set(pattern, verdict)
        if (verdict) targetIds.push(targetId)
        if (performance.now() > turnEndsAt) {
          await nextTurn()
          turnEndsAt = performance.now() + longestTurnMs
        }
      }
      if (targetIds.length > 0) {
        matched.push({ outboxId: event.id, repositoryId: event.repositoryId, eventId: envelope.id, event: JSON.stringify(envelope), targetIds })
      }
    }
    return matched
  }
}
