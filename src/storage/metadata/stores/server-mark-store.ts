import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/*
 * What one start of a server leaves for the next to compare itself with, by name. Of the whole installation.
 */

const mark = statement<{ name: string }>()((db, p) => db.selectFrom('setting').select('value').where('name', '=', p.name))

export async function findServerMark(session: Session, name: string): Promise<string | undefined> {
  return (await session.first(mark, { name }))?.value
}

const put = statement<{ name: string; value: string }>()((db, p) =>
  db
    .insertInto('setting')
    .values({ name: p.name, value: p.value })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value: p.value })),
)

export async function putServerMark(tx: Session, name: string, value: string): Promise<void> {
  await tx.change(put, { name, value })
}

const first = statement<{ name: string; value: string }>()((db, p) =>
  db.insertInto('setting').values({ name: p.name, value: p.value }).onConflict((conflict) => conflict.column('name').doNothing()),
)
const move = statement<{ name: string; before: string; value: string }>()((db, p) =>
  db.updateTable('setting').set({ value: p.value }).where('name', '=', p.name).where('value', '=', p.before),
)

/** Sets a mark that is as it was seen, or absent where `before` is undefined. False: it is another by now. */
export async function moveServerMark(tx: Session, name: string, before: string | undefined, value: string): Promise<boolean> {
  return (await (before === undefined ? tx.change(first, { name, value }) : tx.change(move, { name, before, value }))) > 0
}

const remove = statement<{ name: string }>()((db, p) => db.deleteFrom('setting').where('name', '=', p.name))

export async function deleteServerMark(tx: Session, name: string): Promise<void> {
  await tx.change(remove, { name })
}

const removeSeen = statement<{ name: string; value: string }>()((db, p) => db.deleteFrom('setting').where('name', '=', p.name).where('value', '=', p.value))

/** Removes a mark unless it is another by now. */
export async function deleteServerMarkSeen(tx: Session, name: string, value: string): Promise<void> {
  await tx.change(removeSeen, { name, value })
}
