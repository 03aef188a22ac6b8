import type { Session } from '../../storage/metadata/session.ts'
import { openHolds, type OpenHoldRow } from '../../storage/metadata/stores/hold-store.ts'
import type { HoldCause } from './hold-words.ts'

/** While it is not released nothing is removed automatically. */
export interface RegistryHold {
  readonly id: number
  readonly cause: HoldCause
  readonly reason: string
  readonly raisedAt: number
  readonly raisedBy: string
  /** Where only the repositories that a source speaks for are held: the source, and its patterns. */
  readonly source: { readonly name: string; readonly scope: readonly string[] } | undefined
  readonly released: { readonly at: number; readonly by: string; readonly reason: string } | undefined
}

/**
 * The holds of a registry that nobody has released. With one that has no `source` a worker need not look at the registry at
 * all; for the others `findVetoes` answers for each repository.
 */
export async function registryHolds(session: Session, registryId: number): Promise<RegistryHold[]> {
  return (await openHolds(session, registryId)).map(toHold)
}

export function toHold(row: OpenHoldRow): RegistryHold {
  return {
    id: row.id,
    cause: row.cause as HoldCause,
    reason: row.reason,
    raisedAt: row.raised_at,
    raisedBy: row.raised_by,
    source: row.sourceName === null ? undefined : { name: row.sourceName, scope: JSON.parse(row.sourceScope ?? '[]') as string[] },
    released: row.released_at === null ? undefined : { at: row.released_at, by: row.released_by ?? '', reason: row.release_reason ?? '' },
  }
}
