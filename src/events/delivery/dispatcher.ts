import type { Logger } from 'pino'
import type { Keyring } from '../../iam/index.ts'
import type { Clock } from '../../internal/clock.ts'
import type { GuardedHttps } from '../../internal/outbound/guarded-https.ts'
import type { Command, CommandContext } from '../../storage/metadata/command.ts'
import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import { deliveriesOfLane, destinationsDue, wayOfLane, type DeliveryRow, type LaneWay } from '../../storage/metadata/stores/event-delivery-store.ts'
import { claimLanes, releaseLane, settleDelivery, type DeliveryOutcome } from '../commands/delivery.ts'
import { isLogGroup, logGroupOf, ruleArn } from '../names.ts'
import { bodyFor, type TargetBody } from '../target-body.ts'
import { attempt, type AttemptResult } from './attempt.ts'
import { signatureHeaders } from '../../internal/outbound/webhook-signature.ts'
import { attemptToLog, type PutLogLine } from './log-attempt.ts'
import { isMailUrl, parseMailUrl } from './mail-address.ts'
import { attemptMail, type MailSettings } from './mail-attempt.ts'
import { openMailPassword, openSigningSecret } from './signature.ts'

export interface DispatcherDependencies {
  readonly database: MetadataDatabase
  readonly https: GuardedHttps
  readonly keyring: Keyring
  /** Writes a line into a log group. */
  readonly putLogLine: PutLogLine
  readonly mail: MailSettings
  readonly clock: Clock
  readonly logger: Pick<Logger, 'warn' | 'error'>
  readonly systemContext: () => CommandContext
  /** Names this process. */
  readonly owner: string
  readonly settings: {
    /** The first wait after a failure; it doubles up to the longest. */
    readonly firstWaitMs: number
    readonly longestWaitMs: number
  }
  /** From 0 to 1. */
  readonly random: () => number
}

export interface DeliveryCounters {
  delivered: number
  failedAttempts: number
  deadLettered: number
}

/** Lanes of a destination that are sent from at a time, by one process. */
const lanesOfDestination = 4
/** Of an account: several of its receivers may hang, and others' are not kept waiting by it. */
const lanesOfAccount = 16
const lanesOfAll = 64
/** Events of a lane before others of its destination have their turn. */
const eventsPerTurn = 20
/** Several times what an attempt takes. What a process that died had is sent by others after it. */
const leaseMs = 25_000
/** An attempt that begins with less than this left of the lease might end after it. */
const attemptMarginMs = 15_000
const soonMs = 1_000

/**
 * Sends what is in lanes: of each lane one event after another, of several lanes some at a time. A lane whose first event fails
 * waits, longer each time, until it is accepted or given up: nothing behind it overtakes it.
 */
export class Dispatcher {
  readonly counters: DeliveryCounters = { delivered: 0, failedAttempts: 0, deadLettered: 0 }
  readonly #deps: DispatcherDependencies
  readonly #underWay = new Map<Promise<void>, { readonly destinationId: number; readonly accountId: string }>()
  readonly #stop = new AbortController()
  readonly #onFreed: () => void

  /** @param onFreed hears that a lane was sent from, so that others may begin */
  constructor(deps: DispatcherDependencies, onFreed: () => void) {
    this.#deps = deps
    this.#onFreed = onFreed
  }

  /** Begins to send whatever is due, as far as there is room. Does not wait for it. */
  async begin(): Promise<void> {
    const { database, clock, owner } = this.#deps
    for (const { id: destinationId, accountId } of await destinationsDue(database.reader, clock.now())) {
      if (this.#stop.signal.aborted) return
      const lanes = [...this.#underWay.values()]
      const room = Math.min(
        lanesOfDestination - lanes.filter((lane) => lane.destinationId === destinationId).length,
        lanesOfAccount - lanes.filter((lane) => lane.accountId === accountId).length,
        lanesOfAll - lanes.length,
      )
      if (room <= 0) continue
      const claimed = await this.#execute(claimLanes, { destinationId, owner, until: clock.now() + leaseMs, limit: room })
      for (const lane of claimed) {
        const work = this.#send(lane).catch((error: unknown) => this.#deps.logger.error({ err: error }, 'events could not be sent'))
        this.#underWay.set(work, { destinationId, accountId })
        void work.then(() => {
          this.#underWay.delete(work)
          this.#onFreed()
        })
      }
    }
  }

  /** Ends attempts under way, gives their lanes back and waits for that. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the server stops'))
    await Promise.all(this.#underWay.keys())
  }

  async #send({ id: laneId, attemptCount }: { readonly id: number; readonly attemptCount: number }): Promise<void> {
    const { database, clock, owner } = this.#deps
    const { signal } = this.#stop
    let leasedUntil = clock.now() + leaseMs
    let attempts = attemptCount
    const way = await wayOfLane(database.reader, laneId)
    if (way === undefined) return
    const deliveries = await deliveriesOfLane(database.reader, laneId, eventsPerTurn)
    for (const delivery of deliveries) {
      if (signal.aborted || clock.now() > leasedUntil - attemptMarginMs) break
      const result = await this.#attempt(way, delivery).catch((error: unknown) => {
        if (signal.aborted) return undefined
        throw error
      })
      if (result === undefined) break
      leasedUntil = clock.now() + leaseMs
      const outcome = this.#outcome(way, delivery, result, attempts + 1)
      const input = { laneId, owner, until: leasedUntil, delivery, outcome, way: withoutSecret(way) }
      if (!(await this.#execute(settleDelivery, input))) return
      attempts = 0
    }
    await this.#execute(releaseLane, { laneId, owner, attemptCount: attempts, dueAt: clock.now() })
  }

  #attempt(way: LaneWay, { eventId, event }: DeliveryRow): Promise<AttemptResult> {
    const { https, keyring, putLogLine, mail, clock } = this.#deps
    const { accountId, region, ruleName, destinationName: name, url } = way
    const target = JSON.parse(way.body) as TargetBody
    const body = bodyFor(target, event, { ruleName, ruleArn: ruleArn({ accountId, region }, ruleName) })
    if (isLogGroup(name)) {
      return attemptToLog(putLogLine, { place: { accountId, region }, group: logGroupOf(name), stream: ruleName, event, body, isTransformed: target.inputTransformer !== undefined })
    }
    const owner = { accountId, region, name }
    let key: Buffer
    try {
      if (isMailUrl(url)) {
        const password = way.secretSealed === '' ? undefined : openMailPassword(keyring, owner, way.secretSealed)
        return attemptMail(mail, { address: parseMailUrl(url), password, event, body, eventId, accountId, stop: this.#stop.signal })
      }
      key = openSigningSecret(keyring, owner, way.secretSealed)
    } catch {
      return Promise.resolve({ kind: 'again', reason: 'the keyring has not got the key that the secret was sealed with: give the destination a new one', afterMs: undefined })
    }
    const headers = { 'content-type': 'application/json', 'user-agent': 'stowage', ...signatureHeaders(key, eventId, clock.now(), body) }
    return attempt(https, { url, headers, body, accountId, stop: this.#stop.signal })
  }

  #outcome(way: LaneWay, { eventId, queuedAt }: DeliveryRow, result: AttemptResult, attempts: number): DeliveryOutcome {
    const { clock, logger, random, settings } = this.#deps
    if (result.kind === 'accepted') {
      this.counters.delivered += 1
      return { kind: 'delivered' }
    }
    this.counters.failedAttempts += 1
    const { reason } = result
    if (result.kind === 'again') {
      const longest = Math.min(settings.longestWaitMs, settings.firstWaitMs * 2 ** Math.min(attempts - 1, 30))
      // Between half of it and all of it, so that what failed together does not come back together.
      const waitMs = Math.max(longest * (0.5 + random() / 2), result.afterMs ?? 0)
      const dueAt = Math.ceil(clock.now() + waitMs)
      if (attempts < way.maxAttempts && dueAt <= queuedAt + way.maxAgeMs) {
        this.#lookAgainIn(waitMs)
        return { kind: 'put-off', dueAt, reason, attemptCount: attempts }
      }
    }
    this.counters.deadLettered += 1
    const { accountId: account, region, ruleName: rule, targetName: target, destinationName: destination } = way
    logger.warn({ account, region, rule, target, destination, eventId, attempts, reason }, 'an event could not be delivered: see stowage events dead-letters')
    return { kind: 'dead', reason, attemptCount: attempts }
  }

  /** What is due sooner than somebody looks anyway is not kept waiting. */
  #lookAgainIn(waitMs: number): void {
    if (waitMs < soonMs) setTimeout(this.#onFreed, waitMs + 1).unref()
  }

  #execute<Input, Result>(command: Command<Input, Result>, input: Input): Promise<Result> {
    return this.#deps.database.execute(command, input, this.#deps.systemContext())
  }
}

function withoutSecret({ registryId, repositoryId, targetId, targetName, ruleName, destinationName }: LaneWay) {
  return { registryId, repositoryId, targetId, targetName, ruleName, destinationName }
}
