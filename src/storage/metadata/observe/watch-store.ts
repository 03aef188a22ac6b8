import type { Session } from '../session.ts'
import { observeBuilder, observeStatement } from './schema.ts'

/*
 * What the watch for unusual use asks of metrics, besides points: by the index of a metric's series.
 */

export interface SeenSeries {
  readonly id: number
  readonly dimensions: string
  readonly createdAt: number
}

interface OfMetrics {
  readonly registry: string
  readonly namespace: string
  readonly names: readonly string[]
}

/** The series of some metrics that were made after another, in the order in which they were made. */
export function seriesAfter(session: Session, { registry, namespace, names, after, limit }: OfMetrics & { readonly after: number; readonly limit: number }): Promise<SeenSeries[]> {
  return session.query(
    observeBuilder(session)
      .selectFrom('metric_series')
      .select(['id', 'dimensions', 'created_at as createdAt'])
      .where('registry', '=', registry)
      .where('namespace', '=', namespace)
      .where('name', 'in', names)
      .where('id', '>', after)
      .orderBy('id')
      .limit(limit),
  )
}

/** The newest series of some metrics; 0: there is none. */
export async function lastSeries(session: Session, { registry, namespace, names }: OfMetrics): Promise<number> {
  const [row] = await session.query(
    observeBuilder(session)
      .selectFrom('metric_series')
      .select((eb) => eb.fn.max('id').as('id'))
      .where('registry', '=', registry)
      .where('namespace', '=', namespace)
      .where('name', 'in', names),
  )
  return (row?.id as number | null | undefined) ?? 0
}

const newest = observeStatement()((db) => db.selectFrom('metric_series').select('id').orderBy('id', 'desc').limit(1))

/** The newest series of all; 0: there is none. */
export async function newestSeries(session: Session): Promise<number> {
  return (await session.first(newest, {}))?.id ?? 0
}

export interface HourQuery {
  readonly registry: string
  readonly namespace: string
  readonly name: string
  readonly dimension: string
  readonly at: number
  readonly limit: number
}

/** Who has most of a metric in an hour, by one dimension. Its cost grows with the metric's series. */
export function biggestOfHour(session: Session, { registry, namespace, name, dimension, at, limit }: HourQuery): Promise<{ dimensions: string; total: number }[]> {
  return session.query(
    observeBuilder(session)
      .selectFrom('metric_series as series')
      .innerJoin('metric_hour as hour', 'hour.series_id', 'series.id')
      .select(['series.dimensions', 'hour.total'])
      .where('series.registry', '=', registry)
      .where('series.namespace', '=', namespace)
      .where('series.name', '=', name)
      .where('series.dimensions', 'like', `[["${dimension}",%`)
      .where('hour.at', '=', at)
      .orderBy('hour.total', 'desc')
      .orderBy('series.id')
      .limit(limit),
  )
}
