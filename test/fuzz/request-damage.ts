import { hostilePieces } from './mutation.ts'
import type { Random } from './random.ts'
import type { FuzzRequest } from './request-templates.ts'
import type { FuzzWorld } from './fuzz-world.ts'
import { presignedQuery, signedHeaders } from './signer.ts'

/** A request as it goes over the wire. */
export interface WireRequest {
  readonly bytes: Buffer
  readonly method: string
  readonly target: string
  /** It promises more than it sends. */
  readonly isIncomplete: boolean
  /** Its head can be read in two ways, so that two readers could disagree on where it ends: it has to be refused. */
  readonly isAmbiguous: boolean
  /** Its body is no body: what comes after it must not be taken for a request. */
  readonly isBroken: boolean
  /** Its credentials are wrong, or not there. */
  readonly isStranger: boolean
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY']
const headerNames = [
  'Range', 'Content-Range', 'Content-Type', 'If-None-Match', 'If-Range', 'Accept', 'Expect', 'X-Forwarded-For', 'X-Forwarded-Host', 'Cookie',
  'x-amz-security-token', 'x-amz-content-sha256', 'x-amz-date', 'X-Amz-Target', 'Content-Encoding', 'User-Agent', 'Upgrade', 'Connection', 'Trailer', 'TE',
  '__proto__', 'constructor',
]
const headerValues = ['', 'x', '100-continue', 'gzip', 'bytes=0-', 'close', 'keep-alive, upgrade', 'h2c', '*/*', '\u00ff\u00fe', 'a'.repeat(4000), '0-0', "' OR 1=1--", '\u009b2J']

/** Changes some of what a request says; its signer does not notice. */
export function damage(request: FuzzRequest, random: Random): void {
  for (let left = random.integer(4); left > 0; left--) {
    switch (random.integer(8)) {
      case 0:
        request.method = random.pick(methods)
        break
      case 1:
        request.path = damagedText(request.path, random)
        break
      case 2:
        request.query = request.query.map(([name, value]) => (random.chance(0.5) ? [name, damagedText(value, random)] : [damagedText(name, random), value]))
        break
      case 3:
        request.query.push([random.pick(['n', 'last', 'digest', 'mount', 'tag', 'X-Amz-Signature', 'Action', '']), random.pick(hostilePieces)])
        break
      case 4:
        request.headers.push([random.pick(headerNames), random.pick(headerValues)])
        break
      case 5:
        request.headers = request.headers.map(([name, value]) => [name, random.chance(0.5) ? damagedText(value, random) : value])
        break
      case 6:
        request.body = damagedBytes(request.body, random)
        break
      case 7:
        if (request.headers.length > 0) request.headers.push(random.pick(request.headers))
        break
    }
  }
}

function damagedText(text: string, random: Random): string {
  const at = random.integer(text.length + 1)
  switch (random.integer(4)) {
    case 0:
      return text.slice(0, at) + random.pick(hostilePieces) + text.slice(at)
    case 1:
      return text.slice(0, at) + text.slice(at + 1 + random.integer(5))
    case 2:
      return text.slice(0, at)
    default:
      return text.slice(0, at) + String.fromCharCode(random.integer(256)) + text.slice(at + 1)
  }
}

function damagedBytes(bytes: Buffer, random: Random): Buffer {
  const at = random.integer(bytes.length + 1)
  switch (random.integer(6)) {
    case 0:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from(random.pick(hostilePieces)), bytes.subarray(at)])
    case 1:
      return bytes.subarray(0, at)
    case 2:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(1), bytes.subarray(at + 1)])
    case 3:
      return Buffer.concat([bytes, bytes])
    case 4:
      return Buffer.from(bytes.toString('latin1').replace(/"[^"]*"|\d+/, () => random.pick(['[]', '{}', 'null', '-1', '1e400', '""', '"\\ud800"', '{"a":{"a":{}}}'])), 'latin1')
    default:
      // Seldom, since each takes as long as a thousand others: over the limits of manifests and of calls.
      return random.chance(0.02) ? Buffer.alloc(random.pick([1_048_577, 4_194_305]), 0x20) : Buffer.from('[]')
  }
}

const framings = ['length', 'length', 'length', 'length', 'length', 'length', 'chunked', 'chunked', 'odd'] as const

/** Signs a request and writes it out, with its framing or its credentials damaged now and then. */
export function written(request: FuzzRequest, random: Random, world: FuzzWorld, options: { readonly strangersOnly?: boolean } = {}): WireRequest {
  const isStranger = options.strangersOnly === true || random.chance(0.1)
  // A signature in the target would outlive what is done to the headers.
  if (isStranger && request.auth === 'presigned') request.auth = 'none'
  const target = cleanTarget(targetOf(request, world), random)
  const headers: [string, string][] = [['Host', world.host], ...request.headers]
  for (const header of credentialsOf(request, world)) headers.push(header)
  if (isStranger) breakCredentials(headers, random)
  const framing = random.pick(framings)
  const odd = framing === 'odd' ? oddFraming(request.body, random) : undefined
  const lines = headers.map(([name, value]) => headerLine(name, value, random))
  if (odd === undefined && framing === 'chunked') lines.push('Transfer-Encoding: chunked')
  else if (odd === undefined && (request.body.length > 0 || request.method !== 'GET')) lines.push(`Content-Length: ${request.body.length}`)
  lines.push(...(odd?.lines ?? []))
  const head = `${request.method} ${target} ${random.chance(0.01) ? 'HTTP/1.0' : 'HTTP/1.1'}\r\n${lines.join('\r\n')}\r\n\r\n`
  const body = odd?.body ?? (framing === 'chunked' ? inChunks(request.body, random) : request.body)
  const cut = random.chance(0.02) ? random.integer(body.length + 1) : body.length
  return {
    bytes: Buffer.concat([Buffer.from(head, 'latin1'), body.subarray(0, cut)]),
    method: request.method,
    target,
    isIncomplete: cut < body.length || odd?.kind === 'incomplete',
    isAmbiguous: odd?.kind === 'ambiguous',
    isBroken: odd?.kind === 'broken',
    isStranger,
  }
}

function targetOf(request: FuzzRequest, world: FuzzWorld): string {
  const { path, query } = request
  if (request.auth === 'presigned') return `${path}?${presignedQuery(toSign(request, world), world.keys)}`
  return query.length === 0 ? path : `${path}?${query.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&')}`
}

/** Most targets get as far as the server's own parsers: what no target may hold is left to every tenth. */
function cleanTarget(target: string, random: Random): string {
  const oneLine = target.replace(/[\r\n]/g, '')
  return random.chance(0.9) ? oneLine.replace(/[^\x21-\x7e]/g, '') || '/' : oneLine || '/'
}

function encode(text: string): string {
  // Pieces that are escapes already stay what they are.
  return text.includes('%') ? text.replace(/[^\x21-\x7e]|[&#]/g, '') : encodeURIComponent(text.toWellFormed())
}

function credentialsOf(request: FuzzRequest, world: FuzzWorld): [string, string][] {
  switch (request.auth) {
    case 'basic':
      return [['Authorization', world.basic]]
    case 'token':
      return [['Authorization', world.tokenBasic]]
    case 'signed': {
      const own = request.headers.filter(([name]) => name.toLowerCase().startsWith('x-amz-'))
      const signed = signedHeaders({ ...toSign(request, world), headers: Object.fromEntries(own.map(([name, value]) => [name.toLowerCase(), value])) }, world.keys)
      return [['Authorization', signed['authorization']!], ['X-Amz-Date', signed['x-amz-date']!]]
    }
    case 'presigned':
    case 'none':
      return []
  }
}

function toSign({ method, path, query, body, service }: FuzzRequest, { host, region }: FuzzWorld) {
  return { method, path, query: query.map(([name, value]): [string, string] => [name, value.toWellFormed()]), host, headers: {}, body, service, region }
}

function breakCredentials(headers: [string, string][], random: Random): void {
  const others = headers.filter(([name]) => name !== 'Authorization')
  const given = headers.find(([name]) => name === 'Authorization')?.[1] ?? 'Basic QTpi'
  headers.splice(0, headers.length, ...others)
  switch (random.integer(5)) {
    case 0:
      return
    case 1: {
      // Never all of it: a login that is still right would be no stranger's.
      const at = 20 + random.integer(Math.max(given.length - 30, 1))
      headers.push(['Authorization', `${given.slice(0, at)}${given.charAt(at) === 'A' ? 'B' : 'A'}${given.slice(at + 2)}`])
      return
    }
    case 2:
      headers.push(['Authorization', given.replace(/\S+$/, '')])
      return
    case 3:
      headers.push(['Authorization', random.pick(['Bearer x', 'Basic', 'Basic !!!', 'AWS4-HMAC-SHA256 x', 'Digest a="b"', `Basic ${'QUFB'.repeat(3000)}`])])
      return
    default:
      headers.push(['Authorization', given.replace(/[A-Za-z0-9+/=]{8,}$|=[^,]*/, '=')])
  }
}

function headerLine(name: string, value: string, random: Random): string {
  const oneLine = value.replace(/[\r\n\0]/g, '').replace(/[^\t\x20-\x7e\x80-\xff]/g, '')
  switch (random.integer(60)) {
    case 0:
      return `${name.toUpperCase()}:${oneLine}`
    case 1:
      return `${name}:  ${oneLine}\t `
    case 2:
      return `${name}: ${oneLine.slice(0, 3)}\r\n ${oneLine.slice(3)}`
    case 3:
      return `${name}: ${value.replace(/[\r\n]/g, '')}`
    case 4:
      return `${name}: ${oneLine}\r\n${name}: ${oneLine}`
    default:
      return `${name}: ${oneLine}`
  }
}

function inChunks(body: Buffer, random: Random): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const piece = body.subarray(at, at + 1 + random.integer(Math.max(body.length, 1)))
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'))
    at += piece.length
  }
  return Buffer.concat([...pieces, Buffer.from('0\r\n\r\n')])
}

interface OddFraming {
  readonly lines: readonly string[]
  readonly body: Buffer
  readonly kind: 'ambiguous' | 'broken' | 'incomplete' | 'fine'
}

/** The shapes in which one request has been smuggled within another, and lengths that lie. */
function oddFraming(body: Buffer, random: Random): OddFraming {
  const chunked = inChunks(body, random)
  const smuggled = Buffer.from('GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n')
  const length = `Content-Length: ${body.length}`
  const ambiguous = (lines: readonly string[], sent: Buffer): OddFraming => ({ lines, body: sent, kind: 'ambiguous' })
  const broken = (sent: string): OddFraming => ({ lines: ['Transfer-Encoding: chunked'], body: Buffer.concat([Buffer.from(sent), smuggled]), kind: 'broken' })
  const shapes: readonly (() => OddFraming)[] = [
    () => ambiguous([length, 'Transfer-Encoding: chunked'], Buffer.concat([chunked, smuggled])),
    () => ambiguous(['Transfer-Encoding: chunked', `Content-Length: ${chunked.length}`], chunked),
    () => ambiguous([length, `Content-Length: ${body.length + 1}`], body),
    () => ambiguous([length, length], body),
    () => ambiguous([`Content-Length: ${body.length}, ${body.length}`], body),
    () => ambiguous([`Content-Length: ${random.pick(['+', '-', '0x', '1e', ' 1 '])}${body.length}`], body),
    () => ambiguous(['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], chunked),
    () => ambiguous([`Transfer-Encoding: ${random.pick(['identity', 'xchunked', 'chunked, identity', 'gzip', '"chunked"', 'chunked;q=1'])}`], chunked),
    () => ambiguous(['Transfer-Encoding : chunked'], chunked),
    () => broken(`${random.pick(['xyz', '-1', '0x5', 'fffffffffffffffff', ' 5', '+5'])}\r\nhello\r\n0\r\n\r\n`),
    () => broken('5\nhello\n0\n\n'),
    () => broken('5\r\nhelloXX0\r\n\r\n'),
    () => ({ lines: [`Content-Length: ${body.length + 1000}`], body, kind: 'incomplete' }),
    () => ({ lines: ['Transfer-Encoding: chunked'], body: chunked.subarray(0, -2), kind: 'incomplete' }),
    () => ({ lines: [length], body: Buffer.concat([body, smuggled]), kind: 'fine' }),
    () => ({ lines: ['Transfer-Encoding: chunked', 'Trailer: Authorization'], body: Buffer.concat([chunked.subarray(0, -2), Buffer.from('Authorization: Basic QTpi\r\n\r\n')]), kind: 'fine' }),
    () => ({ lines: [length, ...Array.from({ length: 200 }, (_, n) => `X-${n}: ${'y'.repeat(200)}`)], body, kind: 'fine' }),
  ]
  return random.pick(shapes)()
}
