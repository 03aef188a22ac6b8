import { Column, float64, markFirst, uint16, uint8 } from './columns.ts'
import type { CompiledRule } from './compiled.ts'
import { announcement, partFlag, type Action, type DecidedColumns } from './decisions.ts'
import type { ImageFacts } from './image-facts.ts'

/** Who gave the notice that an image has. */
const given = { none: 0, expire: 1, transition: 2, byHand: 3 } as const

type ServedColumns = Pick<DecidedColumns, 'size' | 'flags' | 'keptBy' | 'expiredBy' | 'transitionedBy'>

/**
 * What rules that give notice want of images, and what whoever pulls those has been told. A rule acts once an image has had its
 * notice: as long as the rule says by now, and until the time that was told. Several rules with one action go on with each
 * other's notice, and one that was given by hand is notice of everything.
 */
export class Notices {
  /** By place - 1. */
  readonly #rules: readonly CompiledRule[]
  readonly #nowMs: number
  readonly #givesAny: boolean
  readonly #wanted = { expire: new Column(uint16), transition: new Column(uint16) }
  readonly #given = new Column(uint8)
  readonly #since = new Column(float64)
  readonly #until = new Column(float64)
  #hasAny = false
  /** The earliest end of a notice; known once all is served. */
  dueAtMs = Number.POSITIVE_INFINITY

  constructor(placed: readonly { readonly rule: CompiledRule }[], nowMs: number) {
    this.#rules = placed.map(({ rule }) => rule)
    this.#nowMs = nowMs
    this.#givesAny = this.#rules.some(({ notice }) => notice !== undefined)
  }

  add({ notice }: ImageFacts, row: number): void {
    if (this.#givesAny) for (const column of Object.values(this.#wanted)) column.reserve(row)
    if (notice === undefined) return
    this.#hasAny = true
    for (const column of [this.#given, this.#since, this.#until]) column.reserve(row)
    this.#given.values[row] = given[notice.action ?? 'byHand']
    this.#since.values[row] = notice.since
    this.#until.values[row] = notice.until ?? 0
  }

  /** Notes that a rule which gives notice wants an image. */
  mark(action: Action, row: number, place: number): void {
    markFirst(this.#wanted[action].values, row, place)
  }

  /** Has those rules act whose notice is over, unless one acts already that gives none; and answers what is to be told of the others. */
  serve({ size, flags, keptBy, expiredBy, transitionedBy }: ServedColumns): Pick<DecidedColumns, 'announcedBy' | 'announcements'> {
    if (!this.#givesAny && !this.#hasAny) return { announcedBy: new Uint16Array(0), announcements: new Uint8Array(0) }
    const announcedBy = new Uint16Array(size)
    const announcements = new Uint8Array(size)
    const wanted = (action: Action, row: number): number => this.#wanted[action].values[row] ?? 0
    for (let row = 0; row < size; row++) {
      let willExpire = keptBy[row] === 0 ? wanted('expire', row) : 0
      let willArchive = keptBy[row] === 0 ? wanted('transition', row) : 0
      if (willExpire !== 0 && this.#endOf(row, willExpire) <= this.#nowMs) {
        expiredBy[row] ||= willExpire
        willExpire = 0
      }
      if (willArchive !== 0 && this.#endOf(row, willArchive) <= this.#nowMs) {
        transitionedBy[row] ||= willArchive
        willArchive = 0
      }
      const stays = keptBy[row] !== 0 || flags[row] === partFlag
      const acts: Action | undefined = stays ? undefined : expiredBy[row] !== 0 ? 'expire' : transitionedBy[row] !== 0 ? 'transition' : undefined
      const announced = acts === 'expire' ? 0 : willExpire || (acts === 'transition' ? 0 : willArchive)
      announcedBy[row] = announced
      announcements[row] = this.#announcement(row, announced, acts)
      // Also of what is not told first: an archiving rule's notice may be over before that of one that deletes.
      for (const place of [willExpire, willArchive]) if (place !== 0) this.dueAtMs = Math.min(this.dueAtMs, this.#endOf(row, place))
    }
    return { announcedBy, announcements }
  }

  /** When a rule's notice to an image is over; infinite where it was not given any. */
  #endOf(row: number, place: number): number {
    const by = this.#given.values[row] ?? given.none
    const { action, notice } = this.#rules[place - 1]!
    if (by !== given.byHand && by !== given[action as Action]) return Number.POSITIVE_INFINITY
    return Math.max(this.#since.values[row]! + notice!.ms, this.#until.values[row]!)
  }

  #announcement(row: number, announced: number, acts: Action | undefined): number {
    const by = this.#given.values[row] ?? given.none
    if (announced === 0) {
      if (by === given.none || by === given.byHand) return announcement.none
      return acts !== undefined && by === given[acts] ? announcement.told : announcement.withdraw
    }
    if (by === given.byHand) return announcement.told
    const end = this.#endOf(row, announced)
    return end === this.#until.values[row] ? announcement.told : announcement.tell
  }
}
