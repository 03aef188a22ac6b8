import type { CommandContext } from '../../storage/metadata/command.ts'
import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import { outboxEvents, type OutboxEvent } from '../../storage/metadata/stores/event-delivery-store.ts'
import { dropEvents, fanOutEvents, type MatchedEvent } from '../commands/delivery.ts'
import { envelopeOf, type EventEnvelope } from '../envelope.ts'
import type { RuleBook } from './rule-book.ts'

/** Events compared with the rules, and put on their way, by one command. */
const batchSize = 200

export interface FanOutDependencies {
  readonly database: MetadataDatabase
  readonly systemContext: () => CommandContext
}

/**
 * Compares what is in the outbox with the rules, and puts it on its way. Rules are read after events, so that a rule that was
 * there before an event takes it.
 */
export class FanOut {
  readonly #deps: FanOutDependencies
  readonly #rules: RuleBook

  constructor(deps: FanOutDependencies, rules: RuleBook) {
    this.#deps = deps
    this.#rules = rules
  }

  /** Works until the outbox is empty. Answers how many events went on their way. */
  async run(signal: AbortSignal): Promise<number> {
    const { database, systemContext } = this.#deps
    let sent = 0
    while (!signal.aborted) {
      const events = await outboxEvents(database.reader, batchSize)
      if (events.length === 0) break
      const isAny = await this.#rules.read()
      const outboxIds = events.map(({ id }) => id)
      const matched = isAny ? await this.#match(events) : []
      if (matched.length === 0) await database.execute(dropEvents, { outboxIds }, systemContext())
      else sent += await database.execute(fanOutEvents, { outboxIds, matched }, systemContext())
      if (events.length < batchSize) break
    }
    return sent
  }

  /** The targets of the rules of a registry that take an event which is in no outbox. */
  async targetsOf(registryId: number, envelope: EventEnvelope): Promise<readonly number[]> {
    await this.#rules.read()
    return this.#rules.targetsOf({ registryId, createdAt: Number.MAX_SAFE_INTEGER }, envelope)
  }

  async #match(events: readonly OutboxEvent[]): Promise<MatchedEvent[]> {
    const matched: MatchedEvent[] = []
    for (const event of events) {
      if (!this.#rules.isAnyOf(event)) continue
      const envelope = envelopeOf(event)
      const targetIds = await this.#rules.targetsOf(event, envelope)
      if (targetIds.length > 0) {
        matched.push({ outboxId: event.id, repositoryId: event.repositoryId, eventId: envelope.id, event: JSON.stringify(envelope), targetIds })
      }
    }
    return matched
  }
}
