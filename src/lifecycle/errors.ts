import { PlatformError, type ErrorDetail } from '../internal/platform-error.ts'

/**
 * What can be said against a call about the end of images:
 * - `policy-invalid`: the text is no policy of its grammar; the message says where, for ECR's grammar in ECR's words.
 * - `lifecycle-policy-unknown`: there is no such policy.
 * - `preview-unknown`, `preview-in-progress`: nobody started a preview, or one is still running.
 * - `image-unknown`: the repository has no such image.
 * - `too-many-evaluations`: so many of the account wait that one more would only wait too.
 * - `run-unknown`: there is no run of this id.
 * - `run-settled`: the run is not in a state in which it could be confirmed or cancelled.
 */
export type LifecycleErrorCode =
  | 'policy-invalid'
  | 'lifecycle-policy-unknown'
  | 'preview-unknown'
  | 'preview-in-progress'
  | 'image-unknown'
  | 'too-many-evaluations'
  | 'run-unknown'
  | 'run-settled'

export function lifecycleError(
  code: LifecycleErrorCode,
  message: string,
  detail?: ErrorDetail,
): PlatformError<LifecycleErrorCode> {
  return new PlatformError(code, message, { detail })
}
