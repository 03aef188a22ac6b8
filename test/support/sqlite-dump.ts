import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

/** A SQLite database as SQL that people can read: tables with their rows, then what SQLite counts, then indexes. */
export function dumpSqlite(file: string): string {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    const objects = database.prepare('select type, name, sql from sqlite_schema order by rowid').all() as { type: string; name: string; sql: string | null }[]
    const lines: string[] = []
    for (const { type, name, sql } of objects) {
      if (type !== 'table' || name.startsWith('sqlite_')) continue
      lines.push(`${sql};`, ...rowsOf(database, name), '')
    }
    if (objects.some(({ name }) => name === 'sqlite_sequence')) lines.push('delete from sqlite_sequence;', ...rowsOf(database, 'sqlite_sequence'), '')
    for (const { type, sql } of objects) if (type === 'index' && sql !== null) lines.push(`${sql};`)
    return `${lines.join('\n')}\n`
  } finally {
    database.close()
  }
}

/** Makes a database file of a dump, in the mode that a server leaves behind. */
export function loadSqlite(dumpFile: string, file: string): void {
  const database = new DatabaseSync(file, { enableForeignKeyConstraints: false })
  try {
    database.exec('pragma journal_mode = wal')
    database.exec(`begin; ${readFileSync(dumpFile, 'utf8')} commit;`)
    database.exec('pragma wal_checkpoint(truncate)')
  } finally {
    database.close()
  }
}

function rowsOf(database: DatabaseSync, table: string): string[] {
  const columns = (database.prepare(`select name from pragma_table_info('${table}')`).all() as { name: string }[]).map(({ name }) => name)
  const quoted = columns.map((column) => `quote("${column}")`).join(` || ', ' || `)
  const rows = database.prepare(`select ${quoted} as "values" from "${table}"`).all() as { values: string }[]
  return rows.map(({ values }) => `insert into ${table} (${columns.join(', ')}) values (${values});`)
}
