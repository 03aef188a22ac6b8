import { createHash, createHmac } from 'node:crypto'

export interface SigningKeysOfClient {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Of temporary credentials; a signed header of its own. */
  readonly sessionToken?: string | undefined
}

export interface ToSign {
  readonly method: string
  readonly path: string
  /** Name and value, not encoded. */
  readonly query: readonly (readonly [string, string])[]
  readonly host: string
  /** Lower-case names; all of them are signed. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  readonly service: string
  readonly region: string
  /** When it is signed; by default now. For a server whose clock is another. */
  readonly signedAtMs?: number | undefined
}

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex')
const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest()
const encoded = (text: string): string =>
  encodeURIComponent(text.toWellFormed()).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)

/** Signature Version 4, written from its description and not from the server's: a fuzzer signs what it has changed. */
export function signedHeaders(request: ToSign, keys: SigningKeysOfClient): Record<string, string> {
  const timestamp = timestampOf(request)
  const headers: Record<string, string> = {
    ...request.headers,
    ...(keys.sessionToken === undefined ? {} : { 'x-amz-security-token': keys.sessionToken }),
    host: request.host,
    'x-amz-date': timestamp,
  }
  const names = Object.keys(headers).sort()
  const { scope, signature } = sign(request, headers, names, request.query, timestamp, sha256(request.body), keys)
  const { host: _host, ...sent } = headers
  return {
    ...sent,
    authorization: `AWS4-HMAC-SHA256 Credential=${keys.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`,
  }
}

/** The query string of a presigned request. */
export function presignedQuery(request: ToSign, keys: SigningKeysOfClient): string {
  const timestamp = timestampOf(request)
  const headers = { host: request.host }
  const query: [string, string][] = [
    ...request.query.map(([name, value]): [string, string] => [name, value]),
    ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
    ['X-Amz-Credential', `${keys.accessKeyId}/${timestamp.slice(0, 8)}/${request.region}/${request.service}/aws4_request`],
    ['X-Amz-Date', timestamp],
    ['X-Amz-Expires', '300'],
    ['X-Amz-SignedHeaders', 'host'],
    ...(keys.sessionToken === undefined ? [] : [['X-Amz-Security-Token', keys.sessionToken] as [string, string]]),
  ]
  const { signature } = sign(request, headers, ['host'], query, timestamp, sha256(request.body), keys)
  return [...query, ['X-Amz-Signature', signature] as const].map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join('&')
}

function sign(
  request: ToSign,
  headers: Readonly<Record<string, string>>,
  names: readonly string[],
  query: readonly (readonly [string, string])[],
  timestamp: string,
  payloadHash: string,
  keys: SigningKeysOfClient,
): { scope: string; signature: string } {
  const parameters = query.map(([name, value]) => `${encoded(name)}=${encoded(value)}`).sort()
  const path = request.path.split('/').map(encoded).join('/')
  const lines = names.map((name) => `${name}:${(headers[name] ?? '').trim().replace(/[ \t]+/g, ' ')}\n`)
  const canonical = [request.method, path, parameters.join('&'), lines.join(''), names.join(';'), payloadHash].join('\n')
  const scope = `${timestamp.slice(0, 8)}/${request.region}/${request.service}/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', timestamp, scope, sha256(canonical)].join('\n')
  const day = hmac(`AWS4${keys.secretAccessKey}`, timestamp.slice(0, 8))
  const key = hmac(hmac(hmac(day, request.region), request.service), 'aws4_request')
  return { scope, signature: hmac(key, toSign).toString('hex') }
}

function timestampOf({ signedAtMs = Date.now() }: ToSign): string {
  return new Date(signedAtMs).toISOString().replace(/[-:]|\.\d{3}/g, '')
}
