/** A request that may have changed where a tag points. */
export interface TagWrite {
  readonly kind: 'set' | 'remove' | 'remove-image'
  /** Of `set` what the tag points at afterwards; of `remove-image` the image that went. */
  readonly digest?: string
  /** In the ledger's order of events: when it was sent, */
  readonly sentAt: number
  /** and when its answer came; undefined when none did, or it has not come yet. */
  answeredAt?: number
}

/**
 * What one tag may point at, as far as its clients can know: a register with concurrent writers. A value is possible
 * when the write that left it was not certainly followed by another one, that is, when no acknowledged write was sent
 * after its answer had come. A write without an answer may take effect at any moment until its server dies.
 */
export class TagHistory {
  #base: string | undefined
  #writes: TagWrite[] = []

  get isQuiet(): boolean {
    return this.#writes.length === 0
  }

  /** Where it pointed when it was last looked at, as long as nothing has been written since. */
  get settled(): string | undefined {
    return this.#base
  }

  begin(write: TagWrite): TagWrite {
    this.#writes.push(write)
    return write
  }

  /** For a write that was refused, and so did nothing. */
  withdraw(write: TagWrite): void {
    this.#writes = this.#writes.filter((other) => other !== write)
  }

  /** The digests it may point at now; undefined stands for no tag. */
  possible(): Set<string | undefined> {
    const base: TagWrite = { kind: 'set', sentAt: 0, answeredAt: 0, ...(this.#base === undefined ? {} : { digest: this.#base }) }
    const values = new Set<string | undefined>()
    for (const write of [base, ...this.#writes]) {
      const value = write.kind === 'set' ? write.digest : undefined
      if (!this.#writes.some((later) => hides(later, write, value))) values.add(value)
    }
    return values
  }

  /** Notes where it points while nobody writes: what came before explains nothing any more. */
  settle(digest: string | undefined): void {
    this.#base = digest
    this.#writes = []
  }
}

function hides(later: TagWrite, earlier: TagWrite, value: string | undefined): boolean {
  if (later.answeredAt === undefined || later.sentAt <= (earlier.answeredAt ?? Number.POSITIVE_INFINITY)) return false
  return later.kind !== 'remove-image' || later.digest === value
}
