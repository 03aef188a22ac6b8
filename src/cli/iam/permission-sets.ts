/*
 * Ready sets of permissions, as small as each work allows. docs/operations/who-may-do-what.md tells what each may do, and is
 * generated from here: `make docs`.
 */

export const permissionSetNames = ['ci-pusher', 'puller', 'deployer', 'auditor', 'usage-reporter'] as const

export type PermissionSetName = (typeof permissionSetNames)[number]

/** What a set is narrowed to. */
export interface PermissionScope {
  readonly accountId: string
  /** `*` for every region. */
  readonly region: string
  /** Repositories whose names begin with it; empty for all of the registry. */
  readonly repositoryPrefix: string
  /** Tags with `*` and `?`, of which one has to match; none: every tag. */
  readonly tagPatterns: readonly string[]
}

export interface PolicyStatement {
  readonly Sid: string
  readonly Effect: 'Allow'
  readonly Action: readonly string[]
  readonly Resource: string
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
}

export interface PolicyDocument {
  readonly Version: '2012-10-17'
  readonly Statement: readonly PolicyStatement[]
}

export interface PermissionSet {
  readonly summary: string
  /** What a tag pattern narrows; undefined where there is nothing for it to narrow. */
  readonly narrowedByTags: string | undefined
  readonly parts: readonly StatementPart[]
}

interface StatementPart {
  readonly sid: string
  readonly actions: readonly string[]
  /**
   * `repositories`: those of the scope. `usage-sources`: each takes reports from its own principal alone. `all`: actions that
   * AWS knows no resource for, or that are of the account.
   */
  readonly on: 'repositories' | 'usage-sources' | 'all'
  readonly onlyTags?: true
}

const login: StatementPart = { sid: 'LogIn', actions: ['ecr:GetAuthorizationToken'], on: 'all' }

const layersDown = ['ecr:BatchCheckLayerAvailability', 'ecr:GetDownloadUrlForLayer'] as const

export const permissionSets: Readonly<Record<PermissionSetName, PermissionSet>> = {
  'ci-pusher': {
    summary: 'push images and pull them, as a build does; delete nothing and change no setting',
    narrowedByTags: 'the tags that it may push',
    parts: [
      login,
      { sid: 'Pull', actions: [...layersDown, 'ecr:BatchGetImage'], on: 'repositories' },
      { sid: 'PushLayers', actions: ['ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload'], on: 'repositories' },
      { sid: 'PushImages', actions: ['ecr:PutImage'], on: 'repositories', onlyTags: true },
    ],
  },
  puller: {
    summary: 'pull images, as a server or a cluster does',
    narrowedByTags: 'the tags that it may pull; a digest it may pull all the same, as every part of an image is pulled by its digest',
    parts: [
      login,
      { sid: 'PullLayers', actions: layersDown, on: 'repositories' },
      { sid: 'PullImages', actions: ['ecr:BatchGetImage'], on: 'repositories', onlyTags: true },
    ],
  },
  deployer: {
    summary: 'see which images there are, pull them, and move tags to images that are there already; upload nothing new',
    narrowedByTags: 'the tags that it may set',
    parts: [
      login,
      { sid: 'Look', actions: ['ecr:DescribeRepositories', 'ecr:DescribeImages', 'ecr:ListImages'], on: 'repositories' },
      { sid: 'Pull', actions: [...layersDown, 'ecr:BatchGetImage'], on: 'repositories' },
      { sid: 'SetTags', actions: ['ecr:PutImage'], on: 'repositories', onlyTags: true },
    ],
  },
  auditor: {
    summary: 'see repositories, images, settings, policies and who has access; read no image and change nothing',
    narrowedByTags: undefined,
    parts: [
      {
        sid: 'LookAtRepositories',
        actions: [
          ...['ecr:DescribeRepositories', 'ecr:DescribeImages', 'ecr:ListImages', 'ecr:ListTagsForResource'],
          ...['ecr:GetRepositoryPolicy', 'ecr:GetLifecyclePolicy', 'ecr:GetLifecyclePolicyPreview', 'ecr:DescribeImageScanFindings'],
          ...['stowage:ExplainImage', 'stowage:ListLifecycleRuns', 'stowage:PreviewPolicy'],
          ...['stowage:GetRetentionPolicy', 'stowage:ListPolicyVersions'],
          ...['ecr:DescribeImageReplicationStatus', 'ecr:DescribeImageSigningStatus', 'ecr:BatchGetRepositoryScanningConfiguration'],
          'stowage:DescribeImage',
          'stowage:ListProtections',
          ...['stowage:ListTrash', 'stowage:DescribeTrash', 'stowage:ListTagChanges', 'stowage:ListTagHistory'],
        ],
        on: 'repositories',
      },
      {
        sid: 'LookAtRegistry',
        actions: [
          ...['ecr:DescribeRegistry', 'ecr:GetRegistryPolicy', 'ecr:GetAccountSetting', 'ecr:GetRegistryScanningConfiguration'],
          ...['ecr:GetSigningConfiguration', 'ecr:DescribePullThroughCacheRules', 'ecr:DescribeRepositoryCreationTemplates'],
          'ecr:ListPullTimeUpdateExclusions',
        ],
        on: 'all',
      },
      { sid: 'LookAtAccess', actions: ['iam:Get*', 'iam:List*', 'iam:GenerateCredentialReport'], on: 'all' },
      { sid: 'LookAtAccounts', actions: ['stowage:DescribeAccount', 'stowage:ListAccounts', 'stowage:ListErasures'], on: 'all' },
      { sid: 'LookAtTrail', actions: ['cloudtrail:LookupEvents'], on: 'all' },
      { sid: 'LookAtMetrics', actions: ['cloudwatch:ListMetrics', 'cloudwatch:GetMetricStatistics', 'cloudwatch:GetMetricData', 'cloudwatch:DescribeAlarms', 'cloudwatch:DescribeAlarmsForMetric', 'cloudwatch:DescribeAlarmHistory'], on: 'all' },
      { sid: 'LookAtRetention', actions: ['stowage:ListRetentionPolicies'], on: 'all' },
      { sid: 'LookAtProtection', actions: ['stowage:DescribeUsageSources', 'stowage:ListUsageLeases', 'stowage:ListHolds'], on: 'all' },
    ],
  },
  'usage-reporter': {
    summary: 'report what runs, for the usage sources that name it, as a job beside a cluster does; see, read and change nothing else',
    narrowedByTags: undefined,
    parts: [{ sid: 'Report', actions: ['stowage:PutUsageLeases'], on: 'usage-sources' }],
  },
}

/**
 * The policy of a set. What pushes or pulls by a digest sets and reads no tag, so a tag pattern does not stop it: the parts of
 * an image for several platforms have digests only.
 */
export function policyOf(name: PermissionSetName, scope: PermissionScope): PolicyDocument {
  const resources: Readonly<Record<StatementPart['on'], string>> = {
    repositories: `arn:aws:ecr:${scope.region}:${scope.accountId}:repository/${scope.repositoryPrefix}*`,
    'usage-sources': `arn:aws:stowage:${scope.region}:${scope.accountId}:usage-source/*`,
    all: '*',
  }
  return {
    Version: '2012-10-17',
    Statement: permissionSets[name].parts.map((part) => ({
      Sid: part.sid,
      Effect: 'Allow',
      Action: part.actions,
      Resource: resources[part.on],
      ...(part.onlyTags === true &&
        scope.tagPatterns.length > 0 && { Condition: { StringLikeIfExists: { 'stowage:ImageTag': scope.tagPatterns } } }),
    })),
  }
}
