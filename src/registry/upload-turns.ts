/**
 * Who writes to which upload session in this process. A newcomer always wins: an append that is under way is called
 * off, since its connection may be long dead, and whatever else runs (a hash, a publication, a commit) is waited for.
 * So the steps of finishing an upload never mix with another writer's.
 */
export class UploadTurns {
  /** The name of this process among those that share the uploads. */
  readonly writer: string
  readonly #running = new Map<string, { readonly stop: AbortController; readonly done: Promise<void> }>()

  constructor(writer: string) {
    this.writer = writer
  }

  isBusy(uploadId: string): boolean {
    return this.#running.has(uploadId)
  }

  /** Runs alone on the session; `superseded` fires when another writer wants it. */
  async take<Result>(uploadId: string, run: (superseded: AbortSignal) => Promise<Result>): Promise<Result> {
    for (;;) {
      const other = this.#running.get(uploadId)
      if (other === undefined) break
      other.stop.abort()
      await other.done
    }
    const stop = new AbortController()
    const done = Promise.withResolvers<undefined>()
    this.#running.set(uploadId, { stop, done: done.promise })
    try {
      return await run(stop.signal)
    } finally {
      this.#running.delete(uploadId)
      done.resolve(undefined)
    }
  }
}
