import { RecurringWork } from '../internal/recurring-work.ts'
import type { IdSource } from '../internal/ids.ts'
import { registryError } from '../registry/errors.ts'
import { commandContext, type Page, type PageRequest, type RequestContext } from '../registry/index.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import { listErasureRows, unfinishedErasures } from '../storage/metadata/stores/erasure-store.ts'
import { eraseImages, recordReclaimed, type EraseInput } from './commands/erase-images.ts'
import { toErasure, type Erasure, type ErasureDetail } from './erasure-record.ts'
import { reclaimBlob, type Reclaimed, type ReclaimDependencies } from './reclaim-blobs.ts'

export interface ErasuresDependencies extends ReclaimDependencies {
  readonly ids: IdSource
  readonly systemContext: () => CommandContext
  readonly onError: (error: unknown) => void
}

/** Bytes that wait, for a backup to end or because the server was stopped, are tried again this often. */
const retryIntervalMs = 60_000
const erasuresPerLook = 20

/** Erases images for good where a secret got into one: rows and bytes at once, with a record of what is gone and what still has it. */
export class Erasures {
  readonly #deps: ErasuresDependencies
  readonly #work: RecurringWork

  constructor(deps: ErasuresDependencies) {
    this.#deps = deps
    this.#work = new RecurringWork(() => this.finish(), deps.onError)
  }

  start(): void {
    this.#work.start(retryIntervalMs)
  }

  /** Waits for work under way. */
  stop(): Promise<void> {
    return this.#work.stop()
  }

  /** Throws as `eraseImages` does. With `dryRun` what it answers has no record. */
  async erase(context: RequestContext, input: Omit<EraseInput, 'id'>): Promise<Erasure> {
    const { database, ids } = this.#deps
    const command = commandContext(context)
    const id = ids.uuid()
    const detail = await database.execute(eraseImages, { id, ...input }, command)
    if (input.dryRun) {
      const { nowMs, actorArn } = command
      const row = { id: '', registry_id: 0, repository_id: 0, requested_at: nowMs, requested_by: actorArn, reason: input.reason, status: 'running', finished_at: null }
      return toErasure({ ...row, detail: JSON.stringify(detail) })
    }
    return this.#reclaim(id, detail, command)
  }

  async list(context: RequestContext, page: PageRequest): Promise<Page<Erasure>> {
    const before = page.after === undefined ? { time: Number.MAX_SAFE_INTEGER, id: '' } : parsePosition(page.after)
    const rows = await listErasureRows(this.#deps.database.reader, context.registry.id, before, page.limit + 1)
    const shown = rows.slice(0, page.limit)
    const last = rows.length > page.limit ? shown.at(-1) : undefined
    return { items: shown.map(toErasure), next: last && `${last.requested_at}:${last.id}` }
  }

  /** Goes on with erasures whose bytes wait. */
  async finish(): Promise<void> {
    const { database, systemContext } = this.#deps
    for (const { id, detail, registry_id: registryId, accountId, region } of await unfinishedErasures(database.reader, erasuresPerLook)) {
      await this.#reclaim(id, JSON.parse(detail) as ErasureDetail, { ...systemContext(), registryId, accountId, region })
    }
  }

  async #reclaim(id: string, detail: ErasureDetail, context: CommandContext): Promise<Erasure> {
    const { database, onError } = this.#deps
    const outcomes: { blobId: number; outcome: Reclaimed }[] = []
    try {
      for (const { blobId, bytes } of detail.blobs) {
        if (bytes === 'waiting') outcomes.push({ blobId, outcome: await reclaimBlob(this.#deps, blobId, context) })
      }
    } catch (error) {
      // The rows are gone, so that nobody is given the bytes: those that are left wait for the next try.
      onError(error)
    }
    return toErasure(await database.execute(recordReclaimed, { id, outcomes }, context))
  }
}

function parsePosition(after: string): { time: number; id: string } {
  const [, time, id] = /^(\d{1,15}):([0-9a-f-]{36})$/u.exec(after) ?? []
  if (time === undefined || id === undefined) throw registryError('page-invalid', 'The page token is not one that was given out.')
  return { time: Number(time), id }
}
