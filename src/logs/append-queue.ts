import { isPlatformError } from '../internal/platform-error.ts'
import type { AppendResult, LineBatch } from './commands/append.ts'

/** Calls that share a commit. */
const mostBatches = 64
/** Of text, so that no commit takes long. */
const mostCharacters = 8 * 1024 * 1024

interface Waiting {
  readonly batch: LineBatch
  readonly resolve: (result: AppendResult) => void
  readonly reject: (error: unknown) => void
}

/**
 * Calls that add lines, one commit after another: whoever comes while one is under way shares the next. How much waits here is
 * bounded by what the server takes of bodies of requests.
 */
export class AppendQueue {
  readonly #append: (batches: readonly LineBatch[]) => Promise<readonly AppendResult[]>
  readonly #waiting: Waiting[] = []
  #running: Promise<void> | undefined

  constructor(append: (batches: readonly LineBatch[]) => Promise<readonly AppendResult[]>) {
    this.#append = append
  }

  /** Answers after the commit. Rejects where nothing is known to have been written. */
  add(batch: LineBatch): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    // Those of this turn of the event loop go together.
    await Promise.resolve()
    while (this.#waiting.length > 0) await this.#write(this.#next())
    // At once: whoever comes a moment later would wait for a run that is over.
    this.#running = undefined
  }

  #next(): readonly Waiting[] {
    let characters = 0
    let count = 0
    for (const { batch } of this.#waiting) {
      characters += batch.lines.length
      if (count > 0 && (count === mostBatches || characters > mostCharacters)) break
      count += 1
    }
    return this.#waiting.splice(0, count)
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    try {
      const results = await this.#append(group.map(({ batch }) => batch))
      for (const [index, { resolve }] of group.entries()) resolve(results[index]!)
    } catch (error) {
      // What the database refuses of one is no reason to refuse the others.
      if (group.length > 1 && !isPlatformError(error)) for (const one of group) await this.#write([one])
      else for (const { reject } of group) reject(error)
    }
  }
}
