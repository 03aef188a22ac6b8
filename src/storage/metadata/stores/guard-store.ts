import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

const present = statement<{ registryId: number; repositoryId: number; now: number }>()((db, p) =>
  db.selectNoFrom((eb) => {
    const flag = (query: Parameters<typeof eb.exists>[0]) => eb.case().when(eb.exists(query)).then(eb.lit(1)).else(eb.lit(0)).end()
    return [
      flag(
        eb
          .selectFrom('protection')
          .select('id')
          .where('repository_id', '=', p.repositoryId)
          .where((own) => own.or([own('ends_at', 'is', null), own('ends_at', '>', p.now)])),
      ).as('hasProtections'),
      flag(eb.selectFrom('usage_source').select('id').where('registry_id', '=', p.registryId).where('status', '=', 'active')).as('hasSources'),
      flag(eb.selectFrom('registry_hold').select('id').where('registry_id', '=', p.registryId).where('released_at', 'is', null)).as('hasHolds'),
    ]
  }),
)

/** Whether there is anything at all that could hold images of a repository back: mostly there is not. */
export async function guardsOf(
  session: Session,
  registryId: number,
  repositoryId: number,
  now: number,
): Promise<{ hasProtections: boolean; hasSources: boolean; hasHolds: boolean }> {
  const row = await session.first(present, { registryId, repositoryId, now })
  return { hasProtections: row?.hasProtections === 1, hasSources: row?.hasSources === 1, hasHolds: row?.hasHolds === 1 }
}
