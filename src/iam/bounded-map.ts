/** A map that forgets what was set longest ago when it is full. */
export class BoundedMap<Value> {
  readonly #entries = new Map<string, Value>()
  readonly #maxEntries: number
  // One iterator for good: all before it is gone, so its next key is the oldest. A new iterator for each eviction would
  // walk over the places of everything evicted since the table last grew, some 20 µs each time at 20,000 entries.
  readonly #oldestFirst: Iterator<string, undefined> = this.#entries.keys()

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): Value | undefined {
    return this.#entries.get(key)
  }

  /** Sets the entry and makes it the youngest. */
  set(key: string, value: Value): void {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    if (this.#entries.size <= this.#maxEntries) return
    const oldest = this.#oldestFirst.next()
    if (oldest.done !== true) this.#entries.delete(oldest.value)
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }
}
