import type { LifecyclePolicies, LifecyclePreviews, PreviewResult } from '../../../../lifecycle/index.ts'
import { isDigest, parseTag } from '../../../../values/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { integer, required, structure } from '../../shapes.ts'
import { tokenBesideNames, type PageTokens } from './page-token.ts'
import * as shapes from './shapes.ts'
import { repositoryResource, targetOf } from './target.ts'

/** ECR's model: LifecyclePreviewMaxResults. */
const previewMaxResults = integer({ min: 1, max: 100 })

/** Amazon ECR's lifecycle policies and their previews. */
export function lifecycleOperations(deps: {
  readonly policies: LifecyclePolicies
  readonly previews: LifecyclePreviews
  readonly pageTokens: PageTokens
}): Record<string, AwsOperation> {
  const { policies, previews, pageTokens } = deps
  return {
    PutLifecyclePolicy: operation({
      action: 'ecr:PutLifecyclePolicy',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...shapes.repositoryMembers, lifecyclePolicyText: required(shapes.lifecyclePolicyText) }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const lifecyclePolicyText = await policies.put(context, name, input.lifecyclePolicyText)
        return { registryId: context.registry.accountId, repositoryName: name, lifecyclePolicyText }
      },
    }),

    GetLifecyclePolicy: operation({
      action: 'ecr:GetLifecyclePolicy',
      resource: (input, call) => repositoryResource(input, call),
      input: structure(shapes.repositoryMembers),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        return { registryId: context.registry.accountId, repositoryName: name, ...shown(await policies.get(context, name)) }
      },
    }),

    DeleteLifecyclePolicy: operation({
      action: 'ecr:DeleteLifecyclePolicy',
      resource: (input, call) => repositoryResource(input, call),
      input: structure(shapes.repositoryMembers),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        return { registryId: context.registry.accountId, repositoryName: name, ...shown(await policies.delete(context, name)) }
      },
    }),

    StartLifecyclePolicyPreview: operation({
      action: 'ecr:StartLifecyclePolicyPreview',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...shapes.repositoryMembers, lifecyclePolicyText: shapes.lifecyclePolicyText }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const lifecyclePolicyText = await previews.start(context, name, input.lifecyclePolicyText)
        return { registryId: context.registry.accountId, repositoryName: name, lifecyclePolicyText, status: 'IN_PROGRESS' }
      },
    }),

    GetLifecyclePolicyPreview: operation({
      action: 'ecr:GetLifecyclePolicyPreview',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({
        ...shapes.repositoryMembers,
        imageIds: shapes.imageIds,
        nextToken: shapes.nextToken,
        maxResults: previewMaxResults,
        filter: shapes.lifecyclePreviewFilter,
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        if (input.imageIds !== undefined && input.nextToken !== undefined) throw tokenBesideNames('imageIds')
        const tagStatus = input.filter?.tagStatus ?? 'ANY'
        const list = ['GetLifecyclePolicyPreview', context.registry.id, name, tagStatus]
        const preview = await previews.get(context, name, {
          tagStatus,
          images: input.imageIds?.flatMap(toIdentifier),
          limit: input.maxResults ?? shapes.defaultPageSize,
          after: pageTokens.read(list, input.nextToken),
        })
        const { document: lifecyclePolicyText, status, summary } = preview
        return {
          registryId: context.registry.accountId,
          repositoryName: name,
          lifecyclePolicyText,
          status,
          previewResults: preview.results.map(previewResult),
          nextToken: pageTokens.issue(list, preview.next),
          ...(summary === undefined ? {} : { summary: shownSummary(summary) }),
        }
      },
    }),
  }
}

/** What is no digest or tag at all names no image. */
function toIdentifier({ imageDigest, imageTag }: { imageDigest?: string | undefined; imageTag?: string | undefined }) {
  if (imageDigest !== undefined && !isDigest(imageDigest)) return []
  return [{ digest: imageDigest, tag: imageTag === undefined ? undefined : parseTag(imageTag) }]
}

function shown({ document, lastEvaluatedAt }: { document: string; lastEvaluatedAt: number | null }) {
  return { lifecyclePolicyText: document, lastEvaluatedAt: lastEvaluatedAt === null ? undefined : new Date(lastEvaluatedAt) }
}

function previewResult({ digest, tags, pushedAt, action, rule, storageClass }: PreviewResult) {
  return {
    imageTags: tags,
    imageDigest: digest,
    imagePushedAt: new Date(pushedAt),
    action: action === 'expire' ? { type: 'EXPIRE' } : { type: 'TRANSITION', targetStorageClass: 'ARCHIVE' },
    appliedRulePriority: rule,
    storageClass,
  }
}

function shownSummary({ expire, transition }: { expire: number; transition: number }) {
  return {
    expiringImageTotalCount: expire,
    ...(transition === 0 ? {} : { transitioningImageTotalCounts: [{ targetStorageClass: 'ARCHIVE', imageTotalCount: transition }] }),
  }
}
