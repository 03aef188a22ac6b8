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
 * The caller holds the repository's lock.
 */
export async function collectUnit(tx: Session, root: ManifestRow): Promise<ManifestRow[]> {
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
    const candidates = new Map(found.filter(({ id, isTagged }) => !isTagged && !members.has(id)).map((row) => [row.id, row]))
    const heldBack = new Set<number>()
    for (const { child, parent } of candidates.size === 0 ? [] : await livingParentsOf(tx, [...candidates.keys()])) {
      if (!members.has(parent)) heldBack.add(child)
    }
    listedElsewhere = [...candidates.values()].filter(({ id }) => heldBack.has(id))
    const joining = [...candidates.values()].filter(({ id }) => !heldBack.has(id)).slice(0, maxUnitMembers - members.size)
    for (const row of joining) members.set(row.id, row)
    newest = joining.map(({ id }) => id)
  }
  return [...members.values()]
}
