import type { Erasure, ErasedBlob, ErasedImage } from '../../../../gc/erasure-record.ts'
import type { Erasures } from '../../../../gc/erasures.ts'
import { parameterInvalid } from '../../../../registry/index.ts'
import { parseDigest } from '../../../../values/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { boolean, integer, list, required, simplePattern, string, structure } from '../../shapes.ts'
import type { ListIdentity, PageTokens } from '../ecr/page-token.ts'
import * as shapes from '../ecr/shapes.ts'
import { everyRepositoryResource } from '../ecr/target.ts'
import { registryId, registryResource, repositoryMembers, repositoryResource, targetOf } from './target.ts'

/** What one call may name: a leak is of a few digests. */
const digests = list(shapes.digest, { min: 1, max: 100 })

const reason = string({ min: 1, max: 500, pattern: simplePattern(/^[^\p{Cc}]*$/u, '[^\\p{Cc}]*') })

/** Each may list thousands of images and blobs. */
const maxPageSize = 20

/** The end of images at once and everywhere, where a secret got into one. */
export function erasureOperations({ erasures, pageTokens }: { readonly erasures: Erasures; readonly pageTokens: PageTokens }): Record<string, AwsOperation> {
  return {
    EraseImages: operation({
      action: 'stowage:EraseImages',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({
        ...repositoryMembers,
        imageDigests: digests,
        layerDigests: digests,
        everywhere: boolean(),
        reason: required(reason),
        overrideProtection: boolean(),
        dryRun: boolean(),
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { imageDigests = [], layerDigests = [], everywhere = false, overrideProtection = false, dryRun = false } = input
        if (imageDigests.length + layerDigests.length === 0) throw parameterInvalid('imageDigests', 'Member must not be null where there are no layerDigests')
        const resource = everywhere ? everyRepositoryResource(call) : repositoryResource(input, call)
        if (everywhere) await call.authorize('stowage:EraseImages', resource)
        if (overrideProtection) await call.authorize('stowage:OverrideProtection', resource)
        const erasure = await erasures.erase(context, {
          name,
          images: imageDigests.map(parseDigest),
          layers: layerDigests.map(parseDigest),
          everywhere,
          reason: input.reason,
          overrideProtection,
          dryRun,
        })
        return { erasure: describe(erasure, dryRun) }
      },
    }),

    ListErasures: operation({
      action: 'stowage:ListErasures',
      resource: (_, call) => registryResource(call),
      input: structure({ registryId, nextToken: shapes.nextToken, maxResults: integer({ min: 1, max: maxPageSize }) }),
      async handler(call, input) {
        const { context } = call
        const identity: ListIdentity = ['ListErasures', context.registry.id]
        const page = { limit: input.maxResults ?? maxPageSize, after: pageTokens.read(identity, input.nextToken) }
        const { items, next } = await erasures.list(context, page)
        return { erasures: items.map((erasure) => describe(erasure, false)), nextToken: pageTokens.issue(identity, next) }
      },
    }),
  }
}

function describe({ id, status, requestedAt, requestedBy, reason: why, finishedAt, everywhere, images, blobs }: Erasure, isDryRun: boolean) {
  return {
    erasureId: isDryRun ? undefined : id,
    status: isDryRun ? 'DRY_RUN' : status.toUpperCase(),
    requestedAt: new Date(requestedAt),
    requestedBy,
    reason: why,
    finishedAt: finishedAt === undefined ? undefined : new Date(finishedAt),
    everywhere,
    images: images.map(describeImage),
    blobs: blobs.map((blob) => describeBlob(blob, isDryRun)),
  }
}

function describeImage(image: ErasedImage) {
  return {
    repositoryName: image.repositoryName,
    imageDigest: image.digest,
    imageTags: image.tags,
    imageManifestMediaType: image.mediaType,
    imageSizeInBytes: image.imageSizeBytes,
    imageStatus: image.state.toUpperCase(),
    imagePushedAt: new Date(image.pushedAt),
    pushedBy: image.pushedBy,
    pullCount: image.pullCount,
    lastRecordedPullTime: image.lastPulledAt === null ? undefined : new Date(image.lastPulledAt),
    heldBy: image.heldBy,
  }
}

function describeBlob({ digest, sizeBytes, bytes, namedBy, isNamedElsewhere }: ErasedBlob, isDryRun: boolean) {
  return {
    layerDigest: digest,
    layerSizeInBytes: sizeBytes,
    status: isDryRun && bytes === 'waiting' ? 'TO_BE_ERASED' : bytes.toUpperCase(),
    namedBy: namedBy.map(({ repositoryName, digest: imageDigest, isTrashed }) => ({ repositoryName, imageDigest, inTrash: isTrashed })),
    namedInOtherRegistries: isNamedElsewhere,
  }
}
