import type { EventsErrorCode } from '../../events/errors.ts'
import type { IamErrorCode } from '../../iam/errors.ts'
import { isPlatformError, type ErrorDetail } from '../../internal/platform-error.ts'
import type { LifecycleErrorCode } from '../../lifecycle/errors.ts'
import type { LogsErrorCode } from '../../logs/errors.ts'
import type { RegistryErrorCode } from '../../registry/errors.ts'
import type { StorageErrorCode } from '../../storage/errors.ts'
import type { ValueErrorCode } from '../../values/errors.ts'

/** Everything that can reach an AWS client as an expected failure. */
export type WireCode = ValueErrorCode | StorageErrorCode | IamErrorCode | RegistryErrorCode | LifecycleErrorCode | EventsErrorCode | LogsErrorCode

/** An answer in AWS's terms: what an operation says itself, or what a domain error is translated to. */
export class AwsError extends Error {
  override readonly name = 'AwsError'
  /** The exception's name on the wire, such as `RepositoryNotFoundException`. */
  readonly type: string
  readonly status: number
  /** Further members of the error, such as `lastValidByteReceived`. */
  readonly members: Readonly<Record<string, unknown>>

  constructor(
    type: string,
    message: string,
    options: { status?: number; members?: Readonly<Record<string, unknown>>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.type = type
    this.status = options.status ?? 400
    this.members = options.members ?? {}
  }
}

/** How a domain error is answered. */
export interface AwsErrorForm {
  readonly type: string
  readonly status: number
  /** ECR's text, where all it names is known; otherwise the error's own message is sent. */
  readonly message?: (facts: ErrorDetail) => string | undefined
  /** Members besides the message. */
  readonly members?: (facts: ErrorDetail) => Readonly<Record<string, unknown>>
  /** The name and status of the same failure in the Query protocol (STS, IAM), where they differ. */
  readonly query?: { readonly type: string; readonly status: number }
}

/** Domain errors that name a field and a rule speak as ECR does; the others in their own words. */
const invalidParameter: AwsErrorForm = {
  type: 'InvalidParameterException',
  status: 400,
  message: ({ field, constraint }) =>
    text`Invalid parameter at '${field}' failed to satisfy constraint: '${constraint}'`,
}

/** What went wrong inside is for the log; the client learns that it was not its request. */
const serverFault: AwsErrorForm = {
  type: 'ServerException',
  status: 500,
  query: { type: 'InternalFailure', status: 500 },
}

/** A server fault that may be over soon: 503 makes every SDK try again. */
const serverBusy: AwsErrorForm = {
  type: 'ServerException',
  status: 503,
  message: () => 'The server could not complete the request. Try again.',
  query: { type: 'ServiceUnavailable', status: 503 },
}

const unknownToken: AwsErrorForm = {
  type: 'UnrecognizedClientException',
  status: 400,
  message: () => 'The security token included in the request is invalid.',
  query: { type: 'InvalidClientTokenId', status: 403 },
}

const signatureFault: AwsErrorForm = {
  type: 'InvalidSignatureException',
  status: 400,
  query: { type: 'SignatureDoesNotMatch', status: 403 },
}

/**
 * Every domain error in ECR's names. The texts take from the error's detail: repositoryName, tag, digest,
 * digests, by (who refers to it), uploadId, sizeBytes (what arrived), field, constraint; the dispatcher adds what
 * the request says (registryId, repositoryName, uploadId). An operation that answers a code differently says so
 * in its own `errors`.
 */
export const awsErrors = {
  'digest-invalid': invalidParameter,
  'repository-name-invalid': invalidParameter,
  'tag-invalid': invalidParameter,
  'manifest-invalid': invalidParameter,
  'arn-invalid': invalidParameter,
  'account-id-invalid': invalidParameter,
  'region-invalid': invalidParameter,

  'storage-full': { ...serverBusy, message: () => 'The server has no space left to store this.' },
  'storage-unavailable': serverBusy,
  'blob-missing': serverFault,
  'blob-corrupt': serverFault,
  'manifest-corrupt': serverFault,
  'upload-missing': { type: 'UploadNotFoundException', status: 400, message: uploadNotFoundText },
  'body-too-large': { type: 'RequestEntityTooLarge', status: 413 },
  'body-aborted': { type: 'RequestTimeoutException', status: 408, query: { type: 'RequestTimeout', status: 408 } },

  unauthenticated: {
    type: 'MissingAuthenticationTokenException',
    status: 400,
    message: () => 'Missing Authentication Token',
    query: { type: 'MissingAuthenticationToken', status: 403 },
  },
  'token-invalid': unknownToken,
  'token-expired': {
    type: 'ExpiredTokenException',
    status: 400,
    message: () => 'The security token included in the request is expired',
    query: { type: 'ExpiredToken', status: 403 },
  },
  'signature-mismatch': signatureFault,
  'signature-incomplete': {
    type: 'IncompleteSignatureException',
    status: 400,
    query: { type: 'IncompleteSignature', status: 403 },
  },
  'signature-expired': signatureFault,
  'access-key-unknown': unknownToken,
  'access-denied': { type: 'AccessDeniedException', status: 400, query: { type: 'AccessDenied', status: 403 } },
  throttled: {
    type: 'ThrottlingException',
    status: 400,
    message: () => 'Rate exceeded',
    query: { type: 'Throttling', status: 400 },
  },
  // Its own text, since waiting a little does not help as it does with a rate.
  'too-many-sessions': { type: 'ThrottlingException', status: 400, query: { type: 'Throttling', status: 400 } },
  'session-invalid': { type: 'ValidationError', status: 400 },
  'session-policy-too-large': { type: 'PackedPolicyTooLarge', status: 400 },
  'identity-token-invalid': { type: 'InvalidIdentityToken', status: 400 },
  'identity-token-expired': { type: 'ExpiredTokenException', status: 400 },
  'identity-token-rejected': { type: 'IDPRejectedClaim', status: 403 },
  'identity-provider-unreachable': { type: 'IDPCommunicationError', status: 400 },
  'policy-malformed': {
    type: 'InvalidParameterException',
    status: 400,
    query: { type: 'MalformedPolicyDocument', status: 400 },
  },

  'entity-unknown': { type: 'NoSuchEntity', status: 404 },
  'entity-exists': { type: 'EntityAlreadyExists', status: 409 },
  'entity-in-use': { type: 'DeleteConflict', status: 409 },
  'iam-limit-exceeded': { type: 'LimitExceeded', status: 409 },
  'iam-input-invalid': { type: 'InvalidInput', status: 400 },

  'repository-unknown': {
    type: 'RepositoryNotFoundException',
    status: 400,
    message: ({ repositoryName, registryId }) =>
      text`The repository with name '${repositoryName}' does not exist in the registry with id '${registryId}'`,
  },
  'repository-exists': {
    type: 'RepositoryAlreadyExistsException',
    status: 400,
    message: ({ repositoryName, registryId }) =>
      text`The repository with name '${repositoryName}' already exists in the registry with id '${registryId}'`,
  },
  'repository-not-empty': {
    type: 'RepositoryNotEmptyException',
    status: 400,
    message: ({ repositoryName, registryId }) =>
      text`The repository with name '${repositoryName}' in registry with id '${registryId}' cannot be deleted because it still contains images`,
  },
  'manifest-unknown': { type: 'ImageNotFoundException', status: 400, message: imageNotFoundText },
  'manifest-blob-unknown': {
    type: 'LayersNotFoundException',
    status: 400,
    message: ({ digests, repositoryName, registryId }) =>
      text`Layers with digests '${digests}' required for pushing image into repository with name '${repositoryName}' in the registry with id '${registryId}' do not exist`,
  },
  'manifest-child-unknown': {
    type: 'ReferencedImagesNotFoundException',
    status: 400,
    message: ({ digests, repositoryName, registryId }) =>
      text`Images with digests '${digests}' required for pushing image into repository with name '${repositoryName}' in the registry with id '${registryId}' do not exist`,
  },
  'manifest-too-large': invalidParameter,
  'manifest-referenced': {
    type: 'InvalidParameterException',
    status: 400,
    message: ({ by }) => text`Requested image referenced by manifest list: ${by}`,
  },
  'tag-unknown': { type: 'ImageNotFoundException', status: 400, message: imageNotFoundText },
  'tag-immutable': {
    type: 'ImageTagAlreadyExistsException',
    status: 400,
    message: ({ tag, repositoryName }) =>
      text`The image tag '${tag}' already exists in the '${repositoryName}' repository and cannot be overwritten because the tag is immutable.`,
  },
  // A server fault that is over when nobody moves tags onto the image: 503 makes every SDK try again.
  'tags-changed': { type: 'ServerException', status: 503 },
  'image-exists': {
    type: 'ImageAlreadyExistsException',
    status: 400,
    message: ({ digest, tag, repositoryName, registryId }) =>
      text`Image with digest '${digest}' and tag '${tag ?? null}' already exists in the repository with name '${repositoryName}' in registry with id '${registryId}'`,
  },
  'digest-mismatch': { type: 'ImageDigestDoesNotMatchException', status: 400 },
  'size-mismatch': invalidParameter,
  'blob-unknown': { type: 'LayersNotFoundException', status: 400 },
  'blob-referenced': invalidParameter,
  'upload-unknown': { type: 'UploadNotFoundException', status: 400, message: uploadNotFoundText },
  'upload-range-invalid': {
    type: 'InvalidLayerPartException',
    status: 400,
    members: ({ registryId, repositoryName, uploadId, sizeBytes }) => ({
      registryId,
      repositoryName,
      uploadId,
      lastValidByteReceived: typeof sizeBytes === 'number' && sizeBytes > 0 ? sizeBytes - 1 : undefined,
    }),
  },
  'upload-empty': { type: 'EmptyUploadException', status: 400 },
  'upload-part-too-small': { type: 'LayerPartTooSmallException', status: 400 },
  'layer-exists': { type: 'LayerAlreadyExistsException', status: 400 },
  'page-invalid': invalidParameter,
  'repository-policy-unknown': { type: 'RepositoryPolicyNotFoundException', status: 400 },
  'registry-policy-unknown': { type: 'RegistryPolicyNotFoundException', status: 400 },
  'template-unknown': { type: 'TemplateNotFoundException', status: 400 },
  'template-exists': { type: 'TemplateAlreadyExistsException', status: 400 },
  'exclusion-unknown': { type: 'ExclusionNotFoundException', status: 400 },
  'exclusion-exists': { type: 'ExclusionAlreadyExistsException', status: 400 },
  'too-many-tags': { type: 'TooManyTagsException', status: 400 },
  'parameter-invalid': invalidParameter,
  'limit-exceeded': { type: 'LimitExceededException', status: 400 },
  'image-protected': { type: 'ImageProtectedException', status: 400 },
  // Its own text says what holds it; the type is the one that every client of ECR knows for "not while this is in there".
  'repository-protected': { type: 'RepositoryNotEmptyException', status: 400 },
  'quota-unknown': { type: 'QuotaNotFoundException', status: 400 },
  'protection-unknown': { type: 'ProtectionNotFoundException', status: 400 },
  'usage-source-unknown': { type: 'UsageSourceNotFoundException', status: 400 },
  'usage-source-exists': { type: 'UsageSourceAlreadyExistsException', status: 400 },
  'usage-snapshot-conflict': { type: 'UsageSnapshotConflictException', status: 400 },
  'usage-snapshot-incomplete': { type: 'UsageSnapshotIncompleteException', status: 400 },
  'trash-unknown': { type: 'TrashNotFoundException', status: 400 },
  'repository-trashed': { type: 'RepositoryTrashedException', status: 400 },
  'tag-change-unknown': { type: 'TagChangeNotFoundException', status: 400 },
  'tag-changed-since': { type: 'TagChangedException', status: 400 },
  'hold-unknown': { type: 'HoldNotFoundException', status: 400 },
  'image-blocked': { type: 'AccessDeniedException', status: 400 },
  'image-archived': { type: 'ImageNotFoundException', status: 400 },
  'storage-class-unsupported': { type: 'ImageStorageClassUpdateNotSupportedException', status: 400 },

  'policy-invalid': { type: 'InvalidParameterException', status: 400 },
  'lifecycle-policy-unknown': { type: 'LifecyclePolicyNotFoundException', status: 400 },
  'preview-unknown': { type: 'LifecyclePolicyPreviewNotFoundException', status: 400 },
  'preview-in-progress': { type: 'LifecyclePolicyPreviewInProgressException', status: 400 },
  'image-unknown': { type: 'ImageNotFoundException', status: 400 },
  'run-unknown': { type: 'LifecycleRunNotFoundException', status: 400 },
  'too-many-evaluations': { type: 'ThrottlingException', status: 400 },
  'run-settled': { type: 'LifecycleRunSettledException', status: 400 },

  'event-pattern-invalid': { type: 'InvalidEventPatternException', status: 400 },
  'event-input-invalid': { type: 'ValidationException', status: 400 },
  'event-resource-unknown': { type: 'ResourceNotFoundException', status: 400 },
  'event-destination-exists': { type: 'ResourceAlreadyExistsException', status: 400 },
  'event-destination-in-use': { type: 'ResourceInUseException', status: 400 },
  'event-limit-exceeded': { type: 'LimitExceededException', status: 400 },

  'log-input-invalid': { type: 'InvalidParameterException', status: 400 },
  'log-group-unknown': { type: 'ResourceNotFoundException', status: 400 },
  'log-stream-unknown': { type: 'ResourceNotFoundException', status: 400 },
  'log-group-exists': { type: 'ResourceAlreadyExistsException', status: 400 },
  'log-stream-exists': { type: 'ResourceAlreadyExistsException', status: 400 },
  'log-group-protected': { type: 'ValidationException', status: 400 },
  'log-tags-too-many': { type: 'TooManyTagsException', status: 400 },
  'log-limit-exceeded': { type: 'LimitExceededException', status: 400 },
} as const satisfies Record<WireCode, AwsErrorForm>

function imageNotFoundText({ digest, tag, repositoryName, registryId }: ErrorDetail): string | undefined {
  if (digest === undefined && tag === undefined) return undefined
  return text`The image with imageId {imageDigest:'${digest ?? null}', imageTag:'${tag ?? null}'} does not exist within the repository with name '${repositoryName}' in the registry with id '${registryId}'`
}

function uploadNotFoundText({ uploadId, repositoryName, registryId }: ErrorDetail): string | undefined {
  return text`Upload with id '${uploadId}' does not exist in the repository with name '${repositoryName}' in the registry with id '${registryId}'`
}

/** A message made of details; undefined where one of them is missing. */
function text(parts: TemplateStringsArray, ...values: readonly unknown[]): string | undefined {
  let message = parts[0] ?? ''
  for (const [index, value] of values.entries()) {
    const shown = shownValue(value)
    if (shown === undefined) return undefined
    message += shown + (parts[index + 1] ?? '')
  }
  return message
}

function shownValue(value: unknown): string | undefined {
  if (Array.isArray(value)) return `[${value.join(', ')}]`
  if (value === null) return 'null'
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}

/** Which names an error goes by: those of the JSON protocols or those of the Query protocol. */
export type ErrorNames = 'json' | 'query'

/** What beside the error itself shapes its answer. */
export interface FailedOperation {
  readonly names: ErrorNames
  /** The service's name for a failure of the server, in place of the protocol's. */
  readonly serverFault?: string | undefined
  /** The operation's own answers. */
  readonly errors?: Partial<Record<WireCode, AwsErrorForm>> | undefined
  /** What the request says about what it works on; the error's own detail comes first. */
  readonly facts?: ErrorDetail | undefined
}

/**
 * The AWS form of whatever an operation threw; undefined for what nobody expected, which the caller logs
 * and answers with `unexpectedError`.
 */
export function toAwsError(error: unknown, failed: FailedOperation): AwsError | undefined {
  if (error instanceof AwsError) return error
  if (!isPlatformError(error) || !isWireCode(error.code)) return undefined
  const form: AwsErrorForm = failed.errors?.[error.code] ?? awsErrors[error.code]
  if (form === serverFault) return unexpectedError(failed, error)
  const { type, status } = (failed.names === 'query' ? form.query : undefined) ?? form
  const facts = { ...failed.facts, ...error.detail }
  const message = form.message?.(facts) ?? error.message
  return new AwsError(type, message, { status, members: form.members?.(facts) ?? {}, cause: error })
}

/** The answer to a failure of ours; what it was is in the log, under the request's id. */
export function unexpectedError(failed: Pick<FailedOperation, 'names' | 'serverFault'>, cause: unknown): AwsError {
  const { type, status } = (failed.names === 'query' ? serverFault.query : undefined) ?? serverFault
  return new AwsError(failed.serverFault ?? type, 'The request failed because of an error of the server.', { status, cause })
}

function isWireCode(code: string): code is WireCode {
  return Object.hasOwn(awsErrors, code)
}
