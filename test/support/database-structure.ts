import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import type { MetadataTarget } from '../../src/storage/metadata/migrate.ts'

/** A database's tables, columns, constraints and indexes as the database describes them: one line each, in order. */
export async function structureOf(target: MetadataTarget): Promise<string[]> {
  return ('file' in target ? sqliteStructure(target.file) : await postgresStructure(target.url)).sort()
}

function sqliteStructure(file: string): string[] {
  const database = new DatabaseSync(file, { readOnly: true })
  const lines: string[] = []
  const add = (kind: string, of: string, sql: string): void => {
    for (const row of database.prepare(sql).all()) lines.push(`${kind} ${of} ${JSON.stringify(row)}`)
  }
  const tables = database.prepare(`select name from sqlite_schema where type = 'table'`).all() as { name: string }[]
  add('table', '', `select name, type, ncol, wr, strict from pragma_table_list where schema = 'main'`)
  add('other', '', `select type, name from sqlite_schema where type not in ('table', 'index')`)
  for (const { name } of tables) {
    add('column', name, `select * from pragma_table_xinfo('${name}')`)
    add('foreign key', name, `select * from pragma_foreign_key_list('${name}')`)
    // Numbered anew where one is added later, so that the number says nothing.
    const indexes = database.prepare(`select name, "unique", origin, partial from pragma_index_list('${name}')`).all() as { name: string }[]
    for (const index of indexes) {
      const columns = database.prepare(`select seqno, name, "desc", coll, key from pragma_index_xinfo('${index.name}')`).all()
      // Only one that a statement made has a text; the table is the index of its own primary key.
      const made = database.prepare('select sql from sqlite_schema where name = ?').get(index.name) as { sql: string | null } | undefined
      lines.push(`index ${name} ${JSON.stringify({ ...index, columns, where: made?.sql?.split(/ where /iu)[1] })}`)
    }
  }
  database.close()
  return lines
}

async function postgresStructure(url: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const lines: string[] = []
    const add = async (kind: string, sql: string): Promise<void> => {
      for (const row of (await client.query(sql)).rows as unknown[]) lines.push(`${kind} ${JSON.stringify(row)}`)
    }
    const ours = `relnamespace = 'public'::regnamespace`
    await add('relation', `select relname, relkind, relpersistence from pg_class where ${ours}`)
    await add(
      'column',
      `select c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull, a.attidentity,
        a.attgenerated, l.collname, pg_get_expr(d.adbin, d.adrelid) as default
      from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_collation l on l.oid = a.attcollation
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where c.${ours} and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped`,
    )
    await add('constraint', `select conrelid::regclass::text as table, conname, pg_get_constraintdef(oid) as definition from pg_constraint where conrelid <> 0 and connamespace = 'public'::regnamespace`)
    await add('index', `select tablename, indexdef from pg_indexes where schemaname = 'public'`)
    await add('sequence', `select sequencename, data_type, start_value, increment_by, cycle from pg_sequences where schemaname = 'public'`)
    await add('trigger', `select tgrelid::regclass::text as table, tgname from pg_trigger where not tgisinternal`)
    return lines
  } finally {
    await client.end()
  }
}
