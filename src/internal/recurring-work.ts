/**
 * Work in the background that is done now and then, by one at a time in this process, and that the end of the process waits for.
 */
export class RecurringWork {
  readonly #work: (signal: AbortSignal) => Promise<unknown>
  readonly #onError: (error: unknown) => void
  readonly #stop = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #isWantedAgain = false

  /**
   * @param work is given a signal that ends it; what it throws then is told to nobody
   * @param onError hears of every other failure, after which the work is tried again at its next time
   */
  constructor(work: (signal: AbortSignal) => Promise<unknown>, onError: (error: unknown) => void) {
    this.#work = work
    this.#onError = onError
  }

  get isStopped(): boolean {
    return this.#stop.signal.aborted
  }

  /** Does the work from now on this often, the first time after one interval. Keeps no process alive. */
  start(intervalMs: number): void {
    this.#timer = setInterval(() => void this.run(), intervalMs)
    this.#timer.unref()
  }

  /** Does the work, or waits for it where it is under way. Never rejects. */
  run(): Promise<void> {
    this.#running ??= this.#rounds().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** As `run`, for something that has to be seen: where the work is under way, it is done once more afterwards. */
  runAfresh(): Promise<void> {
    this.#isWantedAgain = this.#running !== undefined
    return this.run()
  }

  /** Tells the work to end, and waits for that. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stop.abort(new Error('the server stops'))
    await this.#running
  }

  async #rounds(): Promise<void> {
    do {
      this.#isWantedAgain = false
      try {
        await this.#work(this.#stop.signal)
      } catch (error) {
        if (!this.isStopped) this.#onError(error)
      }
    } while (this.#isWantedAgain && !this.isStopped)
  }
}
