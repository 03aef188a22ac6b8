import type { Session } from '../session.ts'
import { nameKey } from './iam-entity-store.ts'

/** A user or a role, as policies of resources name it. */
export interface PrincipalRow {
  readonly kind: 'user' | 'role'
  readonly account_id: string
  readonly path: string
  readonly name: string
  readonly unique_id: string
}

const tables = { user: 'iam_user', role: 'iam_role' } as const

/** Those of the users or roles that are there, in any account and in no order. Names in any spelling of their letters. */
export async function principalsNamed(
  session: Session,
  kind: PrincipalRow['kind'],
  wanted: readonly { readonly accountId: string; readonly name: string }[],
): Promise<PrincipalRow[]> {
  if (wanted.length === 0) return []
  const rows = await session.query(
    session.builder
      .selectFrom(tables[kind] as 'iam_user')
      .select(['account_id', 'path', 'name', 'unique_id'])
      .where('account_id', 'in', [...new Set(wanted.map(({ accountId }) => accountId))])
      .where('name_key', 'in', [...new Set(wanted.map(({ name }) => nameKey(name)))]),
  )
  return rows.map((row) => ({ ...row, kind }))
}

/** Databases take many thousand values of one statement; a page of a thousand roles may name as many principals each. */
const idsOfStatement = 1000

/** Those of the users or roles that are there, in no order. */
export async function principalsWithIds(session: Session, kind: PrincipalRow['kind'], ids: readonly string[]): Promise<PrincipalRow[]> {
  const found: PrincipalRow[] = []
  for (let from = 0; from < ids.length; from += idsOfStatement) {
    const rows = await session.query(
      session.builder
        .selectFrom(tables[kind] as 'iam_user')
        .select(['account_id', 'path', 'name', 'unique_id'])
        .where('unique_id', 'in', ids.slice(from, from + idsOfStatement)),
    )
    found.push(...rows.map((row) => ({ ...row, kind })))
  }
  return found
}
