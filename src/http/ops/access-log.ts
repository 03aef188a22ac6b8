import type { Logger } from 'pino'
import type { TraceAttributes } from '../../internal/tracing.ts'
import type { RequestMeta } from '../request-meta.ts'

/** What is known of an exchange when it has ended. */
export interface ExchangeRecord {
  readonly meta: RequestMeta
  readonly method: string
  /** The request target as it came. */
  readonly target: string
  readonly status: number
  /** Bytes of body that arrived, also those that nobody read. */
  readonly bytesIn: number
  /** Bytes of the answer that the connection took, headers included. */
  readonly bytesOut: number
  readonly durationMs: number
  readonly userAgent: string | undefined
  /** True if the connection ended before the answer did. */
  readonly aborted: boolean
}

const maxPathLength = 1024
const maxUserAgentLength = 256
/** The longest name that there can be; what an AWS request calls one may be anything. */
const maxRepositoryLength = 256
const hidden = 'REDACTED'

/**
 * Query parameters whose values may be read by whoever reads logs. All others are hidden, since signatures,
 * session tokens and upload state come in parameters too, under names that clients and later versions choose.
 */
const shownParameters: ReadonlySet<string> = new Set([
  'action',
  'artifacttype',
  'digest',
  'digest-algorithm',
  'from',
  'last',
  'mount',
  'n',
  'ns',
  'tag',
  'version',
  'x-amz-algorithm',
  'x-amz-date',
  'x-amz-expires',
  'x-amz-signedheaders',
])

/** Links that carry their own permission; see `/_stowage/layers/` in server.ts. */
const bearerPathPrefix = '/_stowage/layers/'

/**
 * What a keyring has sealed or signed, wherever it stands: a link that somebody wrote down with a slash too many is one
 * to whoever reads it. The shortest is a signature of 43 characters.
 */
const sealedText = /v1\.[a-z0-9]{1,32}\.[\w-]{43,}/gu

/** A request target without anything in it that opens a door. */
export function loggedPath(target: string): string {
  const mark = target.indexOf('?')
  const path = mark === -1 ? target : target.slice(0, mark)
  const shownPath = path.startsWith(bearerPathPrefix) ? `${bearerPathPrefix}${hidden}` : path
  const query = mark === -1 ? '' : `?${target.slice(mark + 1).split('&').map(loggedParameter).join('&')}`
  const shown = shownPath + query
  return bounded(shown.includes('v1.') ? shown.replace(sealedText, hidden) : shown, maxPathLength)
}

function loggedParameter(text: string): string {
  const equals = text.indexOf('=')
  if (equals === -1) return text === '' || shownParameters.has(text.toLowerCase()) ? text : hidden
  const name = text.slice(0, equals)
  return shownParameters.has(name.toLowerCase()) ? text : `${bounded(name, 64)}=${hidden}`
}

/** Successful probes come every few seconds and say nothing. */
function isQuietProbe(record: ExchangeRecord): boolean {
  return record.meta.protocol === 'ops' && record.status < 400
}

/** Which requests get a line: all, those that were refused, failed or were cut off, or none. */
export type RequestLog = 'all' | 'errors' | 'off'

function isWanted(wanted: RequestLog, { status, aborted }: ExchangeRecord): boolean {
  return wanted === 'all' || (wanted === 'errors' && (status >= 400 || aborted))
}

/** Writes the one line that each request gets, where `wanted` says so. */
export function logExchange(logger: Logger, wanted: RequestLog, record: ExchangeRecord): void {
  if (!isWanted(wanted, record)) return
  const { meta } = record
  // What is undefined is left out.
  const line = {
    requestId: meta.requestId,
    method: record.method,
    path: loggedPath(record.target),
    status: record.status,
    bytesIn: record.bytesIn,
    bytesOut: record.bytesOut,
    durationMs: record.durationMs,
    sourceIp: meta.sourceIp,
    userAgent: record.userAgent === undefined ? undefined : bounded(record.userAgent, maxUserAgentLength),
    actorArn: meta.actorArn,
    protocol: meta.protocol,
    operation: meta.operation,
    repository: meta.repository === undefined ? undefined : bounded(meta.repository, maxRepositoryLength),
    errorCode: meta.errorCode,
    traceId: meta.traceId,
    aborted: record.aborted ? true : undefined,
  }
  if (isQuietProbe(record)) logger.debug(line, 'request')
  else logger.info(line, 'request')
}

/** What a trace says of a request, in the names of OpenTelemetry's conventions for HTTP where there are some. */
export function traceAttributes({ meta, method, target, status, userAgent }: ExchangeRecord): TraceAttributes {
  return {
    'http.request.method': method,
    'url.path': loggedPath(target),
    'http.response.status_code': status,
    'client.address': meta.sourceIp,
    'stowage.request_id': meta.requestId,
    ...(userAgent === undefined ? {} : { 'user_agent.original': bounded(userAgent, maxUserAgentLength) }),
    ...(meta.protocol === undefined ? {} : { 'stowage.protocol': meta.protocol }),
    ...(meta.repository === undefined ? {} : { 'stowage.repository': bounded(meta.repository, maxRepositoryLength) }),
    ...(meta.actorArn === undefined ? {} : { 'user.id': meta.actorArn }),
    ...(meta.errorCode === undefined ? {} : { 'error.type': meta.errorCode }),
  }
}

function bounded(text: string, maxLength: number): string {
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text
}
