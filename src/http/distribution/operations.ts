import type { AccountId, Region } from '../../values/account.ts'
import { repositoryArn } from '../../values/arn.ts'
import type { RepositoryName } from '../../values/repository-name.ts'
import type { DistributionRoute, RouteKind } from './path.ts'
import type { Query } from './query.ts'

/**
 * What an operation needs:
 * - `repository`: its actions on the repository of the path.
 * - `registry`: its actions on every repository of the registry, since it may name any of them.
 * - `credentials`: to be known, and nothing more.
 */
type Scope = 'repository' | 'registry' | 'credentials'

interface OperationRule {
  readonly route: RouteKind
  readonly methods: readonly string[]
  readonly scope: Scope
  /** IAM actions; all of them have to be allowed. */
  readonly actions: readonly string[]
}

/**
 * Every operation of the distribution API with the IAM action that AWS asks for it. Deleting a blob and asking about
 * or cancelling an upload have no counterpart there: they need what deleting the image or writing the upload needs.
 * Whatever takes bytes of a blob needs `ecr:UploadLayerPart`, so that no way of uploading gets around it.
 */
export const operations = {
  ping: { route: 'ping', methods: ['GET', 'HEAD'], scope: 'credentials', actions: [] },
  listRepositories: {
    route: 'catalog',
    methods: ['GET', 'HEAD'],
    scope: 'registry',
    actions: ['ecr:DescribeRepositories'],
  },
  listTags: { route: 'tags', methods: ['GET', 'HEAD'], scope: 'repository', actions: ['ecr:ListImages'] },
  getManifest: { route: 'manifest', methods: ['GET'], scope: 'repository', actions: ['ecr:BatchGetImage'] },
  headManifest: { route: 'manifest', methods: ['HEAD'], scope: 'repository', actions: ['ecr:BatchGetImage'] },
  putManifest: { route: 'manifest', methods: ['PUT'], scope: 'repository', actions: ['ecr:PutImage'] },
  deleteTag: { route: 'manifest', methods: ['DELETE'], scope: 'repository', actions: ['ecr:BatchDeleteImage'] },
  deleteManifest: { route: 'manifest', methods: ['DELETE'], scope: 'repository', actions: ['ecr:BatchDeleteImage'] },
  getBlob: { route: 'blob', methods: ['GET'], scope: 'repository', actions: ['ecr:GetDownloadUrlForLayer'] },
  headBlob: { route: 'blob', methods: ['HEAD'], scope: 'repository', actions: ['ecr:BatchCheckLayerAvailability'] },
  deleteBlob: { route: 'blob', methods: ['DELETE'], scope: 'repository', actions: ['ecr:BatchDeleteImage'] },
  beginUpload: { route: 'uploadStart', methods: ['POST'], scope: 'repository', actions: ['ecr:InitiateLayerUpload'] },
  /** Reading the source takes `mountSourceAction` there; without it the answer is an upload, not a refusal. */
  mountBlob: { route: 'uploadStart', methods: ['POST'], scope: 'repository', actions: ['ecr:InitiateLayerUpload'] },
  uploadBlob: {
    route: 'uploadStart',
    methods: ['POST'],
    scope: 'repository',
    actions: ['ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload'],
  },
  getUpload: { route: 'upload', methods: ['GET', 'HEAD'], scope: 'repository', actions: ['ecr:UploadLayerPart'] },
  appendUpload: { route: 'upload', methods: ['PATCH'], scope: 'repository', actions: ['ecr:UploadLayerPart'] },
  /** The last chunk, or the whole blob, may come with it. */
  completeUpload: {
    route: 'upload',
    methods: ['PUT'],
    scope: 'repository',
    actions: ['ecr:UploadLayerPart', 'ecr:CompleteLayerUpload'],
  },
  cancelUpload: { route: 'upload', methods: ['DELETE'], scope: 'repository', actions: ['ecr:UploadLayerPart'] },
  listReferrers: { route: 'referrers', methods: ['GET', 'HEAD'], scope: 'repository', actions: ['ecr:BatchGetImage'] },
} as const satisfies Record<string, OperationRule>

export type OperationName = keyof typeof operations

/** What mounting a blob takes on the repository that it comes from: the right to pull it from there. */
export const mountSourceAction = 'ecr:GetDownloadUrlForLayer'

/** With it an image that is blocked for new deployments is given all the same. */
export const blockedPullAction = 'stowage:PullBlockedImage'

/** What a push takes beside its own actions where it makes the repository. */
export const createAction = 'ecr:CreateRepository'

/** What the role of a template takes besides, where the repository gets tags. */
export const tagAction = 'ecr:TagResource'

/** The operation of a request whose method its path has (`parseDistributionPath` refuses the others). */
export function operationOf(method: string, route: DistributionRoute, query: Query): OperationName {
  switch (route.kind) {
    case 'ping':
      return 'ping'
    case 'catalog':
      return 'listRepositories'
    case 'tags':
      return 'listTags'
    case 'referrers':
      return 'listReferrers'
    case 'manifest':
      if (method === 'GET') return 'getManifest'
      if (method === 'HEAD') return 'headManifest'
      if (method === 'PUT') return 'putManifest'
      return route.reference.kind === 'tag' ? 'deleteTag' : 'deleteManifest'
    case 'blob':
      if (method === 'GET') return 'getBlob'
      return method === 'HEAD' ? 'headBlob' : 'deleteBlob'
    case 'uploadStart':
      if (query.has('mount')) return 'mountBlob'
      return query.has('digest') ? 'uploadBlob' : 'beginUpload'
    case 'upload':
      if (method === 'PATCH') return 'appendUpload'
      if (method === 'PUT') return 'completeUpload'
      return method === 'DELETE' ? 'cancelUpload' : 'getUpload'
  }
}

/** The ARN that an operation on `repository`, or without one on the whole registry, is authorised against. */
export function operationResource(
  registry: { readonly accountId: AccountId; readonly region: Region },
  repository: RepositoryName | undefined,
): string {
  const { region, accountId } = registry
  return repository === undefined
    ? `arn:aws:ecr:${region}:${accountId}:repository/*`
    : repositoryArn(region, accountId, repository)
}
