import { commandContext, type RequestContext } from '../registry/context.ts'
import { parseIdPosition, toPage } from '../registry/paging.ts'
import type { Page } from '../registry/types.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { listDeadLetters, type DeadLetterRow } from '../storage/metadata/stores/event-dead-letter-store.ts'
import { replayDeadLetters } from './commands/delivery.ts'

export type DeadLetter = DeadLetterRow

/** Events of a registry that were given up, with the reason; kept for two weeks. */
export class DeadLetters {
  readonly #database: MetadataDatabase
  readonly #onReplay: () => void

  /** @param onReplay hears that something is to be sent */
  constructor(database: MetadataDatabase, onReplay: () => void) {
    this.#database = database
    this.#onReplay = onReplay
  }

  /** Oldest first. Throws `page-invalid`. */
  async list(context: RequestContext, page: { readonly limit: number; readonly after: string | undefined }): Promise<Page<DeadLetter>> {
    const rows = await listDeadLetters(this.#database.reader, context.registry.id, parseIdPosition(page.after), page.limit + 1)
    return toPage(rows, page.limit, (row) => row, ({ id }) => String(id))
  }

  /** Sends them again, as if they had just happened: behind what is on its way. Those whose targets are gone stay. */
  async replay(context: RequestContext, ids: readonly number[]): Promise<{ readonly replayed: readonly number[]; readonly lost: readonly number[] }> {
    const outcome = await this.#database.execute(replayDeadLetters, { ids }, commandContext(context))
    this.#onReplay()
    return outcome
  }
}
