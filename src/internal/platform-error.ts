/** What `PlatformError` carries beside its message: values for logs and wire answers, never secrets. */
export type ErrorDetail = Readonly<Record<string, unknown>>

/**
 * An expected failure of the domain. Match on `code`, never on the class: an error raised by a write
 * command crosses a thread boundary and arrives as a new object with the same code, message and detail.
 * Each folder owns a short closed list of codes; every edge answers each of them from one total table.
 */
export class PlatformError<Code extends string = string> extends Error {
  override readonly name = 'PlatformError'
  readonly code: Code
  readonly detail: ErrorDetail

  constructor(code: Code, message: string, options: { detail?: ErrorDetail | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.detail = options.detail ?? {}
  }
}

/** True for an expected failure; with `code`, for that one. */
export function isPlatformError(error: unknown, code?: string): error is PlatformError {
  return error instanceof PlatformError && (code === undefined || error.code === code)
}
