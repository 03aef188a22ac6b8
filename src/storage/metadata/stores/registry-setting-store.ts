import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

const named = statement<{ registryId: number; name: string }>()((db, p) =>
  db.selectFrom('registry_setting').select('value').where('registry_id', '=', p.registryId).where('name', '=', p.name),
)

/** What a registry's setting was put to; undefined where it still has its default. */
export async function findRegistrySetting(session: Session, registryId: number, name: string): Promise<string | undefined> {
  return (await session.first(named, { registryId, name }))?.value
}

const put = statement<{ registryId: number; name: string; value: string }>()((db, p) =>
  db
    .insertInto('registry_setting')
    .values({ registry_id: p.registryId, name: p.name, value: p.value })
    .onConflict((conflict) => conflict.columns(['registry_id', 'name']).doUpdateSet({ value: p.value })),
)

export async function upsertRegistrySetting(tx: Session, registryId: number, name: string, value: string): Promise<void> {
  await tx.change(put, { registryId, name, value })
}
