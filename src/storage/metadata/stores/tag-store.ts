import { digestFromBytes, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

export interface TagTarget {
  readonly manifestId: number
  readonly digest: Digest
}

const target = statement<{ repositoryId: number; name: string }>()((db, p) =>
  db
    .selectFrom('tag')
    .innerJoin('manifest', 'manifest.id', 'tag.manifest_id')
    .select(['manifest.id as manifestId', 'manifest.digest'])
    .where('tag.repository_id', '=', p.repositoryId)
    .where('tag.name', '=', p.name),
)

export async function findTag(session: Session, repositoryId: number, name: string): Promise<TagTarget | undefined> {
  const row = await session.first(target, { repositoryId, name })
  return row && { manifestId: row.manifestId, digest: digestFromBytes(row.digest) }
}

const put = statement<{ repositoryId: number; name: string; manifestId: number; now: number }>()((db, p) =>
  db
    .insertInto('tag')
    .values({ repository_id: p.repositoryId, name: p.name, manifest_id: p.manifestId, tagged_at: p.now })
    .onConflict((conflict) =>
      conflict.columns(['repository_id', 'name']).doUpdateSet({ manifest_id: p.manifestId, tagged_at: p.now }),
    ),
)

/** Points a tag at a manifest; the caller holds the repository's lock and has asked whether it may move. */
export async function putTag(tx: Session, repositoryId: number, name: string, manifestId: number, now: number): Promise<void> {
  await tx.change(put, { repositoryId, name, manifestId, now })
}

const remove = statement<{ repositoryId: number; name: string }>()((db, p) =>
  db.deleteFrom('tag').where('repository_id', '=', p.repositoryId).where('name', '=', p.name),
)

export async function deleteTagRow(tx: Session, repositoryId: number, name: string): Promise<boolean> {
  return (await tx.change(remove, { repositoryId, name })) > 0
}

const ofManifest = statement<{ manifestId: number }>()((db, p) =>
  db.selectFrom('tag').select('name').where('manifest_id', '=', p.manifestId).orderBy('name'),
)

export async function tagsOfManifest(session: Session, manifestId: number): Promise<string[]> {
  return (await session.all(ofManifest, { manifestId })).map(({ name }) => name)
}

const someOfManifest = statement<{ manifestId: number; limit: number }>()((db, p) =>
  db.selectFrom('tag').select('name').where('manifest_id', '=', p.manifestId).limit(p.limit),
)

/** How many tags point at a manifest; beyond `limit` it stops counting. */
export async function countTagsOfManifest(session: Session, manifestId: number, limit: number): Promise<number> {
  return (await session.all(someOfManifest, { manifestId, limit })).length
}

const page = statement<{ repositoryId: number; after: string; limit: number }>()((db, p) =>
  db
    .selectFrom('tag')
    .select('name')
    .where('repository_id', '=', p.repositoryId)
    .where('name', '>', p.after)
    .orderBy('name')
    .limit(p.limit),
)

/** In the order of their bytes, after `after`. */
export async function listTagNames(
  session: Session,
  repositoryId: number,
  after: string,
  limit: number,
): Promise<string[]> {
  return (await session.all(page, { repositoryId, after, limit })).map(({ name }) => name)
}
