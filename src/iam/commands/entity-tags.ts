import type { Session } from '../../storage/metadata/session.ts'
import { deleteIamTag, iamTags, upsertIamTag, type TagOwnerKind } from '../../storage/metadata/stores/iam-tag-store.ts'
import { iamQuotas } from '../quotas.ts'
import { quotaExceeded } from './change.ts'

export interface Tag {
  readonly key: string
  readonly value: string
}

/**
 * Adds tags to the ones there are. Keys are the same in any spelling of their letters, and keep the newest one. Answers whether
 * that changed anything.
 */
export async function addTags(
  tx: Session,
  owner: { kind: TagOwnerKind; id: number },
  tags: readonly Tag[],
): Promise<boolean> {
  const existing = new Map((await iamTags(tx, owner)).map((tag) => [tag.key.toLowerCase(), tag]))
  const added = tags.filter(({ key }) => !existing.has(key.toLowerCase())).length
  if (existing.size + added > iamQuotas.TagsPerEntity) {
    throw quotaExceeded('TagsPerEntity')
  }
  let isChanged = false
  for (const tag of tags) {
    const former = existing.get(tag.key.toLowerCase())
    if (former?.key === tag.key && former.value === tag.value) continue
    if (former !== undefined && former.key !== tag.key) await deleteIamTag(tx, owner, former.key)
    await upsertIamTag(tx, owner, tag)
    isChanged = true
  }
  return isChanged
}
