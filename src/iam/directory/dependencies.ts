import type { IdSource } from '../../internal/ids.ts'
import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import type { Keyring } from '../keyring.ts'

export interface DirectoryDependencies {
  readonly database: MetadataDatabase
  readonly keyring: Keyring
  readonly ids: IdSource
}

/** A part of a list in the order of its names. */
export interface PageRequest {
  /** The position after which the page begins: the `next` of the page before. */
  readonly after?: string | undefined
  readonly limit: number
}

export interface DirectoryPage<Item> {
  readonly items: readonly Item[]
  /** Undefined for the last page. */
  readonly next: string | undefined
}

/** A page of rows that were asked for with a limit of one more. */
export function pageOfRows<Row, Item>(
  rows: readonly Row[],
  limit: number,
  item: (row: Row) => Item,
  position: (row: Row) => string,
): DirectoryPage<Item> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return { items: shown.map(item), next: rows.length > limit && last !== undefined ? position(last) : undefined }
}

/** A page of a short list that is there as a whole, in the order of its keys. */
export function pageOfItems<Item>(
  items: readonly Item[],
  key: (item: Item) => string,
  { after, limit }: PageRequest,
): DirectoryPage<Item> {
  const rest = after === undefined ? items : items.filter((item) => key(item) > after)
  const shown = rest.slice(0, limit)
  const last = shown.at(-1)
  return { items: shown, next: rest.length > limit && last !== undefined ? key(last) : undefined }
}
