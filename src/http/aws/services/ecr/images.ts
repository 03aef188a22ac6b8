import { isUtf8 } from 'node:buffer'
import { isPlatformError } from '../../../../internal/platform-error.ts'
import {
  deletingAsAllowed,
  registryError,
  type DeleteImageOutcome,
  type ImageDetail,
  type ImageFilter,
  type ImageIdentifier,
  type ImageToDelete,
  type ManifestWithBytes,
  type NewManifest,
  type Registry,
  type RequestContext,
} from '../../../../registry/index.ts'
import {
  findStructuralProblem,
  isDigest,
  parseReference,
  parseTag,
  valueError,
  type Digest,
  type RepositoryName,
  type Tag,
} from '../../../../values/index.ts'
import { AwsError } from '../../errors.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { enumeration, invalidParameter, required, string, structure } from '../../shapes.ts'
import { imageTagConditions } from './conditions.ts'
import { tokenBesideNames, type ListIdentity, type PageTokens } from './page-token.ts'
import { pushing } from './pushing.ts'
import * as shapes from './shapes.ts'
import { repositoryResource, targetOf } from './target.ts'

/** A manifest's quotes and line ends take two bytes each in JSON; the rest is room. */
const maxPutImageRequestBytes = 2 * shapes.maxManifestCharacters + 1024 * 1024

/** The manifests of one BatchGetImage together: a hundred of usual size are a twentieth of this. */
const maxAnsweredManifestBytes = 16 * 1024 * 1024

export function imageOperations(deps: {
  readonly registry: Registry
  readonly pageTokens: PageTokens
}): Record<string, AwsOperation> {
  const { registry, pageTokens } = deps
  /** Of a deletion under way: the tags of the images that it names by digest, as its caller was asked about them. */
  const tagsAskedAbout = new WeakMap<AwsCall, HeldTags>()

  return {
    ListImages: operation({
      action: 'ecr:ListImages',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({
        ...shapes.repositoryMembers,
        nextToken: shapes.nextToken,
        maxResults: shapes.maxResults,
        filter: shapes.imagesFilter,
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const filter = toImageFilter(input.filter)
        const list = listIdentity('ListImages', context, name, filter)
        const { items, next } = await registry.listImages(context, name, {
          filter,
          page: { limit: input.maxResults ?? shapes.defaultPageSize, after: pageTokens.read(list, input.nextToken) },
        })
        return {
          imageIds: items.map(({ digest, tag }) => ({ imageDigest: digest, imageTag: tag })),
          nextToken: pageTokens.issue(list, next),
        }
      },
    }),

    DescribeImages: operation({
      action: 'ecr:DescribeImages',
      resource: (input, call) => repositoryResource(input, call),
      conditions: ({ imageIds = [] }) => imageTagConditions(imageIds.map(({ imageTag }) => imageTag)),
      input: structure({
        ...shapes.repositoryMembers,
        imageIds: shapes.imageIds,
        nextToken: shapes.nextToken,
        maxResults: shapes.maxResults,
        filter: shapes.imagesFilter,
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const where = { registryId: context.registry.accountId, repositoryName: name }
        if (input.imageIds !== undefined) {
          if (input.nextToken !== undefined) throw tokenBesideNames('imageIds')
          const found = await describeNamed(registry, context, name, input.imageIds)
          const kept = found.filter((image) => isWanted(image, input.filter))
          return { imageDetails: kept.map((image) => ({ ...where, ...describe(image) })) }
        }
        const filter = toImageFilter(input.filter)
        const list = listIdentity('DescribeImages', context, name, filter)
        const { items, next } = await registry.describeImages(context, name, {
          filter,
          page: { limit: input.maxResults ?? shapes.defaultPageSize, after: pageTokens.read(list, input.nextToken) },
        })
        return {
          imageDetails: items.map((image) => ({ ...where, ...describe(image) })),
          nextToken: pageTokens.issue(list, next),
        }
      },
    }),

    BatchGetImage: operation({
      action: 'ecr:BatchGetImage',
      resource: (input, call) => repositoryResource(input, call),
      conditions: ({ imageIds }) => imageTagConditions(imageIds.map(({ imageTag }) => imageTag)),
      input: structure({
        ...shapes.repositoryMembers,
        imageIds: required(shapes.batchImageIds),
        // A manifest is answered as it was pushed: converted, it would be another image.
        acceptedMediaTypes: shapes.acceptedMediaTypes,
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        await registry.getRepository(context, name)
        const images: unknown[] = []
        const failures: ImageFailure[] = []
        const mayPullBlocked = (): Promise<boolean> => call.allows('stowage:PullBlockedImage', repositoryResource(input, call))
        let answeredBytes = 0
        // One after the other: the sum is looked at before the next is read.
        for (const imageId of input.imageIds) {
          const found = await getImage(registry, context, name, imageId, mayPullBlocked)
          if ('failureCode' in found) {
            failures.push(found)
            continue
          }
          answeredBytes += found.sizeBytes
          if (answeredBytes > maxAnsweredManifestBytes) {
            throw registryError(
              'limit-exceeded',
              `The manifests have more than ${maxAnsweredManifestBytes} bytes together: ask for fewer at a time.`,
            )
          }
          images.push({
            registryId: context.registry.accountId,
            repositoryName: name,
            imageId: { imageDigest: found.digest, imageTag: imageId.imageTag },
            imageManifest: found.bytes.toString('utf8'),
            imageManifestMediaType: found.mediaType,
          })
        }
        return { images, failures }
      },
      pulls: ({ images }) => images.length,
    }),

    BatchDeleteImage: operation({
      action: 'ecr:BatchDeleteImage',
      resource: (input, call) => repositoryResource(input, call),
      conditions: async (input, call) => {
        const { context, name } = targetOf(input, call)
        const held = await heldTags(registry, context, name, input.imageIds)
        tagsAskedAbout.set(call, held)
        return imageTagConditions(removedTags(input.imageIds, held))
      },
      input: structure({ ...shapes.repositoryMembers, imageIds: required(shapes.batchImageIds) }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const parsed = input.imageIds.map((imageId) => ({ imageId, identifier: parseIdentifier(imageId) }))
        const identifiers = parsed.flatMap(({ identifier }) => ('failureCode' in identifier ? [] : [identifier]))
        const remove = (): Promise<DeleteImageOutcome[]> =>
          registry.deleteImages(context, name, withKnownTags(identifiers, tagsAskedAbout.get(call)))
        const askAnew = (): Promise<void> => {
          tagsAskedAbout.delete(call)
          return call.requireAnew()
        }
        const outcomes = (await deletingAsAllowed(remove, askAnew)).values()
        const imageIds: { imageDigest: string; imageTag?: string }[] = []
        const failures: ImageFailure[] = []
        for (const { imageId, identifier } of parsed) {
          if ('failureCode' in identifier) {
            failures.push(identifier)
            continue
          }
          const { value: outcome } = outcomes.next()
          if (outcome?.kind === 'deleted') imageIds.push(...deletedIds(outcome))
          else failures.push(deletionFailure(imageId, outcome))
        }
        return { imageIds, failures }
      },
    }),

    UpdateImageStorageClass: operation({
      action: 'ecr:UpdateImageStorageClass',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({
        ...shapes.repositoryMembers,
        imageId: required(shapes.imageId),
        targetStorageClass: required(enumeration(['STANDARD', 'ARCHIVE'])),
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { imageDigest, imageTag } = input.imageId
        if (imageDigest === undefined && imageTag === undefined) throw new AwsError('InvalidParameterException', missingDigestAndTag)
        if (imageDigest !== undefined && !isDigest(imageDigest)) throw registryError('manifest-unknown', 'Requested image not found', { digest: imageDigest, tag: imageTag })
        const image: ImageIdentifier = { digest: imageDigest, tag: imageTag === undefined ? undefined : parseTag(imageTag) }
        const { digest, status } = await registry.updateStorageClass(context, name, image, input.targetStorageClass)
        return {
          registryId: context.registry.accountId,
          repositoryName: name,
          imageId: { imageDigest: digest, imageTag },
          imageStatus: status,
        }
      },
    }),

    PutImage: operation({
      action: 'ecr:PutImage',
      resource: (input, call) => repositoryResource(input, call),
      conditions: ({ imageTag }) => imageTagConditions([imageTag]),
      maxBodyBytes: maxPutImageRequestBytes,
      input: structure({
        ...shapes.repositoryMembers,
        imageManifest: required(shapes.imageManifest),
        imageManifestMediaType: string({ max: 1024 }),
        imageTag: shapes.imageTag,
        imageDigest: shapes.digest,
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { imageManifest, imageManifestMediaType, imageTag, imageDigest } = input
        requireMediaType(imageManifest, imageManifestMediaType)
        if (imageDigest !== undefined && !isDigest(imageDigest)) throw cannotMatch(imageDigest)
        const manifest: NewManifest = {
          bytes: Buffer.from(imageManifest),
          declaredMediaType: imageManifestMediaType,
          reference: imageTag === undefined ? undefined : { kind: 'tag', tag: parseTag(imageTag) },
          expectedDigest: imageDigest,
          via: 'ecr',
        }
        const stored = await pushing(registry, call, name, () => registry.putManifest(context, name, manifest))
        return {
          image: {
            registryId: context.registry.accountId,
            repositoryName: name,
            imageId: { imageDigest: stored.digest, imageTag },
            imageManifest,
            imageManifestMediaType: stored.mediaType,
          },
        }
      },
    }),
  }
}

interface ImageFailure {
  readonly imageId: shapes.BatchImageId
  readonly failureCode: string
  readonly failureReason: string
}

function toImageFilter(filter: shapes.ImagesFilter | undefined): ImageFilter {
  return { tagStatus: filter?.tagStatus ?? 'ANY', imageStatus: filter?.imageStatus ?? 'ACTIVE' }
}

/** Images that are asked for by name are shown in any state, unless the call itself says which. */
function isWanted(image: ImageDetail, filter: shapes.ImagesFilter | undefined): boolean {
  const { tagStatus = 'ANY', imageStatus = 'ANY' } = filter ?? {}
  if (tagStatus !== 'ANY' && (tagStatus === 'TAGGED') !== image.tags.length > 0) return false
  return imageStatus === 'ANY' || imageStatus === image.status
}

function listIdentity(operationName: string, context: RequestContext, name: string, filter: ImageFilter): ListIdentity {
  return [operationName, context.registry.id, name, filter.tagStatus, filter.imageStatus]
}

function describe(image: ImageDetail) {
  return {
    imageDigest: image.digest,
    imageTags: image.tags.length === 0 ? undefined : image.tags,
    imageSizeInBytes: image.imageSizeBytes,
    imagePushedAt: new Date(image.pushedAt),
    imageManifestMediaType: image.mediaType,
    artifactMediaType: image.artifactType,
    lastRecordedPullTime: dateOf(image.lastPulledAt),
    subjectManifestDigest: image.subject,
    imageStatus: image.status,
    lastArchivedAt: dateOf(image.lastArchivedAt),
    lastActivatedAt: dateOf(image.lastActivatedAt),
  }
}

function dateOf(timeMs: number | undefined): Date | undefined {
  return timeMs === undefined ? undefined : new Date(timeMs)
}

/** Each image once, however many of its names were given. Throws `manifest-unknown` for a name without an image. */
/** The images that a call names. Throws `manifest-unknown` where one is not there. */
export async function describeNamed(
  registry: Registry,
  context: RequestContext,
  name: RepositoryName,
  imageIds: readonly { imageDigest?: string | undefined; imageTag?: string | undefined }[],
): Promise<ImageDetail[]> {
  const unnamed = imageIds.findIndex(({ imageDigest, imageTag }) => imageDigest === undefined && imageTag === undefined)
  if (unnamed !== -1) throw new AwsError('InvalidParameterException', missingDigestAndTag)
  const identifiers = imageIds.map(({ imageDigest, imageTag }): ImageIdentifier | undefined => {
    if (imageDigest !== undefined && !isDigest(imageDigest)) return undefined
    return { digest: imageDigest, tag: imageTag === undefined ? undefined : parseTag(imageTag) }
  })
  const found = await registry.describeImagesById(context, name, identifiers.map((identifier) => identifier ?? {}))
  const images = new Map<string, ImageDetail>()
  for (const [index, { imageDigest: digest, imageTag: tag }] of imageIds.entries()) {
    const image = found[index]
    if (image === undefined) throw registryError('manifest-unknown', 'Requested image not found', { digest, tag })
    images.set(image.digest, image)
  }
  return [...images.values()]
}

type HeldTags = ReadonlyMap<Digest, readonly Tag[]>

/**
 * The tags of the images that a deletion names by digest alone. They are asked for before anybody knows whether the caller
 * may: that there is no such repository is as if it had no such image.
 */
async function heldTags(
  registry: Registry,
  context: RequestContext,
  name: RepositoryName,
  imageIds: readonly shapes.BatchImageId[],
): Promise<HeldTags> {
  const digests = imageIds.flatMap(({ imageDigest, imageTag }) =>
    imageTag === undefined && imageDigest !== undefined && isDigest(imageDigest) ? [imageDigest] : [],
  )
  const tags = digests.length === 0 ? [] : await registry.tagsOfImages(context, name, digests)
  return new Map(digests.map((digest, index) => [digest, tags[index] ?? []]))
}

/** Every tag that a deletion takes: those it names, and those held; undefined for an image without tags. */
function removedTags(imageIds: readonly shapes.BatchImageId[], held: HeldTags): (string | undefined)[] {
  const named = imageIds.map(({ imageTag }) => imageTag).filter((tag) => tag !== undefined)
  const taken = [...held.values()].flatMap((tags): readonly (string | undefined)[] => (tags.length === 0 ? [undefined] : tags))
  return [...named, ...taken]
}

function withKnownTags(identifiers: readonly ImageIdentifier[], held: HeldTags | undefined): readonly ImageToDelete[] {
  return identifiers.map((identifier) => {
    const { digest, tag } = identifier
    return digest === undefined || tag !== undefined ? identifier : { ...identifier, knownTags: held?.get(digest) }
  })
}

async function getImage(
  registry: Registry,
  context: RequestContext,
  name: RepositoryName,
  imageId: shapes.BatchImageId,
  mayPullBlocked: () => Promise<boolean>,
): Promise<ManifestWithBytes | ImageFailure> {
  const identifier = parseIdentifier(imageId)
  if ('failureCode' in identifier) return identifier
  const { digest, tag } = identifier
  try {
    if (digest !== undefined && tag !== undefined) {
      // Asked first, so that a name that does not fit counts as no pull of the image.
      const target = await registry.headManifest(context, name, { kind: 'tag', tag }, { mayPullBlocked, onlyDigest: digest })
      if (target.digest !== digest) return tagMismatch(imageId)
    }
    const found = await registry.getManifest(context, name, parseReference(digest ?? tag ?? ''), { mayPullBlocked })
    if (isUtf8(found.bytes)) return found
    return {
      imageId,
      failureCode: 'ImageInaccessible',
      failureReason: 'Requested image has a manifest that is not text; it can be pulled by the OCI protocol only',
    }
  } catch (error) {
    if (isPlatformError(error, 'manifest-unknown')) return notFound(imageId)
    if (isPlatformError(error, 'image-archived')) return { ...notFound(imageId), failureReason: error.message }
    if (isPlatformError(error, 'image-blocked')) return { imageId, failureCode: 'ImageInaccessible', failureReason: error.message }
    throw error
  }
}

const missingDigestAndTag = 'Invalid request parameters: both tag and digest cannot be null'

/** A digest that ECR's pattern takes and that no algorithm of ours makes is a good name of nothing. */
function parseIdentifier(imageId: shapes.BatchImageId): ImageIdentifier | ImageFailure {
  const { imageDigest, imageTag } = imageId
  if (imageDigest === undefined && imageTag === undefined) {
    return { imageId, failureCode: 'MissingDigestAndTag', failureReason: missingDigestAndTag }
  }
  if (imageDigest !== undefined && !shapes.digestPattern.matches(imageDigest)) {
    return {
      imageId,
      failureCode: 'InvalidImageDigest',
      failureReason: `Invalid request parameters: image digest should satisfy the regex '${shapes.digestPattern.source}'`,
    }
  }
  if (imageTag !== undefined && !shapes.tagPattern.matches(imageTag)) {
    return {
      imageId,
      failureCode: 'InvalidImageTag',
      failureReason: `Invalid request parameters: image tag should satisfy the regex '${shapes.tagPattern.source}'`,
    }
  }
  if (imageDigest !== undefined && !isDigest(imageDigest)) return notFound(imageId)
  return { digest: imageDigest, tag: imageTag === undefined ? undefined : parseTag(imageTag) }
}

function notFound(imageId: shapes.BatchImageId): ImageFailure {
  return { imageId, failureCode: 'ImageNotFound', failureReason: 'Requested image not found' }
}

function tagMismatch(imageId: shapes.BatchImageId): ImageFailure {
  return {
    imageId,
    failureCode: 'ImageTagDoesNotMatchDigest',
    failureReason: 'Requested image tag does not match the requested image digest',
  }
}

function deletedIds({ digest, tags }: DeleteImageOutcome & { kind: 'deleted' }) {
  return tags.length === 0 ? [{ imageDigest: digest }] : tags.map((tag) => ({ imageDigest: digest, imageTag: tag }))
}

function deletionFailure(
  imageId: shapes.BatchImageId,
  outcome: Exclude<DeleteImageOutcome, { kind: 'deleted' }> | undefined,
): ImageFailure {
  switch (outcome?.kind) {
    case 'referenced':
      return {
        imageId,
        failureCode: 'ImageReferencedByManifestList',
        failureReason: `Requested image referenced by manifest list: [${outcome.by.join(', ')}]`,
      }
    case 'vetoed':
      // ECR has no code for it, and clients parse codes of its model only: the reason says who or what holds the image.
      return { imageId, failureCode: 'ImageInaccessible', failureReason: outcome.reason }
    case 'tag-digest-mismatch':
      return tagMismatch(imageId)
    case 'not-found':
    case undefined:
      return notFound(imageId)
  }
}

/**
 * ECR takes no manifest whose type it has to guess, and none that is no JSON.
 * @throws `manifest-invalid`; AwsError InvalidParameterException
 */
function requireMediaType(imageManifest: string, declared: string | undefined): void {
  // First, since parsing takes long where a text has too much structure.
  const problem = findStructuralProblem(imageManifest)
  if (problem !== undefined) throw valueError('manifest-invalid', `The manifest is invalid. ${problem}`)
  let root: unknown
  try {
    root = JSON.parse(imageManifest)
  } catch {
    throw invalidParameter([{ field: 'ImageManifest', constraint: 'Invalid JSON syntax' }])
  }
  const stated = typeof root === 'object' && root !== null && 'mediaType' in root ? root.mediaType : undefined
  if ((declared ?? '') === '' && (typeof stated !== 'string' || stated === '')) {
    throw new AwsError('InvalidParameterException', 'image manifest mediatype not provided in manifest or parameter')
  }
}

function cannotMatch(imageDigest: string): AwsError {
  return new AwsError('ImageDigestDoesNotMatchException', `The manifest's digest cannot be ${imageDigest}.`)
}
