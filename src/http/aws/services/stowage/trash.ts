import { isPlatformError } from '../../../../internal/platform-error.ts'
import { parameterInvalid, type Registry, type RestoreOutcome, type TagChange, type TrashBatch } from '../../../../registry/index.ts'
import { parseDigest, parseRepositoryName, parseTag, type Tag } from '../../../../values/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { integer, list, required, simplePattern, string, structure } from '../../shapes.ts'
import { imageTagConditions } from '../ecr/conditions.ts'
import type { ListIdentity, PageTokens } from '../ecr/page-token.ts'
import * as shapes from '../ecr/shapes.ts'
import { registryId, registryResource, repositoryMembers, repositoryName, repositoryResource, targetOf } from './target.ts'

const defaultPageSize = 100

/** The number of the request or run, a UUID, that put it there. */
const trashBatch = string({ pattern: simplePattern(/^[0-9a-f-]{1,64}$/, '[0-9a-f-]{1,64}') })

/** What one call brings back by name; a batch comes back whole, whatever it has. */
const imageDigests = list(shapes.digest, { min: 1, max: 100 })

/** What was deleted and can be brought back: images, repositories, and tags that were moved or removed. */
export function trashOperations({ registry, pageTokens }: { readonly registry: Registry; readonly pageTokens: PageTokens }): Record<string, AwsOperation> {
  /** Of a restoration under way: the tags that its caller was asked about. */
  const tagsAskedAbout = new WeakMap<AwsCall, readonly (Tag | undefined)[]>()
  return {
    ListTrash: operation({
      action: 'stowage:ListTrash',
      resource: (input, call) =>
        input.repositoryName === undefined ? registryResource(call) : repositoryResource({ repositoryName: input.repositoryName }, call),
      input: structure({ registryId, repositoryName, nextToken: shapes.nextToken, maxResults: shapes.maxResults }),
      async handler({ context }, input) {
        const name = input.repositoryName === undefined ? undefined : parseRepositoryName(input.repositoryName)
        const identity: ListIdentity = ['ListTrash', context.registry.id, name ?? '']
        const page = { limit: input.maxResults ?? defaultPageSize, after: pageTokens.read(identity, input.nextToken) }
        const { items, next } = await registry.listTrash(context, name, page)
        return { trash: items.map(describeBatch), nextToken: pageTokens.issue(identity, next) }
      },
    }),

    DescribeTrash: operation({
      action: 'stowage:DescribeTrash',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...repositoryMembers, trashBatch: required(trashBatch), nextToken: shapes.nextToken, maxResults: shapes.maxResults }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const identity: ListIdentity = ['DescribeTrash', context.registry.id, name, input.trashBatch]
        const page = { limit: input.maxResults ?? defaultPageSize, after: pageTokens.read(identity, input.nextToken) }
        const { batch, images } = await registry.describeTrash(context, name, input.trashBatch, page)
        return {
          ...describeBatch(batch),
          images: images.items.map((image) => ({
            imageDigest: image.digest,
            imageTags: image.tags,
            imageManifestMediaType: image.mediaType,
            imageSizeInBytes: image.imageSizeBytes,
            imagePushedAt: new Date(image.pushedAt),
            rule: image.rule,
          })),
          nextToken: pageTokens.issue(identity, images.next),
        }
      },
    }),

    RestoreTrash: operation({
      action: 'stowage:RestoreTrash',
      resource: (input, call) => repositoryResource(input, call),
      // Of each tag that may come back.
      async conditions(input, call) {
        const { context, name } = targetOf(input, call)
        const { trashBatch: batch, imageDigests, imageId: { imageDigest, imageTag } = {} } = input
        // With the image come all tags that it had, and those of what comes with it.
        const named = imageTag === undefined ? undefined : await registry.findInTrash(context, name, { tag: parseTag(imageTag) }).catch(unlessUnknown)
        const ask = (tags: readonly (Tag | undefined)[]) => {
          tagsAskedAbout.set(call, tags)
          return imageTagConditions(tags)
        }
        if (imageTag !== undefined && named === undefined) return ask([parseTag(imageTag)])
        const digests = named !== undefined ? [named.digest] : (imageDigest === undefined ? imageDigests : [imageDigest])?.map(parseDigest)
        const tags = await registry.tagsInTrash(context, name, { batch, digests })
        return ask(imageTag === undefined ? tags : [parseTag(imageTag), ...tags])
      },
      input: structure({ ...repositoryMembers, trashBatch, imageDigests, imageId: shapes.imageId }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { trashBatch: batch, imageDigests: digests, imageId } = input
        if ((batch === undefined) === (imageId === undefined)) {
          throw parameterInvalid('trashBatch', 'Exactly one of trashBatch and imageId must be given')
        }
        if (batch !== undefined) {
          // The right is to a repository, and the batch must be of that one.
          await registry.describeTrash(context, name, batch, { limit: 1 })
          return describeOutcome(context.registry.accountId, await registry.restoreTrash(context, batch, digests?.map(parseDigest), tagsAskedAbout.get(call)))
        }
        if (digests !== undefined) throw parameterInvalid('imageDigests', 'Member must be null where there is no trashBatch')
        const { imageDigest, imageTag } = imageId ?? {}
        if ((imageDigest === undefined) === (imageTag === undefined)) {
          throw parameterInvalid('imageId', 'Exactly one of imageDigest and imageTag must be given')
        }
        const found = await registry.findInTrash(context, name, {
          digest: imageDigest === undefined ? undefined : parseDigest(imageDigest),
          tag: imageTag === undefined ? undefined : parseTag(imageTag),
        })
        return describeOutcome(context.registry.accountId, await registry.restoreTrash(context, found.batch, [found.digest], tagsAskedAbout.get(call)))
      },
    }),

    PurgeTrash: operation({
      action: 'stowage:PurgeTrash',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...repositoryMembers, trashBatch: required(trashBatch) }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        await registry.purgeTrash(context, name, input.trashBatch)
        return { registryId: context.registry.accountId, repositoryName: name, trashBatch: input.trashBatch }
      },
    }),

    ListTagChanges: operation({
      action: 'stowage:ListTagChanges',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...repositoryMembers, imageTag: shapes.imageTag, nextToken: shapes.nextToken, maxResults: shapes.maxResults }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const tag = input.imageTag === undefined ? undefined : parseTag(input.imageTag)
        const identity: ListIdentity = ['ListTagChanges', context.registry.id, name, tag ?? '']
        const page = { limit: input.maxResults ?? defaultPageSize, after: pageTokens.read(identity, input.nextToken) }
        const { items, next } = await registry.listTagChanges(context, name, tag, page)
        return { tagChanges: items.map(describeChange), nextToken: pageTokens.issue(identity, next) }
      },
    }),

    UndoTagChange: operation({
      action: 'stowage:UndoTagChange',
      resource: (input, call) => repositoryResource(input, call),
      async conditions(input, call) {
        const { context, name } = targetOf(input, call)
        return imageTagConditions([await registry.tagOfChange(context, name, input.changeId)])
      },
      input: structure({ ...repositoryMembers, changeId: required(integer({ min: 1 })) }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { tag, digest } = await registry.undoTagChange(context, name, input.changeId)
        return { registryId: context.registry.accountId, repositoryName: name, imageTag: tag, imageDigest: digest }
      },
    }),
  }
}

function unlessUnknown(error: unknown): undefined {
  const isUnknown = (['trash-unknown', 'repository-unknown', 'repository-trashed'] as const).some((code) => isPlatformError(error, code))
  if (isUnknown) return undefined
  throw error
}

function describeBatch(batch: TrashBatch) {
  return {
    trashBatch: batch.batch,
    repositoryName: batch.repositoryName,
    kind: batch.kind.toUpperCase(),
    cause: batch.cause,
    security: batch.isSecurity,
    imageCount: batch.imageCount,
    tagCount: batch.tagCount,
    trashedAt: new Date(batch.trashedAt),
    trashedBy: batch.trashedBy,
    purgeAfter: new Date(batch.purgeAfter),
  }
}

function describeOutcome(accountId: string, outcome: RestoreOutcome) {
  return {
    registryId: accountId,
    repositoryName: outcome.repositoryName,
    trashBatch: outcome.batch,
    repositoryRestored: outcome.repositoryRestored,
    images: outcome.images.map(({ digest, tags, takenTags, deletedTags }) => ({
      imageDigest: digest,
      imageTags: tags,
      takenTags: takenTags.map(({ tag, by }) => ({ imageTag: tag, imageDigest: by })),
      deletedTags,
    })),
    notRestored: outcome.notRestored.map(({ digest, reason }) => ({ imageDigest: digest, reason })),
  }
}

function describeChange({ id, tag, digest, previousDigest, changedAt, changedBy }: TagChange) {
  return {
    changeId: id,
    imageTag: tag,
    imageDigest: digest,
    previousImageDigest: previousDigest,
    changedAt: new Date(changedAt),
    changedBy,
  }
}
