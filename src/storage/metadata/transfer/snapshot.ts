import { digestFromBytes, type Digest } from '../../../values/digest.ts'
import type { MetadataTarget } from '../migrate.ts'
import { refuseNewerDatabase } from '../migration-plan.ts'
import type { DialectName } from '../statement.ts'
import { openRawDatabase, transaction, unusable, type RawDatabase, type RawRow } from './raw-database.ts'
import { readShapes, tablesLeftOut, type TableShape } from './table-shapes.ts'

/** A blob whose bytes the metadata promises, and where they are. */
export interface NamedBlob {
  readonly key: string
  readonly domain: string
  readonly digest: Digest
  readonly sizeBytes: number
}

/** Everything that is to be kept of a database, at one moment. What is asked for is asked one after the other. */
export interface MetadataSnapshot {
  readonly dialect: DialectName
  /** The names of those that made the tables, in their order. */
  readonly migrations: readonly string[]
  /** In an order in which they can be written again. */
  readonly tables: readonly TableShape[]
  rows(table: TableShape): AsyncIterable<RawRow[]>
  /** Those whose bytes should be there, in the order of domain and digest. A quarantined or dying file is not one. */
  namedBlobs(): AsyncIterable<NamedBlob[]>
  /** Of tables that count ids: the highest they have given. */
  readonly givenIds: Readonly<Record<string, number>>
}

/**
 * Reads a database at one moment, beside whoever writes to it. While `read` runs, SQLite cannot start its log anew and
 * PostgreSQL cannot clean up: it should only write down what it gets.
 *
 * Throws `database-newer`, and `storage-unavailable`, also for a database that is none of Stowage's.
 */
export async function readSnapshot<Result>(
  target: MetadataTarget,
  read: (snapshot: MetadataSnapshot) => Promise<Result>,
): Promise<Result> {
  await refuseNewerDatabase(target)
  const db = await openRawDatabase(target, { readOnly: true })
  try {
    // Deferred, on SQLite: the first statement fixes the moment.
    const begin = db.dialect === 'sqlite' ? 'begin' : 'begin isolation level repeatable read read only'
    return await transaction(db, begin, async () => read(await describe(db)))
  } finally {
    await db.close()
  }
}

async function describe(db: RawDatabase): Promise<MetadataSnapshot> {
  const shapes = await readShapes(db)
  if (!shapes.some(({ name }) => name === 'kysely_migration')) throw unusable('the database holds no Stowage installation')
  const applied = (await db.query('select name from kysely_migration order by name')).map(([name]) => String(name))
  const tables = shapes.filter(({ name }) => !Object.hasOwn(tablesLeftOut, name))
  return {
    dialect: db.dialect,
    migrations: applied,
    tables,
    rows: ({ name, columns }) => db.stream(`select ${columns.map((column) => column.name).join(', ')} from ${name}`),
    namedBlobs: () => namedBlobs(db),
    givenIds: await givenIds(db, tables),
  }
}

async function* namedBlobs(db: RawDatabase): AsyncGenerator<NamedBlob[], void, undefined> {
  const domains = (await db.query('select id, name from blob_domain')) as unknown as [number, string][]
  // By code units, as files are sorted; domain by domain, so that an index gives the digests in order.
  for (const [id, domain] of domains.sort(([, a], [, b]) => (a < b ? -1 : 1))) {
    const rows = db.stream(
      `select blob_location.key, blob.digest, blob.size_bytes from blob
       join blob_location on blob_location.blob_id = blob.id and blob_location.state = 'active'
       where blob.domain_id = ${id} order by blob.digest`,
    )
    for await (const batch of rows) {
      yield batch.map(([key, digest, sizeBytes]) => ({
        key: String(key),
        domain,
        digest: digestFromBytes(digest as Uint8Array),
        sizeBytes: Number(sizeBytes),
      }))
    }
  }
}

async function givenIds(db: RawDatabase, tables: readonly TableShape[]): Promise<Record<string, number>> {
  const counting = tables.filter(({ countsIds }) => countsIds).map(({ name }) => name)
  if (db.dialect === 'sqlite') {
    const rows = await db.query('select name, seq from sqlite_sequence')
    const given = rows.map(([name, seq]) => [String(name), Number(seq)] as const)
    return Object.fromEntries(given.filter(([name]) => counting.includes(name)))
  }
  const given: Record<string, number> = {}
  for (const name of counting) {
    const [[sequence] = []] = await db.query(`select pg_get_serial_sequence($1, 'id')`, [name])
    const [[last, isCalled] = []] = await db.query(`select last_value, is_called::int::bigint from ${String(sequence)}`)
    if (isCalled === 1) given[name] = Number(last)
  }
  return given
}
