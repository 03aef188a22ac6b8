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
  /** The row that its policies hang from: of a user, or of the role that was assumed. Absent for a root. */
  readonly identity?: { readonly kind: 'user' | 'role'; readonly id: number } | undefined
  /** Of temporary credentials. */
  readonly session?: PrincipalSession | undefined
}

/** What temporary credentials carry beside who they stand for. Times are in milliseconds since the Unix epoch. */
export interface PrincipalSession {
  readonly issuedAt: number
  readonly expiresAt: number
  /** Policy documents that bound the session: it may do what these and the identity's own policies allow. None: no bound. */
  readonly policies: readonly string[]
  readonly tags: Readonly<Record<string, string>>
  readonly transitiveTagKeys: readonly string[]
  readonly sourceIdentity: string | undefined
  /** The ARN of the identity provider of a web identity. */
  readonly provider: string | undefined
  /** Condition keys that hold for all of the session, such as the claims of a web identity. */
  readonly context: Readonly<Record<string, string | readonly string[]>>
}

/** The owner of an account, using one of its access keys. */
export function rootPrincipal(accountId: AccountId, accessKeyId: string): Principal {
  return { arn: rootArn(accountId), accountId, kind: 'root', userId: accountId, accessKeyId }
}
