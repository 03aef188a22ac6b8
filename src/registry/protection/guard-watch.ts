import type { CommandContext } from '../../storage/metadata/command.ts'
import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import { countOpenHolds, openHolds } from '../../storage/metadata/stores/hold-store.ts'
import { listEverySource } from '../../storage/metadata/stores/usage-store.ts'
import { compareWithLastStart, noteDoubtedSources, raiseClockHold, recordClock, type PlacedSource } from '../commands/holds.ts'
import { doubtOf } from '../usage/source-health.ts'
import { clockJumpMs, type ClockMark } from './clock-mark.ts'
import type { HoldCause } from './hold-words.ts'

export interface GuardWatchDependencies {
  readonly database: MetadataDatabase
  /** Both clocks now. */
  readonly readClocks: () => ClockMark
  readonly systemContext: () => CommandContext
  /** Told of what was put on hold, in how many registries or because of which sources. */
  readonly onHold: (notice: { readonly cause: HoldCause; readonly registries?: number; readonly sources?: readonly string[] }) => void
  readonly onError: (error: unknown) => void
}

/** Clocks are compared this often: reading them costs nothing, and what acts by itself acts in minutes. */
const clockIntervalMs = 5000
/** What has to be read and written comes less often; it tells people, and nothing else waits for it. */
const lookIntervalMs = 60_000
/** Sources read with one statement. */
const sourcesPerPage = 500

/**
 * Notices after what nothing should be removed by itself: at the start what happened while no server ran, and from then on
 * clocks that are set and sources that fall silent. Of several servers with one database each looks, and what one has noticed
 * the others do not notice again.
 */
export class GuardWatch {
  /** Holds that are not released, by cause. */
  readonly openHolds = new Map<string, number>()
  readonly #deps: GuardWatchDependencies
  #mark: ClockMark | undefined
  #lookedAtMs = 0
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> = Promise.resolve()

  constructor(deps: GuardWatchDependencies) {
    this.#deps = deps
  }

  /**
   * Compares this start with the last one, before anything is removed. Returns the causes for which there are holds now.
   * @param schema the newest migration of this program
   */
  async start(schema: string): Promise<ReadonlyMap<string, number>> {
    const { database, readClocks, systemContext } = this.#deps
    const clock = readClocks()
    const raised = await database.execute(compareWithLastStart, { schema, clock }, systemContext())
    for (const cause of ['restore', 'migration', 'clock'] as const) {
      if (raised[cause] > 0) this.#deps.onHold({ cause, registries: raised[cause] })
    }
    this.#mark = clock
    await this.#count()
    this.#timer = setInterval(() => void this.look(), clockIntervalMs)
    this.#timer.unref()
    return this.openHolds
  }

  /** One look at the clocks and, where it is time, at the sources. Never rejects: what fails is tried again at the next. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#look()).catch(this.#deps.onError)
    return this.#looking
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#looking
  }

  async #look(): Promise<void> {
    const { database, readClocks, systemContext, onHold } = this.#deps
    const now = readClocks()
    const jumpMs = this.#mark === undefined ? 0 : clockJumpMs(this.#mark, now)
    if (jumpMs !== 0) {
      const registries = await database.execute(raiseClockHold, { jumpMs }, systemContext())
      if (registries > 0) onHold({ cause: 'clock', registries })
    }
    this.#mark = now
    // By the clock that nobody sets.
    if (jumpMs === 0 && now.uptimeMs - this.#lookedAtMs < lookIntervalMs) return
    this.#lookedAtMs = now.uptimeMs
    await database.execute(recordClock, { clock: now }, systemContext())
    const doubted = await this.#doubtedSources(now.wallMs)
    if (doubted.length > 0) {
      const noted = await database.execute(noteDoubtedSources, { sources: doubted }, systemContext())
      if (noted.length > 0) onHold({ cause: 'source', sources: noted.map(({ name }) => name) })
    }
    await this.#count()
  }

  /** Those of which nobody has said it yet. */
  async #doubtedSources(nowMs: number): Promise<PlacedSource[]> {
    const { reader } = this.#deps.database
    const found: PlacedSource[] = []
    for (let after = 0; ; ) {
      const sources = await listEverySource(reader, after, sourcesPerPage)
      for (const source of sources) {
        if (source.waived_at !== null || doubtOf(source, nowMs) === undefined) continue
        const held = (await openHolds(reader, source.registry_id)).some(({ source_id: id }) => id === source.id)
        if (!held) found.push({ name: source.name, registryId: source.registry_id, accountId: source.account_id, region: source.region })
      }
      after = sources.at(-1)?.id ?? after
      if (sources.length < sourcesPerPage) return found
    }
  }

  async #count(): Promise<void> {
    const counts = await countOpenHolds(this.#deps.database.reader)
    this.openHolds.clear()
    for (const { cause, count } of counts) this.openHolds.set(cause, count)
  }
}
