import { PlatformError, type ErrorDetail } from '../internal/platform-error.ts'

/**
 * What can be said against a call about logs:
 * - `log-input-invalid`: something that was given is none of what is taken.
 * - `log-group-unknown`, `log-stream-unknown`: there is no such thing.
 * - `log-group-exists`, `log-stream-exists`: a name that is taken.
 * - `log-group-protected`: the group is not to be deleted.
 * - `log-tags-too-many`: more tags than a group may have.
 * - `log-limit-exceeded`: there is as much as there may be.
 */
export type LogsErrorCode =
  | 'log-input-invalid'
  | 'log-group-unknown'
  | 'log-stream-unknown'
  | 'log-group-exists'
  | 'log-stream-exists'
  | 'log-group-protected'
  | 'log-tags-too-many'
  | 'log-limit-exceeded'

export function logsError(code: LogsErrorCode, message: string, detail?: ErrorDetail): PlatformError<LogsErrorCode> {
  return new PlatformError(code, message, { detail })
}

export function groupUnknown(): PlatformError<LogsErrorCode> {
  return logsError('log-group-unknown', 'The specified log group does not exist.')
}

export function streamUnknown(): PlatformError<LogsErrorCode> {
  return logsError('log-stream-unknown', 'The specified log stream does not exist.')
}
