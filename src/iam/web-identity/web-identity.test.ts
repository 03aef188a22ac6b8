import { createHmac, generateKeyPairSync } from 'node:crypto'
import { base64url, exportJWK, SignJWT, UnsecuredJWT, type JWTPayload } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startOidcIssuer, type OidcIssuer, type TokenAlgorithm } from '../../../test/support/oidc-issuer.ts'
import { failureOf, SteppedClock } from '../iam.test-support.ts'
import { createIssuerFetch, IssuerKeys, verifyWebIdentity, type IssuerFetchOptions, type VerifiedWebIdentity } from './index.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const audience = 'sts.amazonaws.com'

interface Verifier {
  readonly clock: SteppedClock
  readonly failures: { issuer: string; url: unknown; reason: unknown; stale: boolean }[]
  verify(token: string): Promise<VerifiedWebIdentity>
}

let issuer: OidcIssuer

beforeAll(async () => {
  issuer = await startOidcIssuer()
})
afterAll(() => issuer.stop())

function only(...hosts: string[]): IssuerFetchOptions['mayBePrivate'] {
  return (host) => hosts.includes(host)
}

function verifier(of: OidcIssuer = issuer, options: Partial<IssuerFetchOptions> & { readonly clientIds?: readonly string[] } = {}): Verifier {
  const clock = new SteppedClock(Date.now())
  const failures: Verifier['failures'] = []
  const fetch = createIssuerFetch({ mayBePrivate: only(of.host), caFile: of.caFile, ...options })
  const keys = new IssuerKeys({ fetch, clock, onFailure: (failure) => failures.push(failure) })
  const provider = { url: of.url, clientIds: options.clientIds ?? [audience] }
  const findProvider = async (url: string) => (url === provider.url ? provider : undefined)
  return { clock, failures, verify: (token) => verifyWebIdentity({ keys, clock, accountId: '000000000000', findProvider }, token) }
}

const github = {
  sub: 'repo:octo-org/octo-repo:environment:prod',
  aud: audience,
  repository: 'octo-org/octo-repo',
  repository_id: '74',
  run_attempt: 1,
  runner_environment: 'github-hosted',
  ref_protected: true,
}

describe('a token', () => {
  it.each(['RS256', 'RS384', 'RS512', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'] satisfies TokenAlgorithm[])('signed with %s tells who its bearer is', async (alg) => {
    const { verify } = verifier()

    const identity = await verify(await issuer.sign(github, { alg }))

    expect(identity).toMatchObject({ subject: github.sub, audiences: [audience], provider: { url: issuer.url } })
  })

  it('has its simple claims as condition keys under its issuer’s name', async () => {
    const { verify } = verifier()
    const claims = { ...github, groups: ['dev', 'ops'], nested: { a: 1 }, mixed: ['a', { b: 1 }], none: null }

    const { conditions } = await verify(await issuer.sign(claims))

    expect(conditions).toMatchObject({
      [`${issuer.url}:sub`]: github.sub,
      [`${issuer.url}:aud`]: audience,
      [`${issuer.url}:repository`]: 'octo-org/octo-repo',
      [`${issuer.url}:run_attempt`]: '1',
      [`${issuer.url}:ref_protected`]: 'true',
      [`${issuer.url}:groups`]: ['dev', 'ops'],
    })
    expect(Object.keys(conditions).filter((key) => /nested|mixed|none/.test(key))).toEqual([])
  })

  it('is for the party that it names as authorized, before its audience', async () => {
    const { verify } = verifier(issuer, { clientIds: ['client-1'] })

    const { conditions } = await verify(await issuer.sign({ ...github, aud: ['api', 'other'], azp: 'client-1' }))
    expect(conditions).toMatchObject({ [`${issuer.url}:aud`]: 'client-1', [`${issuer.url}:oaud`]: ['api', 'other'], [`${issuer.url}:azp`]: 'client-1' })

    const other = await issuer.sign({ ...github, aud: ['client-1'], azp: 'client-2' })
    expect((await failureOf(() => verify(other))).message).toBe('Incorrect token audience')
  })

  it('may have several audiences, of which one has to be the provider’s', async () => {
    const { verify } = verifier()

    expect((await verify(await issuer.sign({ ...github, aud: ['x', audience] }))).audiences).toEqual(['x', audience])
    for (const aud of ['x', ['x', 'y'], `${audience}/`, audience.toUpperCase()]) {
      expect((await failureOf(async () => verify(await issuer.sign({ ...github, aud })))).message).toBe('Incorrect token audience')
    }
  })

  it('may carry session tags and a source identity', async () => {
    const { verify } = verifier()
    const tags = { principal_tags: { Project: ['Automation'], Team: 'Ops' }, transitive_tag_keys: ['Project'] }

    const identity = await verify(await issuer.sign({ ...github, 'https://aws.amazon.com/tags': tags, 'https://aws.amazon.com/source_identity': 'alice' }))

    expect(identity).toMatchObject({ tags: { Project: 'Automation', Team: 'Ops' }, transitiveTagKeys: ['Project'], sourceIdentity: 'alice' })
    for (const wrong of ['x', [1], { principal_tags: { A: ['1', '2'] } }, { principal_tags: { A: [1] } }, { transitive_tag_keys: 'A' }]) {
      expect(await failureOf(async () => verify(await issuer.sign({ ...github, 'https://aws.amazon.com/tags': wrong })))).toMatchObject({ code: 'identity-token-invalid' })
    }
  })

  it('is refused before its time and after its end, with some leeway for clocks', async () => {
    const { verify, clock } = verifier()
    const now = Math.floor(clock.now() / 1000)
    const at = (claims: object): Promise<string> => issuer.sign({ ...github, ...claims })

    await verify(await at({ exp: now - 50 }))
    expect(await failureOf(async () => verify(await at({ exp: now - 60 })))).toMatchObject({
      code: 'identity-token-expired',
      message: `Token expired: current date/time ${now} must be before the expiration date/time ${now - 60}`,
    })
    await verify(await at({ nbf: now + 290, iat: now + 290 }))
    for (const early of [{ nbf: now + 310 }, { iat: now + 310 }, { nbf: 'soon' }]) {
      expect(await failureOf(async () => verify(await at(early)))).toMatchObject({ code: 'identity-token-rejected' })
    }
  })

  it.each(['iss', 'sub', 'aud', 'exp', 'iat'])('without %s is refused', async (claim) => {
    const { verify } = verifier()

    const token = await issuer.sign({ ...github, [claim]: undefined })

    expect(await failureOf(() => verify(token))).toMatchObject({ code: 'identity-token-invalid', message: `Missing a required claim: ${claim}` })
  })

  it.each([
    ['another scheme', (url: string) => `http://${url}`],
    ['no scheme', (url: string) => url],
    ['another case', (url: string) => `https://${url.toUpperCase()}`],
    ['another case of the scheme', (url: string) => `HTTPS://${url}`],
    ['a slash behind', (url: string) => `https://${url}/`],
    ['a path', (url: string) => `https://${url}/.`],
    ['a user in front', (url: string) => `https://x@${url}`],
    ['white space', (url: string) => `https://${url} `],
    ['another host', () => 'https://token.actions.githubusercontent.com'],
    ['a number', () => 7 as unknown as string],
    ['a long text', (url: string) => `https://${url}/${'x'.repeat(3000)}`],
  ])('of an issuer with %s is of no provider', async (_, iss) => {
    const { verify } = verifier()
    const asked = issuer.requests.length

    const failure = await failureOf(async () => verify(await issuer.sign({ ...github, iss: iss(issuer.url) })))

    expect(failure).toMatchObject({ code: 'identity-token-invalid' })
    expect(failure.message).toMatch(/^(No OpenIDConnect provider found in your account for |Missing a required claim: iss)/)
    expect(failure.message.length).toBeLessThan(400)
    expect(issuer.requests.length).toBe(asked)
  })

  it('with two claims that differ in case alone is refused: conditions could not tell them apart', async () => {
    const { verify } = verifier()

    expect(await failureOf(async () => verify(await issuer.sign({ ...github, Sub: 'repo:evil/evil:ref' })))).toMatchObject({ code: 'identity-token-invalid' })
  })

  it('cannot put a key into the prototype of anything', async () => {
    const { verify } = verifier()
    const token = await issuer.sign(JSON.parse(`{"sub":"x","aud":"${audience}","__proto__":"y","constructor":"z"}`) as JWTPayload)

    expect(Object.keys((await verify(token)).conditions).filter((key) => key.includes('__proto__'))).toEqual([])
  })
})

describe('a forged token', () => {
  async function refused(token: string): Promise<void> {
    const { verify } = verifier()
    expect(await failureOf(() => verify(token))).toMatchObject({ code: 'identity-token-invalid' })
  }
  const now = Math.floor(Date.now() / 1000)
  const claims = (): object => ({ iss: issuer.issuer, iat: now, exp: now + 300, ...github })

  it('has no signature', async () => {
    await issuer.sign(github)
    await refused(new UnsecuredJWT({ ...claims() }).encode())
    const [, payload = ''] = (await issuer.sign(github)).split('.')
    for (const alg of ['none', 'None', 'NONE', '', undefined]) {
      const header = base64url.encode(JSON.stringify({ alg, kid: 'key-RS256' }))
      await refused(`${header}.${payload}.`)
      await refused(`${header}.${payload}`)
    }
  })

  it('takes the public key for a shared secret', async () => {
    await issuer.sign(github)
    const jwk = issuer.publishedKeys()[0]!
    for (const secret of [JSON.stringify(jwk), jwk.n!, Buffer.from(jwk.n!, 'base64url')]) {
      const head = `${base64url.encode(JSON.stringify({ alg: 'HS256', kid: jwk.kid }))}.${base64url.encode(JSON.stringify(claims()))}`
      await refused(`${head}.${createHmac('sha256', secret).update(head).digest('base64url')}`)
    }
  })

  it('brings its own key, or says where one is', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const jwk = await exportJWK(publicKey)
    for (const header of [{ jwk }, { jku: `${issuer.issuer}/keys` }, { x5u: `${issuer.issuer}/keys` }, { x5c: ['MIIB'] }, { jwk, kid: 'key-RS256' }, { kid: '../../dev/null' }, { kid: '' }, { kid: "x' or '1'='1" }]) {
      await issuer.sign(github)
      const { alg, ...more } = { alg: 'RS256', ...header }
      await refused(await new SignJWT({ ...claims() }).setProtectedHeader({ alg, ...more }).sign(privateKey))
    }
  })

  it('was signed for something else, by another key, or changed', async () => {
    const { verify } = verifier()
    const token = await issuer.sign(github)
    await verify(token)
    const [header = '', payload = '', signature = ''] = token.split('.')
    const other = await issuer.sign({ ...github, sub: 'repo:evil/evil:ref:refs/heads/main' })
    await refused([header, other.split('.')[1], signature].join('.'))
    await refused(`${header}.${payload}.${signature.slice(0, -4)}AAAA`)
    await refused(await issuer.sign(github, { header: { alg: 'PS256' }, kid: 'key-RS256' }).catch(() => 'a.b.c'))
    await refused(await issuer.sign(github, { header: { b64: false, crit: ['b64'] } }).catch(() => 'a.b.c'))
    await refused(await issuer.sign(github, { header: { crit: ['exp'] } }).catch(() => 'a.b.c'))
    await using stranger = await startOidcIssuer()
    await refused(await stranger.sign({ ...github, iss: issuer.issuer }, { kid: 'key-RS256' }))
  })

  it.each(['', 'x', 'a.b', 'a.b.c.d.e', '....', '\0.\0.\0', `${'A'.repeat(19_000)}.e30.`, 'eyJhbGciOiJSUzI1NiJ9.bnVsbA.AA', 'eyJhbGciOiJSUzI1NiJ9.WzFd.AA'])('is no token at all: %.20j', async (text) => {
    await refused(text)
  })
})

describe('the keys of an issuer', () => {
  it('are asked for once, however many come at once, and kept for an hour', async () => {
    const { verify, clock } = verifier()
    const token = await issuer.sign({ ...github, exp: Math.floor(Date.now() / 1000) + 90 * 60 })
    const asked = issuer.requests.length

    await Promise.all(Array.from({ length: 20 }, () => verify(token)))
    expect(issuer.requests.slice(asked)).toEqual(['/.well-known/openid-configuration', '/keys'])
    clock.advance(hourMs - 1)
    await verify(token)
    expect(issuer.requests.length).toBe(asked + 2)
    clock.advance(1)
    await verify(token)
    expect(issuer.requests.length).toBe(asked + 4)
  })

  it('are fetched anew for a key that is not among them, once a minute', async () => {
    await using own = await startOidcIssuer()
    const { verify, clock } = verifier(own)
    await verify(await own.sign(github, { kid: 'first' }))
    clock.advance(minuteMs)
    const asked = own.requests.length

    await verify(await own.sign(github, { kid: 'second' }))
    expect(own.requests.length).toBe(asked + 2)
    own.withdraw('first')
    const unknown = await own.sign(github, { kid: 'third' })
    own.withdraw('third')
    for (let n = 0; n < 5; n += 1) await failureOf(() => verify(unknown))
    expect(own.requests.length).toBe(asked + 2)
    clock.advance(minuteMs)
    expect(await failureOf(() => verify(unknown))).toMatchObject({ code: 'identity-token-invalid' })
    expect(own.requests.length).toBe(asked + 4)
    // And what was withdrawn is gone since.
    expect(await failureOf(async () => verify(await own.sign(github, { kid: 'first' })))).toMatchObject({ code: 'identity-token-invalid' })
  })

  it('are used on for a day where the issuer does not answer, and not longer', async () => {
    await using own = await startOidcIssuer()
    const { verify, clock, failures } = verifier(own)
    const token = (): Promise<string> => own.sign({ ...github, iat: Math.floor(clock.now() / 1000), nbf: 0, exp: Math.floor(clock.now() / 1000) + 300 })
    await verify(await token())
    own.intercept = (_, response) => {
      response.writeHead(503).end()
      return true
    }

    clock.advance(hourMs)
    const asked = own.requests.length
    await verify(await token())
    await verify(await token())
    expect(own.requests.length).toBe(asked + 1)
    expect(failures).toMatchObject([{ issuer: own.issuer, reason: 'status 503', stale: true }])
    clock.advance(24 * hourMs)
    expect(await failureOf(async () => verify(await token()))).toMatchObject({ code: 'identity-provider-unreachable' })
    own.intercept = undefined
    expect(await failureOf(async () => verify(await token()))).toMatchObject({ code: 'identity-provider-unreachable' })
    clock.advance(10_000)
    await verify(await token())
  })

  it('are of no use to an account that may not ask a private issuer itself, and do not show it that another did', async () => {
    const clock = new SteppedClock(Date.now())
    const [allowed, refused] = ['111111111111', '222222222222']
    const keys = new IssuerKeys({
      fetch: createIssuerFetch({ mayBePrivate: (host, askedBy) => host === issuer.host && askedBy === allowed, caFile: issuer.caFile }),
      clock,
      onFailure: () => undefined,
    })
    const provider = { url: issuer.url, clientIds: [audience] }
    const verifyFor = (accountId: string, token: string) => verifyWebIdentity({ keys, clock, accountId, findProvider: async () => provider }, token)
    const token = await issuer.sign(github)

    const before = await failureOf(() => verifyFor(refused, token))
    await verifyFor(allowed, token)
    clock.advance(minuteMs)
    const asked = issuer.requests.length
    const after = await failureOf(() => verifyFor(refused, token))

    expect(before).toMatchObject({ code: 'identity-token-invalid', detail: { reason: expect.stringContaining('does not open it to this account') as string } })
    expect([after.code, after.message]).toEqual([before.code, before.message])
    expect(issuer.requests.length).toBe(asked)
    // Nor does a refused account's failure stand in the way of the other.
    await verifyFor(allowed, token)
  })

  it('are not those of a page that names another issuer', async () => {
    await using own = await startOidcIssuer('/realms/build')
    const { verify } = verifier(own)
    await verify(await own.sign(github))
    const other = verifier(own)
    own.intercept = (_, response) => {
      response.end(JSON.stringify({ issuer: 'https://elsewhere.example', jwks_uri: `${own.issuer}/keys` }))
      return true
    }

    expect(await failureOf(async () => other.verify(await own.sign(github)))).toMatchObject({ code: 'identity-token-invalid', detail: { reason: 'it is another issuer’s' } })
  })

  it.each<[string, unknown]>([
    ['no object', '"x"'],
    ['no JSON', '<html>'],
    ['no keys', '{}'],
    ['no list', '{"keys":{}}'],
    ['an empty list', '{"keys":[]}'],
    ['shared secrets alone', '{"keys":[{"kty":"oct","k":"AAAA","kid":"key-RS256"}]}'],
    ['keys for encryption alone', '{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","use":"enc"}]}'],
    ['keys that are none', '{"keys":[{"kty":"RSA","n":"!","e":"","kid":"key-RS256","alg":"RS256"}]}'],
    ['a small key', `{"keys":[{"kty":"RSA","n":"${Buffer.alloc(64, 0xff).toString('base64url')}","e":"AQAB","kid":"key-RS256","alg":"RS256"}]}`],
    ['too many', JSON.stringify({ keys: Array.from({ length: 201 }, () => ({ kty: 'RSA' })) })],
    ['a huge page', `{"keys":[],"x":"${'x'.repeat(1024 * 1024)}"}`],
  ])('are refused where the page has %s', async (_, body) => {
    await using own = await startOidcIssuer()
    const { verify } = verifier(own)
    own.intercept = ({ url }, response) => {
      if (url !== '/keys') return false
      response.end(body)
      return true
    }

    expect(await failureOf(async () => verify(await own.sign(github)))).toMatchObject({ code: 'identity-token-invalid' })
  })
})

describe('what is fetched', () => {
  const fetchWith = (options: Partial<IssuerFetchOptions> = {}) => {
    const fetch = createIssuerFetch({ mayBePrivate: only(issuer.host), caFile: issuer.caFile, ...options })
    return (url: string, askedBy = '000000000000') => fetch(url, askedBy)
  }
  const discovery = '/.well-known/openid-configuration'

  it('is from servers that are trusted', async () => {
    await expect(fetchWith()(`${issuer.issuer}${discovery}`)).resolves.toMatchObject({ content: { issuer: issuer.issuer } })

    expect(await failureOf(() => fetchWith({ caFile: undefined })(`${issuer.issuer}${discovery}`))).toMatchObject({ code: 'identity-provider-unreachable' })
  })

  it.each(['http://localhost', 'ftp://localhost', 'file:///etc/passwd', 'https://user:secret@localhost', 'localhost', ''])('is nothing but https: %j', async (start) => {
    const url = start.startsWith('http:') ? `http://${issuer.host}/` : start

    expect(await failureOf(() => fetchWith()(url))).toMatchObject({ code: 'identity-token-invalid', detail: { reason: 'only https is asked' } })
  })

  it.each(['https://127.0.0.1', 'https://[::1]', 'https://[::ffff:127.0.0.1]', 'https://0x7f.1', 'https://2130706433', 'https://localhost', 'https://169.254.169.254'])('is never within the network: %s', async (origin) => {
    const asked = issuer.requests.length
    const port = issuer.host.split(':')[1]

    const failure = await failureOf(() => fetchWith({ mayBePrivate: only('localhost:443', 'localhost') })(`${origin}:${port}${discovery}`))

    expect(failure).toMatchObject({ code: 'identity-token-invalid' })
    expect(failure.message).not.toMatch(/private|address|127/)
    expect(issuer.requests.length).toBe(asked)
  })

  it('comes from the address that was looked at, not from what the name leads to a moment later', async () => {
    const port = issuer.host.split(':')[1]
    let lookups = 0
    // A name that leads nowhere for everybody who looks it up again.
    const resolve = async () => {
      lookups += 1
      return [{ address: '127.0.0.1', family: 4 }]
    }

    const fetch = fetchWith({ resolve, mayBePrivate: only(`issuer.test:${port}`) })
    await expect(fetch(`https://issuer.test:${port}${discovery}`)).resolves.toMatchObject({ content: { issuer: issuer.issuer } })
    expect(lookups).toBe(1)
  })

  it('is only from the public ones of a name’s addresses', async () => {
    const asked = issuer.requests.length
    const resolve = async () => [{ address: '127.0.0.1', family: 4 }, { address: '::ffff:127.0.0.1', family: 6 }]

    expect(await failureOf(() => fetchWith({ resolve, mayBePrivate: only() })(`${issuer.issuer}${discovery}`))).toMatchObject({ code: 'identity-token-invalid' })
    expect(issuer.requests.length).toBe(asked)
  })

  it('is never behind a redirect', async () => {
    await using own = await startOidcIssuer()
    own.intercept = ({ url }, response) => {
      if (url !== discovery) return false
      response.writeHead(302, { location: `${own.issuer}/keys` }).end()
      return true
    }

    expect(await failureOf(() => fetchWith({ mayBePrivate: only(own.host), caFile: own.caFile })(`${own.issuer}${discovery}`))).toMatchObject({ detail: { reason: 'status 302' } })
    expect(own.requests).toEqual([discovery])
  })

  it('comes within five seconds or not at all', async () => {
    await using own = await startOidcIssuer()
    own.intercept = (_, response) => {
      response.writeHead(200).write('{')
      return true
    }
    const fetch = fetchWith({ mayBePrivate: only(own.host), caFile: own.caFile })
    const silent = fetchWith({ resolve: () => new Promise(() => undefined) })

    const failures = await Promise.all([failureOf(() => fetch(`${own.issuer}${discovery}`)), failureOf(() => silent(`${issuer.issuer}${discovery}`))])

    expect(failures).toMatchObject([{ code: 'identity-provider-unreachable' }, { code: 'identity-provider-unreachable' }])
  })

  it('waits for no name server of another account', async () => {
    const asked: string[] = []
    const fetch = fetchWith({
      resolve: async (hostName) => {
        asked.push(hostName)
        if (hostName.startsWith('dead')) await new Promise(() => undefined)
        return [{ address: '127.0.0.1', family: 4 }]
      },
    })
    const dead = Array.from({ length: 25 }, (_, index) => failureOf(() => fetch(`https://dead-${index}.example${discovery}`, '111111111111')))

    await expect(fetch(`${issuer.issuer}${discovery}`, '222222222222')).resolves.toMatchObject({ content: { issuer: issuer.issuer } })
    // One look-up of the account is under way, and no more than twenty wait for it.
    expect(asked).toEqual(['dead-0.example', 'localhost'])
    expect((await Promise.all(dead.slice(21))).map(({ code }) => code)).toEqual(Array.from({ length: 4 }, () => 'identity-provider-unreachable'))
    expect((await dead[0])?.code).toBe('identity-provider-unreachable')
  })

  it('fails where nobody answers', async () => {
    const own = await startOidcIssuer()
    await own.stop()

    expect(await failureOf(() => fetchWith({ mayBePrivate: only(own.host), caFile: issuer.caFile })(`${own.issuer}${discovery}`))).toMatchObject({
      code: 'identity-provider-unreachable',
      detail: { reason: 'ECONNREFUSED' },
    })
  })
})
