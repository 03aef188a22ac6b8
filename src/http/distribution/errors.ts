import type { IamErrorCode } from '../../iam/errors.ts'
import { isPlatformError, PlatformError, type ErrorDetail } from '../../internal/platform-error.ts'
import type { RegistryErrorCode } from '../../registry/errors.ts'
import type { StorageErrorCode } from '../../storage/errors.ts'
import type { ValueErrorCode } from '../../values/errors.ts'

/**
 * What can be wrong with a request before any rule of the registry is asked:
 * - `endpoint-unknown`, `method-not-allowed` (with detail.allow): no such path, or not with this method.
 * - `path-invalid`: the path names an upload that cannot exist.
 * - `query-invalid`, `page-number-invalid`, `header-invalid`, `too-many-tags-in-query`: a parameter cannot be read.
 * - `ranges-excessive`, `range-unsatisfiable` (with detail.sizeBytes): the ranges of a download.
 * - `token-region-mismatch`: a token of one region at a host of another.
 * - `busy`: as many manifests are being received as memory is set aside for.
 */
export type DistributionErrorCode =
  | 'endpoint-unknown'
  | 'method-not-allowed'
  | 'path-invalid'
  | 'query-invalid'
  | 'page-number-invalid'
  | 'header-invalid'
  | 'too-many-tags-in-query'
  | 'ranges-excessive'
  | 'range-unsatisfiable'
  | 'token-region-mismatch'
  | 'busy'

export function distributionError(
  code: DistributionErrorCode,
  message: string,
  detail?: ErrorDetail,
): PlatformError<DistributionErrorCode> {
  return new PlatformError(code, message, { detail })
}

/** Codes of OCI distribution-spec, "Error Codes", and those of Docker's API before it that clients still know. */
type OciErrorCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'PAGINATION_NUMBER_INVALID'
  | 'RANGE_INVALID'
  | 'SIZE_INVALID'
  | 'TAG_INVALID'
  | 'TOOMANYREQUESTS'
  | 'UNAUTHORIZED'
  | 'UNAVAILABLE'
  | 'UNKNOWN'
  | 'UNSUPPORTED'

export interface WireError {
  readonly code: OciErrorCode
  readonly status: number
}

export type WireErrorCode = ValueErrorCode | StorageErrorCode | IamErrorCode | RegistryErrorCode | DistributionErrorCode

/** Every expected failure with its answer. A new code without one does not compile. */
export const distributionErrors = {
  'digest-invalid': { code: 'DIGEST_INVALID', status: 400 },
  'repository-name-invalid': { code: 'NAME_INVALID', status: 400 },
  'tag-invalid': { code: 'TAG_INVALID', status: 400 },
  'manifest-invalid': { code: 'MANIFEST_INVALID', status: 400 },
  'arn-invalid': { code: 'UNSUPPORTED', status: 400 },
  'account-id-invalid': { code: 'NAME_INVALID', status: 400 },
  'region-invalid': { code: 'NAME_INVALID', status: 400 },

  'storage-full': { code: 'UNAVAILABLE', status: 507 },
  'storage-unavailable': { code: 'UNAVAILABLE', status: 503 },
  'blob-missing': { code: 'UNKNOWN', status: 500 },
  'blob-corrupt': { code: 'UNKNOWN', status: 500 },
  'manifest-corrupt': { code: 'UNKNOWN', status: 500 },
  'upload-missing': { code: 'BLOB_UPLOAD_UNKNOWN', status: 404 },
  'body-too-large': { code: 'SIZE_INVALID', status: 413 },
  'body-aborted': { code: 'BLOB_UPLOAD_INVALID', status: 400 },

  unauthenticated: { code: 'UNAUTHORIZED', status: 401 },
  'token-invalid': { code: 'UNAUTHORIZED', status: 401 },
  // As ECR: a login that ran out is told to log in again, in words; a challenge would let clients repeat the old token.
  'token-expired': { code: 'DENIED', status: 403 },
  'signature-mismatch': { code: 'UNAUTHORIZED', status: 401 },
  'signature-incomplete': { code: 'UNAUTHORIZED', status: 401 },
  'signature-expired': { code: 'UNAUTHORIZED', status: 401 },
  'access-key-unknown': { code: 'UNAUTHORIZED', status: 401 },
  'access-denied': { code: 'DENIED', status: 403 },
  throttled: { code: 'TOOMANYREQUESTS', status: 429 },
  'too-many-sessions': { code: 'TOOMANYREQUESTS', status: 429 },
  'session-invalid': { code: 'UNSUPPORTED', status: 400 },
  'session-policy-too-large': { code: 'UNSUPPORTED', status: 400 },
  'identity-token-invalid': { code: 'UNAUTHORIZED', status: 401 },
  'identity-token-expired': { code: 'UNAUTHORIZED', status: 401 },
  'identity-token-rejected': { code: 'UNAUTHORIZED', status: 401 },
  'identity-provider-unreachable': { code: 'UNAVAILABLE', status: 503 },
  'policy-malformed': { code: 'UNSUPPORTED', status: 400 },

  // Of the calls that manage identities, which are not the docker endpoint's.
  'entity-unknown': { code: 'UNSUPPORTED', status: 404 },
  'entity-exists': { code: 'UNSUPPORTED', status: 409 },
  'entity-in-use': { code: 'UNSUPPORTED', status: 409 },
  'iam-limit-exceeded': { code: 'DENIED', status: 403 },
  'iam-input-invalid': { code: 'UNSUPPORTED', status: 400 },

  'repository-unknown': { code: 'NAME_UNKNOWN', status: 404 },
  'repository-exists': { code: 'NAME_INVALID', status: 400 },
  'repository-not-empty': { code: 'UNSUPPORTED', status: 405 },
  'manifest-unknown': { code: 'MANIFEST_UNKNOWN', status: 404 },
  'manifest-blob-unknown': { code: 'MANIFEST_BLOB_UNKNOWN', status: 400 },
  'manifest-child-unknown': { code: 'MANIFEST_BLOB_UNKNOWN', status: 400 },
  'manifest-too-large': { code: 'SIZE_INVALID', status: 413 },
  'manifest-referenced': { code: 'UNSUPPORTED', status: 405 },
  'tag-unknown': { code: 'MANIFEST_UNKNOWN', status: 404 },
  'tag-immutable': { code: 'TAG_INVALID', status: 400 },
  'tags-changed': { code: 'UNAVAILABLE', status: 503 },
  'image-exists': { code: 'MANIFEST_INVALID', status: 400 },
  'digest-mismatch': { code: 'DIGEST_INVALID', status: 400 },
  'size-mismatch': { code: 'SIZE_INVALID', status: 400 },
  'blob-unknown': { code: 'BLOB_UNKNOWN', status: 404 },
  'blob-referenced': { code: 'UNSUPPORTED', status: 405 },
  'upload-unknown': { code: 'BLOB_UPLOAD_UNKNOWN', status: 404 },
  'upload-range-invalid': { code: 'BLOB_UPLOAD_INVALID', status: 416 },
  'upload-empty': { code: 'BLOB_UPLOAD_INVALID', status: 400 },
  'upload-part-too-small': { code: 'BLOB_UPLOAD_INVALID', status: 400 },
  'layer-exists': { code: 'BLOB_UPLOAD_INVALID', status: 400 },
  'page-invalid': { code: 'PAGINATION_NUMBER_INVALID', status: 400 },
  'repository-policy-unknown': { code: 'UNSUPPORTED', status: 400 },
  'registry-policy-unknown': { code: 'UNSUPPORTED', status: 400 },
  'template-unknown': { code: 'UNSUPPORTED', status: 400 },
  'template-exists': { code: 'UNSUPPORTED', status: 400 },
  'exclusion-unknown': { code: 'UNSUPPORTED', status: 400 },
  'exclusion-exists': { code: 'UNSUPPORTED', status: 400 },
  'too-many-tags': { code: 'UNSUPPORTED', status: 400 },
  'parameter-invalid': { code: 'UNSUPPORTED', status: 400 },
  'limit-exceeded': { code: 'DENIED', status: 403 },
  'quota-unknown': { code: 'UNSUPPORTED', status: 400 },
  'image-protected': { code: 'UNSUPPORTED', status: 405 },
  'repository-protected': { code: 'UNSUPPORTED', status: 405 },
  'protection-unknown': { code: 'UNSUPPORTED', status: 400 },
  'usage-source-unknown': { code: 'UNSUPPORTED', status: 400 },
  'usage-source-exists': { code: 'UNSUPPORTED', status: 400 },
  'usage-snapshot-conflict': { code: 'UNSUPPORTED', status: 400 },
  'usage-snapshot-incomplete': { code: 'UNSUPPORTED', status: 400 },
  'trash-unknown': { code: 'UNSUPPORTED', status: 400 },
  'repository-trashed': { code: 'UNSUPPORTED', status: 400 },
  'tag-change-unknown': { code: 'UNSUPPORTED', status: 400 },
  'tag-changed-since': { code: 'UNSUPPORTED', status: 400 },
  'hold-unknown': { code: 'UNSUPPORTED', status: 400 },
  'image-blocked': { code: 'DENIED', status: 403 },
  // As ECR answers: for a pull it is not there.
  'image-archived': { code: 'MANIFEST_UNKNOWN', status: 404 },
  'storage-class-unsupported': { code: 'UNSUPPORTED', status: 400 },

  'endpoint-unknown': { code: 'UNSUPPORTED', status: 404 },
  'method-not-allowed': { code: 'UNSUPPORTED', status: 405 },
  'path-invalid': { code: 'BLOB_UPLOAD_UNKNOWN', status: 404 },
  'query-invalid': { code: 'UNSUPPORTED', status: 400 },
  'page-number-invalid': { code: 'PAGINATION_NUMBER_INVALID', status: 400 },
  'header-invalid': { code: 'BLOB_UPLOAD_INVALID', status: 400 },
  'too-many-tags-in-query': { code: 'UNSUPPORTED', status: 414 },
  'ranges-excessive': { code: 'RANGE_INVALID', status: 400 },
  'range-unsatisfiable': { code: 'RANGE_INVALID', status: 416 },
  'token-region-mismatch': { code: 'DENIED', status: 403 },
  busy: { code: 'TOOMANYREQUESTS', status: 429 },
} as const satisfies Record<WireErrorCode, WireError>

/** Something failed that is nobody's request's fault; what it was stands in the log under the request's id. */
export const unexpectedError: WireError = { code: 'UNKNOWN', status: 500 }

export function wireErrorOf(error: unknown): WireError {
  if (!isPlatformError(error)) return unexpectedError
  const table: Readonly<Record<string, WireError>> = distributionErrors
  return Object.hasOwn(table, error.code) ? table[error.code]! : unexpectedError
}
