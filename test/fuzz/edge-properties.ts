import { isIP } from 'node:net'
import fc from 'fast-check'
import { createLogger } from '../../src/cli/log.ts'
import { parseNetworkRange } from '../../src/config/address.ts'
import { authenticate } from '../../src/http/distribution/authenticate.ts'
import { loggedPath } from '../../src/http/ops/access-log.ts'
import { createSourceReader } from '../../src/http/source.ts'
import { CredentialThrottle, iamError } from '../../src/iam/index.ts'
import { systemClock } from '../../src/internal/clock.ts'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import { mutated } from './mutation.ts'
import { parserProperty, require, requireEqual, type ParserProperty } from './parser-property.ts'

const readSource = createSourceReader([parseNetworkRange('10.0.0.0/8')!, parseNetworkRange('::1')!])

const optional = (samples: readonly string[]) => fc.option(mutated(samples), { nil: undefined })
const sources = fc.record({
  peer: fc.oneof(fc.constantFrom('10.1.2.3', '192.0.2.1', '::1', '::ffff:10.0.0.1', undefined), mutated(['10.1.2.3', 'fe80::1%eth0'])),
  encrypted: fc.boolean(),
  headers: fc.record(
    {
      host: optional(['localhost:5050', '[::1]:5050', 'registry.example.com']),
      'x-forwarded-for': optional(['192.0.2.7', '192.0.2.7, 10.1.1.1, [2001:db8::1]:443', '1,'.repeat(100)]),
      'x-forwarded-proto': optional(['https', 'http', 'https,http']),
      'x-forwarded-host': optional(['registry.example.com', 'a,b']),
    },
    { noNullPrototype: true },
  ),
})

const authentication = {
  clock: systemClock,
  tokens: {
    read(): never {
      throw iamError('token-invalid', 'no token is right here')
    },
  },
  credentials: { findAccessKey: async () => undefined },
  throttle: new CredentialThrottle({ clock: systemClock }),
}

const targets = [
  '/v2/app/blobs/uploads/1?_state=hidden-hidden&digest=sha256%3A00', '/?X-Amz-Signature=hidden-hidden&X-Amz-Date=d', '/_stowage/layers/hidden-hidden',
]

export const edgeProperties: readonly ParserProperty[] = [
  parserProperty('where a request comes from', sources, (input) => {
    const { sourceIp, host } = readSource(input)
    require(isIP(sourceIp) !== 0, 'its source is an address')
    require(!sourceIp.startsWith('::ffff:'), 'an IPv4 address has one spelling')
    require(host === undefined || /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/.test(host), 'its host is one')
    if (input.peer === '192.0.2.1') requireEqual(sourceIp, '192.0.2.1', 'nobody speaks for others')
  }),

  parserProperty(
    'a login',
    mutated([`Basic ${Buffer.from('AWS:v1.a.b').toString('base64')}`, `Basic ${Buffer.from('AKIA:s').toString('base64')}`, 'Basic', 'Bearer x', `Basic ${'A'.repeat(9000)}`]),
    async (header) => {
      const failure = await authenticate(authentication, header, '192.0.2.1').catch((error: unknown) => error)
      const codes = ['unauthenticated', 'token-invalid', 'access-key-unknown', 'throttled']
      require(isPlatformError(failure) && codes.includes(failure.code), 'it is refused in one of four ways')
      require(header.length < 8 || !JSON.stringify([failure.message, failure.detail]).includes(header), 'the refusal repeats nothing of it')
    },
  ),

  parserProperty('what the log shows of a path', mutated(targets), (target) => {
    const shown = loggedPath(target)
    require(shown.length <= 1025, 'it is short')
    const mark = target.indexOf('?')
    const path = mark === -1 ? target : target.slice(0, mark)
    if (!path.includes('hidden') && target.includes('=hidden-hidden')) {
      require(!shown.includes('hidden-hidden') || /[?&](digest|n|last|tag|ns|from|mount)=[^&]*hidden-hidden/i.test(shown), 'no secret of the query is in it')
    }
    requireEqual(path.startsWith('/_stowage/layers/') && shown.includes('hidden-hidden'), false, 'no link is in it')
  }),

  parserProperty('a line of the log', fc.tuple(mutated(['docker/28', 'a\nb', '\u001b[2J', '" status=200']), fc.constantFrom('json', 'text')), ([text, logFormat]) => {
    let written = ''
    const logger = createLogger({ logLevel: 'info', logFormat }, { write: (line: string) => (written += line) })
    logger.info({ userAgent: text, path: text }, 'request')
    requireEqual(written.split('\n').length, 2, 'it is one line')
    require(!/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]/u.test(written), 'it has no control character')
    if (logFormat === 'json') requireEqual((JSON.parse(written) as { userAgent: string }).userAgent.toWellFormed(), text.toWellFormed(), 'it says what was sent')
  }),
]
