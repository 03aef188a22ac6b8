interface Entry<Value> {
  readonly key: string
  value: Value
  older: Entry<Value> | undefined
  younger: Entry<Value> | undefined
}

/**
 * A map that forgets what was set longest ago when it is full.
 *
 * The entries form a chain by age. A `Map` keeps an order, too, but to find its oldest entry takes an iterator: a new one
 * walks over the places of all that was deleted, some 20 µs at 20,000 entries, and one that is kept holds every table
 * that the map ever had.
 */
export class BoundedMap<Value> {
  readonly #entries = new Map<string, Entry<Value>>()
  readonly #maxEntries: number
  #oldest: Entry<Value> | undefined
  #youngest: Entry<Value> | undefined

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): Value | undefined {
    return this.#entries.get(key)?.value
  }

  /** Sets the entry and makes it the youngest. */
  set(key: string, value: Value): void {
    const known = this.#entries.get(key)
    if (known !== undefined) {
      known.value = value
      if (known === this.#youngest) return
      this.#unchain(known)
      this.#chain(known)
      return
    }
    const entry: Entry<Value> = { key, value, older: undefined, younger: undefined }
    this.#entries.set(key, entry)
    this.#chain(entry)
    if (this.#entries.size > this.#maxEntries && this.#oldest !== undefined) this.delete(this.#oldest.key)
  }

  delete(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#unchain(entry)
  }

  clear(): void {
    this.#entries.clear()
    this.#oldest = undefined
    this.#youngest = undefined
  }

  #chain(entry: Entry<Value>): void {
    entry.older = this.#youngest
    if (this.#youngest === undefined) this.#oldest = entry
    else this.#youngest.younger = entry
    this.#youngest = entry
  }

  #unchain(entry: Entry<Value>): void {
    const { older, younger } = entry
    if (older === undefined) this.#oldest = younger
    else older.younger = younger
    if (younger === undefined) this.#youngest = older
    else younger.older = older
    entry.older = undefined
    entry.younger = undefined
  }
}
