import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'

/*
 * What goes with an image when it goes: its living children and referrers, generation by generation. One statement for
 * each kind of edge, however many manifests are asked about.
 */

/** A living manifest that another brought up. */
export type UnitMemberRow = Selectable<Schema['manifest']> & { readonly isTagged: boolean }

/** Parameters of one statement; SQLite takes 32,766. */
const chunkSize = 1000

async function inChunks<Row>(ids: readonly number[], ask: (chunk: readonly number[]) => Promise<Row[]>): Promise<Row[]> {
  const found: Row[] = []
  for (let start = 0; start < ids.length; start += chunkSize) found.push(...(await ask(ids.slice(start, start + chunkSize))))
  return found
}

/** Living manifests that the given ones list. */
export function livingChildrenOf(session: Session, ids: readonly number[]): Promise<UnitMemberRow[]> {
  return inChunks(ids, async (chunk) => {
    const rows = await session.query(
      session.builder
        .selectFrom('manifest')
        .selectAll('manifest')
        .select((eb) => eb.selectFrom('tag').select('tag.name').whereRef('tag.manifest_id', '=', 'manifest.id').limit(1).as('tag'))
        .where('manifest.id', 'in', (eb) =>
          eb
            .selectFrom('manifest_reference as edge')
            .innerJoin('manifest as child', (join) =>
              join.onRef('child.repository_id', '=', 'edge.repository_id').onRef('child.digest', '=', 'edge.digest'),
            )
            .select('child.id')
            .where('edge.manifest_id', 'in', chunk)
            .where('edge.kind', '=', 'manifest'),
        )
        .where('manifest.trashed_at', 'is', null),
    )
    return rows.map(toMember)
  })
}

/** Living manifests whose subject is one of the given ones, up to `limit` for each thousand. */
export function livingReferrersOf(session: Session, ids: readonly number[], limit: number): Promise<UnitMemberRow[]> {
  return inChunks(ids, async (chunk) => {
    const rows = await session.query(
      session.builder
        .selectFrom('manifest as subject')
        .innerJoin('manifest', (join) =>
          join
            .onRef('manifest.repository_id', '=', 'subject.repository_id')
            .onRef('manifest.subject_digest', '=', 'subject.digest')
            .on('manifest.subject_digest', 'is not', null)
            .on('manifest.trashed_at', 'is', null),
        )
        .selectAll('manifest')
        .select((eb) => eb.selectFrom('tag').select('tag.name').whereRef('tag.manifest_id', '=', 'manifest.id').limit(1).as('tag'))
        .where('subject.id', 'in', chunk)
        .limit(limit),
    )
    return rows.map(toMember)
  })
}

/** Edges from manifests to the living ones that list them. */
export function livingParentsOf(
  session: Session,
  ids: readonly number[],
): Promise<{ readonly child: number; readonly parent: number; readonly parentClass: string }[]> {
  return inChunks(ids, (chunk) =>
    session.query(
      session.builder
        .selectFrom('manifest as child')
        .innerJoin('manifest_reference as edge', (join) =>
          join.onRef('edge.digest', '=', 'child.digest').onRef('edge.repository_id', '=', 'child.repository_id').on('edge.kind', '=', 'manifest'),
        )
        .innerJoin('manifest as parent', 'parent.id', 'edge.manifest_id')
        .select(['child.id as child', 'parent.id as parent', 'parent.storage_class as parentClass'])
        .where('child.id', 'in', chunk)
        .where('parent.trashed_at', 'is', null),
    ),
  )
}

/** Of the manifests those that refer to a living one, with the classes of the images that they refer to. */
export async function livingSubjectsOf(session: Session, ids: readonly number[]): Promise<Map<number, string>> {
  const rows = await inChunks(ids, (chunk) =>
    session.query(
      session.builder
        .selectFrom('manifest as referrer')
        .innerJoin('manifest as subject', (join) =>
          join.onRef('subject.repository_id', '=', 'referrer.repository_id').onRef('subject.digest', '=', 'referrer.subject_digest'),
        )
        .select(['referrer.id', 'subject.storage_class as subjectClass'])
        .where('referrer.id', 'in', chunk)
        .where('subject.trashed_at', 'is', null),
    ),
  )
  return new Map(rows.map(({ id, subjectClass }) => [id, subjectClass]))
}

/** Manifests by their numbers, with when they were last pulled. */
export function manifestsById(
  session: Session,
  ids: readonly number[],
): Promise<(Selectable<Schema['manifest']> & { readonly lastPulledAt: number | null })[]> {
  return inChunks(ids, (chunk) =>
    session.query(
      session.builder
        .selectFrom('manifest')
        .leftJoin('manifest_pull', 'manifest_pull.manifest_id', 'manifest.id')
        .selectAll('manifest')
        .select('manifest_pull.last_pulled_at as lastPulledAt')
        .where('manifest.id', 'in', chunk),
    ),
  )
}

function toMember({ tag, ...row }: Selectable<Schema['manifest']> & { tag: string | null }): UnitMemberRow {
  return { ...row, isTagged: tag !== null }
}
