/**
 * A request as its signer saw it. Header values and target are Node's one-character-per-byte strings, so
 * that what is hashed here is exactly what was on the wire, whatever its encoding.
 */
export interface SignableRequest {
  readonly method: string
  /** Path and query as sent, still percent-encoded. */
  readonly target: string
  /** Every value of every header, by lower-case name: `IncomingMessage.headersDistinct`. */
  readonly headers: Readonly<Record<string, readonly string[] | undefined>>
  /** The host the client addressed: the Host header, or X-Forwarded-Host when a trusted proxy sent it. */
  readonly host: string
}

/** One parameter of a query string, percent-decoded to one character per byte. */
export interface QueryParameter {
  readonly name: string
  readonly value: string
}

/** All values of a header, as sent; never something from the object's prototype. */
export function headerValues(request: SignableRequest, name: string): readonly string[] {
  return Object.hasOwn(request.headers, name) ? (request.headers[name] ?? []) : []
}

/** Splits a request target into path and query. An absolute-form target (sent to a proxy) loses its origin. */
export function splitTarget(target: string): { path: string; query: string } {
  const relative = target.startsWith('/') ? target : target.replace(/^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]*/, '')
  const mark = relative.indexOf('?')
  const path = mark === -1 ? relative : relative.slice(0, mark)
  return { path: path === '' ? '/' : path, query: mark === -1 ? '' : relative.slice(mark + 1) }
}

/** The parameters of a query string in the order sent. A plus sign is a space, as in a form. */
export function queryParameters(query: string): QueryParameter[] {
  const parameters: QueryParameter[] = []
  for (const part of query.split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    parameters.push({
      name: decodeBytes(equals === -1 ? part : part.slice(0, equals)),
      value: decodeBytes(equals === -1 ? '' : part.slice(equals + 1)),
    })
  }
  return parameters
}

/**
 * The canonical request of Signature Version 4 for every service but S3: the path is normalised and
 * encoded once more than it was sent.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export function canonicalRequest(
  request: SignableRequest,
  options: { signedHeaders: readonly string[]; payloadHash: string; omitParameter?: string },
): string {
  const { path, query } = splitTarget(request.target)
  const headers = options.signedHeaders.map((name) => `${name}:${canonicalHeaderValue(request, name)}\n`)
  return [
    request.method,
    canonicalPath(path),
    canonicalQuery(queryParameters(query), options.omitParameter),
    headers.join(''),
    options.signedHeaders.join(';'),
    options.payloadHash,
  ].join('\n')
}

function canonicalHeaderValue(request: SignableRequest, name: string): string {
  const values = name === 'host' ? [request.host] : headerValues(request, name)
  return values.map(collapseSpaces).join(',')
}

function collapseSpaces(value: string): string {
  return value.replace(/[ \t]+/g, ' ').replace(/^ | $/g, '')
}

function canonicalPath(path: string): string {
  const segments: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue
    if (segment === '..') segments.pop()
    else segments.push(encodeBytes(segment))
  }
  const trailing = segments.length > 0 && path.endsWith('/') ? '/' : ''
  return `/${segments.join('/')}${trailing}`
}

function canonicalQuery(parameters: readonly QueryParameter[], omit: string | undefined): string {
  return parameters
    .filter((parameter) => parameter.name !== omit)
    .map((parameter) => ({ name: encodeBytes(parameter.name), value: encodeBytes(parameter.value) }))
    .sort((a, b) => compare(a.name, b.name) || compare(a.value, b.value))
    .map((parameter) => `${parameter.name}=${parameter.value}`)
    .join('&')
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

/** A percent sign that starts no escape stands for itself. */
function decodeBytes(text: string): string {
  return text
    .replaceAll('+', ' ')
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** RFC 3986 with upper-case hexadecimals: everything but the unreserved characters. */
function encodeBytes(text: string): string {
  return text.replace(
    /[^A-Za-z0-9\-._~]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}
