import type { Clock } from '../internal/clock.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import { iamTags } from '../storage/metadata/stores/iam-tag-store.ts'
import { findAssumableRole, findOidcProvider, type AssumableRole } from '../storage/metadata/stores/session-store.ts'
import { arnParts, parseArn, type AccountId } from '../values/index.ts'
import type { AccessRequest, AuthorizationContext, RequestOrigin } from './access-request.ts'
import type { Decision } from './authorizer.ts'
import { recordRoleUse } from './commands/sessions.ts'
import { iamError } from './errors.ts'
import { trustsWebIdentity } from './federated-trust.ts'
import type { Principal } from './principal.ts'
import { managedBounds, sessionBounds, type SessionBounds } from './session-bounds.ts'
import { beginSession, type SessionDependencies, type TemporaryCredentials } from './sessions.ts'
import { verifyWebIdentity, type IssuerKeys, type VerifiedWebIdentity } from './web-identity/index.ts'

/** Whether a principal may do something with a role, by its own policies and by the role's trust policy. */
export type AssumptionJudge = (request: AccessRequest, trustPolicy: string) => Decision | Promise<Decision>

export interface RoleAssumptionDependencies extends SessionDependencies {
  readonly clock: Clock
  readonly mayAssume: AssumptionJudge
  readonly issuerKeys: IssuerKeys
  /** The document of a managed policy of that account, or of one that every account has. */
  managedDocument(accountId: AccountId, arn: string): Promise<string | undefined>
}

/** What a role is asked for. */
export interface RoleRequest {
  readonly roleArn: string
  readonly roleSessionName: string
  /** Absent: an hour. */
  readonly durationSeconds?: number | undefined
  readonly policy?: string | undefined
  readonly policyArns: readonly string[]
  readonly minimumTokenBytes?: number | undefined
}

/** AssumeRole. https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html */
export interface AssumeRoleRequest extends RoleRequest {
  readonly tags: Readonly<Record<string, string>>
  readonly transitiveTagKeys: readonly string[]
  readonly externalId?: string | undefined
  readonly sourceIdentity?: string | undefined
}

/** Credentials of a role, and what they stand for. */
export interface AssumedRole {
  readonly credentials: TemporaryCredentials
  readonly arn: string
  /** `AROA…:<session name>` */
  readonly assumedRoleId: string
  readonly packedPolicyPercent: number | undefined
  readonly sourceIdentity: string | undefined
}

/** Credentials of a role for a web identity. */
export interface AssumedWebIdentityRole extends AssumedRole {
  readonly identity: VerifiedWebIdentity
  readonly providerArn: string
}

const defaultSeconds = 60 * 60

/** What a session of a role may itself assume roles for, whatever those allow. */
const longestChainedSeconds = 60 * 60

/** As exact as AWS is about the last use of roles, and busy ones are not written to all the time. */
const roleUseGranularityMs = 60 * 60 * 1000

interface NamedRole {
  readonly arn: string
  readonly accountId: AccountId
  /** Undefined where there is none of that ARN. */
  readonly row: AssumableRole | undefined
}

/**
 * Gives a principal credentials of a role. A role that is not there is refused as one that may not be assumed.
 *
 * @throws `access-denied`, `session-invalid`, `policy-malformed`, `session-policy-too-large`, `too-many-sessions`
 */
export async function assumeRole(
  deps: RoleAssumptionDependencies,
  request: AssumeRoleRequest,
  caller: Principal,
  origin: RequestOrigin,
  context: CommandContext,
): Promise<AssumedRole> {
  if (caller.kind === 'root') throw iamError('access-denied', 'Roles may not be assumed by root accounts.')
  const sourceIdentity = sourceIdentityOf(caller, request.sourceIdentity)
  const role = await findRole(deps, request.roleArn)
  const bounds = sessionBounds(request, caller)
  const conditions = {
    ...(await roleTags(deps, role)),
    ...requestConditions(request, sourceIdentity),
    ...(request.externalId !== undefined && { 'sts:ExternalId': request.externalId }),
  }
  for (const action of actionsOf('sts:AssumeRole', bounds, sourceIdentity)) {
    const question: AccessRequest = {
      principal: caller,
      action,
      resource: role.arn,
      accountId: role.accountId,
      origin,
      conditions: () => [conditions],
    }
    const isAllowed = role.row !== undefined && (await deps.mayAssume(question, role.row.trust_policy)).allowed
    if (!isAllowed) {
      throw iamError('access-denied', `User: ${caller.arn} is not authorized to perform: ${action} on resource: ${role.arn}`)
    }
  }
  const isChained = caller.kind === 'assumed-role'
  const session = { bounds, sourceIdentity, provider: undefined, conditions: {} }
  return begin(deps, 'AssumeRole', request, role, session, isChained ? longestChainedSeconds : undefined, context)
}

/**
 * Gives credentials of a role to whoever shows a token of an identity provider of the role's account. Whether the role
 * is not there or does not trust the bearer cannot be told from the refusal.
 *
 * @throws `access-denied`, `session-invalid`, `policy-malformed`, `session-policy-too-large`, `too-many-sessions`, and what
 *   `verifyWebIdentity` throws
 */
export async function assumeRoleWithWebIdentity(
  deps: RoleAssumptionDependencies,
  request: RoleRequest,
  token: string,
  origin: RequestOrigin,
  context: (accountId: AccountId, actorArn: string) => Promise<CommandContext>,
): Promise<AssumedWebIdentityRole> {
  const accountId = accountOfRole(request.roleArn)
  const identity = await verifyWebIdentity(
    {
      keys: deps.issuerKeys,
      clock: deps.clock,
      accountId,
      async findProvider(url) {
        const row = await findOidcProvider(deps.database.reader, accountId, url)
        return row && { url: row.url, clientIds: JSON.parse(row.client_ids) as string[] }
      },
    },
    token,
  )
  const providerArn = `arn:aws:iam::${accountId}:oidc-provider/${identity.provider.url}`
  const role = await findRole(deps, request.roleArn)
  const { tags, transitiveTagKeys, sourceIdentity } = identity
  const requested = { ...request, tags, transitiveTagKeys }
  const bounds = sessionBounds(requested, undefined)
  const conditions = {
    ...requestConditions(requested, sourceIdentity),
    ...identity.conditions,
  }
  const tagsOfRole = await roleTags(deps, role)
  for (const action of actionsOf('sts:AssumeRoleWithWebIdentity', bounds, sourceIdentity)) {
    const question = { providerArn, accountId, action, roleArn: role.arn, origin, conditions: { ...tagsOfRole, ...conditions } }
    if (role.row === undefined || !trustsWebIdentity(question, role.row.trust_policy)) {
      throw iamError('access-denied', `Not authorized to perform ${action}`, {
        role: role.arn,
        provider: providerArn,
        subject: identity.subject,
        audience: identity.audiences[0],
      })
    }
  }
  const session = { bounds, sourceIdentity, provider: providerArn, conditions: identity.conditions }
  const actor = `${providerArn}:${identity.subject}`
  const assumed = await begin(
    deps,
    'AssumeRoleWithWebIdentity',
    request,
    role,
    session,
    undefined,
    await context(accountId, actor),
  )
  return { ...assumed, identity, providerArn }
}

/** The action itself, and what tags and source identities need beside it. */
function actionsOf(action: string, { tags }: SessionBounds, sourceIdentity: string | undefined): string[] {
  return [
    action,
    ...(Object.keys(tags).length > 0 ? ['sts:TagSession'] : []),
    ...(sourceIdentity === undefined ? [] : ['sts:SetSourceIdentity']),
  ]
}

function requestConditions(
  { roleSessionName, durationSeconds, tags, transitiveTagKeys }: Omit<AssumeRoleRequest, 'externalId' | 'sourceIdentity'>,
  sourceIdentity: string | undefined,
): AuthorizationContext {
  const keys = Object.keys(tags)
  return {
    'sts:RoleSessionName': roleSessionName,
    ...(durationSeconds !== undefined && { 'sts:DurationSeconds': String(durationSeconds) }),
    ...(sourceIdentity !== undefined && { 'sts:SourceIdentity': sourceIdentity }),
    ...Object.fromEntries(keys.map((key) => [`aws:RequestTag/${key}`, tags[key] ?? ''])),
    ...(keys.length > 0 && { 'aws:TagKeys': keys }),
    ...(transitiveTagKeys.length > 0 && { 'sts:TransitiveTagKeys': transitiveTagKeys }),
  }
}

/** `aws:ResourceTag/<key>` and `iam:ResourceTag/<key>` of the role, for its own trust policy and the caller's policies. */
async function roleTags({ database }: RoleAssumptionDependencies, { row }: NamedRole): Promise<AuthorizationContext> {
  if (row === undefined) return {}
  const tags = await iamTags(database.reader, { kind: 'role', id: row.id })
  return Object.fromEntries(
    tags.flatMap(({ key, value }) => [
      [`aws:ResourceTag/${key}`, value],
      [`iam:ResourceTag/${key}`, value],
    ]),
  )
}

/** Set once, a source identity stays for all roles that are assumed from there on. */
function sourceIdentityOf(caller: Principal, requested: string | undefined): string | undefined {
  const present = caller.session?.sourceIdentity
  if (present === undefined || requested === undefined || present === requested) return present ?? requested
  throw iamError('access-denied', `User: ${caller.arn} may not change the source identity of its session`)
}

async function begin(
  deps: RoleAssumptionDependencies,
  action: 'AssumeRole' | 'AssumeRoleWithWebIdentity',
  request: RoleRequest,
  role: NamedRole,
  session: {
    readonly bounds: SessionBounds
    readonly sourceIdentity: string | undefined
    readonly provider: string | undefined
    readonly conditions: AuthorizationContext
  },
  longestSeconds: number | undefined,
  context: CommandContext,
): Promise<AssumedRole> {
  const { row, accountId } = role
  if (row === undefined) throw new Error('a role that is not there was allowed')
  const durationSeconds = request.durationSeconds ?? Math.min(defaultSeconds, row.max_session_seconds)
  if (longestSeconds !== undefined && durationSeconds > longestSeconds) {
    throw invalid('The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining')
  }
  if (durationSeconds > row.max_session_seconds) {
    throw invalid('The requested DurationSeconds exceeds the MaxSessionDuration set for this role.')
  }
  const { bounds, sourceIdentity, provider, conditions } = session
  const managed = await managedBounds(request.policyArns, (policyArn) => deps.managedDocument(accountId, policyArn))
  // A command of its own: in one with the session, those that begin at once would wait for each other's role in a circle.
  const unlessSince = context.nowMs - roleUseGranularityMs
  if ((row.last_used_at ?? 0) < unlessSince) await deps.database.execute(recordRoleUse, { roleId: row.id, unlessSince }, context)
  const arn = `arn:aws:sts::${accountId}:assumed-role/${row.name}/${request.roleSessionName}`
  const assumedRoleId = `${row.unique_id}:${request.roleSessionName}`
  const credentials = await beginSession(
    deps,
    {
      action,
      resource: role.arn,
      principal: { arn, accountId, kind: 'assumed-role', userId: assumedRoleId, identity: { kind: 'role', id: row.id } },
      durationSeconds,
      minimumTokenBytes: request.minimumTokenBytes,
      session: {
        policies: [...bounds.policies, ...managed],
        tags: bounds.tags,
        transitiveTagKeys: bounds.transitiveTagKeys,
        sourceIdentity,
        provider,
        context: conditions,
      },
    },
    context,
  )
  return { credentials, arn, assumedRoleId, packedPolicyPercent: bounds.packedPolicyPercent, sourceIdentity }
}

async function findRole({ database }: RoleAssumptionDependencies, arn: string): Promise<NamedRole> {
  const accountId = accountOfRole(arn)
  const [, path = '', name = ''] = /^role(\/(?:.*\/)?)([^/]+)$/.exec(arnParts(parseArn(arn)).resource) ?? []
  const row = name === '' ? undefined : await findAssumableRole(database.reader, accountId, name)
  // Names are one whatever their case, ARNs are not.
  return { arn, accountId, row: row?.name === name && row.path === path ? row : undefined }
}

/** The account that an ARN of a role names. @throws `session-invalid` for what is none */
export function accountOfRole(roleArn: string): AccountId {
  const { service, region, accountId, resource, partition } = partsOf(roleArn)
  if (partition !== 'aws' || service !== 'iam' || region !== undefined || accountId === undefined || accountId === 'aws') throw notARole()
  if (!resource.startsWith('role/')) throw notARole()
  return accountId
}

function partsOf(roleArn: string): ReturnType<typeof arnParts> {
  try {
    return arnParts(parseArn(roleArn))
  } catch (error) {
    if (isPlatformError(error, 'arn-invalid')) throw notARole()
    throw error
  }
}

function notARole(): Error {
  return invalid('The RoleArn is not the ARN of a role.')
}

function invalid(message: string): Error {
  return iamError('session-invalid', message)
}
