import { setImmediate } from 'node:timers/promises'
import type { EventEnvelope } from '../../events/envelope.ts'
import { RecurringWork } from '../../internal/recurring-work.ts'
import type { CommandContext } from '../../storage/metadata/command.ts'
import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import { dimensionsOf, dimensionsText, findSeries, readBuckets } from '../../storage/metadata/observe/metric-store.ts'
import { biggestOfHour, lastSeries, newestSeries, seriesAfter } from '../../storage/metadata/observe/watch-store.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { findServerMark } from '../../storage/metadata/stores/server-mark-store.ts'
import { listRegistries } from '../../storage/metadata/stores/storage-use-store.ts'
import { claimLook, noteUse, watchLookMark, watchMark } from '../commands/watch.ts'
import { otherValue, ownNamespace, registryOfMetrics } from '../metric-names.ts'
import { isLearnt, isToldAnew, judgedHours, unusualHour, usualMs, volumeNames, volumes, type Hour, type Volume } from './judgement.ts'
import { unusualUseEvent, type Burst, type Newcomer, type Share, type UnusualUse } from './unusual-event.ts'

export interface UnusualUseDependencies {
  readonly database: MetadataDatabase
  /** Of what was observed. */
  readonly metrics: Session
  readonly clock: { now(): number }
  readonly systemContext: () => CommandContext
  /** Which targets of a registry's rules take an event. */
  readonly targetsOf: (registryId: number, event: EventEnvelope) => Promise<readonly number[]>
  /** It is in the trail, and on its way where a rule takes it. */
  readonly onUnusual: (event: EventEnvelope) => void
  readonly onError: (error: unknown) => void
}

export interface WatchSettings {
  readonly everyMs: number
  readonly learningMs: number
  /** How many times the highest hour is unusual. */
  readonly factor: number
  /** No other server uses the database. */
  readonly isAlone: boolean
}

/** What is kept of a registry between looks, as JSON. */
interface Memory {
  /** When it was looked at first. */
  readonly since: number
  /** The last series of its users and networks that was seen. */
  readonly place: number
  /** The last hour that had too much of something. */
  readonly unusual: Readonly<Partial<Record<Volume, number>>>
}

interface WatchedRegistry {
  readonly id: number
  readonly accountId: string
  readonly region: string
}

const hourMs = 60 * 60_000

/** Whoever does one of these is known from then on. */
const metricsOfUsers = { PullCount: 'pulls', PushCount: 'pushes', DeleteCount: 'deletes' } as const
const names = Object.keys(metricsOfUsers) as (keyof typeof metricsOfUsers)[]

const kinds: Readonly<Record<string, Newcomer['kind']>> = { Principal: 'NEW_PRINCIPAL', SourceNetwork: 'NEW_NETWORK' }

/** New series of a registry in one look; the next look goes on. */
const seriesPerLook = 500
/** More than these of one kind in a look are only counted: a registry that was opened to the world has hundreds. */
const toldPerLook = 5
const mostShares = 3

/**
 * Looks every few minutes at what the metrics have of each registry, and tells what is unusual: somebody or a network that was never
 * there, and hours that have far more than any before. What was seen and what was told is kept in the transaction that tells it, so
 * that it is told once, whatever server does it and whenever it is killed.
 */
export class UnusualUseWatch {
  readonly #deps: UnusualUseDependencies
  readonly #settings: WatchSettings
  readonly #looks: RecurringWork

  constructor(deps: UnusualUseDependencies, settings: WatchSettings) {
    this.#deps = deps
    this.#settings = settings
    this.#looks = new RecurringWork((signal) => this.look(signal), deps.onError)
  }

  start(): void {
    this.#looks.start(this.#settings.everyMs)
  }

  stop(): Promise<void> {
    return this.#looks.stop()
  }

  /** Looks at every registry, where no other server has in this span of time. A failure of one is told, and keeps none of the others. */
  async look(signal?: AbortSignal): Promise<void> {
    const { database, metrics, onError } = this.#deps
    if (!(await this.#claim())) return
    const newest = await newestSeries(metrics)
    for (const registry of await listRegistries(database.reader)) {
      if (signal?.aborted === true) return
      await this.#lookAt(registry, newest).catch(onError)
      // On SQLite reads take the thread that answers requests.
      await setImmediate()
    }
  }

  async #claim(): Promise<boolean> {
    const { database, clock, systemContext } = this.#deps
    const { isAlone, everyMs } = this.#settings
    if (isAlone) return true
    const now = clock.now()
    const slot = now - (now % everyMs)
    const before = await findServerMark(database.reader, watchLookMark)
    if (before !== undefined && Number(before) >= slot) return false
    return database.execute(claimLook, { before, slot }, systemContext())
  }

  async #lookAt(registry: WatchedRegistry, newest: number): Promise<void> {
    const { database, metrics, clock } = this.#deps
    const now = clock.now()
    const name = registryOfMetrics(registry.accountId, registry.region)
    const before = await findServerMark(database.reader, watchMark(name))
    const memory = before === undefined ? undefined : (JSON.parse(before) as Memory)
    // Where series were numbered anew, the store was: what is usual has to be learnt again.
    if (memory === undefined || memory.place > newest) {
      const place = await lastSeries(metrics, { registry: name, namespace: ownNamespace, names })
      if (place > 0) await this.#note(registry, before, { since: now, place, unusual: {} }, [])
      return
    }
    const found: UnusualUse[] = []
    const place = await this.#findNewcomers(registry, memory, now, found)
    const unusual = isLearnt(now, memory.since, this.#settings.learningMs) ? await this.#findBursts(registry, memory, now, found) : memory.unusual
    await this.#note(registry, before, { since: memory.since, place, unusual }, found)
  }

  async #note(registry: WatchedRegistry, before: string | undefined, memory: Memory, found: readonly UnusualUse[]): Promise<void> {
    const { database, clock, systemContext, targetsOf, onUnusual } = this.#deps
    const { id: registryId, accountId, region } = registry
    const text = JSON.stringify(memory)
    if (text === before) return
    const events = found.map((use) => unusualUseEvent(use, clock.now()))
    const told = []
    for (const event of events) {
      told.push({ eventId: event.id, event: JSON.stringify(event), detail: event.detail as Readonly<Record<string, unknown>>, targetIds: await targetsOf(registryId, event) })
    }
    const context = { ...systemContext(), registryId, accountId, region }
    const isNoted = await database.execute(noteUse, { registry: registryOfMetrics(accountId, region), before, memory: text, told }, context)
    if (isNoted) events.forEach(onUnusual)
  }

  /** Adds those who came since the last look. Answers the place up to which they are known. */
  async #findNewcomers(registry: WatchedRegistry, { since, place }: Memory, now: number, found: UnusualUse[]): Promise<number> {
    const { accountId, region } = registry
    const of = { registry: registryOfMetrics(accountId, region), namespace: ownNamespace, names }
    const series = await seriesAfter(this.#deps.metrics, { ...of, after: place, limit: seriesPerLook })
    const newcomers = new Map<string, Newcomer>()
    for (const { id, dimensions, createdAt } of series) {
      const [[dimension, value] = ['', ''], ...more] = dimensionsOf(dimensions)
      const kind = kinds[dimension]
      if (kind === undefined || more.length > 0 || value === otherValue || newcomers.has(dimensions)) continue
      if (!isLearnt(createdAt, since, this.#settings.learningMs)) continue
      const did = await this.#didBefore(of, dimensions, place, now)
      if (did !== undefined) newcomers.set(dimensions, { kind, accountId, region, name: value, did, seenAt: createdAt, seriesId: id, others: 0 })
    }
    for (const ofKind of Map.groupBy(newcomers.values(), ({ kind }) => kind).values()) {
      const told = ofKind.slice(0, toldPerLook)
      found.push(...told.map((newcomer, n) => (n === told.length - 1 ? { ...newcomer, others: ofKind.length - told.length } : newcomer)))
    }
    return series.at(-1)?.id ?? place
  }

  /** What somebody did so far. Undefined: they were there before. */
  async #didBefore({ registry, namespace }: { readonly registry: string; readonly namespace: string }, dimensions: string, place: number, now: number): Promise<Newcomer['did'] | undefined> {
    const { metrics } = this.#deps
    const did: Partial<Record<'pulls' | 'pushes' | 'deletes', number>> = {}
    for (const name of names) {
      for (const { id } of await findSeries(metrics, { registry, namespace, name, dimensions })) {
        if (id <= place) return undefined
        did[metricsOfUsers[name]] = (await this.#hours(id, now - usualMs, now)).reduce((sum, { value }) => sum + value, 0)
      }
    }
    return did
  }

  /** Adds the hours that have too much and are told. Answers the last ones that had. */
  async #findBursts(registry: WatchedRegistry, memory: Memory, now: number, found: UnusualUse[]): Promise<Memory['unusual']> {
    const { factor } = this.#settings
    const unusual: Partial<Record<Volume, number>> = { ...memory.unusual }
    for (const volume of volumeNames) {
      const { metric: name, floor, unit } = volumes[volume]
      const [series] = await findSeries(this.#deps.metrics, { registry: registryOfMetrics(registry.accountId, registry.region), namespace: ownNamespace, name, dimensions: dimensionsText([]) })
      if (series === undefined) continue
      const lately = await this.#hours(series.id, judgedHours(now).previous, now)
      // Nearly always: then four weeks need not be read.
      if (!lately.some(({ value }) => value > floor)) continue
      const hour = unusualHour(await this.#hours(series.id, now - usualMs, now), now, { factor, floor })
      if (hour === undefined) continue
      const lastAt = unusual[volume]
      unusual[volume] = Math.max(hour.at, lastAt ?? 0)
      if (isToldAnew(hour.at, lastAt)) found.push({ kind: volume, unit, accountId: registry.accountId, region: registry.region, ...hour, ...(await this.#shares(registry, volume, hour.at)) })
    }
    return unusual
  }

  /** Who and where, of those that had most of it. Bytes are not counted by that, pulls are. */
  async #shares({ accountId, region }: WatchedRegistry, volume: Volume, at: number): Promise<Pick<Burst, 'principals' | 'networks'>> {
    const name = volume === 'BYTES_OUT' ? volumes.PULLS.metric : volumes[volume].metric
    const of = async (dimension: string): Promise<Share[]> => {
      const rows = await biggestOfHour(this.#deps.metrics, { registry: registryOfMetrics(accountId, region), namespace: ownNamespace, name, dimension, at, limit: mostShares })
      return rows.map(({ dimensions, total }) => ({ name: dimensionsOf(dimensions)[0]![1], amount: total }))
    }
    return { principals: await of('Principal'), networks: await of('SourceNetwork') }
  }

  async #hours(id: number, from: number, now: number): Promise<Hour[]> {
    const rows = await readBuckets(this.#deps.metrics, { id, periodMs: hourMs, from: from - (from % hourMs), to: now + 1 })
    return rows.map(({ at, total }) => ({ at, value: total }))
  }
}
