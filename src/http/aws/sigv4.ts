import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { iamError, type IamErrorCode } from '../../iam/errors.ts'
import type { PlatformError } from '../../internal/platform-error.ts'
import {
  canonicalRequest,
  headerValues,
  queryParameters,
  splitTarget,
  type QueryParameter,
  type SignableRequest,
} from './canonical-request.ts'

export type { SignableRequest } from './canonical-request.ts'

/** What a signature is valid for. */
export interface CredentialScope {
  /** YYYYMMDD, UTC. */
  readonly date: string
  readonly region: string
  readonly service: string
}

/** A signature that is complete, well-formed and current. Whether it is right only `verifySignature` knows. */
export interface RequestSignature {
  /** Where it was: in the Authorization header, or in the query of a presigned URL. */
  readonly form: 'header' | 'query'
  readonly accessKeyId: string
  readonly scope: CredentialScope
  /** When the client signed, as it wrote it: YYYYMMDDTHHMMSSZ. */
  readonly timestamp: string
  /** Lower case, sorted. */
  readonly signedHeaders: readonly string[]
  /** 32 bytes. */
  readonly signature: Buffer
  readonly sessionToken: string | undefined
  /** The SHA-256 of the body that the client declared, if it declared one. */
  readonly declaredPayloadHash: string | undefined
}

const algorithm = 'AWS4-HMAC-SHA256'
const terminator = 'aws4_request'

/** What AWS documents for the age of a signature, either way, as its messages name it. */
const allowedSkewMs = 5 * 60_000
const allowedSkewText = '5 min.'

/** Seven days: the longest life of a presigned URL that AWS's own signers produce. */
const longestPresignSeconds = 7 * 24 * 60 * 60

/** Far above what any client signs, and it keeps the canonical request small. */
const mostSignedHeaders = 100

/**
 * Reads and checks everything about a signature that needs neither the key nor the body, so that a
 * request which cannot be right costs nothing more.
 *
 * @throws PlatformError 'unauthenticated' (there is no signature), 'signature-incomplete' (parts missing
 *   or malformed), 'signature-mismatch' (parts that contradict each other or leave too much unsigned),
 *   'signature-expired' (signed too long ago, or not yet valid).
 */
export function parseSignature(request: SignableRequest, nowMs: number): RequestSignature {
  const parameters = queryParameters(splitTarget(request.target).query)
  const authorization = headerValues(request, 'authorization')
  const presigned = parameters.some((parameter) => /^x-amz-(algorithm|signature|credential)$/i.test(parameter.name))

  if (authorization.length > 0 && presigned) {
    throw iamError('signature-incomplete', 'The request is signed both in its header and in its query string.')
  }
  if (authorization.length > 1) {
    throw iamError('signature-incomplete', 'The request has more than one Authorization header.')
  }
  const [header] = authorization
  if (header !== undefined) return parseHeaderForm(request, header, nowMs)
  if (presigned) return parseQueryForm(request, parameters, nowMs)
  throw iamError('unauthenticated', 'Missing Authentication Token')
}

/** The service a request claims to be signed for, without judging the signature: for choosing the error's form. */
export function claimedService(request: SignableRequest): string | undefined {
  const [authorization] = headerValues(request, 'authorization')
  const credential =
    authorization === undefined
      ? queryParameters(splitTarget(request.target).query).find((parameter) => parameter.name === 'X-Amz-Credential')
          ?.value
      : /Credential=([^\s,]+)/.exec(authorization)?.[1]
  const parts = credential?.split('/') ?? []
  const service = parts.length >= 5 && parts.at(-1) === terminator ? parts.at(-2) : undefined
  return service !== undefined && isServiceName(service) ? service : undefined
}

/**
 * Checks that a signature was made for this service.
 * @throws PlatformError 'signature-mismatch'
 */
export function requireScopedTo(signature: RequestSignature, service: string): void {
  if (signature.scope.service === service) return
  throw iamError('signature-mismatch', `Credential should be scoped to correct service: '${service}'. `)
}

/**
 * Computes what the signature has to be and compares. `payloadHash` is the SHA-256 of the body as sent
 * (still compressed, if it is), in lower-case hexadecimal.
 *
 * @throws PlatformError 'signature-mismatch'
 */
export function verifySignature(
  signature: RequestSignature,
  request: SignableRequest,
  payloadHash: string,
  secretAccessKey: string,
  signingKeys: SigningKeys,
): void {
  if (signature.declaredPayloadHash !== undefined && signature.declaredPayloadHash !== payloadHash) {
    throw iamError(
      'signature-mismatch',
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
  }
  const canonical = canonicalRequest(request, {
    signedHeaders: signature.signedHeaders,
    payloadHash,
    ...(signature.form === 'query' && { omitParameter: 'X-Amz-Signature' }),
  })
  const { date, region, service } = signature.scope
  const stringToSign = [
    algorithm,
    signature.timestamp,
    `${date}/${region}/${service}/${terminator}`,
    createHash('sha256').update(canonical, 'latin1').digest('hex'),
  ].join('\n')

  const signingKey = signingKeys.derive(signature.accessKeyId, secretAccessKey, signature.scope)
  const expected = createHmac('sha256', signingKey).update(stringToSign, 'latin1').digest()
  if (!timingSafeEqual(expected, signature.signature)) {
    throw iamError(
      'signature-mismatch',
      'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
      { host: request.host },
    )
  }
  signingKeys.remember(signature.accessKeyId, secretAccessKey, signature.scope, signingKey)
}

/**
 * Derived signing keys, the latest used ones kept. Deriving takes four HMACs; a key is good for a day.
 * Only keys that verified a signature are kept, so that wrong requests cannot push right ones out.
 */
export class SigningKeys {
  readonly #limit: number
  readonly #entries = new Map<string, { secretAccessKey: string; key: Buffer }>()

  constructor(limit = 1000) {
    this.#limit = limit
  }

  get size(): number {
    return this.#entries.size
  }

  derive(accessKeyId: string, secretAccessKey: string, scope: CredentialScope): Buffer {
    const entry = this.#entries.get(entryName(accessKeyId, scope))
    // The secret is compared because a key id can come back with another secret, e.g. a root key from the configuration.
    if (entry?.secretAccessKey === secretAccessKey) return entry.key
    const dateKey = createHmac('sha256', `AWS4${secretAccessKey}`).update(scope.date).digest()
    const regionKey = createHmac('sha256', dateKey).update(scope.region).digest()
    const serviceKey = createHmac('sha256', regionKey).update(scope.service).digest()
    return createHmac('sha256', serviceKey).update(terminator).digest()
  }

  remember(accessKeyId: string, secretAccessKey: string, scope: CredentialScope, key: Buffer): void {
    const name = entryName(accessKeyId, scope)
    this.#entries.delete(name)
    this.#entries.set(name, { secretAccessKey, key })
    if (this.#entries.size <= this.#limit) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#entries.delete(oldest)
  }
}

function entryName(accessKeyId: string, scope: CredentialScope): string {
  return `${accessKeyId}/${scope.date}/${scope.region}/${scope.service}`
}

function parseHeaderForm(request: SignableRequest, header: string, nowMs: number): RequestSignature {
  // Nothing of the header is repeated in a message: it may hold another scheme's password.
  const space = header.indexOf(' ')
  if ((space === -1 ? header : header.slice(0, space)) !== algorithm) {
    throw iamError('signature-incomplete', `Unsupported AWS 'algorithm' (only ${algorithm} is supported).`)
  }
  const fields = authorizationFields(space === -1 ? '' : header.slice(space + 1))
  const dates = headerValues(request, 'x-amz-date')
  const usesDateHeader = dates.length === 0
  const [date, secondDate] = usesDateHeader ? headerValues(request, 'date') : dates
  const missing = ['Credential', 'Signature', 'SignedHeaders']
    .filter((name) => !fields.has(name))
    .map((name) => `Authorization header requires '${name}' parameter.`)
  if (date === undefined) {
    missing.push("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
  }
  if (missing.length > 0) throw iamError('signature-incomplete', missing.join(' '))
  if (secondDate !== undefined) {
    throw iamError('signature-incomplete', 'The request has more than one date header.')
  }

  const signedAt = parseDate(date ?? '', usesDateHeader)
  const { accessKeyId, scope } = parseCredential(fields.get('Credential') ?? '', signedAt.timestamp)
  requireCurrent(signedAt, nowMs)
  const signedHeaders = parseSignedHeaders(fields.get('SignedHeaders') ?? '')
  requireSigned(request, signedHeaders)
  if (usesDateHeader && !signedHeaders.includes('date')) throw unsignedHeader('Date')

  return {
    form: 'header',
    accessKeyId,
    scope,
    timestamp: signedAt.timestamp,
    signedHeaders,
    signature: parseSignatureBytes(fields.get('Signature') ?? ''),
    sessionToken: onlyHeader(request, 'x-amz-security-token'),
    declaredPayloadHash: declaredHash(onlyHeader(request, 'x-amz-content-sha256')),
  }
}

function parseQueryForm(
  request: SignableRequest,
  parameters: readonly QueryParameter[],
  nowMs: number,
): RequestSignature {
  const only = (name: string): string | undefined => {
    const [found, second] = parameters.filter((parameter) => parameter.name === name)
    if (second !== undefined) throw iamError('signature-incomplete', `The query string has more than one '${name}'.`)
    return found?.value
  }
  const required = ['X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Signature', 'X-Amz-SignedHeaders', 'X-Amz-Date']
  const [algorithmName, credential, signature, signedHeaderList, date] = required.map(only)
  if (
    algorithmName === undefined ||
    credential === undefined ||
    signature === undefined ||
    signedHeaderList === undefined ||
    date === undefined
  ) {
    const missing = required.filter((name) => only(name) === undefined)
    throw iamError(
      'signature-incomplete',
      missing.map((name) => `AWS query-string parameters must include '${name}'.`).join(' '),
    )
  }
  if (algorithmName !== algorithm) {
    throw iamError('signature-incomplete', `Unsupported AWS 'algorithm' (only ${algorithm} is supported).`)
  }

  const signedAt = parseDate(date, false)
  const { accessKeyId, scope } = parseCredential(credential, signedAt.timestamp)
  requireCurrent(signedAt, nowMs, parseExpires(only('X-Amz-Expires')))
  const signedHeaders = parseSignedHeaders(signedHeaderList)
  requireSigned(request, signedHeaders)
  const tokenHeader = onlyHeader(request, 'x-amz-security-token')
  const tokenParameter = only('X-Amz-Security-Token')
  if (tokenHeader !== undefined && tokenParameter !== undefined) {
    throw iamError('signature-incomplete', 'The security token is sent both as a header and in the query string.')
  }

  return {
    form: 'query',
    accessKeyId,
    scope,
    timestamp: signedAt.timestamp,
    signedHeaders,
    signature: parseSignatureBytes(signature),
    sessionToken: tokenHeader ?? tokenParameter,
    declaredPayloadHash: declaredHash(only('X-Amz-Content-Sha256') ?? onlyHeader(request, 'x-amz-content-sha256')),
  }
}

function authorizationFields(text: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const part of text.split(',')) {
    const field = part.trim()
    if (field === '') continue
    const equals = field.indexOf('=')
    const name = equals === -1 ? '' : field.slice(0, equals)
    if (!['Credential', 'Signature', 'SignedHeaders'].includes(name) || fields.has(name)) {
      throw iamError('signature-incomplete', 'The Authorization header has an unknown, repeated or malformed parameter.')
    }
    fields.set(name, field.slice(equals + 1))
  }
  return fields
}

function parseCredential(text: string, timestamp: string): { accessKeyId: string; scope: CredentialScope } {
  const [accessKeyId = '', date = '', region = '', service = '', last = '', ...rest] = text.split('/')
  if (rest.length > 0 || last === '' || !/^[A-Za-z0-9_-]{1,128}$/.test(accessKeyId)) {
    throw iamError(
      'signature-incomplete',
      'Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.',
    )
  }
  const problems: string[] = []
  if (last !== terminator) problems.push(`Credential should be scoped with a valid terminator: '${terminator}'.`)
  if (!/^[0-9a-z-]{2,25}$/.test(region)) problems.push('Credential should be scoped to a valid region.')
  if (!isServiceName(service)) problems.push('Credential should be scoped to a valid service.')
  if (date !== timestamp.slice(0, 8)) {
    problems.push('Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.')
  }
  if (problems.length > 0) throw iamError('signature-mismatch', problems.join(' '))
  return { accessKeyId, scope: { date, region, service } }
}

function isServiceName(text: string): boolean {
  return /^[a-z0-9-]{1,64}$/.test(text)
}

function parseSignedHeaders(text: string): string[] {
  const names = text.split(';')
  const wellFormed = names.every((name, index) => {
    const previous = names[index - 1]
    return /^[a-z0-9!#$%&'*+.^_`|~-]{1,256}$/.test(name) && (previous === undefined || previous < name)
  })
  if (!wellFormed || names.length > mostSignedHeaders) {
    throw iamError(
      'signature-incomplete',
      'SignedHeaders must be lower-case header names, sorted, without repetition, separated by semicolons.',
    )
  }
  return names
}

/**
 * Host and every x-amz-* header that was sent must be signed (the service reads them), and every header
 * named as signed must have been sent.
 */
function requireSigned(request: SignableRequest, signedHeaders: readonly string[]): void {
  if (!signedHeaders.includes('host')) {
    throw iamError(
      'signature-mismatch',
      "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    )
  }
  for (const name of Object.keys(request.headers)) {
    if (name.startsWith('x-amz-') && !signedHeaders.includes(name)) throw unsignedHeader(name)
  }
  for (const name of signedHeaders) {
    if (name !== 'host' && headerValues(request, name).length === 0) {
      throw iamError(
        'signature-mismatch',
        `'${name}' is named as a SignedHeader, but it does not exist in the HTTP request.`,
      )
    }
  }
}

function unsignedHeader(name: string): PlatformError<IamErrorCode> {
  return iamError('signature-mismatch', `'${name}' must be a 'SignedHeader' in the AWS Authorization.`)
}

function parseSignatureBytes(text: string): Buffer {
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw iamError('signature-incomplete', 'Signature must be 64 lower-case hexadecimal digits.')
  }
  return Buffer.from(text, 'hex')
}

/** Bodies that no hash covers (UNSIGNED-PAYLOAD, STREAMING-…) exist in S3 only. */
function declaredHash(text: string | undefined): string | undefined {
  if (text === undefined || /^[0-9a-f]{64}$/.test(text)) return text
  throw iamError(
    'signature-mismatch',
    "'x-amz-content-sha256' must be the SHA-256 of the body: unsigned and streaming payloads are not accepted.",
  )
}

function onlyHeader(request: SignableRequest, name: string): string | undefined {
  const [value, second] = headerValues(request, name)
  if (second === undefined) return value
  throw iamError('signature-incomplete', `The request has more than one '${name}' header.`)
}

interface SignedAt {
  readonly timestamp: string
  readonly ms: number
}

function parseDate(text: string, mayBeHttpDate: boolean): SignedAt {
  const basic = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text)
  const iso = basic && `${basic[1]}-${basic[2]}-${basic[3]}T${basic[4]}:${basic[5]}:${basic[6]}.000Z`
  const httpDate = mayBeHttpDate && /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/.test(text)
  const ms = iso !== null || httpDate ? Date.parse(iso ?? text) : Number.NaN
  // Date.parse turns 30 February into 2 March; a date that does not come back as it went in is none.
  if (Number.isNaN(ms) || (iso !== null && new Date(ms).toISOString() !== iso)) {
    throw iamError(
      'signature-incomplete',
      "Date must be in ISO-8601 'basic format' (YYYYMMDD'T'HHMMSS'Z'). See http://en.wikipedia.org/wiki/ISO_8601",
    )
  }
  return { timestamp: basicFormat(ms), ms }
}

function basicFormat(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d{3}/g, '')
}

function parseExpires(text: string | undefined): number {
  if (text === undefined) {
    throw iamError('signature-incomplete', "AWS query-string parameters must include 'X-Amz-Expires'.")
  }
  const seconds = /^\d{1,7}$/.test(text) ? Number(text) : 0
  if (seconds < 1 || seconds > longestPresignSeconds) {
    throw iamError(
      'signature-incomplete',
      `X-Amz-Expires must be a number of seconds from 1 to ${longestPresignSeconds} (a week).`,
    )
  }
  return seconds
}

function requireCurrent(signedAt: SignedAt, nowMs: number, expiresSeconds?: number): void {
  if (signedAt.ms > nowMs + allowedSkewMs) {
    const latest = `${basicFormat(nowMs + allowedSkewMs)} (${basicFormat(nowMs)} + ${allowedSkewText})`
    throw iamError(
      'signature-expired',
      `Signature not yet current: ${signedAt.timestamp} is still later than ${latest}`,
    )
  }
  if (expiresSeconds !== undefined) {
    const expiresMs = signedAt.ms + expiresSeconds * 1000
    if (nowMs <= expiresMs) return
    throw iamError(
      'signature-expired',
      `Signature expired: ${basicFormat(expiresMs)} is now earlier than ${basicFormat(nowMs)}`,
    )
  }
  if (signedAt.ms < nowMs - allowedSkewMs) {
    const earliest = `${basicFormat(nowMs - allowedSkewMs)} (${basicFormat(nowMs)} - ${allowedSkewText})`
    throw iamError(
      'signature-expired',
      `Signature expired: ${signedAt.timestamp} is now earlier than ${earliest}`,
    )
  }
}
