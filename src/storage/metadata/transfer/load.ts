import { migrateMetadata, type MetadataTarget } from '../migrate.ts'
import { migrations as knownMigrations } from '../migrations/index.ts'
import { openRawDatabase, transaction, unusable, type RawDatabase, type RawRow } from './raw-database.ts'
import { readShapes, type TableShape } from './table-shapes.ts'

/** What `readSnapshot` gave, perhaps of the other kind of database and of an earlier version. */
export interface CarriedMetadata {
  readonly migrations: readonly string[]
  readonly givenIds: Readonly<Record<string, number>>
  readonly tables: readonly string[]
  readonly rows: (table: string) => Promise<{ readonly columns: readonly string[]; readonly batches: AsyncIterable<readonly RawRow[]> }>
}

/** Those migrations of the list that this program does not have: a newer one made them. */
export function unknownMigrations(names: readonly string[]): string[] {
  const known = knownMigrations('sqlite')
  return names.filter((name) => !Object.hasOwn(known, name))
}

/**
 * Fills an empty database: makes the tables that the metadata was written from, loads them, and brings them to this
 * program's schema. Stopped half-way it leaves a database to be thrown away.
 */
export async function loadMetadata(target: MetadataTarget, carried: CarriedMetadata): Promise<void> {
  const unknown = unknownMigrations(carried.migrations)
  if (unknown.length > 0) throw unusable(`a newer Stowage wrote this: it has ${unknown.join(', ')}`)
  await migrateMetadata(target, { check: false, upTo: carried.migrations.at(-1) })
  const db = await openRawDatabase(target, { readOnly: false })
  try {
    // The file is flushed once, when all is in it, and is nothing before.
    if (db.dialect === 'sqlite') await db.query('pragma synchronous = off')
    await fill(db, carried)
  } finally {
    await db.close()
  }
  await migrateMetadata(target, { check: false })
}

async function fill(db: RawDatabase, carried: CarriedMetadata): Promise<void> {
  const shapes = new Map((await readShapes(db)).map((shape) => [shape.name, shape]))
  const filled = carried.tables.map((name) => {
    const shape = shapes.get(name)
    if (shape === undefined) throw unusable(`the backup has a table ${name} that its migrations do not make`)
    return shape
  })
  // Migrations leave rows too; those carried are the later ones.
  for (const { name } of [...filled].reverse()) await db.query(`delete from ${name}`)
  for (const shape of filled) {
    await transaction(db, 'begin', async () => {
      const { columns, batches } = await carried.rows(shape.name)
      const expected = shape.columns.map(({ name }) => name).sort()
      if (JSON.stringify([...columns].sort()) !== JSON.stringify(expected)) {
        throw unusable(`the columns of the table ${shape.name} are not those that its migrations make`)
      }
      await insert(db, shape, columns, batches)
    })
    const givenId = carried.givenIds[shape.name]
    if (shape.countsIds && givenId !== undefined) await continueIds(db, shape.name, givenId)
  }
}

async function insert(db: RawDatabase, shape: TableShape, columns: readonly string[], batches: AsyncIterable<readonly RawRow[]>): Promise<void> {
  const kinds = new Map(shape.columns.map(({ name, kind }) => [name, kind]))
  const names = columns.join(', ')
  if (db.dialect === 'sqlite') {
    const sql = `insert into ${shape.name} (${names}) values (${columns.map((_, index) => `$${index + 1}`).join(', ')})`
    for await (const rows of batches) for (const row of rows) await db.query(sql, row)
    return
  }
  const types = { integer: 'bigint[]', text: 'text[]', bytes: 'bytea[]' }
  const lists = columns.map((name, index) => `$${index + 1}::${types[kinds.get(name) ?? 'text']}`).join(', ')
  const sql = `insert into ${shape.name} (${names}) select * from unnest(${lists})`
  for await (const rows of batches) {
    await db.query(sql, columns.map((_, index) => rows.map((row) => bytesAsBuffer(row[index]))))
  }
}

/** The driver knows buffers only as bytes. */
function bytesAsBuffer(value: RawRow[number] | undefined): unknown {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value
}

/** An id that was given once is never given again, whether its row is still there or not. */
async function continueIds(db: RawDatabase, table: string, givenId: number): Promise<void> {
  if (db.dialect === 'postgres') {
    await db.query(`select setval(pg_get_serial_sequence($1, 'id'), greatest($2::bigint, (select max(id) from ${table})))`, [table, givenId])
    return
  }
  await db.query('insert into sqlite_sequence (name, seq) select $1, 0 where not exists (select 1 from sqlite_sequence where name = $1)', [table])
  await db.query('update sqlite_sequence set seq = max(seq, $2) where name = $1', [table, givenId])
}
