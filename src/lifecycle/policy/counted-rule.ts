import { Column, float64, uint32 } from './columns.ts'
import type { CountCondition } from './compiled.ts'
import type { ImageFacts } from './image-facts.ts'
import { sortInSteps } from './sort-in-steps.ts'

/** What the evaluation keeps of the images that one rule counts, beside the bit that says that it does. */
export class CountedRule {
  /** Its number among the counting rules: the place of its bits. */
  readonly bit: number
  readonly #condition: CountCondition
  readonly #groups: Column<Uint32Array> | undefined
  readonly #groupNumbers = new Map<string, number>()
  readonly #packed: Column<Float64Array> | undefined
  /** By row; what `packed` leaves open. */
  readonly #texts: string[] = []

  constructor(condition: CountCondition, bit: number) {
    this.bit = bit
    this.#condition = condition
    this.#groups = condition.groupOf === undefined ? undefined : new Column(uint32)
    this.#packed = condition.versionOf === undefined ? undefined : new Column(float64)
  }

  reserve(row: number): void {
    this.#groups?.reserve(row)
    this.#packed?.reserve(row)
  }

  add(image: ImageFacts, row: number): void {
    const { groupOf, versionOf } = this.#condition
    if (groupOf !== undefined) {
      const group = groupOf(image)
      const known = this.#groupNumbers.get(group)
      const number = known ?? this.#groupNumbers.size
      if (known === undefined) this.#groupNumbers.set(group, number)
      this.#groups!.values[row] = number
    }
    if (versionOf !== undefined) {
      const key = versionOf(image)
      this.#packed!.values[row] = key?.packed ?? -1
      if (key !== undefined) this.#texts[row] = key.text
    }
  }

  /** Rows in the order in which this rule counts them. Rows that it does not count may be among them. */
  *order(youngestFirst: Uint32Array): Generator<undefined, Uint32Array> {
    const packed = this.#packed?.values
    if (packed === undefined) return youngestFirst
    const texts = this.#texts
    // The sort is stable: equal versions stay youngest first.
    const rows = youngestFirst.slice()
    yield* sortInSteps(rows, (a, b) => packed[b]! - packed[a]! || compareTexts(texts[b], texts[a]))
    return rows
  }

  newCounters(): Uint32Array {
    return new Uint32Array(Math.max(1, this.#groupNumbers.size))
  }

  /** How many of its group came before this row. */
  next(counters: Uint32Array, row: number): number {
    const group = this.#groups?.values[row] ?? 0
    const rank = counters[group]!
    counters[group] = rank + 1
    return rank
  }
}

function compareTexts(a = '', b = ''): number {
  return a < b ? -1 : a > b ? 1 : 0
}
