import { storageError } from '../errors.ts'
import { migrations } from './migrations/index.ts'
import type { Session } from './session.ts'

/**
 * Asks whether the database has the form that this program knows, without changing anything.
 *
 * Throws `storage-unavailable` when it has not, with what to do.
 */
export async function assertOwnSchema(session: Session): Promise<void> {
  const known = Object.keys(migrations(session.dialect))
  let rows: { name: string }[]
  try {
    rows = await session.query<{ name: string }>({
      compile: () => ({ sql: 'select name from kysely_migration', parameters: [] }),
      execute: () => Promise.reject(new Error('sessions run statements')),
    })
  } catch (error) {
    throw storageError('storage-unavailable', 'this database is empty or not one of Stowage', { cause: error })
  }
  const applied = new Set(rows.map(({ name }) => name))
  const isNewer = [...applied].some((name) => !known.includes(name))
  if (isNewer) {
    throw storageError('storage-unavailable', 'this database was written by a newer version of Stowage: use that one')
  }
  if (known.some((name) => !applied.has(name))) {
    throw storageError(
      'storage-unavailable',
      'this database was written by an older version of Stowage: bring it up to date with `stowage migrate`, or use that version',
    )
  }
}
