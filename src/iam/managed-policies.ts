import { hash } from 'node:crypto'

/** A policy that every account has and none can change. */
export interface ManagedPolicy {
  readonly arn: string
  readonly name: string
  readonly path: string
  /** `ANPA…` */
  readonly uniqueId: string
  readonly description: string
  /** The only version there is. */
  readonly version: 1
  readonly document: string
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number
}

/** The first that this program had. */
const createdAt = Date.UTC(2026, 0, 1)

const pullActions = ['ecr:GetAuthorizationToken', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer']

const readActions = [
  'ecr:GetAuthorizationToken',
  'ecr:BatchCheckLayerAvailability',
  'ecr:GetDownloadUrlForLayer',
  'ecr:GetRepositoryPolicy',
  'ecr:DescribeRepositories',
  'ecr:ListImages',
  'ecr:DescribeImages',
  'ecr:BatchGetImage',
  'ecr:GetLifecyclePolicy',
  'ecr:GetLifecyclePolicyPreview',
  'ecr:ListTagsForResource',
  'ecr:DescribeImageScanFindings',
]

const pushActions = ['ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload', 'ecr:PutImage']

/**
 * What AWS's policies of the same names allow, as far as it exists here:
 * https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
 */
const policies: readonly ManagedPolicy[] = [
  define('AdministratorAccess', 'Full access to every service and resource of the account.', [allow(['*'])]),
  define('ReadOnlyAccess', 'Reads everything in the account, and what is in images.', [
    allow([
      'ecr:BatchCheck*',
      'ecr:BatchGet*',
      'ecr:Describe*',
      'ecr:Get*',
      'ecr:List*',
      'iam:Generate*',
      'iam:Get*',
      'iam:List*',
      'iam:Simulate*',
      'stowage:Describe*',
      'stowage:Get*',
      'stowage:List*',
      'sts:GetAccessKeyInfo',
      'sts:GetCallerIdentity',
      'sts:GetSessionToken',
    ]),
  ]),
  define('IAMFullAccess', 'Manages users, groups, roles and policies: may give itself every other right.', [
    allow(['iam:*']),
  ]),
  define('IAMReadOnlyAccess', 'Reads users, groups, roles and policies.', [
    allow([
      'iam:GenerateCredentialReport',
      'iam:GenerateServiceLastAccessedDetails',
      'iam:Get*',
      'iam:List*',
      'iam:SimulateCustomPolicy',
      'iam:SimulatePrincipalPolicy',
    ]),
  ]),
  define('AmazonEC2ContainerRegistryFullAccess', 'Manages repositories and images, their policies and settings.', [
    allow(['ecr:*', 'cloudtrail:LookupEvents']),
    allow(['iam:CreateServiceLinkedRole'], {
      StringEquals: { 'iam:AWSServiceName': ['replication.ecr.amazonaws.com'] },
    }),
  ]),
  define(
    'AmazonEC2ContainerRegistryPowerUser',
    'Pushes and pulls in every repository; deletes nothing and changes no policy.',
    [allow([...readActions, ...pushActions])],
  ),
  define('AmazonEC2ContainerRegistryReadOnly', 'Reads every repository and pulls from it.', [allow(readActions)]),
  define('AmazonEC2ContainerRegistryPullOnly', 'Pulls from every repository, and nothing else.', [
    allow([...pullActions, 'ecr:BatchImportUpstreamImage']),
  ]),
]

const byArn: ReadonlyMap<string, ManagedPolicy> = new Map(policies.map((policy) => [policy.arn, policy]))

/** The policy with exactly this ARN (`arn:aws:iam::aws:policy/…`), if it is one that every account has. */
export function managedPolicy(arn: string): ManagedPolicy | undefined {
  return byArn.get(arn)
}

/** All of them, by name. */
export function managedPolicies(): readonly ManagedPolicy[] {
  return policies.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function allow(actions: readonly string[], condition?: object): object {
  return {
    Effect: 'Allow',
    Action: actions.length === 1 ? actions[0] : actions,
    Resource: '*',
    ...(condition && { Condition: condition }),
  }
}

function define(name: string, description: string, statements: readonly object[]): ManagedPolicy {
  const arn = `arn:aws:iam::aws:policy/${name}`
  return {
    arn,
    name,
    path: '/',
    uniqueId: `ANPA${uniqueIdOf(arn)}`,
    description,
    version: 1,
    document: JSON.stringify({ Version: '2012-10-17', Statement: statements }, undefined, 2),
    createdAt,
  }
}

/** The same in every installation, as AWS's are the same in every account. */
function uniqueIdOf(arn: string): string {
  return hash('sha256', arn, 'hex').slice(0, 17).toUpperCase()
}
