import { PlatformError, type ErrorDetail } from '../internal/platform-error.ts'

/**
 * What a request can be told about its identity and its rights:
 * - `unauthenticated`: it named nobody.
 * - `token-invalid`, `token-expired`: a sealed or signed token is not ours, or is ours and past its time.
 * - `signature-mismatch`, `signature-incomplete`, `signature-expired`: the Signature Version 4 part is wrong,
 *   lacks a piece, or is too old.
 * - `access-key-unknown`: no such access key, or an inactive one.
 * - `access-denied`: known, but not allowed to do this.
 * - `throttled`: too many wrong credentials; `detail.retryAfterMs` says how long to wait.
 * - `too-many-sessions`: an account has as many temporary credentials as it may.
 * - `session-invalid`: temporary credentials cannot be as they were asked for.
 * - `session-policy-too-large`: the policies and tags of a session take more than there is room for.
 * - `identity-token-invalid`, `identity-token-expired`, `identity-token-rejected`: a web identity's token cannot be
 *   verified, is past its time, or is not yet valid.
 * - `identity-provider-unreachable`: the keys of a web identity's issuer could not be fetched.
 * - `policy-malformed`: a policy's text is none, or says what its kind of policy cannot say; `detail.reason` says where.
 * - `entity-unknown`, `entity-exists`: there is no user, group, role, policy, key … of this name, or there is one already.
 * - `entity-in-use`: something still hangs from what was to be deleted.
 * - `iam-limit-exceeded`: an account, or something in it, has as many of these as it may have.
 * - `iam-input-invalid`: names, tags or lists that contradict each other or a rule.
 */
export type IamErrorCode =
  | 'unauthenticated'
  | 'token-invalid'
  | 'token-expired'
  | 'signature-mismatch'
  | 'signature-incomplete'
  | 'signature-expired'
  | 'access-key-unknown'
  | 'access-denied'
  | 'throttled'
  | 'too-many-sessions'
  | 'session-invalid'
  | 'session-policy-too-large'
  | 'identity-token-invalid'
  | 'identity-token-expired'
  | 'identity-token-rejected'
  | 'identity-provider-unreachable'
  | 'entity-unknown'
  | 'entity-exists'
  | 'entity-in-use'
  | 'iam-limit-exceeded'
  | 'policy-malformed'
  | 'iam-input-invalid'

export function iamError(
  code: IamErrorCode,
  message: string,
  detail?: ErrorDetail,
  cause?: unknown,
): PlatformError<IamErrorCode> {
  return new PlatformError(code, message, { detail, cause })
}

/**
 * What can be wrong with the keys an operator gives the server. A list of its own because these stop the
 * start or a command and never meet a request, so no edge has to answer them.
 */
export type IamSetupErrorCode =
  | 'keyring-missing'
  | 'keyring-unreadable'
  | 'keyring-insecure'
  | 'keyring-invalid'
  | 'keyring-unwritable'
  | 'keyring-mismatch'

export function iamSetupError(
  code: IamSetupErrorCode,
  message: string,
  detail?: ErrorDetail,
  cause?: unknown,
): PlatformError<IamSetupErrorCode> {
  return new PlatformError(code, message, { detail, cause })
}
