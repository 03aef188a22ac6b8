import type { AccountId } from '../values/account.ts'
import { rootArn } from '../values/arn.ts'

export const principalKinds = ['root', 'user', 'assumed-role'] as const

export type PrincipalKind = (typeof principalKinds)[number]

/** Who makes a request, and with which access key. */
export interface Principal {
  /** `arn:aws:iam::<account>:root`, `arn:aws:iam::<account>:user/…` or `arn:aws:sts::<account>:assumed-role/…`. */
  readonly arn: string
  readonly accountId: AccountId
  readonly kind: PrincipalKind
  /** What STS GetCallerIdentity answers as UserId: the account id for a root, `AIDA…`, or `AROA…:<session name>`. */
  readonly userId: string
  readonly accessKeyId: string
}

/** The owner of an account, using one of its access keys. */
export function rootPrincipal(accountId: AccountId, accessKeyId: string): Principal {
  return { arn: rootArn(accountId), accountId, kind: 'root', userId: accountId, accessKeyId }
}
