import { registryError } from './errors.ts'
import type { Page } from './types.ts'

/**
 * Makes a page of rows fetched with a limit of one more than asked for: the extra one only says that there is a
 * next page. `lookedAt` is how far was looked where not everything was, which the next page then starts from.
 */
export function toPage<Row, Item>(
  rows: readonly Row[],
  limit: number,
  item: (row: Row) => Item,
  position: (row: Row) => string,
  lookedAt?: string,
): Page<Item> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return { items: shown.map(item), next: rows.length > limit && last !== undefined ? position(last) : lookedAt }
}

/** Reads a position that is a row's number. Throws `page-invalid`. */
export function parseIdPosition(after: string | undefined): number {
  if (after === undefined) return 0
  if (!/^\d{1,15}$/.test(after)) throw registryError('page-invalid', 'The page token is not one that was given out.')
  return Number(after)
}
