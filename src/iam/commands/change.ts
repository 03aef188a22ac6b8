import type { CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { advanceIamGeneration } from '../../storage/metadata/stores/access-key-store.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import { countNamed, lockAccount, lockNamed, type NamedKind, type NamedRows } from '../../storage/metadata/stores/iam-entity-store.ts'
import { iamArn, type AccountId } from '../../values/index.ts'
import { iamError } from '../errors.ts'
import { iamQuotas, type IamQuota } from '../quotas.ts'

/*
 * What every change of who may what has in common. The order of locks on PostgreSQL: the account's row where something
 * is counted, then the row of what is changed (a user before a group), then what it is to refer to, then everything that
 * hangs from it, and the IAM generation last.
 */

/** Ends a change in the context's account: what was learned of rights there is forgotten, and it is written down who did it. */
export async function recordIamChange(
  tx: Session,
  context: CommandContext,
  change: { action: string; resource: string; detail?: Readonly<Record<string, unknown>> },
): Promise<void> {
  await advanceIamGeneration(tx, context.accountId)
  await recordAudit(tx, context, change)
}

/** The row, locked. Throws `entity-unknown`. */
export async function lockEntity<Kind extends NamedKind>(
  tx: Session,
  { accountId }: CommandContext,
  kind: Kind,
  name: string,
  mode: 'change' | 'delete' = 'change',
): Promise<NamedRows[Kind]> {
  const row = await lockNamed(tx, kind, accountId, name, mode)
  if (!row) throw entityUnknown(kind, name)
  return row
}

/** In IAM's words. */
export function entityUnknown(kind: NamedKind, name: string) {
  return iamError('entity-unknown', `The ${kind} with name ${name} cannot be found.`)
}

/** In IAM's words. */
export function entityExists(kind: NamedKind, name: string) {
  if (kind === 'policy') return iamError('entity-exists', `A policy called ${name} already exists. Duplicate names are not allowed.`)
  return iamError('entity-exists', `${kind[0]?.toUpperCase()}${kind.slice(1)} with name ${name} already exists.`)
}

export function arnOf(kind: NamedKind, row: { account_id: string; path: string; name: string }): string {
  return iamArn(row.account_id as AccountId, kind, row.path, row.name)
}

/** In IAM's words. */
export function quotaExceeded(quota: IamQuota) {
  return iamError('iam-limit-exceeded', `Cannot exceed quota for ${quota}: ${iamQuotas[quota]}`)
}

const quotaOf = {
  user: 'UsersPerAccount',
  group: 'GroupsPerAccount',
  role: 'RolesPerAccount',
  policy: 'PoliciesPerAccount',
} as const satisfies Record<NamedKind, IamQuota>

/** Throws `iam-limit-exceeded` where an account has all it may have of a kind; else no other gets in before the commit. */
export async function reserveRoom(tx: Session, { accountId }: CommandContext, kind: NamedKind): Promise<void> {
  await lockAccount(tx, accountId)
  if ((await countNamed(tx, kind, accountId)) >= iamQuotas[quotaOf[kind]]) throw quotaExceeded(quotaOf[kind])
}
