import { PlatformError, type ErrorDetail } from '../internal/platform-error.ts'

/**
 * - `config-invalid`: settings that no server can start with; the message names each and the next step.
 * - `root-credential-unreadable`: the file that keeps the generated root access key is there and cannot be used.
 */
export type ConfigErrorCode = 'config-invalid' | 'root-credential-unreadable'

export function configError(
  code: ConfigErrorCode,
  message: string,
  options: { detail?: ErrorDetail; cause?: unknown } = {},
): PlatformError<ConfigErrorCode> {
  return new PlatformError(code, message, options)
}
