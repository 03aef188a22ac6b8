import { PlatformError, type ErrorDetail } from '../internal/platform-error.ts'

/** A text or document from outside that is not what it has to be. Nothing was changed. */
export type ValueErrorCode =
  | 'digest-invalid'
  | 'repository-name-invalid'
  | 'tag-invalid'
  | 'manifest-invalid'
  | 'arn-invalid'
  | 'account-id-invalid'
  | 'region-invalid'

export function valueError(
  code: ValueErrorCode,
  message: string,
  detail?: ErrorDetail,
  cause?: unknown,
): PlatformError<ValueErrorCode> {
  return new PlatformError(code, message, { detail, cause })
}

/** Longest piece of a refused text that an error repeats: enough to recognise it, too little to fill a log. */
const quotedLength = 300

/** The refused text as error detail, shortened. */
export function quoted(text: string): string {
  return text.length <= quotedLength ? text : `${text.slice(0, quotedLength)}…`
}
