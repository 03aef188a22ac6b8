import { RecurringWork } from '../../internal/recurring-work.ts'
import { isAnyDeadLetterOlder } from '../../storage/metadata/stores/event-dead-letter-store.ts'
import { countEvents, isAnyLane, type EventQueues } from '../../storage/metadata/stores/event-delivery-store.ts'
import { isAnyRuleInForce } from '../../storage/metadata/stores/event-rule-store.ts'
import type { EventEnvelope } from '../envelope.ts'
import { sweepDeadLetters } from '../commands/delivery.ts'
import { Dispatcher, type DeliveryCounters, type DispatcherDependencies } from './dispatcher.ts'
import { FanOut } from './fan-out.ts'
import { RuleBook } from './rule-book.ts'
import { TrailFanOut, type TrailSource } from './trail-fan-out.ts'

/** While there are rules or something is on its way, the outbox is looked at this often. */
const lookIntervalMs = 500
/** Otherwise events are forgotten this often, and another server's first rule is noticed. */
const idleIntervalMs = 60_000
/** Dead letters are kept so long. */
const deadLettersKeptMs = 14 * 24 * 60 * 60 * 1000
const sweptPerLook = 1_000

/**
 * Tells what happened: takes events from the outbox, where the commands that made them have put them, and sends those that a rule
 * takes to its targets. Nothing of it is in anybody's way: commands know nothing of rules.
 *
 * Several servers with one database do it side by side. An event is taken from the outbox by one of them, a lane sent from by one
 * at a time; what one that was killed had taken, another sends.
 */
export class EventDelivery {
  readonly #deps: DispatcherDependencies
  readonly #fanOut: FanOut
  readonly #trailFanOut: TrailFanOut | undefined
  /** A rule was changed. */
  #isStale = true
  readonly #dispatcher: Dispatcher
  readonly #looks: RecurringWork
  readonly #idleLooks: RecurringWork
  #isActive = false

  /** @param trail absent where nothing is sealed into it */
  constructor(deps: DispatcherDependencies, trail: TrailSource | undefined) {
    this.#deps = deps
    const { database, systemContext, logger } = deps
    const rules = new RuleBook({
      database,
      onUnreadable(rule, error) {
        logger.error({ err: error, ...rule }, 'the pattern of an event rule cannot be read, and it takes nothing')
      },
    })
    this.#fanOut = new FanOut({ database, systemContext }, rules)
    this.#trailFanOut = trail && new TrailFanOut({ database, systemContext, clock: deps.clock, trail }, rules)
    this.#dispatcher = new Dispatcher(deps, () => {
      if (this.#isActive && !this.#looks.isStopped) void this.#looks.runAfresh()
    })
    const onError = (error: unknown): void => {
      logger.error({ err: error }, 'events could not be put on their way')
    }
    this.#looks = new RecurringWork(async (signal) => {
      if (this.#isActive) await this.#look(signal)
    }, onError)
    this.#idleLooks = new RecurringWork((signal) => this.#lookWhetherActive(signal), onError)
  }

  get counters(): Readonly<DeliveryCounters> {
    return this.#dispatcher.counters
  }

  queues(): Promise<EventQueues> {
    return countEvents(this.#deps.database.reader)
  }

  /** The targets of the rules of a registry that take an event which is in no outbox: whoever tells it puts it on its way, and wakes. */
  targetsOf(registryId: number, envelope: EventEnvelope): Promise<readonly number[]> {
    return this.#fanOut.targetsOf(registryId, envelope)
  }

  async start(): Promise<void> {
    this.#isActive = await this.#isWanted()
    this.#looks.start(lookIntervalMs)
    this.#idleLooks.start(idleIntervalMs)
  }

  /** Something may be to be sent from now on. */
  wake(): void {
    this.#isActive = true
    this.#isStale = true
    if (!this.#looks.isStopped) void this.#looks.runAfresh()
  }

  /** Ends attempts under way: they are made again by whoever comes next. */
  async stop(): Promise<void> {
    await Promise.all([this.#looks.stop(), this.#idleLooks.stop()])
    await this.#dispatcher.stop()
  }

  async #look(signal: AbortSignal): Promise<void> {
    await this.#fanOut.run(signal)
    if (this.#isStale) {
      this.#isStale = false
      await this.#trailFanOut?.lookForInterest()
    }
    if (!signal.aborted) await this.#trailFanOut?.run(signal)
    if (!signal.aborted) await this.#dispatcher.begin()
  }

  async #lookWhetherActive(signal: AbortSignal): Promise<void> {
    const { database, clock, systemContext } = this.#deps
    this.#isActive = await this.#isWanted()
    this.#isStale = this.#isActive
    if (!this.#isActive) await this.#fanOut.run(signal)
    const before = clock.now() - deadLettersKeptMs
    if (!signal.aborted && (await isAnyDeadLetterOlder(database.reader, before))) {
      await database.execute(sweepDeadLetters, { before, limit: sweptPerLook }, systemContext())
    }
  }

  async #isWanted(): Promise<boolean> {
    const { reader } = this.#deps.database
    return (await isAnyRuleInForce(reader)) || (await isAnyLane(reader))
  }
}
