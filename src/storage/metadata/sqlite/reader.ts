import type { MetadataReader } from '../reader.ts'
import { Session } from '../session.ts'
import { openSqlite, SqliteConnection } from './connection.ts'
import { Snapshots } from './snapshots.ts'

/** Problems of a database file worth listing: one that has more is beyond reading lists. */
const maxProblems = 20

/** Opens a database file to be read only, also while a server writes to it. Throws `storage-unavailable`. */
export function openSqliteReader(file: string): MetadataReader {
  const open = (): SqliteConnection => new SqliteConnection(openSqlite(file, { readOnly: true }), () => undefined)
  const connection = open()
  const snapshots = new Snapshots(open)
  return {
    dialect: 'sqlite',
    reader: new Session(connection),
    snapshot: (read) => snapshots.run(read),
    async checkFile(depth) {
      const check = depth === 'pages' ? 'quick_check' : 'integrity_check'
      const { rows } = await connection.run(`pragma ${check}(${maxProblems})`, [], false)
      return rows.map((row) => String(Object.values(row as object)[0])).filter((text) => text !== 'ok')
    },
    async close() {
      await snapshots.close()
      connection.close()
    },
  }
}
