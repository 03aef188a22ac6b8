import { createHash, createHmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isPlatformError } from '../../internal/platform-error.ts'
import { Sha256 } from './aws.test-support.ts'
import { claimedService, parseSignature, requireScopedTo, SigningKeys, verifySignature, type SignableRequest } from './sigv4.ts'

const accessKeyId = 'AKIDEXAMPLE'
const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
const signedAtMs = Date.parse('2026-11-23T06:34:56Z')
const minute = 60_000

const signer = new SignatureV4({
  credentials: { accessKeyId, secretAccessKey },
  region: 'eu-central-1',
  service: 'ecr',
  sha256: Sha256,
})

interface ClientRequest {
  readonly method: string
  readonly path: string
  readonly query: Record<string, string | string[]>
  readonly headers: Record<string, string>
  readonly body: string
}

const host = 'registry.example:5000'

const plainRequest: ClientRequest = {
  method: 'POST',
  path: '/',
  query: {},
  headers: { host, 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.ListImages' },
  body: '{"repositoryName":"app"}',
}

function escaped(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** What arrives on the wire of what the client has in memory. */
function onTheWire(request: { method: string; path: string; query?: unknown; headers: Record<string, string> }): SignableRequest {
  const query = Object.entries((request.query ?? {}) as ClientRequest['query'])
    .flatMap(([name, values]) => [values].flat().map((value) => `${escaped(name)}=${escaped(value)}`))
    .join('&')
  const headers: Record<string, string[]> = {}
  for (const [name, value] of Object.entries(request.headers)) headers[name.toLowerCase()] = [value]
  return { method: request.method, target: query === '' ? request.path : `${request.path}?${query}`, headers, host }
}

async function signed(request: ClientRequest): Promise<SignableRequest> {
  const result = await signer.sign(
    { ...request, protocol: 'https:', hostname: 'registry.example' },
    { signingDate: new Date(signedAtMs) },
  )
  return onTheWire(result)
}

async function presigned(request: ClientRequest, expiresIn = 900): Promise<SignableRequest> {
  const result = await signer.presign(
    { ...request, protocol: 'https:', hostname: 'registry.example' },
    { signingDate: new Date(signedAtMs), expiresIn },
  )
  return onTheWire(result)
}

function sha256(body: string | Buffer): string {
  return createHash('sha256').update(body).digest('hex')
}

function verify(request: SignableRequest, body: string | Buffer, nowMs = signedAtMs, keys = new SigningKeys()): void {
  const signature = parseSignature(request, nowMs)
  requireScopedTo(signature, 'ecr')
  verifySignature(signature, request, sha256(body), secretAccessKey, keys)
}

function failureOf(action: () => void): string {
  try {
    action()
  } catch (error) {
    if (isPlatformError(error)) return error.code
    throw error
  }
  return 'none'
}

function withHeader(request: SignableRequest, name: string, ...values: string[]): SignableRequest {
  return { ...request, headers: { ...request.headers, [name]: values } }
}

function withoutHeader(request: SignableRequest, name: string): SignableRequest {
  return { ...request, headers: Object.fromEntries(Object.entries(request.headers).filter(([key]) => key !== name)) }
}

function authorization(request: SignableRequest): string {
  return request.headers['authorization']?.[0] ?? ''
}

/** The AWS signers always send X-Amz-Date, so this one is made here, step by step as the specification says. */
function signedByDate(signedHeaders: string[]): SignableRequest {
  const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
  const date = 'Mon, 23 Nov 2026 06:34:56 GMT'
  const lines = signedHeaders.map((name) => `${name}:${name === 'host' ? host : date}\n`).join('')
  const canonical = `POST\n/\n\n${lines}\n${signedHeaders.join(';')}\n${sha256('')}`
  const scope = '20261123/eu-central-1/ecr/aws4_request'
  const text = `AWS4-HMAC-SHA256\n20261123T063456Z\n${scope}\n${sha256(canonical)}`
  const key = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`)
  const header = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${signedHeaders.join(';')}, Signature=${hmac(key, text).toString('hex')}`
  return { method: 'POST', target: '/', headers: { authorization: [header], date: [date] }, host }
}

const anySegment = fc.oneof(fc.constantFrom('', '.', '..', 'a', '%2F', '~', '*'), fc.string({ unit: 'grapheme', maxLength: 8 }).map(escaped))
const anyPath = fc.array(anySegment, { maxLength: 5 }).map((segments) => `/${segments.join('/')}`)
const anyQuery = fc.dictionary(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }).filter((name) => !/^x-amz-|^__proto__$/i.test(name)),
  fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.array(fc.string({ maxLength: 4 }), { minLength: 1, maxLength: 3 })),
  { maxKeys: 5 },
)
const anyHeaders = fc.dictionary(
  fc.stringMatching(/^x-(amz-)?[a-z]{1,6}$/),
  fc.stringMatching(/^[ -~]{0,20}$/),
  { maxKeys: 5 },
).map((headers) => ({ ...headers, host }))
const anyRequest: fc.Arbitrary<ClientRequest> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE'),
  path: anyPath,
  query: anyQuery,
  headers: anyHeaders,
  body: fc.string({ unit: 'grapheme', maxLength: 200 }),
})

const signedPlain = signed(plainRequest)

describe('signature in the header', () => {
  it('accepts whatever the AWS signer signs', async () => {
    await fc.assert(
      fc.asyncProperty(anyRequest, async (request) => {
        verify(await signed(request), request.body)
      }),
      { numRuns: 1000 },
    )
  })

  it('refuses whatever was changed after signing', async () => {
    const change = fc.constantFrom<(request: SignableRequest) => SignableRequest>(
      (request) => ({ ...request, method: request.method === 'GET' ? 'POST' : 'GET' }),
      (request) => ({ ...request, target: request.target.replace(/^[^?]*/, '$&/elsewhere') }),
      (request) => ({ ...request, target: `${request.target}${request.target.includes('?') ? '&' : '?'}more=1` }),
      (request) => ({ ...request, host: 'other.example' }),
      (request) => withHeader(request, 'x-amz-date', '20261123T063457Z'),
      (request) => withHeader(request, 'x-amz-content-sha256', sha256('another body')),
    )
    await fc.assert(
      fc.asyncProperty(anyRequest, change, async (request, changed) => {
        const wire = changed(await signed(request))
        expect(failureOf(() => verify(wire, request.body))).toBe('signature-mismatch')
      }),
      { numRuns: 500 },
    )
  })

  it('refuses another body', async () => {
    const request = await signedPlain

    expect(failureOf(() => verify(request, `${plainRequest.body} `))).toBe('signature-mismatch')
    expect(failureOf(() => verify(withoutHeader(request, 'x-amz-content-sha256'), plainRequest.body))).toBe('signature-mismatch')
  })

  it('refuses a signature with any byte changed', async () => {
    const request = await signedPlain
    const header = authorization(request)
    const start = header.length - 64

    for (let index = 0; index < 64; index++) {
      const digit = header[start + index] === '0' ? '1' : '0'
      const changed = header.slice(0, start + index) + digit + header.slice(start + index + 1)
      expect(failureOf(() => verify(withHeader(request, 'authorization', changed), plainRequest.body))).toBe('signature-mismatch')
    }
  })

  it.each(['host', 'x-amz-date', 'x-amz-target', 'content-type'])('refuses a request whose signed %s is gone', async (name) => {
    const request = await signedPlain
    const changed = name === 'host' ? { ...request, host: '' } : withoutHeader(request, name)

    expect(failureOf(() => verify(changed, plainRequest.body))).toMatch(/^signature-(mismatch|incomplete)$/)
  })

  it.each([
    ['an x-amz header that is not signed', (r: SignableRequest) => withHeader(r, 'x-amz-security-token', 'token'), 'signature-mismatch'],
    ['a second target', (r: SignableRequest) => withHeader(r, 'x-amz-target', 'a.A', 'a.B'), 'signature-mismatch'],
    ['two Authorization headers', (r: SignableRequest) => withHeader(r, 'authorization', authorization(r), authorization(r)), 'signature-incomplete'],
    ['no Authorization header', (r: SignableRequest) => withoutHeader(r, 'authorization'), 'unauthenticated'],
    ['an unsigned payload', (r: SignableRequest) => withHeader(r, 'x-amz-content-sha256', 'UNSIGNED-PAYLOAD'), 'signature-mismatch'],
    ['a streaming payload', (r: SignableRequest) => withHeader(r, 'x-amz-content-sha256', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'), 'signature-mismatch'],
    ['a date that is none', (r: SignableRequest) => withHeader(r, 'x-amz-date', '20260230T000000Z'), 'signature-incomplete'],
    ['two dates', (r: SignableRequest) => withHeader(r, 'x-amz-date', '20261123T063456Z', '20261123T063456Z'), 'signature-incomplete'],
    ['a signature in the query as well', (r: SignableRequest) => ({ ...r, target: '/?X-Amz-Signature=00' }), 'signature-incomplete'],
  ])('refuses %s', async (_, change, code) => {
    const request = change(await signedPlain)

    expect(failureOf(() => verify(request, plainRequest.body))).toBe(code)
  })

  it.each([
    ['another algorithm', 'AWS4-HMAC-SHA256', 'AWS4-ECDSA-P256-SHA256', 'signature-incomplete'],
    ['Basic', 'AWS4-HMAC-SHA256', 'Basic', 'signature-incomplete'],
    ['a missing credential', /Credential=[^,]+, /, '', 'signature-incomplete'],
    ['missing signed headers', /SignedHeaders=[^,]+, /, '', 'signature-incomplete'],
    ['a missing signature', /, Signature=.+/, '', 'signature-incomplete'],
    ['a short signature', /..$/, '', 'signature-incomplete'],
    ['an upper-case signature', /Signature=.*/, `Signature=${'A'.repeat(64)}`, 'signature-incomplete'],
    ['a repeated parameter', 'Credential=', 'Signature=00, Credential=', 'signature-incomplete'],
    ['an unknown parameter', 'Credential=', 'Extra=1, Credential=', 'signature-incomplete'],
    ['too few scope parts', '/ecr/', '/', 'signature-incomplete'],
    ['another region', '/eu-central-1/', '/eu-west-1/', 'signature-mismatch'],
    ['an impossible region', '/eu-central-1/', '/EU_CENTRAL/', 'signature-mismatch'],
    ['another service', '/ecr/', '/sts/', 'signature-mismatch'],
    ['another terminator', 'aws4_request', 'aws5_request', 'signature-mismatch'],
    ['another day', '/20261123/', '/20261122/', 'signature-mismatch'],
    ['an unsigned host', 'content-type;host', 'content-type', 'signature-mismatch'],
    ['an unsigned date', ';x-amz-date', '', 'signature-mismatch'],
    ['an unsigned target', ';x-amz-target', '', 'signature-mismatch'],
    ['unsorted headers', 'content-type;host', 'host;content-type', 'signature-incomplete'],
    ['repeated headers', ';host;', ';host;host;', 'signature-incomplete'],
    ['a signed header that was not sent', 'content-type;', 'accept;content-type;', 'signature-mismatch'],
    ['a signed header from the prototype', 'content-type;', 'constructor;', 'signature-mismatch'],
  ])('refuses an Authorization header with %s', async (_, from, to, code) => {
    const request = await signedPlain
    const changed = authorization(request).replace(from, to)

    expect(changed).not.toBe(authorization(request))
    expect(failureOf(() => verify(withHeader(request, 'authorization', changed), plainRequest.body))).toBe(code)
  })

  it.each(['host', 'x-amz-target'])('refuses a right signature that does not cover %s', async (name) => {
    const request = { ...plainRequest, protocol: 'https:', hostname: 'registry.example' }
    const options = { signingDate: new Date(signedAtMs), unsignableHeaders: new Set([name]) }
    const wire = onTheWire(await signer.sign(request, options))

    expect(authorization(wire)).not.toContain(name)
    expect(() => verify(wire, plainRequest.body)).toThrow(/must be a 'SignedHeader'/)
  })

  it('accepts the Date header in place of X-Amz-Date, if it is signed', () => {
    const request = signedByDate('host;date'.split(';').sort())

    verify(request, '')
    expect(() => verify(signedByDate(['host']), '')).toThrow(/'Date' must be a 'SignedHeader'/)
  })

  it('accepts a signature made by the key for another region, as a signature for that region', async () => {
    const request = await signedPlain

    expect(parseSignature(request, signedAtMs).scope).toEqual({ date: '20261123', region: 'eu-central-1', service: 'ecr' })
  })

  it('allows five minutes of difference between the clocks, and no more', async () => {
    const request = await signedPlain

    expect(failureOf(() => verify(request, plainRequest.body, signedAtMs + 5 * minute))).toBe('none')
    expect(failureOf(() => verify(request, plainRequest.body, signedAtMs - 5 * minute))).toBe('none')
    expect(failureOf(() => verify(request, plainRequest.body, signedAtMs + 5 * minute + 1))).toBe('signature-expired')
    expect(failureOf(() => verify(request, plainRequest.body, signedAtMs - 5 * minute - 1))).toBe('signature-expired')
  })

  it('says when the signature expired', async () => {
    const request = await signedPlain

    expect(() => parseSignature(request, signedAtMs + 10 * minute)).toThrow(
      'Signature expired: 20261123T063456Z is now earlier than 20261123T063956Z (20261123T064456Z - 5 min.)',
    )
  })

  it('never repeats the Authorization header in an error', async () => {
    const request = withHeader(await signedPlain, 'authorization', 'Basic c2VjcmV0OnBhc3M=')

    expect(() => parseSignature(request, signedAtMs)).toThrow(/^(?!.*c2Vj)/)
  })

  it('never throws anything but a refusal', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string({ maxLength: 40 }), (header, date, target) => {
        const request: SignableRequest = { method: 'POST', target: `/${target}`, headers: { authorization: [`AWS4-HMAC-SHA256 ${header}`], 'x-amz-date': [date] }, host }
        expect(failureOf(() => verify(request, ''))).toMatch(/^signature-/)
        claimedService(request)
      }),
    )
  })
})

describe('signature in the query', () => {
  it('accepts whatever the AWS signer presigns', async () => {
    await fc.assert(
      fc.asyncProperty(anyRequest, async (request) => {
        verify(await presigned(request), request.body)
      }),
      { numRuns: 500 },
    )
  })

  it('holds for as long as it says', async () => {
    const request = await presigned({ ...plainRequest, method: 'GET', body: '' }, 60)

    expect(failureOf(() => verify(request, '', signedAtMs + 60_000))).toBe('none')
    expect(failureOf(() => verify(request, '', signedAtMs + 60_001))).toBe('signature-expired')
    expect(failureOf(() => verify(request, '', signedAtMs - 5 * minute - 1))).toBe('signature-expired')
  })

  it.each([
    ['more than a week', 'X-Amz-Expires=900', 'X-Amz-Expires=604801', 'signature-incomplete'],
    ['no time at all', 'X-Amz-Expires=900', 'X-Amz-Expires=0', 'signature-incomplete'],
    ['a life that is no number', 'X-Amz-Expires=900', 'X-Amz-Expires=1e3', 'signature-incomplete'],
    ['another life', 'X-Amz-Expires=900', 'X-Amz-Expires=901', 'signature-mismatch'],
    ['no life', 'X-Amz-Expires=900&', '', 'signature-incomplete'],
    ['no date', /X-Amz-Date=[^&]+&?/, '', 'signature-incomplete'],
    ['no signature', /&?X-Amz-Signature=[^&]+/, '', 'signature-incomplete'],
    ['a repeated parameter', 'X-Amz-Expires=900', 'X-Amz-Expires=900&X-Amz-Expires=900', 'signature-incomplete'],
    ['another algorithm', 'AWS4-HMAC-SHA256', 'AWS4-HMAC-SHA1', 'signature-incomplete'],
    ['a token added', 'X-Amz-Expires=900', 'X-Amz-Security-Token=t&X-Amz-Expires=900', 'signature-mismatch'],
    ['a parameter added', 'X-Amz-Expires=900', 'Action=x&X-Amz-Expires=900', 'signature-mismatch'],
  ])('refuses %s', async (_, from, to, code) => {
    const request = await presigned({ ...plainRequest, method: 'GET', headers: { host }, body: '' })
    const target = request.target.replace(from, to)

    expect(target).not.toBe(request.target)
    expect(failureOf(() => verify({ ...request, target }, ''))).toBe(code)
  })

  it('reads the session token', async () => {
    const withToken = new SignatureV4({
      credentials: { accessKeyId, secretAccessKey, sessionToken: 'the token' },
      region: 'eu-central-1',
      service: 'ecr',
      sha256: Sha256,
    })
    const request = { ...plainRequest, protocol: 'https:', hostname: 'registry.example' }
    const inHeader = onTheWire(await withToken.sign(request, { signingDate: new Date(signedAtMs) }))
    const inQuery = onTheWire(await withToken.presign(request, { signingDate: new Date(signedAtMs) }))

    expect(parseSignature(inHeader, signedAtMs).sessionToken).toBe('the token')
    expect(parseSignature(inQuery, signedAtMs).sessionToken).toBe('the token')
    verify(inHeader, plainRequest.body)
    verify(inQuery, plainRequest.body)
  })
})

/** Signatures published in AWS's Signature Version 4 test suite. */
describe('published vectors', () => {
  const date = '20150830T123600Z'
  it.each([
    ['get-vanilla', 'GET', '/', {}, '', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
    ['get-vanilla-query-order', 'GET', '/?Param2=value2&Param1=value1', {}, '', 'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500'],
    ['get-relative', 'GET', '/example/..', {}, '', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
    ['get-slashes', 'GET', '//example//', {}, '', '9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84'],
    ['get-unreserved', 'GET', '/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz', {}, '', '07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f'],
    ['get-header-key-duplicate', 'GET', '/', { 'my-header1': ['value2', 'value2', 'value1'] }, '', 'c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea'],
    ['get-header-value-trim', 'GET', '/', { 'my-header1': [' value1'], 'my-header2': [' "a   b   c"'] }, '', 'acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736'],
    ['post-vanilla', 'POST', '/', {}, '', '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'],
    ['post-x-www-form-urlencoded', 'POST', '/', { 'content-type': ['application/x-www-form-urlencoded'] }, 'Param1=value1', 'ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a'],
  ] as const)('%s', (_, method, target, more, body, signature) => {
    const headers: Record<string, readonly string[]> = { ...more, 'x-amz-date': [date] }
    const signedHeaders = [...Object.keys(headers), 'host'].sort().join(';')
    headers['authorization'] = [
      `AWS4-HMAC-SHA256 Credential=${accessKeyId}/20150830/us-east-1/service/aws4_request, SignedHeaders=${signedHeaders}, Signature=${signature}`,
    ]
    const request: SignableRequest = { method, target, headers, host: 'example.amazonaws.com' }

    const parsed = parseSignature(request, Date.parse('2015-08-30T12:36:00Z'))

    verifySignature(parsed, request, sha256(body), secretAccessKey, new SigningKeys())
  })
})

describe('signing keys', () => {
  it('keeps the keys that verified something, up to its limit', async () => {
    const keys = new SigningKeys(2)
    const request = await signedPlain
    const scope = { date: '20261123', region: 'r1', service: 'ecr' }

    verify(request, plainRequest.body, signedAtMs, keys)
    expect(keys.size).toBe(1)
    expect(failureOf(() => verify(request, 'other', signedAtMs, keys))).toBe('signature-mismatch')
    expect(keys.size).toBe(1)

    for (const region of ['r1', 'r2', 'r3']) keys.remember(accessKeyId, secretAccessKey, { ...scope, region }, Buffer.alloc(32))
    expect(keys.size).toBe(2)
  })

  it('does not use the key of a replaced secret', async () => {
    const keys = new SigningKeys()
    const request = await signedPlain
    verify(request, plainRequest.body, signedAtMs, keys)
    const signature = parseSignature(request, signedAtMs)

    expect(failureOf(() => verifySignature(signature, request, sha256(plainRequest.body), 'another secret', keys))).toBe('signature-mismatch')
  })
})

describe('the claimed service', () => {
  it('is read from either form, without judging the signature', async () => {
    expect(claimedService(await signed(plainRequest))).toBe('ecr')
    expect(claimedService(await presigned(plainRequest))).toBe('ecr')
    expect(claimedService({ method: 'GET', target: '/', headers: {}, host })).toBeUndefined()
    expect(claimedService({ method: 'GET', target: '/', headers: { authorization: ['Basic eDp5'] }, host })).toBeUndefined()
  })
})
