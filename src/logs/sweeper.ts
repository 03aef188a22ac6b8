import { RecurringWork } from '../internal/recurring-work.ts'
import type { Clock } from '../internal/clock.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import { findCondemnedGroup, listRetainingGroups } from '../storage/metadata/logs/group-store.ts'
import type { LogsDatabase } from '../storage/metadata/logs/open.ts'
import { findCondemnedStream } from '../storage/metadata/logs/stream-store.ts'
import { removeExpiredLines, removeGroupLines, removeStreamLines } from './commands/sweep.ts'

const dayMs = 24 * 60 * 60 * 1000
/** Lines that one command removes: some milliseconds, after which others have their turn. */
const linesAtOnce = 2_000
const groupsAtOnce = 100
/**
 * Lines that have come of age are looked for this often; they are not shown meanwhile. Another server may have been told at which age, and be gone.
 */
const ageEveryMs = 60 * 60 * 1000

export interface SweeperDependencies {
  readonly open: () => Promise<LogsDatabase>
  readonly clock: Clock
  readonly context: () => CommandContext
  readonly onError: (error: unknown) => void
}

/** Removes lines that are too old, and what was in groups and streams that were deleted. Looks only where there may be something. */
export class LogSweeper {
  readonly #deps: SweeperDependencies
  readonly #work: RecurringWork
  #nextLook: NodeJS.Timeout | undefined

  constructor(deps: SweeperDependencies) {
    this.#deps = deps
    this.#work = new RecurringWork((signal) => this.#sweep(signal), deps.onError)
  }

  /** Something was deleted, or lines go at an age from now on. Resolves when it is done. */
  wake(): Promise<void> {
    return this.#work.isStopped ? Promise.resolve() : this.#work.runAfresh()
  }

  async stop(): Promise<void> {
    clearTimeout(this.#nextLook)
    await this.#work.stop()
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { open, context } = this.#deps
    const database = await open()
    while (!signal.aborted) {
      const groupId = await findCondemnedGroup(database.reader)
      if (groupId === undefined) break
      while (!signal.aborted && !(await database.execute(removeGroupLines, { groupId, limit: linesAtOnce }, context())));
    }
    while (!signal.aborted) {
      const stream = await findCondemnedStream(database.reader)
      if (stream === undefined) break
      while (!signal.aborted && !(await database.execute(removeStreamLines, { groupId: stream.groupId, streamId: stream.id, limit: linesAtOnce }, context())));
    }
    await this.#removeExpired(database, signal)
    this.#lookAgain()
  }

  async #removeExpired(database: LogsDatabase, signal: AbortSignal): Promise<void> {
    const { clock, context } = this.#deps
    let after = 0
    for (;;) {
      const groups = await listRetainingGroups(database.reader, after, groupsAtOnce)
      for (const { id: groupId, retentionDays } of groups) {
        const before = clock.now() - retentionDays * dayMs
        while (!signal.aborted && (await database.execute(removeExpiredLines, { groupId, before, limit: linesAtOnce }, context())) === linesAtOnce);
      }
      const last = groups.at(-1)
      if (groups.length < groupsAtOnce || last === undefined || signal.aborted) return
      after = last.id
    }
  }

  #lookAgain(): void {
    clearTimeout(this.#nextLook)
    if (this.#work.isStopped) return
    this.#nextLook = setTimeout(() => void this.#work.run(), ageEveryMs)
    this.#nextLook.unref()
  }
}
