import type { CompiledPolicy } from './compiled.ts'
import { explainImage, type Explanation } from './explanation.ts'
import type { ImageFacts } from './image-facts.ts'

export type Action = 'expire' | 'transition'

/** One image, and the rule that acts on it. */
export interface Decision {
  readonly manifestId: number
  readonly action: Action
  /** The policy's place in the list that was evaluated, from 0. */
  readonly policy: number
  /** The rule's number in it: ECR's priority, or its place from 1. */
  readonly rule: number
}

/** How many images a rule acts on. */
export interface RuleCount {
  readonly policy: number
  readonly rule: number
  readonly action: Action
  readonly images: number
}

/** By row; rules by their place among all, from 1. */
export interface DecidedColumns {
  readonly size: number
  readonly ids: Float64Array
  /** `partFlag`: part of another's unit. */
  readonly flags: Uint8Array
  readonly expiredBy: Uint16Array
  readonly transitionedBy: Uint16Array
  readonly keptBy: Uint16Array
  /** The rule that will act when its notice is over. Empty where no rule gives notice and no image was given any. */
  readonly announcedBy: Uint16Array
  /** As `Announcement` has them; empty likewise. */
  readonly announcements: Uint8Array
}

export const partFlag = 1

/** What is to be told, or taken back, of a row's end. */
export const announcement = { none: 0, tell: 1, told: 2, withdraw: 3 } as const

/** A watched image, and its rank (from 0) among those that a rule counts, by the rule's place. */
export interface WatchedImage {
  readonly image: ImageFacts
  readonly row: number
  readonly ranks: Map<number, number>
}

/** Everything of `Decisions` but the policies: plain data, which can be sent to another thread. */
export interface DecidedParts {
  readonly columns: DecidedColumns
  /** As `Decisions` has them: counted once, where the columns come to be. */
  readonly imageCount: number
  readonly counts: readonly RuleCount[]
  readonly dueAtMs: number | undefined
  readonly watched: ReadonlyMap<number, WatchedImage>
}

/** What an evaluation came to. Iterating it again costs as much as the first time; nothing of it changes. */
export class Decisions implements Iterable<Decision> {
  /** The earliest time at which the outcome can become another by time alone; undefined: never. */
  readonly dueAtMs: number | undefined
  /** Parts of others' units are not counted, as they are not in the other counts. */
  readonly imageCount: number
  readonly expireCount: number
  readonly transitionCount: number
  /** Of every rule that acts on any image, in the order of policies and rules. */
  readonly counts: readonly RuleCount[]

  readonly #policies: readonly CompiledPolicy[]
  readonly #nowMs: number
  readonly #columns: DecidedColumns
  readonly #watched: ReadonlyMap<number, WatchedImage>
  /** By place - 1. */
  readonly #places: readonly Place[]

  /** @param policies those that were evaluated, in the same order */
  constructor(policies: readonly CompiledPolicy[], nowMs: number, { columns, dueAtMs, watched, imageCount, counts }: DecidedParts) {
    this.#policies = policies
    this.#nowMs = nowMs
    this.#columns = columns
    this.#watched = watched
    this.#places = placesOf(policies)
    this.dueAtMs = dueAtMs
    this.imageCount = imageCount
    this.counts = counts
    this.expireCount = sum(counts, 'expire')
    this.transitionCount = sum(counts, 'transition')
  }

  get parts(): DecidedParts {
    return { columns: this.#columns, dueAtMs: this.dueAtMs, watched: this.#watched, imageCount: this.imageCount, counts: this.counts }
  }

  *[Symbol.iterator](): IterableIterator<Decision> {
    for (let row = 0; row < this.#columns.size; row++) {
      const place = this.#acting(row)
      if (place > 0 && !this.#isPart(row)) yield this.#decision(row, place)
    }
  }

  /**
   * Images that an ECR rule would act on and may not, because they are parts of others' units: ECR reports them as
   * `ImageReferencedByManifestList`.
   */
  *blocked(): IterableIterator<Decision> {
    for (let row = 0; row < this.#columns.size; row++) {
      const place = this.#acting(row)
      if (place > 0 && this.#isPart(row)) yield this.#decision(row, place)
    }
  }

  /** Images on which a rule will act when its notice is over, and what has been told of them so far: nothing, too little, or enough. */
  *announced(): IterableIterator<Decision & { readonly isTold: boolean }> {
    const { announcements, announcedBy } = this.#columns
    for (const [row, state] of announcements.entries()) {
      const isTold = state === announcement.told
      if (announcedBy[row] !== 0) yield { ...this.#decision(row, announcedBy[row]!), isTold }
    }
  }

  /** Images that go or are archived, now or when a notice is over; of one that is archived now and goes later, that it goes. */
  *ends(): IterableIterator<Decision & { readonly isAfterNotice: boolean }> {
    const { size, announcedBy } = this.#columns
    for (let row = 0; row < size; row++) {
      if (this.#isPart(row)) continue
      const acting = this.#acting(row)
      const announced = announcedBy[row] ?? 0
      if (this.#actionAt(acting) === 'expire') yield { ...this.#decision(row, acting), isAfterNotice: false }
      else if (this.#actionAt(announced) === 'expire') yield { ...this.#decision(row, announced), isAfterNotice: true }
      else if (acting > 0) yield { ...this.#decision(row, acting), isAfterNotice: false }
      else if (this.#actionAt(announced) === 'transition') yield { ...this.#decision(row, announced), isAfterNotice: true }
    }
  }

  /** Images of which a rule told something that is not to come any more. */
  *withdrawn(): IterableIterator<number> {
    const { announcements, ids } = this.#columns
    for (const [row, state] of announcements.entries()) if (state === announcement.withdraw) yield ids[row]!
  }

  /** Every rule's verdict on an image in plain words; undefined for one that was not watched, or not added. */
  why(manifestId: number): Explanation | undefined {
    const watched = this.#watched.get(manifestId)
    if (watched === undefined) return undefined
    const { row, image, ranks } = watched
    return explainImage(this.#policies, this.#nowMs, {
      image,
      ranks,
      actingPlace: this.#acting(row),
      announcingPlace: this.#columns.announcedBy[row] ?? 0,
      keptByPlace: this.#columns.keptBy[row]!,
    })
  }

  /** What the rule at a place does; undefined for none. */
  #actionAt(place: number): Place['action'] | undefined {
    return this.#places[place - 1]?.action
  }

  #acting(row: number): number {
    return actingPlace(this.#columns, row)
  }

  #isPart(row: number): boolean {
    return isPart(this.#columns, row)
  }

  #decision(row: number, place: number): Decision {
    const { policy, rule, action } = this.#places[place - 1]!
    return { manifestId: this.#columns.ids[row]!, action: action as Action, policy, rule }
  }
}

/** A rule, where it stands among all rules of all policies. */
interface Place {
  readonly policy: number
  readonly rule: number
  readonly action: CompiledPolicy['rules'][number]['action']
}

function placesOf(policies: readonly CompiledPolicy[]): Place[] {
  return policies.flatMap(({ rules }, policy) => rules.map(({ number, action }) => ({ policy, rule: number, action })))
}

/** The place of the rule that acts on a row; 0 for none. */
export function actingPlace({ keptBy, expiredBy, transitionedBy }: DecidedColumns, row: number): number {
  if (keptBy[row] !== 0) return 0
  return expiredBy[row]! || transitionedBy[row]!
}

function isPart({ flags }: DecidedColumns, row: number): boolean {
  return flags[row] === partFlag
}

/** What the columns come to in numbers: ten milliseconds for a million rows. */
export function countDecided(policies: readonly CompiledPolicy[], columns: DecidedColumns): Pick<DecidedParts, 'imageCount' | 'counts'> {
  const places = placesOf(policies)
  const images = new Uint32Array(places.length)
  let parts = 0
  for (let row = 0; row < columns.size; row++) {
    const place = actingPlace(columns, row)
    if (isPart(columns, row)) parts++
    else if (place > 0) images[place - 1]!++
  }
  const counts = places.flatMap(({ policy, rule, action }, index) =>
    images[index] === 0 ? [] : [{ policy, rule, action: action as Action, images: images[index]! }],
  )
  return { imageCount: columns.size - parts, counts }
}

function sum(counts: readonly RuleCount[], action: Action): number {
  return counts.reduce((total, count) => (count.action === action ? total + count.images : total), 0)
}
