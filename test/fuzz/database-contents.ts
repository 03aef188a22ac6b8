import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'

/** What the server writes by itself: the background jobs, and the counters of all tables' ids. */
const ownTables: ReadonlySet<string> = new Set(['job', 'sqlite_sequence'])

/** So is this setting: what the clocks showed when the server looked last. */
function isOwn(table: string, row: unknown): boolean {
  return table === 'setting' && (row as { name: string }).name === 'server-clock'
}

/** A hash of all rows of each table, to tell whether a request changed anything. */
export async function databaseContents(source: { readonly dataDir: string } | { readonly url: string }): Promise<Record<string, string>> {
  return 'url' in source ? postgresContents(source.url) : sqliteContents(join(source.dataDir, 'stowage.db'))
}

function hashOf(table: string, rows: readonly unknown[]): string {
  const others = rows.filter((row) => !isOwn(table, row))
  const lines = others.map((row) => JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))).sort()
  return createHash('sha256').update(lines.join('\n')).digest('hex')
}

function sqliteContents(file: string): Record<string, string> {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    const tables = database.prepare(`SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`).all() as { name: string }[]
    return Object.fromEntries(
      tables.filter(({ name }) => !ownTables.has(name)).map(({ name }) => {
        const rows = database.prepare(`SELECT * FROM "${name}"`)
        rows.setReadBigInts(true)
        return [name, hashOf(name, rows.all())]
      }),
    )
  } finally {
    database.close()
  }
}

async function postgresContents(url: string): Promise<Record<string, string>> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows: tables } = await client.query<{ name: string }>(`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`)
    const hashes: Record<string, string> = {}
    for (const { name } of tables.filter((table) => !ownTables.has(table.name))) hashes[name] = hashOf(name, (await client.query(`SELECT * FROM "${name}"`)).rows)
    return hashes
  } finally {
    await client.end()
  }
}
