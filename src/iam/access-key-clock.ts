import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { AccessKeyUse } from '../storage/metadata/stores/access-key-store.ts'
import { BoundedMap } from './bounded-map.ts'
import { recordAccessKeyUses } from './commands/access-keys.ts'
import { isTemporaryKeyId } from './sessions.ts'

/** How far the records may lag behind the uses. */
const flushIntervalMs = 1000
/** A burst of more keys than this is written early: bounds memory and the size of one change. */
const maxWaitingKeys = 1000
/** A key that is used all the time is written this often: nobody asks for more than the day. */
const granularityMs = 60_000
/** For how many keys it is known when they were written last; for others it costs a write too many. */
const maxRememberedKeys = 10_000

/** Remembers when access keys were used last, and writes it in batches: a request waits for nothing. */
export class AccessKeyClock {
  readonly #database: MetadataDatabase
  readonly #context: () => CommandContext
  readonly #onError: (error: unknown) => void
  #noted = new BoundedMap<AccessKeyUse>(maxRememberedKeys)
  #waiting = new Map<string, AccessKeyUse>()
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<void> = Promise.resolve()

  constructor(database: MetadataDatabase, context: () => CommandContext, onError: (error: unknown) => void) {
    this.#database = database
    this.#context = context
    this.#onError = onError
  }

  /** `service` and `region` as in a signature's scope. */
  record(accessKeyId: string, { service, region, atMs }: { service: string; region: string; atMs: number }): void {
    // Temporary ones end by themselves, and say nothing of a key that could be taken away.
    if (isTemporaryKeyId(accessKeyId)) return
    const noted = this.#noted.get(accessKeyId)
    if (noted !== undefined && atMs - noted.last_used_at < granularityMs && noted.service === service && noted.region === region) {
      return
    }
    const use = { access_key_id: accessKeyId, last_used_at: atMs, region, service }
    this.#noted.set(accessKeyId, use)
    this.#waiting.set(accessKeyId, use)
    if (this.#waiting.size >= maxWaitingKeys) void this.flush()
    else this.#timer ??= setTimeout(() => void this.flush(), flushIntervalMs).unref()
  }

  /** Writes what waits. Never throws: a use that cannot be written is an error to report, not a failed request. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const waiting = this.#waiting
    if (waiting.size > 0) {
      this.#waiting = new Map()
      // In the order of ids, so that two processes never wait for each other's rows.
      const uses = [...waiting.values()].sort((a, b) => (a.access_key_id < b.access_key_id ? -1 : 1))
      this.#flushing = this.#flushing.then(async () => {
        try {
          await this.#database.execute(recordAccessKeyUses, { uses }, this.#context())
        } catch (error) {
          this.#onError(error)
        }
      })
    }
    return this.#flushing
  }
}
