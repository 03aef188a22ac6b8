import { digestFromBytes, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'

/*
 * Who in a repository stands and falls with whom, one step at a time. States are not looked at: what lies in the trash is still
 * related, and comes back with the others.
 */

/** An edge between two manifests of a repository. */
export interface Kinship {
  readonly from: number
  readonly to: number
}

/** Parameters of one statement; SQLite takes 32,766. */
const chunkSize = 1000

async function inChunks<Row>(ids: readonly number[], ask: (chunk: readonly number[]) => Promise<Row[]>): Promise<Row[]> {
  const found: Row[] = []
  for (let start = 0; start < ids.length; start += chunkSize) found.push(...(await ask(ids.slice(start, start + chunkSize))))
  return found
}

/** From manifests to those that they list, where they are indexes. */
export function childrenOf(session: Session, ids: readonly number[]): Promise<Kinship[]> {
  return inChunks(ids, (chunk) =>
    session.query(
      session.builder
        .selectFrom('manifest_reference')
        .innerJoin('manifest', (join) =>
          join
            .onRef('manifest.repository_id', '=', 'manifest_reference.repository_id')
            .onRef('manifest.digest', '=', 'manifest_reference.digest'),
        )
        .select(['manifest_reference.manifest_id as from', 'manifest.id as to'])
        .where('manifest_reference.manifest_id', 'in', chunk)
        .where('manifest_reference.kind', '=', 'manifest'),
    ),
  )
}

/** From manifests to the indexes that list them. */
export function parentsOf(session: Session, ids: readonly number[]): Promise<Kinship[]> {
  return inChunks(ids, (chunk) =>
    session.query(
      session.builder
        .selectFrom('manifest')
        .innerJoin('manifest_reference', (join) =>
          join
            .onRef('manifest_reference.digest', '=', 'manifest.digest')
            .onRef('manifest_reference.repository_id', '=', 'manifest.repository_id'),
        )
        .select(['manifest.id as from', 'manifest_reference.manifest_id as to'])
        .where('manifest.id', 'in', chunk)
        .where('manifest_reference.kind', '=', 'manifest'),
    ),
  )
}

/** From manifests to their referrers. */
export function referrersOf(session: Session, ids: readonly number[]): Promise<Kinship[]> {
  return inChunks(ids, (chunk) =>
    session.query(
      session.builder
        .selectFrom('manifest')
        .innerJoin('manifest as referrer', (join) =>
          join
            .onRef('referrer.repository_id', '=', 'manifest.repository_id')
            .onRef('referrer.subject_digest', '=', 'manifest.digest'),
        )
        .select(['manifest.id as from', 'referrer.id as to'])
        .where('manifest.id', 'in', chunk)
        .where('referrer.subject_digest', 'is not', null),
    ),
  )
}

/** From referrers to their subjects, where those are there. */
export function subjectsOf(session: Session, ids: readonly number[]): Promise<Kinship[]> {
  return inChunks(ids, (chunk) =>
    session.query(
      session.builder
        .selectFrom('manifest')
        .innerJoin('manifest as subject', (join) =>
          join
            .onRef('subject.repository_id', '=', 'manifest.repository_id')
            .onRef('subject.digest', '=', 'manifest.subject_digest'),
        )
        .select(['manifest.id as from', 'subject.id as to'])
        .where('manifest.id', 'in', chunk)
        .where('manifest.subject_digest', 'is not', null),
    ),
  )
}

/** What a workload may call an image: the digest of its manifest, or of its config, as some runtimes report it. */
export async function namesOf(session: Session, ids: readonly number[]): Promise<{ readonly id: number; readonly digest: Digest }[]> {
  const own = await inChunks(ids, (chunk) => session.query(session.builder.selectFrom('manifest').select(['id', 'digest']).where('id', 'in', chunk)))
  const configs = await inChunks(ids, (chunk) =>
    session.query(
      session.builder
        .selectFrom('manifest_reference')
        .select(['manifest_id as id', 'digest'])
        .where('manifest_id', 'in', chunk)
        .where('role', '=', 'config'),
    ),
  )
  return [...own, ...configs].map(({ id, digest }) => ({ id, digest: digestFromBytes(digest) }))
}

/** The tags of manifests. */
export function tagsOf(session: Session, ids: readonly number[]): Promise<{ readonly id: number; readonly tag: string }[]> {
  return inChunks(ids, (chunk) =>
    session.query(session.builder.selectFrom('tag').select(['manifest_id as id', 'name as tag']).where('manifest_id', 'in', chunk)),
  )
}
