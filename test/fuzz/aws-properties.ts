import fc from 'fast-check'
import { canonicalRequest, queryParameters, splitTarget, type SignableRequest } from '../../src/http/aws/canonical-request.ts'
import { AwsError } from '../../src/http/aws/errors.ts'
import { decodeJson, encodeJsonError } from '../../src/http/aws/protocols/json.ts'
import { decodeQueryInput, encodeQueryError, parseQueryForm } from '../../src/http/aws/protocols/query.ts'
import { encodeRestXmlError } from '../../src/http/aws/protocols/rest-xml-error.ts'
import { Router } from '../../src/http/aws/route.ts'
import { createAddresses } from '../../src/http/aws/services/ecr/addresses.ts'
import { createEcrService } from '../../src/http/aws/services/ecr/index.ts'
import { PageTokens } from '../../src/http/aws/services/ecr/page-token.ts'
import { createStsService } from '../../src/http/aws/services/sts/index.ts'
import { checkInput, structure, string, list, integer, map, boolean, timestamp, blob } from '../../src/http/aws/shapes.ts'
import { claimedService, parseSignature, SigningKeys, verifySignature } from '../../src/http/aws/sigv4.ts'
import { newKeyring, openKeyring, readEcrToken, serializeKeyring, verifyLayerUrl } from '../../src/iam/index.ts'
import { systemClock } from '../../src/internal/clock.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import { parseAccountId, parseRegion } from '../../src/values/account.ts'
import { mutated } from './mutation.ts'
import { parsedOrRefused, parserProperty, require, requireEqual, type ParserProperty } from './parser-property.ts'

const keyring = await openKeyring({
  dataDir: '',
  keyring: serializeKeyring(newKeyring(systemClock, systemIds)),
  requireExisting: true,
  clock: systemClock,
  ids: systemIds,
})
// Only their shapes are asked for; what would do the work is never called.
const services = [createEcrService({ registry: {} as never, lifecycle: {} as never, keyring, clock: systemClock }), createStsService({} as never)]
const inputs = services.flatMap((service) => Object.values(service.operations).map((operation) => operation.input))

const nowMs = Date.UTC(2026, 0, 1)
const timestampText = '20260101T000000Z'
const scope = 'AKIDEXAMPLE/20260101/us-east-1/ecr/aws4_request'
const signature = '0'.repeat(64)
const secret = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
const payloadHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

const authorizations = [
  `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host;x-amz-date, Signature=${signature}`,
  `AWS4-HMAC-SHA256 Credential=${scope},SignedHeaders=host;x-amz-date;x-amz-target,Signature=${signature}`,
  'Basic QTpi', 'AWS4-HMAC-SHA256', 'Bearer x',
]
const presigned = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(scope)}&X-Amz-Date=${timestampText}&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=${signature}`
const targets = ['/', '/a/../b//c/./d', `/?${presigned}`, '/?Action=GetCallerIdentity&Version=2011-06-15', '/%2e%2e/x?a=b&a=&=&b', 'http://host/x?y']

const signables = fc
  .record({
    method: fc.constantFrom('GET', 'POST'),
    target: mutated(targets),
    authorization: fc.option(mutated(authorizations), { nil: undefined }),
    date: fc.option(mutated([timestampText, '20260101T000000', 'Thu, 01 Jan 2026 00:00:00 GMT']), { nil: undefined }),
    other: mutated(['AmazonEC2ContainerRegistry_V20150921.ListImages', 'x', 'rpc-v2-cbor']),
    host: mutated(['localhost:5050', 'registry.example.com']),
  })
  .map(({ method, target, authorization, date, other, host }): SignableRequest => ({
    method,
    target,
    host,
    headers: {
      host: [host],
      'x-amz-target': [other],
      ...(authorization === undefined ? {} : { authorization: [authorization] }),
      ...(date === undefined ? {} : { 'x-amz-date': [date] }),
    },
  }))

const signatureErrors = ['unauthenticated', 'signature-incomplete', 'signature-mismatch', 'signature-expired']

/** A request in the form in which its signer sees it, and which headers are signed. */
const signedParts = fc.record({
  path: mutated(['/', '/a/b', '/v2/app/x y']),
  name: fc.string({ minLength: 1, maxLength: 5 }),
  value: fc.string({ maxLength: 5 }),
  header: fc.string({ unit: fc.constantFrom('a', ' ', '\t', 'b', '"'), maxLength: 8 }),
})

function signableOf({ path, name, value, header }: { path: string; name: string; value: string; header: string }): SignableRequest {
  const query = `${encodeURIComponent(name.toWellFormed())}=${encodeURIComponent(value.toWellFormed())}`
  const latin = path.replace(/[^\x21-\x7e]|[?#]/g, '')
  return { method: 'POST', target: `/${latin}?${query}`, host: 'h', headers: { host: ['h'], 'x-amz-meta': [header], 'x-amz-date': [timestampText] } }
}

const canonicalOf = (request: SignableRequest): string =>
  canonicalRequest(request, { signedHeaders: ['host', 'x-amz-date', 'x-amz-meta'], payloadHash })

const jsonTexts = [
  '{"repositoryName":"team/app","imageIds":[{"imageTag":"a"},{"imageDigest":"sha256:00"}],"maxResults":10}',
  '{"repositoryName":"app","tags":[{"Key":"a","Value":"b"}],"imageScanningConfiguration":{"scanOnPush":true}}',
  '{"layerPartBlob":"AAEC","partFirstByte":0,"partLastByte":2,"uploadId":"7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00","repositoryName":"app"}',
  '{}', '', '{"a":[[[[1e999,-0,null,true]]]],"b":"\\ud83d\\ude00"}',
]

const forms = [
  'Action=GetCallerIdentity&Version=2011-06-15', 'Action=A&Version=1&Tags.member.1.Key=k&Tags.member.1.Value=v%20w+x&Tags.member.2.Key=',
  'M.entry.1.key=a&M.entry.1.value=b&N=1&T=2026-01-01T00:00:00Z&B=true&D=AAEC', '&&=&=x&a.b.c=1&a=2',
]
const formShape = structure({
  Tags: list(structure({ Key: string(), Value: string() })),
  M: map(string(), string()),
  N: integer(),
  T: timestamp(),
  B: boolean(),
  D: blob(),
})

const addresses = createAddresses({ registryDomain: 'example.com' })
const registry = { accountId: parseAccountId('123456789012'), region: parseRegion('us-east-1') }

export const awsProperties: readonly ParserProperty[] = [
  parserProperty('a signature', signables, (request) => {
    const service = claimedService(request)
    require(service === undefined || /^[a-z0-9-]{1,64}$/.test(service), 'a service that is claimed has a name')
    new Router(services).route(request)
    const parsed = parsedOrRefused(signatureErrors, () => parseSignature(request, nowMs))
    if (parsed === undefined) return
    requireEqual(parsed.signature.length, 32, 'a signature has 32 bytes')
    require(parsed.signedHeaders.includes('host'), 'the host is signed')
    require(/^\d{8}T\d{6}Z$/.test(parsed.timestamp), 'the time has one form')
    const forged = parsedOrRefused(signatureErrors, () => {
      verifySignature(parsed, request, payloadHash, secret, new SigningKeys())
      return true
    })
    require(forged === undefined, 'nobody guesses a signature')
  }),

  parserProperty('a canonical request', fc.tuple(signedParts, signedParts), ([left, right]) => {
    const [first, second] = [signableOf(left), signableOf(right)]
    const canonical = canonicalOf(first)
    requireEqual(canonicalOf(first), canonical, 'it is always the same')
    const again = { ...first, target: `${splitTarget(first.target).path}?${canonical.split('\n')[2] ?? ''}` }
    requireEqual(canonicalOf(again), canonical, 'a query in canonical form stays as it is')
    if (canonicalOf(second) === canonical) {
      const names = ({ target }: SignableRequest): unknown => queryParameters(splitTarget(target).query)
      requireEqual(names(first), names(second), 'two queries with one canonical form say the same')
    }
  }),

  parserProperty('a JSON input', fc.oneof(mutated(jsonTexts), fc.json()), (text) => {
    const decoded = parsedOrRefused(['SerializationException'], () => decodeJson(Buffer.from(text)))
    if (decoded !== undefined && text !== '') requireEqual(decoded, JSON.parse(Buffer.from(text).toString()), 'it is what JSON says')
  }),

  parserProperty('the input of every operation', fc.tuple(fc.constantFrom(...inputs), fc.oneof(mutated(jsonTexts), fc.json())), ([shape, text]) => {
    const decoded = parsedOrRefused(['SerializationException'], () => decodeJson(Buffer.from(text)))
    if (decoded === undefined) return
    const checked = parsedOrRefused(['SerializationException'], () => checkInput(shape, decoded))
    if (checked === undefined) return
    require(checked.violations.length <= 20, 'few violations are told')
    require(typeof checked.input === 'object', 'an input is a structure')
    requireEqual(Object.getPrototypeOf({}), Object.prototype, 'nobody changed what all objects are')
    require(!Object.hasOwn(Object.prototype, 'a'), 'nothing was added to all objects')
  }),

  parserProperty('a form', mutated(forms), (text) => {
    const form = parsedOrRefused(['MalformedInput'], () => parseQueryForm(Buffer.from(text)))
    if (form === undefined) return
    const decoded = parsedOrRefused(['MalformedInput'], () => decodeQueryInput(form, formShape))
    if (decoded !== undefined) parsedOrRefused(['SerializationException'], () => checkInput(formShape, decoded))
  }),

  parserProperty('a form that is right', fc.dictionary(fc.stringMatching(/^[A-Za-z]{1,8}$/), fc.string({ unit: 'grapheme' })), (values) => {
    const members = Object.fromEntries(Object.keys(values).map((name) => [name, string()]))
    const form = parseQueryForm(Buffer.from(new URLSearchParams(values).toString()))
    requireEqual(
      Object.entries(decodeQueryInput(form, structure(members)) as object).sort(),
      Object.entries(values).map(([name, value]) => [name, value.toWellFormed()]).sort(),
      'it is read as it was written',
    )
  }),

  parserProperty('errors in XML and JSON', fc.tuple(mutated(['<b>', ']]>', '&amp;', '"', 'plain']), mutated(['ValidationError'])), ([message, type]) => {
    const error = new AwsError(type, message)
    for (const { body } of [encodeQueryError(error, { requestId: 'r' }), encodeRestXmlError(error, { resource: message, requestId: 'r' })]) {
      const text = String(body)
      require(!/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/.test(text), 'it holds no character that XML has not')
      const bare = text.replace(/<\/?[A-Za-z]+(?: xmlns="[^"<]*")?>|<\?xml [^>]*\?>/g, '')
      require(!/[<>]|&(?!(?:amp|lt|gt|quot|apos|#xD);)/.test(bare), 'no text of a client is markup')
    }
    const { __type: shown } = JSON.parse(String(encodeJsonError(error, '1.1').body)) as { __type: string }
    requireEqual(shown, type, 'the type is a text')
  }),

  parserProperty('a page token', fc.tuple(fc.array(fc.oneof(fc.string(), fc.integer()), { maxLength: 4 }), fc.string({ unit: 'grapheme' }), mutated(['x', '.', 'v1.a.b'])), ([identity, place, text]) => {
    const tokens = new PageTokens(keyring)
    const token = tokens.issue(identity, place)
    requireEqual(tokens.read(identity, token), place, 'it says where to go on')
    const refused = parsedOrRefused(['InvalidParameterException'], () => tokens.read([...identity, 'other'], token))
    require(refused === undefined, 'it is good for its own list only')
    require(parsedOrRefused(['InvalidParameterException'], () => tokens.read(identity, text)) === undefined, 'nobody makes one up')
  }),

  parserProperty('forged tokens and links', mutated([keyring.mac(Buffer.from('x'), 'layer-url'), keyring.seal(Buffer.from('[1]'), 'ecr-token'), 'W10.v1.a.b', '']), (text) => {
    const readers: readonly (() => unknown)[] = [() => readEcrToken(keyring, text, nowMs), () => verifyLayerUrl(keyring, text, nowMs)]
    for (const read of readers) {
      require(parsedOrRefused(['token-invalid'], read) === undefined, 'nobody makes one up')
    }
    try {
      keyring.unseal(text, 'some-other-purpose')
    } catch (error) {
      if (!isPlatformError(error, 'token-invalid')) throw error
    }
  }),

  parserProperty('the addresses in answers', fc.tuple(fc.constantFrom('localhost', 'h.example.com:5050', '[::1]:5050', '10.0.0.1'), fc.boolean()), ([host, secure]) => {
    const endpoint = new URL(addresses.proxyEndpoint({ host, secure, context: { actor: registry, registry } }))
    requireEqual(endpoint.hostname, '123456789012.dkr.ecr.us-east-1.example.com', 'they name the registry')
    requireEqual(endpoint.protocol, secure ? 'https:' : 'http:', 'they have the scheme of the request')
  }),
]
