import { every, isDigit } from '../../values/characters.ts'
import { hasWildcard } from './pattern.ts'

/** Who a request comes from, as the Principal element of a policy sees it. */
export interface PolicyPrincipal {
  /**
   * `arn:aws:iam::<account>:root`, `arn:aws:iam::<account>:user/…`, `arn:aws:sts::<account>:assumed-role/<role>/<session>`;
   * of a web identity that asks for a role, the ARN of its provider.
   */
  readonly arn: string
  readonly accountId: string
  readonly kind: 'root' | 'user' | 'assumed-role' | 'federated'
  /** `AIDA…` of a user, `AROA…:<session name>` of a session. */
  readonly userId?: string | undefined
  /** Of an assumed role the role's own ARN, with its path. Without it, a role is known by its name. */
  readonly roleArn?: string | undefined
  readonly session?: { readonly provider?: string | undefined } | undefined
}

/**
 * How directly a statement names the caller, from not at all to by itself. In AWS's words ("How AWS enforcement code logic
 * evaluates requests"): what is granted to an account has to be handed on by the account's own policies; what is granted to a
 * role is bounded by the permissions boundary and session policies; what is granted to a user or to a session is not.
 */
export const namedBy = { nothing: 0, account: 1, role: 2, itself: 3 } as const

export type NamedBy = (typeof namedBy)[keyof typeof namedBy]

/** One entry of a Principal element. */
export type PrincipalEntry =
  | { readonly kind: 'everybody' }
  | { readonly kind: 'account'; readonly accountId: string }
  | { readonly kind: 'user'; readonly arn: string }
  | { readonly kind: 'role'; readonly arn: string; readonly accountId: string; readonly roleName: string }
  | { readonly kind: 'session'; readonly arn: string }
  /** Of a user or a role; with a session's name, of that session of the role. */
  | { readonly kind: 'unique-id'; readonly id: string; readonly sessionName: string | undefined }
  | { readonly kind: 'federated'; readonly provider: string }
  /** An AWS service or a canonical user: nobody who sends requests here. */
  | { readonly kind: 'foreign' }

/** Reads one value of `{"AWS": …}`; undefined if it names nobody that a policy can name. */
export function awsPrincipalEntry(text: string): PrincipalEntry | undefined {
  if (text === '*') return { kind: 'everybody' }
  if (isAccountId(text)) return { kind: 'account', accountId: text }
  const [, id, sessionName] = /^(AIDA[A-Z0-9]{12,124}|AROA[A-Z0-9]{12,124})(?::([\w+=,.@-]{2,64}))?$/.exec(text) ?? []
  if (id !== undefined) return id.startsWith('AIDA') && sessionName !== undefined ? undefined : { kind: 'unique-id', id, sessionName }
  if (hasWildcard(text)) return undefined
  const [prefix, partition, service, region, accountId, ...rest] = text.split(':')
  const resource = rest.join(':')
  if (prefix !== 'arn' || !isPartition(partition) || region !== '' || accountId === undefined || !isAccountId(accountId)) {
    return undefined
  }
  const slash = resource.indexOf('/')
  const type = slash === -1 ? resource : resource.slice(0, slash)
  const name = resource.slice(type.length + 1)
  if (service === 'iam' && resource === 'root') return { kind: 'account', accountId }
  if (name === '' || name.endsWith('/')) return undefined
  if (service === 'iam' && type === 'user') return { kind: 'user', arn: text }
  if (service === 'iam' && type === 'role') {
    return { kind: 'role', arn: text, accountId, roleName: name.slice(name.lastIndexOf('/') + 1) }
  }
  if (service === 'sts' && type === 'assumed-role') return name.split('/').length === 2 ? { kind: 'session', arn: text } : undefined
  if (service === 'sts' && type === 'federated-user') return { kind: 'session', arn: text }
  return undefined
}

/** How directly any of the entries names the caller. */
export function namedByEntries(entries: readonly PrincipalEntry[], caller: PolicyPrincipal): NamedBy {
  let most: NamedBy = namedBy.nothing
  for (const entry of entries) {
    const by = namedByEntry(entry, caller)
    if (by > most) most = by
  }
  return most
}

/**
 * Whether a NotPrincipal element leaves the caller out wholly: it has to name everything that the caller is, the user or the
 * session with its role, and the account, as AWS demands of a Deny with NotPrincipal.
 */
export function isWhollyListed(entries: readonly PrincipalEntry[], caller: PolicyPrincipal): boolean {
  if (entries.some(({ kind }) => kind === 'everybody')) return true
  if (caller.kind === 'federated') return namedByEntries(entries, caller) !== namedBy.nothing
  const listed = new Set(entries.map((entry) => namedByEntry(entry, caller)))
  if (!listed.has(namedBy.account) && caller.kind !== 'root') return false
  switch (caller.kind) {
    case 'root':
      return listed.has(namedBy.itself)
    case 'user':
      return listed.has(namedBy.itself)
    case 'assumed-role':
      return listed.has(namedBy.role) && listed.has(namedBy.itself)
  }
}

function namedByEntry(entry: PrincipalEntry, caller: PolicyPrincipal): NamedBy {
  switch (entry.kind) {
    case 'everybody':
      return caller.kind === 'federated' ? namedBy.nothing : namedBy.itself
    case 'account':
      if (caller.kind === 'federated' || caller.accountId !== entry.accountId) return namedBy.nothing
      return caller.kind === 'root' ? namedBy.itself : namedBy.account
    case 'user':
      return caller.kind === 'user' && caller.arn === entry.arn ? namedBy.itself : namedBy.nothing
    case 'session':
      return caller.kind === 'assumed-role' && caller.arn === entry.arn ? namedBy.itself : namedBy.nothing
    case 'role':
      return isSessionOf(caller, entry.arn, entry.accountId, entry.roleName) ? namedBy.role : namedBy.nothing
    case 'unique-id':
      if (caller.kind === 'user') return caller.userId === entry.id ? namedBy.itself : namedBy.nothing
      if (caller.kind !== 'assumed-role') return namedBy.nothing
      if (entry.sessionName !== undefined) return caller.userId === `${entry.id}:${entry.sessionName}` ? namedBy.itself : namedBy.nothing
      return caller.userId?.startsWith(`${entry.id}:`) === true ? namedBy.role : namedBy.nothing
    case 'federated':
      return (caller.kind === 'federated' ? caller.arn : caller.session?.provider) === entry.provider
        ? namedBy.itself
        : namedBy.nothing
    case 'foreign':
      return namedBy.nothing
  }
}

function isSessionOf(caller: PolicyPrincipal, roleArn: string, accountId: string, roleName: string): boolean {
  if (caller.kind !== 'assumed-role' || caller.accountId !== accountId) return false
  if (caller.roleArn !== undefined) return caller.roleArn === roleArn
  return caller.arn.split('/')[1] === roleName
}

function isAccountId(text: string): boolean {
  return text.length === 12 && every(text, isDigit)
}

function isPartition(text: string | undefined): boolean {
  return text === 'aws' || text?.startsWith('aws-') === true
}
