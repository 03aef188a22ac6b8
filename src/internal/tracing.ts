import type { IncomingHttpHeaders } from 'node:http'

export type TraceAttributes = Readonly<Record<string, string | number | boolean>>

/** For work that is done for a request. */
export interface WorkTracer {
  /**
   * Does the work, and notes how long it took as a part of the trace of the request for which it is done. What is done for no
   * request, or for one that is not traced, is just done. Throws what the work throws.
   */
  trace<Result>(name: string, attributes: TraceAttributes, work: () => Promise<Result>): Promise<Result>
}

/** The trace of one request. */
export interface RequestTrace {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** Does the request's work: what is traced within belongs to it. */
  run<Result>(work: () => Result): Result
  end(ended: { readonly name: string; readonly attributes: TraceAttributes; readonly hasFailed: boolean }): void
}

export interface RequestTracer {
  /** Undefined where the request is not among those that are traced. */
  begin(headers: IncomingHttpHeaders): RequestTrace | undefined
}
