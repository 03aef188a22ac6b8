import type { Session } from '../storage/metadata/session.ts'
import { findRetirement, type RetirementRow } from '../storage/metadata/stores/retirement-store.ts'
import { countTagsOfManifest } from '../storage/metadata/stores/tag-store.ts'
import { livingParentsOf } from '../storage/metadata/stores/unit-store.ts'

/**
 * What is said of a manifest's retirement. Undefined too where it was retired as a part of another image, and by now has a tag of
 * its own, or a living index that was not retired with it lists it, itself or around others: that index could not be pulled
 * without it. The same of an index around it that was retired with it and has a tag by now.
 */
export async function retirementOf(session: Session, manifestId: number): Promise<RetirementRow | undefined> {
  const row = await findRetirement(session, manifestId)
  if (row === undefined || row.image_id === manifestId) return row
  if (await isTagged(session, manifestId)) return undefined
  const seen = new Set([manifestId, row.image_id])
  for (let newest = [manifestId]; newest.length > 0; ) {
    const parents = new Set((await livingParentsOf(session, newest)).map(({ parent }) => parent).filter((parent) => !seen.has(parent)))
    for (const parent of parents) {
      if ((await findRetirement(session, parent))?.image_id !== row.image_id || (await isTagged(session, parent))) return undefined
      seen.add(parent)
    }
    newest = [...parents]
  }
  return row
}

async function isTagged(session: Session, manifestId: number): Promise<boolean> {
  return (await countTagsOfManifest(session, manifestId, 1)) > 0
}
