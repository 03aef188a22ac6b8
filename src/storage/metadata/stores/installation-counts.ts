import { statement } from '../statement.ts'
import type { Session } from '../session.ts'

export interface InstallationCounts {
  readonly openUploads: number
  readonly repositories: number
  readonly images: number
  /** Each image with all its layers. */
  readonly imageBytes: number
}

const uploads = statement<{ now: number }>()((db, p) =>
  db
    .selectFrom('upload_session')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('expires_at', '>', p.now),
)

/** Sums that nobody has counted yet are left out: counting them here would read every manifest. */
const repositories = statement()((db) =>
  db
    .selectFrom('repository')
    .select((eb) => [
      eb.fn.countAll<number>().as('repositories'),
      eb.fn.coalesce(eb.cast<number>(eb.fn.sum('image_count'), 'bigint'), eb.lit(0)).as('images'),
      eb.fn.coalesce(eb.cast<number>(eb.fn.sum('logical_bytes'), 'bigint'), eb.lit(0)).as('imageBytes'),
    ])
    .where('trashed_at', 'is', null),
)

/** What there is of all registries together. Its cost grows with the repositories and the uploads under way. */
export async function countInstallation(session: Session, now: number): Promise<InstallationCounts> {
  const open = await session.first(uploads, { now })
  const sums = await session.first(repositories, {})
  return { openUploads: open?.count ?? 0, repositories: sums?.repositories ?? 0, images: sums?.images ?? 0, imageBytes: sums?.imageBytes ?? 0 }
}
