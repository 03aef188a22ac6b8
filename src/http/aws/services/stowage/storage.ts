import type { DiskWatch } from '../../../../gc/index.ts'
import type { Registry } from '../../../../registry/index.ts'
import { parseDigest, parseTag, type AccountId } from '../../../../values/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { list, structure } from '../../shapes.ts'
import type { ListIdentity, PageTokens } from '../ecr/page-token.ts'
import * as shapes from '../ecr/shapes.ts'
import { registryId, registryResource, repositoryMembers, repositoryResource, targetOf } from './target.ts'

const defaultPageSize = 100

/** Told about together: what only they have among them. */
const imageIds = list(shapes.imageId, { min: 1, max: 100 })

/** Who uses how much, and what would be given back. */
export function storageOperations({ registry, pageTokens, diskWatch, homeAccountId }: {
  readonly registry: Registry
  readonly pageTokens: PageTokens
  readonly diskWatch: DiskWatch
  readonly homeAccountId: AccountId
}): Record<string, AwsOperation> {
  return {
    // The installation's, and so its own account's.
    DescribeDisks: operation({
      action: 'stowage:DescribeDisks',
      resource: () => `arn:aws:stowage::${homeAccountId}:disk`,
      input: structure({}),
      async handler() {
        const disks = await diskWatch.status()
        return {
          disks: disks.map(({ disk, usedBytes, freeBytes, forecast }) => ({
            disk,
            usedSizeInBytes: usedBytes,
            freeSizeInBytes: freeBytes,
            growthInBytesPerDay: forecast?.bytesPerDay,
            fullAt: forecast?.fullAt === undefined ? undefined : new Date(forecast.fullAt),
          })),
        }
      },
    }),

    ListStorage: operation({
      action: 'stowage:ListStorage',
      resource: (_input, call) => registryResource(call),
      input: structure({ registryId, nextToken: shapes.nextToken, maxResults: shapes.maxResults }),
      async handler({ context }, input) {
        const identity: ListIdentity = ['ListStorage', context.registry.id]
        const page = { limit: input.maxResults ?? defaultPageSize, after: pageTokens.read(identity, input.nextToken) }
        const { logicalBytes, repositories } = await registry.listStorage(context, page)
        return {
          registryId: context.registry.accountId,
          logicalSizeInBytes: logicalBytes,
          repositories: repositories.items.map(({ name, images, logicalBytes: bytes }) => ({ repositoryName: name, imageCount: images, logicalSizeInBytes: bytes })),
          nextToken: pageTokens.issue(identity, repositories.next),
        }
      },
    }),

    DescribeAccountStorage: operation({
      action: 'stowage:DescribeAccountStorage',
      resource: (_input, call) => registryResource(call),
      input: structure({ registryId }),
      async handler({ context, signal }) {
        const { use, blobs } = await registry.describeAccountStorage(context, signal)
        return {
          registryId: context.registry.accountId,
          repositoryCount: use.repositories,
          imageCount: use.images,
          logicalSizeInBytes: use.bytes,
          blobCount: blobs.blobs,
          blobSizeInBytes: blobs.bytes,
          sharedSizeInBytes: blobs.sharedBytes,
          uniqueSizeInBytes: blobs.bytes - blobs.sharedBytes,
        }
      },
    }),

    DescribeStorage: operation({
      action: 'stowage:DescribeStorage',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...repositoryMembers, imageIds }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const images = input.imageIds?.map(({ imageDigest, imageTag }) => ({
          digest: imageDigest === undefined ? undefined : parseDigest(imageDigest),
          tag: imageTag === undefined ? undefined : parseTag(imageTag),
        }))
        const { repository, freed, manifests } = await registry.describeStorage(context, name, images)
        return {
          registryId: context.registry.accountId,
          repositoryName: name,
          imageCount: repository.images,
          logicalSizeInBytes: repository.logicalBytes,
          activeSizeInBytes: repository.activeBytes,
          archivedSizeInBytes: repository.archivedBytes,
          trashedImageCount: repository.trashedImages,
          trashedSizeInBytes: repository.trashedBytes,
          // Of the images asked about, or of everything: what they have, and what is given back when they go.
          manifestCount: manifests,
          blobCount: freed.blobs,
          blobSizeInBytes: freed.bytes,
          sharedSizeInBytes: freed.sharedBytes,
          uniqueSizeInBytes: freed.bytes - freed.sharedBytes,
        }
      },
    }),
  }
}
