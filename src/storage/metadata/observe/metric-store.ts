import { createHash } from 'node:crypto'
import { sql, type Expression, type RawBuilder } from 'kysely'
import type { Session } from '../session.ts'
import type { Compilable } from '../statement.ts'
import { observeBuilder, observeSchemaName, observeStatement } from './schema.ts'

/*
 * Points of metrics. Each is kept for its minute and added to the five minutes and the hour that it is in, in one transaction, so
 * that all of them tell the same; the finer ones are removed sooner.
 */

const minuteMs = 60_000

/** How finely points are kept: the table, what a row stands for, and how long it is kept where nothing else is set. */
export const resolutions = [
  { table: 'metric_hour', stepMs: 60 * minuteMs, days: 455 },
  { table: 'metric_five_minutes', stepMs: 5 * minuteMs, days: 63 },
  { table: 'metric_minute', stepMs: minuteMs, days: 15 },
] as const

type PointTable = (typeof resolutions)[number]['table']

/** A metric of an account in a region, with its dimensions as `dimensionsText` has them. */
export interface MetricName {
  readonly registry: string
  readonly namespace: string
  readonly name: string
  readonly dimensions: string
}

export interface StatisticSet {
  readonly samples: number
  readonly total: number
  readonly low: number
  readonly high: number
}

/** What is to be added to a minute of a series. */
export interface Addition extends MetricName {
  readonly unit: string
  /** The beginning of a minute. */
  readonly at: number
  readonly set: StatisticSet
  /** The dimensions under which it counts where the metric has as many series as it may have. */
  readonly otherwise?: string | undefined
}

export type Dimension = readonly [name: string, value: string]

export function dimensionsText(dimensions: readonly Dimension[]): string {
  return JSON.stringify(dimensions.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
}

export function dimensionsOf(text: string): Dimension[] {
  return JSON.parse(text) as Dimension[]
}

/** How many series there may be: of one metric of a registry, of all of a registry's, and of all. */
export interface SeriesLimits {
  readonly perMetric: number
  readonly perRegistry?: number
  readonly total: number
}

/** Series are remembered with their ids, the busiest come again at once. Those without points are removed a year later. */
const maxRemembered = 20_000
const rememberedForMs = 60 * 60_000

/** In one statement. */
const maxRowsAtOnce = 200

interface SeriesName extends MetricName {
  readonly unit: string
}

function keyOf({ registry, namespace, name, dimensions }: MetricName): Buffer {
  return createHash('sha256').update(JSON.stringify([registry, namespace, name, dimensions])).digest()
}

function textOf({ registry, namespace, name, dimensions, unit }: SeriesName): string {
  return `${registry}\n${namespace}\n${name}\n${unit}\n${dimensions}`
}

/** Begins with none. */
export function rememberSeries(limits: SeriesLimits): RememberedSeries {
  return new RememberedSeries(limits)
}

export type { RememberedSeries }

/** The ids of series. To be emptied where a transaction failed in which some may have been made. */
class RememberedSeries {
  readonly #limits: SeriesLimits
  #ids = new Map<string, number>()
  #since = 0

  constructor(limits: SeriesLimits) {
    this.#limits = limits
  }

  forget(): void {
    this.#ids.clear()
  }

  /**
   * The ids of the series of additions, by `textOf`; makes those that are not there, as far as there may be more. Those that may
   * not be are missing.
   */
  async resolve(tx: Session, additions: readonly Addition[], now: number): Promise<ReadonlyMap<string, number>> {
    if (this.#ids.size > maxRemembered || Math.abs(now - this.#since) > rememberedForMs) {
      this.#ids.clear()
      this.#since = now
    }
    const wanted = new Map<string, Addition>()
    for (const addition of additions) {
      const text = textOf(addition)
      if (!this.#ids.has(text)) wanted.set(text, addition)
    }
    if (wanted.size > 0) await this.#find(tx, wanted)
    if (wanted.size > 0) await this.#make(tx, wanted, now)
    return this.#ids
  }

  async #find(tx: Session, wanted: Map<string, SeriesName>): Promise<void> {
    const texts = [...wanted.keys()]
    for (let at = 0; at < texts.length; at += maxRowsAtOnce) {
      const keys = texts.slice(at, at + maxRowsAtOnce).map((text) => keyOf(wanted.get(text)!))
      const rows = await tx.query(
        observeBuilder(tx).selectFrom('metric_series').select(['id', 'registry', 'namespace', 'name', 'dimensions', 'unit']).where('metric_key', 'in', keys),
      )
      for (const row of rows) {
        const text = textOf(row)
        this.#ids.set(text, row.id)
        wanted.delete(text)
      }
    }
  }

  async #make(tx: Session, wanted: Map<string, Addition>, now: number): Promise<void> {
    const { count } = (await tx.first(countSeries, {}))!
    let room = this.#limits.total - count
    const roomOf = new Map<string, number>()
    const roomIn = new Map<string, number>()
    const instead = new Map<string, Addition>()
    // In an order, so that two servers never wait for each other's rows.
    for (const [text, addition] of [...wanted].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const { registry, namespace, name, unit, dimensions, otherwise } = addition
      const metric = `${registry}\n${namespace}\n${name}`
      const left = roomOf.get(metric) ?? this.#limits.perMetric - (await tx.first(countOfMetric, { registry, namespace, name }))!.count
      roomOf.set(metric, left - 1)
      const leftIn = roomIn.get(registry) ?? (await this.#roomOfRegistry(tx, registry))
      roomIn.set(registry, leftIn - 1)
      if (left <= 0 || leftIn <= 0 || room <= 0) {
        if (otherwise !== undefined && otherwise !== dimensions) instead.set(text, { ...addition, dimensions: otherwise, otherwise: undefined })
        continue
      }
      room -= 1
      await tx.change(insertSeries, { key: keyOf(addition), unit, registry, namespace, name, dimensions, now })
      this.#ids.set(text, (await tx.first(seriesByKey, { key: keyOf(addition), unit }))!.id)
    }
    await this.#makeOthers(tx, instead, now)
  }

  async #roomOfRegistry(tx: Session, registry: string): Promise<number> {
    const { perRegistry } = this.#limits
    return perRegistry === undefined ? Number.POSITIVE_INFINITY : perRegistry - (await tx.first(countOfRegistry, { registry }))!.count
  }

  /** What is left over counts in one series together, which is always there. */
  async #makeOthers(tx: Session, instead: ReadonlyMap<string, Addition>, now: number): Promise<void> {
    for (const [text, addition] of instead) {
      const { registry, namespace, name, unit, dimensions } = addition
      const other = textOf(addition)
      if (!this.#ids.has(other)) {
        await tx.change(insertSeries, { key: keyOf(addition), unit, registry, namespace, name, dimensions, now })
        this.#ids.set(other, (await tx.first(seriesByKey, { key: keyOf(addition), unit }))!.id)
      }
      this.#ids.set(text, this.#ids.get(other)!)
    }
  }
}

const countSeries = observeStatement()((db) => db.selectFrom('metric_series').select((eb) => eb.fn.countAll<number>().as('count')))
const countOfRegistry = observeStatement<{ registry: string }>()((db, p) => db.selectFrom('metric_series').select((eb) => eb.fn.countAll<number>().as('count')).where('registry', '=', p.registry))
const countOfMetric = observeStatement<{ registry: string; namespace: string; name: string }>()((db, p) =>
  db
    .selectFrom('metric_series')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('registry', '=', p.registry)
    .where('namespace', '=', p.namespace)
    .where('name', '=', p.name),
)
const insertSeries = observeStatement<{ key: Uint8Array; unit: string; registry: string; namespace: string; name: string; dimensions: string; now: number }>()((db, p) =>
  db
    .insertInto('metric_series')
    .values({ metric_key: p.key, unit: p.unit, registry: p.registry, namespace: p.namespace, name: p.name, dimensions: p.dimensions, created_at: p.now })
    .onConflict((conflict) => conflict.columns(['metric_key', 'unit']).doNothing()),
)
const seriesByKey = observeStatement<{ key: Uint8Array; unit: string }>()((db, p) => db.selectFrom('metric_series').select('id').where('metric_key', '=', p.key).where('unit', '=', p.unit))

interface PointRows {
  readonly ids: readonly number[]
  readonly at: readonly number[]
  readonly samples: readonly number[]
  readonly totals: readonly number[]
  readonly lows: readonly number[]
  readonly highs: readonly number[]
}

interface PointRow extends StatisticSet {
  readonly id: number
  readonly at: number
}

/** SQLite takes a row at a time, which costs it microseconds; PostgreSQL all of them in one statement. */
const addRow = byTable((table) => observeStatement<PointRow>()<unknown>((_, p) => asWritten(`insert into ${table} values (?, ?, ?, ?, ?, ?) ${mergeText(table, 'min', 'max')}`, [p.id, p.at, p.samples, p.total, p.low, p.high])))
const addRows = byTable((table) =>
  observeStatement<PointRows>()<unknown>((_, p) =>
    asWritten(
      `insert into ${observeSchemaName}.${table} select * from unnest($1::bigint[], $2::bigint[], $3::float8[], $4::float8[], $5::float8[], $6::float8[]) ${mergeText(table, 'least', 'greatest')}`,
      [p.ids, p.at, p.samples, p.totals, p.lows, p.highs],
    ),
  ),
)

function mergeText(table: PointTable, least: string, greatest: string): string {
  return `on conflict (series_id, at) do update set samples = ${table}.samples + excluded.samples, total = ${table}.total + excluded.total, low = ${least}(${table}.low, excluded.low), high = ${greatest}(${table}.high, excluded.high)`
}

function byTable<Result>(make: (table: PointTable) => Result): Readonly<Record<PointTable, Result>> {
  return Object.fromEntries(resolutions.map(({ table }) => [table, make(table)])) as Record<PointTable, Result>
}

/** What the builder has no words for. */
function asWritten(text: string, parameters: readonly unknown[]): Compilable<unknown> {
  return { compile: () => ({ sql: text, parameters }), execute: () => Promise.resolve([]) }
}

/** Adds to points, in a transaction. Answers what was not added, since there are too many series. */
export async function addPoints(tx: Session, remembered: RememberedSeries, additions: readonly Addition[], now: number): Promise<readonly Addition[]> {
  if (additions.length === 0) return []
  const ids = await remembered.resolve(tx, additions, now)
  const left: Addition[] = []
  const known = additions.flatMap((addition) => {
    const id = ids.get(textOf(addition))
    if (id === undefined) left.push(addition)
    return id === undefined ? [] : [{ id, at: addition.at, set: addition.set }]
  })
  for (const { table, stepMs } of resolutions) {
    const rows = merged(known, stepMs)
    if (rows.length === 0) continue
    if (tx.dialect === 'sqlite') for (const row of rows) await tx.change(addRow[table], row)
    else {
      await tx.change(addRows[table], {
        ids: rows.map(({ id }) => id),
        at: rows.map(({ at }) => at),
        samples: rows.map(({ samples }) => samples),
        totals: rows.map(({ total }) => total),
        lows: rows.map(({ low }) => low),
        highs: rows.map(({ high }) => high),
      })
    }
  }
  return left
}

/** Together by series and step, in an order, so that two that add never wait for each other. */
function merged(points: readonly { readonly id: number; readonly at: number; readonly set: StatisticSet }[], stepMs: number): PointRow[] {
  const rows = new Map<string, PointRow>()
  for (const { id, at: minute, set } of points) {
    const at = minute - (minute % stepMs)
    const key = `${id} ${at}`
    const row = rows.get(key)
    rows.set(key, row === undefined ? { id, at, ...set } : { id, at, samples: row.samples + set.samples, total: row.total + set.total, low: Math.min(row.low, set.low), high: Math.max(row.high, set.high) })
  }
  return [...rows.values()].sort((a, b) => a.id - b.id || a.at - b.at)
}

export interface SeriesRow {
  readonly id: number
  readonly unit: string
}

const seriesOfMetric = observeStatement<{ key: Uint8Array }>()((db, p) => db.selectFrom('metric_series').select(['id', 'unit']).where('metric_key', '=', p.key).orderBy('unit'))

/** The series of a metric, one for each unit. */
export function findSeries(session: Session, metric: MetricName): Promise<SeriesRow[]> {
  return session.all(seriesOfMetric, { key: keyOf(metric) })
}

/** As `findSeries`, of several metrics in one statement. The answer is asked with the same objects. */
export async function findSeriesOfAll(session: Session, metrics: readonly MetricName[]): Promise<(metric: MetricName) => readonly SeriesRow[]> {
  const keys = new Map(metrics.map((metric) => [metric, keyOf(metric)]))
  const rows = await session.query(observeBuilder(session).selectFrom('metric_series').select(['id', 'unit', 'metric_key as key']).where('metric_key', 'in', [...keys.values()]))
  const byKey = Map.groupBy(rows, ({ key }) => Buffer.from(key).toString('hex'))
  return (metric) => byKey.get(keys.get(metric)!.toString('hex')) ?? []
}

export interface Bucket extends StatisticSet {
  /** Its beginning. */
  readonly at: number
}

interface BucketQuery {
  readonly id: number
  readonly periodMs: number
  readonly from: number
  readonly to: number
}

/** The beginning of the bucket that a point is in. */
function bucketBegin({ periodMs, from }: Pick<BucketQuery, 'periodMs' | 'from'>): RawBuilder<number> {
  // Bound numbers are doubles to SQLite, and would be divided as such.
  const whole = (value: number): Expression<number> => sql<number>`cast(${value} as bigint)`
  return sql<number>`cast(${whole(from)} + (at - ${whole(from)}) / ${whole(periodMs)} * ${whole(periodMs)} as bigint)`
}

const bucketSums = [sql<number>`sum(samples)`.as('samples'), sql<number>`sum(total)`.as('total'), sql<number>`min(low)`.as('low'), sql<number>`max(high)`.as('high')] as const

const buckets = byTable((table) =>
  observeStatement<BucketQuery>()((db, p) =>
    db
      .selectFrom(table)
      .select([bucketBegin(p).as('at'), ...bucketSums])
      .where('series_id', '=', p.id)
      .where('at', '>=', p.from)
      .where('at', '<', p.to)
      .groupBy(sql`1`)
      .orderBy(sql`1`),
  ),
)

/**
 * What a series has from one time until before another, in buckets of a period that begin at the first. Read as coarsely as
 * these allow: a day by five minutes are 288 rows.
 */
export function readBuckets(session: Session, query: BucketQuery): Promise<Bucket[]> {
  return session.all(buckets[resolutionFor(query).table], query)
}

function resolutionFor({ periodMs, from }: Pick<BucketQuery, 'periodMs' | 'from'>): (typeof resolutions)[number] {
  return resolutions.find(({ stepMs }) => periodMs % stepMs === 0 && from % stepMs === 0) ?? resolutions.at(-1)!
}

/** As `readBuckets`, of several series in one statement: by their ids, in no order. */
export async function readBucketsOfAll(session: Session, { ids, periodMs, from, to }: Omit<BucketQuery, 'id'> & { readonly ids: readonly number[] }): Promise<Map<number, Bucket[]>> {
  if (ids.length === 0) return new Map()
  const { table, stepMs } = resolutionFor({ periodMs, from })
  const points = observeBuilder(session).selectFrom(table).where('series_id', 'in', ids).where('at', '>=', from).where('at', '<', to)
  // A period that is a row needs no adding up, which takes longer than reading.
  const rows = await session.query(
    periodMs === stepMs
      ? points.select(['series_id as id', 'at', 'samples', 'total', 'low', 'high'])
      : points.select(['series_id as id', bucketBegin({ periodMs, from }).as('at'), ...bucketSums]).groupBy(['series_id', sql`2`]),
  )
  return Map.groupBy(rows, ({ id }) => id)
}

export interface SeriesFilter {
  readonly registry: string
  readonly namespace?: string | undefined
  readonly name?: string | undefined
  /** Each has to be there; with any value where none is given. */
  readonly dimensions: readonly { readonly name: string; readonly value?: string | undefined }[]
  /** Only what has points since then. */
  readonly activeSince: number
}

export interface ListedSeries {
  readonly id: number
  readonly namespace: string
  readonly name: string
  readonly dimensions: string
}

/** Metrics of a registry by namespace and name; one that has several units is told once. Its cost grows with the registry's series. */
export async function listSeries(session: Session, filter: SeriesFilter, { after, limit }: { readonly after?: Pick<ListedSeries, 'namespace' | 'name' | 'id'> | undefined; readonly limit: number }): Promise<ListedSeries[]> {
  const builder = observeBuilder(session)
  const table = session.dialect === 'postgres' ? `${observeSchemaName}.` : ''
  const position = session.dialect === 'postgres' ? sql.raw('strpos') : sql.raw('instr')
  const points = sql.raw(`${table}${filter.activeSince % (60 * minuteMs) === 0 ? 'metric_hour' : 'metric_minute'}`)
  let query = builder
    .selectFrom('metric_series as series')
    .select(['id', 'namespace', 'name', 'dimensions'])
    .where('registry', '=', filter.registry)
    .where(sql<boolean>`exists (select 1 from ${points} as point where point.series_id = series.id and point.at >= ${filter.activeSince})`)
    .where(sql<boolean>`not exists (select 1 from ${sql.raw(`${table}metric_series`)} as twin where twin.metric_key = series.metric_key and twin.id < series.id)`)
    .orderBy('namespace')
    .orderBy('name')
    .orderBy('id')
    .limit(limit)
  if (filter.namespace !== undefined) query = query.where('namespace', '=', filter.namespace)
  if (filter.name !== undefined) query = query.where('name', '=', filter.name)
  for (const { name, value } of filter.dimensions) {
    // Within JSON no other place looks like the beginning of a pair: quotes in texts are written as \".
    const pair = value === undefined ? `[${JSON.stringify(name)},` : JSON.stringify([name, value])
    query = query.where(sql<boolean>`${position}(dimensions, ${pair}) > 0`)
  }
  if (after !== undefined) query = query.where((eb) => eb(eb.refTuple('namespace', 'name', 'id'), '>', eb.tuple(after.namespace, after.name, after.id)))
  return session.query(query)
}

const nextSeries = observeStatement<{ after: number; limit: number }>()((db, p) => db.selectFrom('metric_series').select('id').where('id', '>', p.after).orderBy('id').limit(p.limit))

/** Removes old points of the series that follow another; answers the last series that was looked at. */
export async function removeOldPoints(tx: Session, { after, limit, before }: { readonly after: number; readonly limit: number; readonly before: Readonly<Record<PointTable, number>> }): Promise<number | undefined> {
  const ids = (await tx.all(nextSeries, { after, limit })).map(({ id }) => id)
  if (ids.length === 0) return undefined
  const builder = observeBuilder(tx)
  for (const { table } of resolutions) {
    await tx.query(builder.deleteFrom(table).where('series_id', 'in', ids).where('at', '<', before[table]))
  }
  // One that was made a moment ago may be about to have its first.
  const empty = builder
    .deleteFrom('metric_series')
    .where('id', 'in', ids)
    .where('created_at', '<', before.metric_hour)
    .where((eb) => eb.not(eb.exists(eb.selectFrom('metric_hour').select('at').whereRef('metric_hour.series_id', '=', 'metric_series.id'))))
  await tx.query(empty)
  return ids.at(-1)
}

const moveMark = observeStatement<{ name: string; at: number }>()((db, p) =>
  db
    .insertInto('metric_mark')
    .values({ name: p.name, at: p.at })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ at: p.at }).where('metric_mark.at', '<', p.at)),
)

/** True for the one of all servers that asks first for a time or a later one; the others wait until its transaction ends. */
export async function takeMark(tx: Session, name: string, at: number): Promise<boolean> {
  return (await tx.change(moveMark, { name, at })) > 0
}
