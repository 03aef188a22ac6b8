import { policyOf, type PermissionSetName } from '../../src/cli/iam/permission-sets.ts'
import type { Login } from './exchange.ts'
import { guestName, homeAccount, otherAccount, userArn } from './places.ts'

/** Why somebody who shows something is not known by it. */
export type Unknown = 'anonymous' | 'unknown key' | 'ended session' | 'ended token' | 'wrong secret'

/** Somebody who makes requests, and what they may, in the matrix's own words. */
export interface Caller {
  readonly name: string
  readonly accountId: string
  /** How the policies of repositories name it. */
  readonly arn: string
  readonly isRoot: boolean
  readonly isSession: boolean
  /** It has its temporary credentials from GetSessionToken. */
  readonly isOwnSession: boolean
  /** One of the many that tell actions apart: asked about its own account alone. */
  readonly isSplit: boolean
  /** Absent for those who are known. */
  readonly unknown?: Unknown
  /** What its own policies allow, with all that bounds them. */
  may(action: string, resource: string): boolean
}

/** A caller with what it shows. */
export interface CallerWithLogins {
  readonly caller: Caller
  /** For AWS's protocols. */
  readonly aws: Login | undefined
  /** For the docker endpoint: one cell for each. */
  readonly oci: readonly { readonly login: Login; readonly unknown?: Unknown }[]
}

/** Some actions on some resources: a statement that allows, as a policy and as a question. */
interface Right {
  readonly actions: readonly string[]
  readonly resource: string
  covers(action: string, resource: string): boolean
}

const teamRepository = new RegExp(`^arn:aws:ecr:[a-z0-9-]+:${homeAccount}:repository/team/`)

/** The named actions on the account's own repositories whose names begin with `team/`. */
function onTeam(...actions: string[]): Right {
  return {
    actions,
    resource: `arn:aws:ecr:*:${homeAccount}:repository/team/*`,
    covers: (action, resource) => actions.includes(action) && teamRepository.test(resource),
  }
}

/** The named actions on whatever they are for. */
export function anywhere(...actions: string[]): Right {
  return { actions, resource: '*', covers: (action) => actions.includes(action) }
}

/** Actions by the beginnings of their names, on whatever they are for. */
function anywhereBeginning(...beginnings: string[]): Right {
  return {
    actions: beginnings.map((beginning) => `${beginning}*`),
    resource: '*',
    covers: (action) => beginnings.some((beginning) => action.startsWith(beginning)),
  }
}

export interface Rights {
  readonly document: object
  may(action: string, resource: string): boolean
}

export function rights(allowed: readonly Right[], denied: readonly Right[] = []): Rights {
  const statement = (Effect: string) => (right: Right) => ({ Effect, Action: right.actions, Resource: right.resource })
  return {
    document: { Version: '2012-10-17', Statement: [...allowed.map(statement('Allow')), ...denied.map(statement('Deny'))] },
    may: (action, resource) => allowed.some((right) => right.covers(action, resource)) && !denied.some((right) => right.covers(action, resource)),
  }
}

const pulls = ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer', 'ecr:BatchCheckLayerAvailability']
const uploads = ['ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload']

/** One of the sets that `stowage iam quickstart` hands out; what it is good for is said here once more, in other words. */
function handedOut(name: PermissionSetName, ...allowed: Right[]): Rights {
  const document = policyOf(name, { accountId: homeAccount, region: '*', repositoryPrefix: 'team/', tagPatterns: [] })
  return { document, may: rights(allowed).may }
}

const logIn = anywhere('ecr:GetAuthorizationToken')

export const roleRights = {
  puller: handedOut('puller', logIn, onTeam(...pulls)),
  'ci-pusher': handedOut('ci-pusher', logIn, onTeam(...pulls, ...uploads, 'ecr:PutImage')),
  deployer: handedOut('deployer', logIn, onTeam(...pulls, 'ecr:PutImage', 'ecr:DescribeRepositories', 'ecr:DescribeImages', 'ecr:ListImages')),
  auditor: handedOut(
    'auditor',
    onTeam('ecr:DescribeRepositories', 'ecr:DescribeImages', 'ecr:ListImages', 'ecr:ListTagsForResource', 'ecr:GetRepositoryPolicy', 'ecr:DescribeImageScanFindings', 'stowage:DescribeImage', 'stowage:ListProtections'),
    onTeam('ecr:GetLifecyclePolicy', 'ecr:GetLifecyclePolicyPreview', 'stowage:ExplainImage', 'stowage:ListLifecycleRuns'),
    onTeam('stowage:PreviewPolicy', 'stowage:GetRetentionPolicy', 'stowage:ListPolicyVersions'),
    onTeam('stowage:ListTrash', 'stowage:DescribeTrash', 'stowage:ListTagChanges', 'stowage:ListTagHistory'),
    anywhere('ecr:DescribeRegistry', 'ecr:GetRegistryPolicy', 'ecr:GetAccountSetting', 'ecr:DescribeRepositoryCreationTemplates', 'ecr:ListPullTimeUpdateExclusions'),
    anywhereBeginning('iam:Get', 'iam:List', 'iam:GenerateCredentialReport'),
    anywhere('stowage:ListRetentionPolicies'),
    anywhere('cloudtrail:LookupEvents'),
    anywhere('cloudwatch:ListMetrics', 'cloudwatch:GetMetricStatistics', 'cloudwatch:GetMetricData', 'cloudwatch:DescribeAlarms', 'cloudwatch:DescribeAlarmsForMetric', 'cloudwatch:DescribeAlarmHistory'),
    anywhere('stowage:DescribeAccount', 'stowage:ListAccounts', 'stowage:ListErasures', 'stowage:DescribeUsageSources', 'stowage:ListUsageLeases', 'stowage:ListHolds'),
  ),
  /** Makes and sets up repositories, and does nothing with images. */
  curator: rights([
    anywhere('ecr:DescribeRegistry', 'ecr:CreateRepositoryCreationTemplate', 'ecr:UpdateRepositoryCreationTemplate', 'ecr:DeleteRepositoryCreationTemplate'),
    onTeam('ecr:CreateRepository', 'ecr:DeleteRepository', 'ecr:DescribeRepositories', 'ecr:PutImageTagMutability', 'ecr:PutImageScanningConfiguration'),
    onTeam('ecr:TagResource', 'ecr:UntagResource', 'ecr:ListTagsForResource', 'ecr:SetRepositoryPolicy', 'ecr:GetRepositoryPolicy', 'ecr:DeleteRepositoryPolicy'),
  ]),
  /** Pulls whatever others open to its account, and looks at everything but layers. */
  'far-puller': rights([anywhereBeginning('ecr:Describe', 'ecr:List', 'ecr:Get', 'ecr:BatchGet')], [anywhere('ecr:GetDownloadUrlForLayer')]),
} as const satisfies Record<string, Rights>

export const everything: Pick<Rights, 'may'> = { may: () => true }
export const nothing: Pick<Rights, 'may'> = { may: () => false }

/** What both allow: of a permission boundary or a session policy with the policies that it bounds. */
export function bounded(rightsOfIdentity: Pick<Rights, 'may'>, bound: Pick<Rights, 'may'>): Pick<Rights, 'may'> {
  return { may: (action, resource) => rightsOfIdentity.may(action, resource) && bound.may(action, resource) }
}

interface KnownCaller extends Pick<Rights, 'may'> {
  readonly accountId?: string
  readonly arn?: string
  readonly isRoot?: boolean
  readonly isSession?: boolean
  readonly isOwnSession?: boolean
  readonly isSplit?: boolean
}

export function known(name: string, given: KnownCaller): Caller {
  const { accountId = homeAccount, arn = userArn(accountId, name), isRoot = false, isOwnSession = false, isSession = isOwnSession, isSplit = false, may } = given
  return { name, accountId, arn, isRoot, isSession, isOwnSession, isSplit, may }
}

function stranger(name: string, unknown: Unknown): Caller {
  return { ...known(name, nothing), unknown }
}

/** Every kind of caller that the matrix has. `world.ts` makes them. */
export const callers = {
  root: known('root', { ...everything, isRoot: true }),
  full: known('full', everything),
  puller: known('puller', roleRights.puller),
  'ci-pusher': known('ci-pusher', roleRights['ci-pusher']),
  auditor: known('auditor', roleRights.auditor),
  deployer: known('deployer', { ...roleRights.deployer, isSession: true }),
  curator: known('curator', roleRights.curator),
  guest: known('guest', { ...nothing, arn: userArn(homeAccount, guestName) }),
  bounded: known('bounded', bounded(everything, roleRights['far-puller'])),
  session: known('session', { ...bounded(everything, roleRights['far-puller']), isSession: true }),
  'session of a user': known('session of a user', { ...roleRights.puller, isOwnSession: true }),
  'web identity': known('web identity', { ...roleRights['ci-pusher'], isSession: true }),
  "other account's root": known("other account's root", { ...everything, accountId: otherAccount, isRoot: true }),
  "other account's full": known("other account's full", { ...everything, accountId: otherAccount }),
  revoked: stranger('revoked', 'unknown key'),
  'of a deleted user': stranger('of a deleted user', 'unknown key'),
  'ended session': stranger('ended session', 'ended session'),
  anonymous: stranger('anonymous', 'anonymous'),
} as const satisfies Record<string, Caller>

export type CallerName = keyof typeof callers
