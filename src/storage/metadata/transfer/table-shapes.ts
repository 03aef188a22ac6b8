import { unusable, type RawDatabase } from './raw-database.ts'

export type ColumnKind = 'integer' | 'text' | 'bytes'

export interface Column {
  readonly name: string
  readonly kind: ColumnKind
}

export interface TableShape {
  readonly name: string
  readonly columns: readonly Column[]
  /** Tables that its foreign keys point to, without itself. */
  readonly references: readonly string[]
  /** Its `id` is given by the database, and never twice. */
  readonly countsIds: boolean
}

/** Tables that a backup does not carry, and why. Every other table of the database is in it. */
export const tablesLeftOut: Readonly<Record<string, string>> = {
  kysely_migration: 'the names of the migrations are carried apart: a restore runs them',
  kysely_migration_lock: 'belongs to the program that runs migrations',
  upload_session: 'the bytes of unfinished uploads are not in a backup; clients begin them again',
}

/** The database's tables as they are, each after those it refers to. */
export async function readShapes(db: RawDatabase): Promise<TableShape[]> {
  return inLoadOrder(db.dialect === 'sqlite' ? await sqliteShapes(db) : await postgresShapes(db))
}

async function sqliteShapes(db: RawDatabase): Promise<TableShape[]> {
  const tables = await db.query(`select name, sql from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name`)
  return Promise.all(
    tables.map(async ([name, sql]) => {
      const columns = await db.query('select name, type from pragma_table_info($1) order by cid', [name])
      const references = await db.query('select distinct "table" from pragma_foreign_key_list($1)', [name])
      return {
        name: String(name),
        columns: columns.map(([column, type]) => ({ name: String(column), kind: kindOf(String(type).toLowerCase()) })),
        references: references.map(([other]) => String(other)).filter((other) => other !== name),
        countsIds: /autoincrement/i.test(String(sql)),
      }
    }),
  )
}

async function postgresShapes(db: RawDatabase): Promise<TableShape[]> {
  const tables = await db.query(
    `select table_name::text from information_schema.tables
     where table_schema = current_schema() and table_type = 'BASE TABLE' order by table_name`,
  )
  const shapes: TableShape[] = []
  for (const [name] of tables) {
    const columns = await db.query(
      `select column_name::text, data_type::text, is_identity::text from information_schema.columns
       where table_schema = current_schema() and table_name = $1 order by ordinal_position`,
      [name],
    )
    const references = await db.query(
      `select distinct other.relname::text from pg_constraint
       join pg_class one on one.oid = conrelid join pg_class other on other.oid = confrelid
       where contype = 'f' and one.relname = $1 and one.relnamespace = current_schema()::regnamespace and other.relname <> $1`,
      [name],
    )
    shapes.push({
      name: String(name),
      columns: columns.map(([column, type]) => ({ name: String(column), kind: kindOf(String(type)) })),
      references: references.map(([other]) => String(other)),
      countsIds: columns.some(([column, , isIdentity]) => column === 'id' && isIdentity === 'YES'),
    })
  }
  return shapes
}

/** The types that migrations may use; see schema.ts. */
function kindOf(type: string): ColumnKind {
  if (type === 'integer' || type === 'bigint') return 'integer'
  if (type === 'blob' || type === 'bytea') return 'bytes'
  if (type === 'text' || type.startsWith('varchar') || type === 'character varying') return 'text'
  throw unusable(`a column of the unknown type ${type} cannot be carried to another database`)
}

function inLoadOrder(shapes: readonly TableShape[]): TableShape[] {
  const ordered: TableShape[] = []
  const waiting = new Map(shapes.map((shape) => [shape.name, shape]))
  while (waiting.size > 0) {
    const ready = [...waiting.values()].filter(({ references }) => !references.some((other) => waiting.has(other)))
    if (ready.length === 0) throw unusable(`the tables ${[...waiting.keys()].join(', ')} refer to each other in a circle`)
    for (const shape of ready) {
      ordered.push(shape)
      waiting.delete(shape.name)
    }
  }
  return ordered
}
