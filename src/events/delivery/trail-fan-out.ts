import type { Clock } from '../../internal/clock.ts'
import type { CommandContext } from '../../storage/metadata/command.ts'
import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import { findRepositoryRow, findRegistryId, findRegistryOf } from '../../storage/metadata/stores/repository-store.ts'
import { findServerMark } from '../../storage/metadata/stores/server-mark-store.ts'
import { fanOutTrail, forgetTrailPlace, trailPlaceMark, type MatchedTrailEvent } from '../commands/trail-events.ts'
import { envelopeOfTrail, type TrailEvent } from '../envelope.ts'
import { trailInterest, type TrailInterest } from '../pattern/index.ts'
import type { RuleBook } from './rule-book.ts'

/** The audit trail, as far as events are told from it. */
export interface TrailSource {
  /** Types of what is told; the first is that of pulls. */
  readonly types: readonly string[]
  end(): Promise<number>
  after(seq: number, options: { readonly pulls: boolean; readonly limit: number }): Promise<{ readonly events: readonly TrailEvent[]; readonly seq: number }>
  before(account: string, region: string, at: number): Promise<number>
}

export interface TrailFanOutDependencies {
  readonly database: MetadataDatabase
  readonly systemContext: () => CommandContext
  readonly clock: Clock
  readonly trail: TrailSource
}

/** Records read at a time. */
const batchSize = 200
/** Where nothing is told of them, the place is noted after so many records. */
const placeEvery = 10_000
/** Somebody who asks for the first time is told what came since the rule was made, if that is no longer ago. */
const reachMs = 60_000

const nothing: TrailInterest = { pulls: false, others: false }

/**
 * Tells of what the audit trail has: pulls and changes of policies, which no command puts into the outbox. The place up to which they
 * are told is in the metadata and moves with what is put on its way: each is put there once, whatever server does it and whenever
 * it is killed. Costs nothing while no rule asks.
 */
export class TrailFanOut {
  readonly #deps: TrailFanOutDependencies
  readonly #rules: RuleBook
  readonly #interests = new Map<string, TrailInterest>()
  #interest = nothing
  #seq: number | undefined
  #noted = 0

  constructor(deps: TrailFanOutDependencies, rules: RuleBook) {
    this.#deps = deps
    this.#rules = rules
  }

  /** Finds out whether any rule asks for what the trail tells. */
  async lookForInterest(): Promise<void> {
    const { database, systemContext } = this.#deps
    await this.#readRules()
    if (this.#isWanted) return
    this.#seq = undefined
    // Whoever asks again some day is not told what was in between.
    const place = await findServerMark(database.reader, trailPlaceMark)
    if (place !== undefined) await database.execute(forgetTrailPlace, { place }, systemContext())
  }

  async #readRules(): Promise<void> {
    await this.#rules.read()
    const all = this.#rules.all().map(({ pattern }) => this.#interestOf(pattern))
    this.#interest = { pulls: all.some(({ pulls }) => pulls), others: all.some(({ others }) => others) }
  }

  /** Works until the end of the trail. Answers how many events went on their way. */
  async run(signal: AbortSignal): Promise<number> {
    if (!this.#isWanted) return 0
    const { database, systemContext, trail } = this.#deps
    let sent = 0
    while (!signal.aborted) {
      const from = (this.#seq ??= await this.#begin())
      const { pulls } = this.#interest
      const { events, seq } = await trail.after(from, { pulls, limit: batchSize })
      if (seq === from) return sent
      // Rules that another server was given: what came since is among what was read.
      await this.#readRules()
      if (this.#interest.pulls && !pulls) continue
      const matched = events.length > 0 ? await this.#match(events) : []
      if (matched.length > 0 || seq - this.#noted >= placeEvery) {
        const done = await database.execute(fanOutTrail, { from: this.#noted, until: seq, matched }, systemContext())
        if (done === undefined) {
          // Another server has told them.
          this.#seq = undefined
          return sent
        }
        sent += done
        this.#noted = seq
      }
      this.#seq = seq
    }
    return sent
  }

  get #isWanted(): boolean {
    return this.#interest.pulls || this.#interest.others
  }

  /** Where to go on: at the place that was noted, or with what came since the rules that ask were made. */
  async #begin(): Promise<number> {
    const { database, clock, systemContext, trail } = this.#deps
    const end = await trail.end()
    const mark = Number((await findServerMark(database.reader, trailPlaceMark)) ?? Number.NaN)
    // A trail that ends before was begun anew.
    if (Number.isSafeInteger(mark)) return (this.#noted = mark > end ? await this.#set(mark, 0) : mark)
    let place = end
    for (const [registryId, rules] of Map.groupBy(this.#rules.all(), ({ registryId: id }) => id)) {
      const registry = await findRegistryOf(database.reader, registryId)
      const since = Math.max(clock.now() - reachMs, Math.min(...rules.map(({ ruleCreatedAt }) => ruleCreatedAt)))
      if (registry !== undefined) place = Math.min(place, await trail.before(registry.accountId, registry.region, since))
    }
    await database.execute(fanOutTrail, { from: undefined, until: place, matched: [] }, systemContext())
    return (this.#noted = Number((await findServerMark(database.reader, trailPlaceMark)) ?? place))
  }

  async #set(from: number, until: number): Promise<number> {
    const { database, systemContext } = this.#deps
    await database.execute(fanOutTrail, { from, until, matched: [] }, systemContext())
    return until
  }

  #interestOf(pattern: string): TrailInterest {
    const known = this.#interests.get(pattern)
    if (known !== undefined) return known
    if (this.#interests.size > 1000) this.#interests.clear()
    let interest = nothing
    try {
      interest = trailInterest(pattern, this.#deps.trail.types)
    } catch {
      // It takes nothing, which whoever reads the rules tells.
    }
    this.#interests.set(pattern, interest)
    return interest
  }

  async #match(events: readonly TrailEvent[]): Promise<MatchedTrailEvent[]> {
    const { reader } = this.#deps.database
    const matched: MatchedTrailEvent[] = []
    for (const event of events) {
      const { account, region, repository, at: createdAt, type } = event
      const registryId = await findRegistryId(reader, account, region)
      if (registryId === undefined) continue
      const when = { registryId, createdAt, isExact: true }
      if (!this.#rules.isAnyOf(when)) continue
      const envelope = envelopeOfTrail(event)
      const isPull = type === this.#deps.trail.types[0]
      const targetIds = await this.#rules.targetsOf(when, envelope, (pattern) => (isPull ? this.#interestOf(pattern).pulls : this.#interestOf(pattern).others))
      if (targetIds.length === 0) continue
      // Of one that is gone, or of the registry: a lane of their own.
      const repositoryId = repository === undefined ? 0 : ((await findRepositoryRow(reader, registryId, repository))?.id ?? 0)
      matched.push({ repositoryId, eventId: envelope.id, event: JSON.stringify(envelope), targetIds })
    }
    return matched
  }
}
