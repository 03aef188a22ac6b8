import type { EvaluationParts } from './evaluate-repository.ts'
import { actingPlace, announcement } from './policy/decisions.ts'
import type { DecidedColumns } from './policy/index.ts'

/**
 * What an evaluation came to without the rows of images that nothing is to be done about: of a million there are seldom many others, and
 * they all have to be handed to the server. Counts stay those of all.
 * @param isOnlyCounted nothing will be done about images that rules act on either
 */
export function withRowsOfInterest({ decided, fingerprints, ...parts }: EvaluationParts, { isOnlyCounted }: { readonly isOnlyCounted: boolean }): EvaluationParts {
  const { columns } = decided
  const watched = new Set([...decided.watched.values()].map(({ row }) => row))
  const rows = new Uint32Array(columns.size)
  let size = 0
  for (let row = 0; row < columns.size; row += 1) {
    const isActedOn = actingPlace(columns, row) !== 0
    const isTold = columns.announcements.length > 0 && (columns.announcedBy[row] !== 0 || columns.announcements[row] !== announcement.none)
    if ((isActedOn && !isOnlyCounted) || isTold || watched.has(row)) rows[size++] = row
  }
  const kept = rows.subarray(0, size)
  return {
    ...parts,
    fingerprints: rowsOf(fingerprints, kept),
    decided: {
      ...decided,
      columns: columnsOf(columns, kept),
      watched: new Map([...decided.watched].map(([id, image]) => [id, { ...image, row: kept.indexOf(image.row) }])),
    },
  }
}

function columnsOf({ size: _, ...columns }: DecidedColumns, kept: Uint32Array): DecidedColumns {
  return {
    size: kept.length,
    ids: rowsOf(columns.ids, kept),
    flags: rowsOf(columns.flags, kept),
    expiredBy: rowsOf(columns.expiredBy, kept),
    transitionedBy: rowsOf(columns.transitionedBy, kept),
    keptBy: rowsOf(columns.keptBy, kept),
    announcedBy: rowsOf(columns.announcedBy, kept),
    announcements: rowsOf(columns.announcements, kept),
  }
}

/** A column may be empty, whatever there is of others. */
function rowsOf<Values extends Float64Array | Uint32Array | Uint16Array | Uint8Array>(values: Values, kept: Uint32Array): Values {
  const rows = new (values.constructor as new (length: number) => Values)(values.length === 0 ? 0 : kept.length)
  for (let row = 0; row < rows.length; row += 1) rows[row] = values[kept[row]!]!
  return rows
}
