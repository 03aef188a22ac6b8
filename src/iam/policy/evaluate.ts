import { ContextReader, type ConditionContext } from './context.ts'
import type { Policy } from './policy.ts'
import { namedBy, type NamedBy, type PolicyPrincipal } from './principals.ts'
import type { StatementScope } from './statement.ts'

/** A question: may this principal do this? */
export interface PolicyRequest {
  readonly principal: PolicyPrincipal
  /** The IAM action, such as `ecr:PutImage`. */
  readonly action: string
  /** The resource's ARN, or `*` for an action that has none. */
  readonly resource: string
  /** How a refusal names the resource where it is not by its ARN. */
  readonly resourceText?: string | undefined
  /** The account that owns the resource; for `*`, the account that is asked. */
  readonly accountId: string
  readonly context: ConditionContext
}

/** Every policy that has a say in one request. */
export interface PolicySet {
  /** Of the user and its groups, or of the role. */
  readonly identity: readonly Policy[]
  /** The permissions boundary of the user or the role. */
  readonly boundary?: Policy | undefined
  /** Of temporary credentials; absent or empty: nothing bounds them. */
  readonly session?: readonly Policy[] | undefined
  /** Of the repository. */
  readonly resource?: Policy | undefined
  /** Of the registry: one more resource-based policy. */
  readonly registry?: Policy | undefined
  /** Of the role that the request wants to assume. Present, it has to allow the request in every case. */
  readonly trust?: Policy | undefined
}

/** The kinds of policies that can refuse. */
export type RefusingPolicy = 'identity' | 'boundary' | 'session' | 'resource' | 'registry' | 'trust'

export type Evaluation =
  | { readonly allowed: true }
  | {
      readonly allowed: false
      /** Whether a statement denies the request, or none of some kind allows it. */
      readonly kind: 'explicit-deny' | 'implicit-deny'
      readonly by: RefusingPolicy
      /** In AWS's words, fit for every protocol's answer. */
      readonly message: string
    }

const allowed: Evaluation = Object.freeze({ allowed: true })

/**
 * Decides as AWS documents it ("How AWS enforcement code logic evaluates requests to allow or deny access", "Cross-account
 * policy evaluation logic"):
 *
 * 1. A statement of any policy that denies decides.
 * 2. Another account's principal needs both: its own policies and the resource's.
 * 3. In the same account one is enough. The permissions boundary and session policies bound what identity policies allow, and
 *    what the resource's policy allows to the role; not what that policy allows to the user or to the session itself. What it
 *    allows to the account, identity policies have to allow as well.
 * 4. A role's trust policy has to allow in every case.
 *
 * An account's root is bound by no identity policy; by the resource's policies, where they deny or where it is a stranger.
 */
export function evaluate(request: PolicyRequest, policies: PolicySet): Evaluation {
  const { principal, action } = request
  const scope = scopeOf(request, policies)
  const denying = denyingPolicy(policies, scope, action)
  if (denying !== undefined) return refused(request, 'explicit-deny', denying)

  const granted = grantTo(principal, policies, scope, action)
  if (principal.kind === 'federated') return granted === namedBy.nothing ? refused(request, 'implicit-deny', 'trust') : allowed

  const isForeign = principal.accountId !== request.accountId
  const missing = isForeign || policies.trust !== undefined ? ownerWhoRefuses(policies, granted) : undefined
  if (!isForeign && granted === namedBy.itself) return allowed
  if (principal.kind === 'root') return missing === undefined ? allowed : refused(request, 'implicit-deny', missing)

  const isGrantedToRole = !isForeign && granted === namedBy.role
  if (!isGrantedToRole && !someAllow(policies.identity, scope, action)) {
    return refused(request, 'implicit-deny', isForeign || missing === undefined ? 'identity' : missing)
  }
  if (policies.boundary !== undefined && !allows(policies.boundary, scope, action)) return refused(request, 'implicit-deny', 'boundary')
  if (isSessionBound(policies) && !someAllow(policies.session, scope, action)) return refused(request, 'implicit-deny', 'session')
  return missing === undefined ? allowed : refused(request, 'implicit-deny', missing)
}

/** A statement by its place in its policy. */
export interface DecidingStatement {
  readonly policy: Policy
  readonly index: number
}

/**
 * The statements that an evaluation follows from: where one denies, all that do; where it is allowed, those of the identity's and
 * the resource's policies that allow; else none.
 */
export function decidingStatements(request: PolicyRequest, policies: PolicySet, evaluation: Evaluation): DecidingStatement[] {
  if (!evaluation.allowed && evaluation.kind === 'implicit-deny') return []
  const scope = scopeOf(request, policies)
  const { identity, boundary, session = [], resource, registry, trust } = policies
  const bounds = evaluation.allowed ? [] : [boundary, ...session]
  return [...identity, ...bounds, resource, registry, trust].flatMap((policy) => {
    if (policy === undefined) return []
    const about = policy.concerning(request.action, request.resource)
    const deciding = (evaluation.allowed ? about.allow : about.deny).filter((statement) => statement.appliesTo(scope) !== namedBy.nothing)
    return deciding.map((statement) => ({ policy, index: policy.statements.indexOf(statement) }))
  })
}

function scopeOf({ principal, resource, context }: PolicyRequest, { boundary }: PolicySet): StatementScope {
  return { principal, resource, context: new ContextReader(context), isBounded: boundary !== undefined }
}

function denyingPolicy(policies: PolicySet, scope: StatementScope, action: string): RefusingPolicy | undefined {
  if (scope.principal.kind !== 'root') {
    for (const policy of policies.identity) if (denies(policy, scope, action)) return 'identity'
    if (policies.boundary !== undefined && denies(policies.boundary, scope, action)) return 'boundary'
  }
  if (policies.session !== undefined) {
    for (const policy of policies.session) if (denies(policy, scope, action)) return 'session'
  }
  if (policies.resource !== undefined && denies(policies.resource, scope, action)) return 'resource'
  if (policies.registry !== undefined && denies(policies.registry, scope, action)) return 'registry'
  if (policies.trust !== undefined && denies(policies.trust, scope, action)) return 'trust'
  return undefined
}

/** What names a user is, for temporary credentials of that user with session policies, bounded as what names a role. */
function grantTo(principal: PolicyPrincipal, policies: PolicySet, scope: StatementScope, action: string): NamedBy {
  const granted = grantOf(policies, scope, action)
  return granted === namedBy.itself && principal.kind === 'user' && isSessionBound(policies) ? namedBy.role : granted
}

/** How directly the policies on the resource's side allow the request to the caller. */
function grantOf(policies: PolicySet, scope: StatementScope, action: string): NamedBy {
  if (policies.trust !== undefined) return grantBy(policies.trust, scope, action)
  const byResource = policies.resource === undefined ? namedBy.nothing : grantBy(policies.resource, scope, action)
  if (policies.registry === undefined || byResource === namedBy.itself) return byResource
  const byRegistry = grantBy(policies.registry, scope, action)
  return byRegistry > byResource ? byRegistry : byResource
}

/** The policy of the resource that would have to allow the request and does not. */
function ownerWhoRefuses(policies: PolicySet, granted: NamedBy): RefusingPolicy | undefined {
  if (granted !== namedBy.nothing) return undefined
  return policies.trust === undefined ? 'resource' : 'trust'
}

function denies(policy: Policy, scope: StatementScope, action: string): boolean {
  for (const statement of policy.concerning(action, scope.resource).deny) {
    if (statement.appliesTo(scope) !== namedBy.nothing) return true
  }
  return false
}

function allows(policy: Policy, scope: StatementScope, action: string): boolean {
  for (const statement of policy.concerning(action, scope.resource).allow) {
    if (statement.appliesTo(scope) !== namedBy.nothing) return true
  }
  return false
}

function someAllow(policies: readonly Policy[], scope: StatementScope, action: string): boolean {
  for (const policy of policies) {
    if (allows(policy, scope, action)) return true
  }
  return false
}

function grantBy(policy: Policy, scope: StatementScope, action: string): NamedBy {
  let most: NamedBy = namedBy.nothing
  for (const statement of policy.concerning(action, scope.resource).allow) {
    const by = statement.appliesTo(scope)
    if (by > most) most = by
  }
  return most
}

function isSessionBound(policies: PolicySet): policies is PolicySet & { readonly session: readonly Policy[] } {
  return policies.session !== undefined && policies.session.length > 0
}

/** AWS's names for kinds of policies, in "Troubleshoot access denied error messages". */
const names: Readonly<Record<RefusingPolicy, string>> = {
  identity: 'an identity-based policy',
  boundary: 'a permissions boundary',
  session: 'a session policy',
  resource: 'a resource-based policy',
  registry: 'a resource-based policy',
  trust: 'the role trust policy',
}

function refused(request: PolicyRequest, kind: 'explicit-deny' | 'implicit-deny', by: RefusingPolicy): Evaluation {
  const { principal, action, resource, resourceText = resource } = request
  const name = names[by]
  const because =
    kind === 'explicit-deny'
      ? `with an explicit deny in ${name}`
      : `because no ${name.slice(name.indexOf(' ') + 1)} allows the ${action} action`
  return {
    allowed: false,
    kind,
    by,
    message: `User: ${principal.arn} is not authorized to perform: ${action} on resource: ${resourceText} ${because}`,
  }
}
