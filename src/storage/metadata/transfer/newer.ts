import { digestFromBytes, type Digest } from '../../../values/digest.ts'
import type { MetadataTarget } from '../migrate.ts'
import { openRawDatabase, transaction, type RawDatabase, type RawRow } from './raw-database.ts'

/** An image or a tag that a database has and another one has not. */
export interface LostImage {
  readonly account: string
  readonly region: string
  readonly repository: string
  readonly digest: Digest
  /** Undefined for an image itself. */
  readonly tag?: string
  /** When it was pushed, or tagged. */
  readonly at: number
}

/** As both databases tell them apart: surrogate ids may differ. */
const imagesSql = (sinceMs: number): string => `
  select registry.account_id, registry.region, repository.name, manifest.digest, null, manifest.pushed_at
  from manifest join repository on repository.id = manifest.repository_id join registry on registry.id = repository.registry_id
  where manifest.trashed_at is null and repository.trashed_at is null and manifest.pushed_at >= ${sinceMs}`
const tagsSql = (sinceMs: number): string => `
  select registry.account_id, registry.region, repository.name, manifest.digest, tag.name, tag.tagged_at
  from tag join manifest on manifest.id = tag.manifest_id join repository on repository.id = tag.repository_id
  join registry on registry.id = repository.registry_id
  where repository.trashed_at is null and tag.tagged_at >= ${sinceMs}`

/**
 * Images and tags of the old database, not older than `sinceMs`, that the new one does not have as they were.
 *
 * Throws `storage-unavailable` when the old one cannot be read.
 */
export async function lostImages(old: MetadataTarget, present: MetadataTarget, sinceMs: number): Promise<LostImage[]> {
  const before = await openRawDatabase(old, { readOnly: true })
  const now = await openRawDatabase(present, { readOnly: true })
  const lost: LostImage[] = []
  try {
    for (const sql of [imagesSql(Math.floor(sinceMs)), tagsSql(Math.floor(sinceMs))]) {
      await transaction(before, 'begin', async () => {
        for await (const batch of before.stream(sql)) {
          for (const row of batch) if (!(await isKept(now, row))) lost.push(lostImage(row))
        }
      })
    }
  } finally {
    await before.close()
    await now.close()
  }
  return lost
}

async function isKept(db: RawDatabase, [account, region, repository, digest, tag]: RawRow): Promise<boolean> {
  const placed = `join repository on repository.id = manifest.repository_id join registry on registry.id = repository.registry_id
    where account_id = $1 and region = $2 and repository.name = $3 and repository.trashed_at is null
    and digest = $4 and manifest.trashed_at is null`
  const [found] =
    tag === null
      ? await db.query(`select 1 from manifest ${placed}`, [account, region, repository, digest])
      : await db.query(
          `select 1 from manifest ${placed} and exists (select 1 from tag where tag.manifest_id = manifest.id and tag.name = $5)`,
          [account, region, repository, digest, tag],
        )
  return found !== undefined
}

function lostImage([account, region, repository, digest, tag, at]: RawRow): LostImage {
  return {
    account: String(account),
    region: String(region),
    repository: String(repository),
    digest: digestFromBytes(digest as Uint8Array),
    ...(tag === null ? {} : { tag: String(tag) }),
    at: Number(at),
  }
}
