import { signLayerUrl, type Keyring } from '../../../../iam/index.ts'
import type { Clock } from '../../../../internal/clock.ts'
import type { ErrorDetail } from '../../../../internal/platform-error.ts'
import { registryError, type Registry } from '../../../../registry/index.ts'
import { isDigest, type Digest } from '../../../../values/index.ts'
import { AwsError, type AwsErrorForm } from '../../errors.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { blob, invalidParameter, required, structure } from '../../shapes.ts'
import type { Addresses } from './addresses.ts'
import { pushing } from './pushing.ts'
import * as shapes from './shapes.ts'
import { repositoryResource, targetOf } from './target.ts'

/** What clients are told to send at a time: ECR's own answer. */
const suggestedPartBytes = 10 * 1024 * 1024

/** The largest part in base64, and room for the rest of the request. */
const maxPartRequestBytes = 28 * 1024 * 1024

/** How long ECR's own download links are good for. */
const defaultDownloadUrlLifetimeMs = 60 * 60 * 1000

/** Where the server takes download links. */
const downloadPath = '/_stowage/layers/'

/** Layers by ECR's own calls, without the OCI protocol. */
export function layerOperations(deps: {
  readonly registry: Registry
  readonly keyring: Keyring
  readonly clock: Clock
  readonly addresses: Addresses
  readonly downloadUrlLifetimeMs?: number | undefined
}): Record<string, AwsOperation> {
  const { registry, keyring, clock, addresses } = deps
  const downloadUrlLifetimeMs = deps.downloadUrlLifetimeMs ?? defaultDownloadUrlLifetimeMs

  return {
    BatchCheckLayerAvailability: operation({
      action: 'ecr:BatchCheckLayerAvailability',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...shapes.repositoryMembers, layerDigests: required(shapes.batchLayerDigests) }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        await registry.getRepository(context, name)
        const isWellFormed = (layerDigest: string): boolean => shapes.digestPattern.matches(layerDigest)
        const layers = input.layerDigests.filter(isWellFormed).map(async (layerDigest) => {
          const found = isDigest(layerDigest) ? await registry.statBlob(context, name, layerDigest) : undefined
          if (found !== undefined) return { layerDigest, layerAvailability: 'AVAILABLE', layerSize: found.sizeBytes }
          const isArchived = isDigest(layerDigest) && (await registry.isBlobArchived(context, name, layerDigest))
          return { layerDigest, layerAvailability: isArchived ? 'ARCHIVED' : 'UNAVAILABLE' }
        })
        return {
          layers: await Promise.all(layers),
          failures: input.layerDigests.filter((layerDigest) => !isWellFormed(layerDigest)).map(digestFailure),
        }
      },
    }),

    InitiateLayerUpload: operation({
      action: 'ecr:InitiateLayerUpload',
      resource: (input, call) => repositoryResource(input, call),
      input: structure(shapes.repositoryMembers),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { id } = await pushing(registry, call, name, () => registry.beginUpload(context, name))
        return { uploadId: id, partSize: suggestedPartBytes }
      },
    }),

    UploadLayerPart: operation({
      action: 'ecr:UploadLayerPart',
      resource: (input, call) => repositoryResource(input, call),
      maxBodyBytes: maxPartRequestBytes,
      input: structure({
        ...shapes.repositoryMembers,
        uploadId: required(shapes.uploadId),
        partFirstByte: required(shapes.partByte),
        partLastByte: required(shapes.partByte),
        layerPartBlob: required(blob({ max: shapes.maxLayerPartBytes })),
      }),
      errors: { 'upload-range-invalid': invalidLayerPart },
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { uploadId, partFirstByte, partLastByte, layerPartBlob: part } = input
        if (part.length === 0 || part.length !== partLastByte - partFirstByte + 1) {
          const { sizeBytes } = await registry.getUpload(context, name, uploadId)
          const claimed = `bytes ${partFirstByte} to ${partLastByte}`
          throw registryError('upload-range-invalid', `A layer part of ${part.length} bytes does not have ${claimed}.`, {
            sizeBytes,
          })
        }
        const session = await registry.appendUpload(context, name, uploadId, {
          body: only(part),
          expectedOffset: partFirstByte,
          contentLengthBytes: part.length,
          isPart: true,
          signal: call.signal,
        })
        return {
          registryId: context.registry.accountId,
          repositoryName: name,
          uploadId,
          lastByteReceived: session.sizeBytes - 1,
        }
      },
    }),

    CompleteLayerUpload: operation({
      action: 'ecr:CompleteLayerUpload',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({
        ...shapes.repositoryMembers,
        uploadId: required(shapes.uploadId),
        layerDigests: required(shapes.layerDigests),
      }),
      errors: {
        'digest-mismatch': { type: 'InvalidLayerException', status: 400 },
        // Somebody wrote to the session meanwhile, so that it is not what the caller wants to complete.
        'upload-range-invalid': {
          type: 'InvalidLayerException',
          status: 400,
          message: () => 'The layer upload received a part while it was being completed.',
        },
      },
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { uploadId } = input
        const { sizeBytes } = await registry.getUpload(context, name, uploadId)
        if (sizeBytes === 0) throw registryError('upload-empty', 'The layer upload has no parts.', { uploadId })
        const digest = onlyDigest(input.layerDigests)
        await registry.completeUpload(context, name, uploadId, { digest, refuseExisting: true })
        return {
          registryId: context.registry.accountId,
          repositoryName: name,
          uploadId,
          layerDigest: digest,
        }
      },
    }),

    GetDownloadUrlForLayer: operation({
      action: 'ecr:GetDownloadUrlForLayer',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...shapes.repositoryMembers, layerDigest: required(shapes.digest) }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { layerDigest: digest } = input
        const { id: repositoryId } = await registry.getRepository(context, name)
        const where = `the repository with name '${name}' in the registry with id '${context.registry.accountId}'`
        if (!isDigest(digest) || (await registry.statBlob(context, name, digest)) === undefined) {
          throw registryError('blob-unknown', `Layers with digests '[${digest}]' do not exist in ${where}`, { digest })
        }
        if (!(await registry.isBlobReferenced(context, name, digest))) {
          throw new AwsError(
            'LayerInaccessibleException',
            `The layer with digest '${digest}' is not part of an image in ${where}, and may be cleaned up at any time.`,
          )
        }
        const expiresAt = clock.now() + downloadUrlLifetimeMs
        const { accountId, accessKeyId } = context.actor
        const token = signLayerUrl(keyring, { registryId: context.registry.id, repositoryId, digest, accountId, accessKeyId, expiresAt })
        return { downloadUrl: addresses.linkOrigin(call) + downloadPath + token, layerDigest: digest }
      },
    }),
  }
}

/** `lastValidByteReceived` is -1 before the first byte: the next part begins at the byte after it, then as always. */
const invalidLayerPart: AwsErrorForm = {
  type: 'InvalidLayerPartException',
  status: 400,
  members: (facts: ErrorDetail) => ({
    registryId: facts['registryId'],
    repositoryName: facts['repositoryName'],
    uploadId: facts['uploadId'],
    lastValidByteReceived: Number(facts['sizeBytes']) - 1,
  }),
}

function digestFailure(layerDigest: string) {
  return layerDigest === ''
    ? {
        layerDigest,
        failureCode: 'MissingLayerDigest',
        failureReason: 'Invalid request parameters: layer digest cannot be null',
      }
    : {
        layerDigest,
        failureCode: 'InvalidLayerDigest',
        failureReason: `Invalid request parameters: layer digest should satisfy the regex '${shapes.digestPattern.source}'`,
      }
}

/**
 * The digest of the one layer that an upload is.
 * @throws AwsError InvalidLayerException for what cannot be the digest of anything
 */
function onlyDigest(layerDigests: readonly string[]): Digest {
  const [digest, ...others] = new Set(layerDigests)
  if (digest === undefined || others.length > 0) {
    throw invalidParameter([{ field: 'layerDigests', constraint: 'Member must hold one digest, that of the uploaded layer' }])
  }
  if (!isDigest(digest)) {
    throw new AwsError('InvalidLayerException', `The uploaded bytes cannot have the digest ${digest}.`)
  }
  return digest
}

async function* only(part: Uint8Array): AsyncGenerator<Uint8Array> {
  yield part
}
