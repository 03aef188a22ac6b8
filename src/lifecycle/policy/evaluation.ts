import { Column, float64, markFirst, uint16, uint32, uint8 } from './columns.ts'
import type { CompiledPolicy, CompiledRule, CountCondition } from './compiled.ts'
import { CountedRule } from './counted-rule.ts'
import { countDecided, Decisions, partFlag, type DecidedColumns, type WatchedImage } from './decisions.ts'
import { timeOf, type Clock, type ImageFacts } from './image-facts.ts'
import { Notices } from './notices.ts'
import { sortInSteps } from './sort-in-steps.ts'

/** What fits in the columns that name a rule; 0 is none. */
const maxRules = 65_534

export interface EvaluationOptions {
  /** Images of which `why` will be asked: their facts are kept. */
  readonly watch?: ReadonlySet<number>
}

/** Rows that are counted between two steps: some tenths of a millisecond. */
const rowsPerStep = 4096

/** A rule at its place among all rules of all policies. */
interface PlacedRule {
  readonly rule: CompiledRule
  readonly policy: number
  /** From 1. Lower decides where two rules want the same. */
  readonly place: number
  /** What is kept of the images that it counts; undefined where it counts none. */
  readonly counted: CountedRule | undefined
}

/**
 * Evaluates policies over the images of one repository, which are added one by one in any order. It keeps some thirty bytes of
 * each, not the facts.
 *
 * ECR's rules: an image belongs to the first rule, by priority, whose selection takes it in, and only that rule acts on it;
 * later ones count it. Amazon ECR user guide, "Lifecycle policy evaluation rules". Rules of a retention policy have no order:
 * what one keeps stays, whatever any rule of any policy says; otherwise deletion goes before the archive. A rule that gives
 * notice acts when that is over. An image that is part
 * of another's unit is counted by ECR's rules and unknown to those of retention policies; neither acts on it.
 *
 * Images of the same time are ordered by their ids, higher as younger.
 */
export class Evaluation {
  readonly #policies: readonly CompiledPolicy[]
  readonly #rules: readonly (readonly PlacedRule[])[]
  readonly #counted: readonly PlacedRule[]
  readonly #nowMs: number
  readonly #watch: ReadonlySet<number>
  readonly #watched = new Map<number, WatchedImage>()

  readonly #ids = new Column(float64)
  readonly #flags = new Column(uint8)
  readonly #expiredBy = new Column(uint16)
  readonly #transitionedBy = new Column(uint16)
  readonly #keptBy = new Column(uint16)
  readonly #notices: Notices
  /** Of each clock that orders images. */
  readonly #times: ReadonlyMap<Clock, Column<Float64Array>>
  /** A bit for each counting rule: it counts the image; and it may decide about it. */
  readonly #counts: Column<Uint32Array>
  readonly #concerns: Column<Uint32Array>
  readonly #words: number

  #size = 0
  #dueAtMs = Number.POSITIVE_INFINITY

  constructor(policies: readonly CompiledPolicy[], nowMs: number, { watch = new Set() }: EvaluationOptions = {}) {
    this.#policies = policies
    this.#nowMs = nowMs
    this.#watch = watch
    let place = 0
    const counted: PlacedRule[] = []
    this.#rules = policies.map((policy, index) =>
      policy.rules.map((rule) => {
        place++
        const placed = { rule, policy: index, place, counted: rule.newest === undefined ? undefined : new CountedRule(rule.newest, counted.length) }
        if (placed.counted !== undefined) counted.push(placed)
        return placed
      }),
    )
    if (place > maxRules) throw new RangeError(`${place} rules are more than one evaluation can hold.`)
    this.#notices = new Notices(this.#rules.flat(), nowMs)
    this.#counted = counted
    this.#words = Math.ceil(counted.length / 32)
    this.#counts = new Column(uint32, this.#words)
    this.#concerns = new Column(uint32, this.#words)
    const clocks = counted.map(({ rule }) => timeOrder(rule.newest!))
    this.#times = new Map(clocks.map((clock) => [clock, new Column(float64)]))
  }

  /** Takes in one image. The facts are only read now, but for those that are watched. */
  add(image: ImageFacts): void {
    const row = this.#size++
    this.#reserve(row)
    this.#ids.values[row] = image.manifestId
    if (image.isPartOfUnit) this.#flags.values[row] = partFlag
    this.#notices.add(image, row)
    for (const [clock, column] of this.#times) column.values[row] = timeOf(image, clock) ?? image.pushedAt
    for (const [index, rules] of this.#rules.entries()) {
      if (this.#policies[index]!.grammar === 'ecr') this.#addToEcr(rules, image, row)
      else if (!image.isPartOfUnit) this.#addToRetention(rules, image, row)
    }
    if (this.#watch.has(image.manifestId)) this.#watched.set(image.manifestId, { image, row, ranks: new Map() })
  }

  #reserve(row: number): void {
    for (const column of [this.#ids, this.#flags, this.#expiredBy, this.#transitionedBy, this.#keptBy, ...this.#times.values()]) column.reserve(row)
    if (this.#words === 0) return
    this.#counts.reserve(row)
    this.#concerns.reserve(row)
    for (const { counted } of this.#counted) counted!.reserve(row)
  }

  #addToEcr(rules: readonly PlacedRule[], image: ImageFacts, row: number): void {
    let isTaken = false
    for (const placed of rules) {
      const { rule, counted } = placed
      if (isTaken && counted === undefined) continue
      if (!rule.selects(image)) continue
      const isOldEnough = isTaken ? false : this.#meetsAge(rule, image)
      if (counted === undefined) {
        if (isOldEnough) this.#mark(placed, row)
      } else {
        this.#count(counted, image, row, isOldEnough)
      }
      isTaken = true
    }
  }

  #addToRetention(rules: readonly PlacedRule[], image: ImageFacts, row: number): void {
    for (const placed of rules) {
      const { rule, counted } = placed
      const isUnread = rule.keepsUnread?.(image) === true
      if (!isUnread && !rule.selects(image)) continue
      const mayDecide = rule.sparingTag?.(image) === undefined && this.#meetsAge(rule, image)
      // It takes no other's place among the newest.
      if (isUnread) {
        if (mayDecide) this.#mark(placed, row)
        continue
      }
      if (counted !== undefined) this.#count(counted, image, row, mayDecide)
      else if (mayDecide) this.#mark(placed, row)
    }
  }

  /** Whether age lets the rule do what it does; if that is only so later, or no longer, that is when the outcome is due. */
  #meetsAge({ age, action }: CompiledRule, image: ImageFacts): boolean {
    if (age === undefined) return true
    const time = timeOf(image, age.clock)
    if (time === undefined) return false
    const isOlder = this.#nowMs - time > age.ms
    // "Older than" is strict: the change is a millisecond later.
    if (!isOlder && !image.isPartOfUnit) this.#dueAtMs = Math.min(this.#dueAtMs, time + age.ms + 1)
    return action === 'keep' ? !isOlder : isOlder
  }

  #count(counted: CountedRule, image: ImageFacts, row: number, mayDecide: boolean): void {
    const word = row * this.#words + (counted.bit >>> 5)
    const bit = 1 << (counted.bit & 31)
    this.#counts.values[word]! |= bit
    if (mayDecide) this.#concerns.values[word]! |= bit
    counted.add(image, row)
  }

  /** Notes what a rule wants of an image; of two rules the one at the lower place. */
  #mark({ rule, place }: PlacedRule, row: number): void {
    if (rule.notice === undefined || rule.action === 'keep') markFirst(this.#columnOf(rule.action).values, row, place)
    else this.#notices.mark(rule.action, row, place)
  }

  #columnOf(action: CompiledRule['action']): Column<Uint16Array> {
    switch (action) {
      case 'expire':
        return this.#expiredBy
      case 'transition':
        return this.#transitionedBy
      case 'keep':
        return this.#keptBy
    }
  }

  /** What follows from all images. To be asked once, after the last one was added. */
  decide(): Decisions {
    const deciding = this.decideInSteps()
    for (;;) {
      const step = deciding.next()
      if (step.done === true) return step.value
    }
  }

  /** As `decide`, which keeps a processor busy for some hundred milliseconds where there are a million images, a little at a time. */
  *decideInSteps(): Generator<undefined, Decisions> {
    const watchedRows = new Map([...this.#watched.values()].map((watched) => [watched.row, watched]))
    for (const order of new Set(this.#counted.map(({ rule }) => timeOrder(rule.newest!)))) {
      const youngestFirst = yield* this.#youngestFirst(order)
      const inOrder = this.#counted.filter(({ rule }) => timeOrder(rule.newest!) === order)
      yield* this.#decideCounted(inOrder.filter(({ rule }) => rule.newest!.by !== 'version'), youngestFirst, watchedRows)
      for (const placed of inOrder.filter(({ rule }) => rule.newest!.by === 'version')) {
        yield* this.#decideCounted([placed], yield* placed.counted!.order(youngestFirst), watchedRows)
      }
    }
    const { announcedBy, announcements } = this.#notices.serve({
      size: this.#size,
      flags: this.#flags.values,
      keptBy: this.#keptBy.values,
      expiredBy: this.#expiredBy.values,
      transitionedBy: this.#transitionedBy.values,
    })
    this.#dueAtMs = Math.min(this.#dueAtMs, this.#notices.dueAtMs)
    const columns: DecidedColumns = {
      size: this.#size,
      ids: this.#ids.values.subarray(0, this.#size),
      flags: this.#flags.values.subarray(0, this.#size),
      expiredBy: this.#expiredBy.values.subarray(0, this.#size),
      transitionedBy: this.#transitionedBy.values.subarray(0, this.#size),
      keptBy: this.#keptBy.values.subarray(0, this.#size),
      announcedBy,
      announcements,
    }
    const dueAtMs = this.#dueAtMs === Number.POSITIVE_INFINITY ? undefined : this.#dueAtMs
    return new Decisions(this.#policies, this.#nowMs, { columns, dueAtMs, watched: this.#watched, ...countDecided(this.#policies, columns) })
  }

  /** All rows, youngest first by a clock. */
  *#youngestFirst(clock: Clock): Generator<undefined, Uint32Array> {
    const times = this.#times.get(clock)!.values
    const ids = this.#ids.values
    const rows = new Uint32Array(this.#size)
    // Most were added in the order in which they were pushed.
    for (let row = 0; row < rows.length; row++) rows[row] = rows.length - 1 - row
    yield* sortInSteps(rows, (a, b) => times[b]! - times[a]! || ids[b]! - ids[a]!)
    return rows
  }

  /** Counts for all these rules in one pass: rows in an order lie scattered in memory. */
  *#decideCounted(placedRules: readonly PlacedRule[], rows: Uint32Array, watched: ReadonlyMap<number, WatchedImage>): Generator<undefined, void> {
    if (placedRules.length === 0) return
    const words = this.#words
    const masks = new Uint32Array(words)
    for (const { counted } of placedRules) masks[counted!.bit >>> 5]! |= 1 << (counted!.bit & 31)
    const counters = new Map(placedRules.map((placed) => [placed, placed.counted!.newCounters()]))
    for (const [index, row] of rows.entries()) {
      if (index % rowsPerStep === 0) yield
      for (let word = 0; word < words; word++) {
        const concerns = this.#concerns.values[row * words + word]!
        let counts = this.#counts.values[row * words + word]! & masks[word]!
        while (counts !== 0) {
          const bit = counts & -counts
          counts ^= bit
          const placed = this.#counted[word * 32 + 31 - Math.clz32(bit)]!
          const rank = placed.counted!.next(counters.get(placed)!, row)
          if (watched.size > 0) watched.get(row)?.ranks.set(placed.place, rank)
          const isAmongNewest = rank < placed.rule.newest!.count
          if (isAmongNewest === (placed.rule.action === 'keep') && (concerns & bit) !== 0) this.#mark(placed, row)
        }
      }
    }
  }
}

/** Where versions are equal the younger push comes first. */
function timeOrder({ by }: CountCondition): Clock {
  return by === 'version' ? 'pushed' : by
}
