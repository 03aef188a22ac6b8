import type { Session } from '../storage/metadata/session.ts'
import type { ManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import { livingChildrenOf, livingParentsOf, livingReferrersOf, type UnitMemberRow } from '../storage/metadata/stores/unit-store.ts'

/**
 * Manifests of a unit in one command, which holds the repository's lock: far more than an index lists or an image has
 * signatures. What is beyond stays, as images of their own.
 */
const maxUnitMembers = 2000

/**
 * What goes and comes with an image: the manifests that it lists and that nothing else lists, and the referrers of it and of
 * those. What has a tag of its own, child or referrer, is an image of its own and stays. The image comes first.
 *
 * With `archive`, of what goes to the archive: only what is active, and what archived indexes list they list in vain already.
 *
 * The caller holds the repository's lock.
 */
export async function collectUnit(tx: Session, root: ManifestRow, purpose: 'trash' | 'archive' = 'trash'): Promise<ManifestRow[]> {
  const mayJoin = ({ storage_class: storageClass }: ManifestRow): boolean => purpose === 'trash' || storageClass === 'active'
  const members = new Map<number, ManifestRow>([[root.id, root]])
  let newest = [root.id]
  // Listed by something that is not of the unit: as far as is known yet.
  let listedElsewhere: UnitMemberRow[] = []
  while (newest.length > 0 && members.size < maxUnitMembers) {
    const found = [
      ...listedElsewhere,
      ...(await livingChildrenOf(tx, newest)),
      ...(await livingReferrersOf(tx, newest, maxUnitMembers)),
    ]
    const candidates = new Map(found.filter((row) => !row.isTagged && !members.has(row.id) && mayJoin(row)).map((row) => [row.id, row]))
    const heldBack = new Set<number>()
    for (const { child, parent, parentClass } of candidates.size === 0 ? [] : await livingParentsOf(tx, [...candidates.keys()])) {
      if (!members.has(parent) && (purpose === 'trash' || parentClass !== 'archived')) heldBack.add(child)
    }
    listedElsewhere = [...candidates.values()].filter(({ id }) => heldBack.has(id))
    const joining = [...candidates.values()].filter(({ id }) => !heldBack.has(id)).slice(0, maxUnitMembers - members.size)
    for (const row of joining) members.set(row.id, row)
    newest = joining.map(({ id }) => id)
  }
  return [...members.values()]
}

/**
 * What goes when all of some images go, however many: they, and what goes with them as `collectUnit` has it. Read without a lock,
 * for whoever wants to know.
 */
export async function collectUnits(session: Session, ids: readonly number[], signal?: AbortSignal): Promise<number[]> {
  const members = new Set(ids)
  let listedElsewhere: UnitMemberRow[] = []
  for (let newest: readonly number[] = ids; newest.length > 0; ) {
    const found = new Map(listedElsewhere.map((row) => [row.id, row]))
    for (let start = 0; start < newest.length; start += imagesPerLook) {
      signal?.throwIfAborted()
      const some = newest.slice(start, start + imagesPerLook)
      for (const row of [...(await livingChildrenOf(session, some)), ...(await livingReferrersOf(session, some, mostReferrers))]) {
        if (!row.isTagged && !members.has(row.id)) found.set(row.id, row)
      }
    }
    const heldBack = new Set<number>()
    for (const { child, parent } of found.size === 0 ? [] : await livingParentsOf(session, [...found.keys()])) {
      if (!members.has(parent)) heldBack.add(child)
    }
    listedElsewhere = [...found.values()].filter(({ id }) => heldBack.has(id))
    newest = [...found.keys()].filter((id) => !heldBack.has(id))
    for (const id of newest) members.add(id)
  }
  return [...members]
}

/** One statement takes as many parameters on every database. */
const imagesPerLook = 1000
/** Of so many images together: far more than there are signatures. */
const mostReferrers = 100_000

/**
 * What comes out of the archive with an image: everything that it lists, whatever else lists it and with tags of its own too,
 * since without it the image cannot be pulled; and the referrers of all of these. Only what is not active already: the image
 * itself may be. The caller holds the repository's lock.
 */
export async function collectArchived(tx: Session, root: ManifestRow): Promise<ManifestRow[]> {
  const members = new Map<number, ManifestRow>()
  const seen = new Set([root.id])
  if (root.storage_class !== 'active') members.set(root.id, root)
  for (let newest = [root.id]; newest.length > 0 && members.size < maxUnitMembers; ) {
    const found = [...(await livingChildrenOf(tx, newest)), ...(await livingReferrersOf(tx, newest, maxUnitMembers))]
    const joining = new Map(found.filter((row) => row.storage_class !== 'active' && !seen.has(row.id)).map((row) => [row.id, row]))
    for (const row of joining.values()) {
      seen.add(row.id)
      if (members.size < maxUnitMembers) members.set(row.id, row)
    }
    newest = [...joining.keys()]
  }
  return [...members.values()]
}
