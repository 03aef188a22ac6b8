import type { Session } from '../storage/metadata/session.ts'
import { findRetirement, type RetirementRow } from '../storage/metadata/stores/retirement-store.ts'
import { livingParentsOf } from '../storage/metadata/stores/unit-store.ts'

/**
 * What is said of a manifest's retirement. Undefined too where it was retired as a part of another image, and by now a living
 * index that was not retired with it lists it, itself or around others: that index could not be pulled without it.
 */
export async function retirementOf(session: Session, manifestId: number): Promise<RetirementRow | undefined> {
  const row = await findRetirement(session, manifestId)
  if (row === undefined || row.image_id === manifestId) return row
  const seen = new Set([manifestId, row.image_id])
  for (let newest = [manifestId]; newest.length > 0; ) {
    const parents = new Set((await livingParentsOf(session, newest)).map(({ parent }) => parent).filter((parent) => !seen.has(parent)))
    for (const parent of parents) {
      if ((await findRetirement(session, parent))?.image_id !== row.image_id) return undefined
      seen.add(parent)
    }
    newest = [...parents]
  }
  return row
}
