import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { CredentialThrottle, EcrTokenReader, issueEcrToken, openKeyring, rootPrincipal } from '../../iam/index.ts'
import type { Clock } from '../../internal/clock.ts'
import { systemIds } from '../../internal/ids.ts'
import { newKeyring, serializeKeyring } from '../../iam/keyring-document.ts'
import { parseAccountId, parseRegion } from '../../values/account.ts'
import { authenticate, type Authentication, type LoginKey } from './authenticate.ts'

const startedAt = Date.UTC(2026, 0, 15)
const region = parseRegion('eu-west-1')
const accountId = parseAccountId('123456789012')
const sourceIp = '192.0.2.1'
const hourMs = 60 * 60 * 1000

function keyOf(accessKeyId: string, more: Partial<LoginKey> = {}): LoginKey {
  return { secretAccessKey: 'right+secret/key', principal: rootPrincipal(accountId, accessKeyId), status: 'active', ...more }
}

/** Logins against real tokens and a real throttle; the access keys are those given. */
async function login(keys: Record<string, LoginKey> = { AKIDROOT: keyOf('AKIDROOT') }) {
  let nowMs = startedAt
  const clock: Clock = { now: () => nowMs }
  const keyring = await openKeyring({
    dataDir: '/nonexistent',
    keyring: serializeKeyring(newKeyring(clock, systemIds)),
    requireExisting: true,
    clock,
    ids: systemIds,
  })
  const authentication: Authentication = {
    clock,
    tokens: new EcrTokenReader(keyring),
    credentials: { findAccessKey: (id) => Promise.resolve(keys[id]) },
    throttle: new CredentialThrottle({ clock }),
  }
  return {
    issue: (accessKeyId: string) =>
      issueEcrToken(keyring, {
        principal: rootPrincipal(accountId, accessKeyId),
        region,
        issuedAt: nowMs,
        expiresAt: nowMs + 12 * hourMs,
      }),
    wait: (ms: number) => (nowMs += ms),
    withHeader: (header: string | undefined) => authenticate(authentication, header, sourceIp),
    as: (user: string, password: string) =>
      authenticate(authentication, `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`, sourceIp),
  }
}

const withCode = (code: string) => expect.objectContaining({ code })

describe('a registry token', () => {
  it('stands for its principal, in its region', async () => {
    const { as, issue } = await login()

    await expect(as('AWS', issue('AKIDROOT'))).resolves.toEqual({
      principal: rootPrincipal(accountId, 'AKIDROOT'),
      region,
    })
  })

  it('expires after twelve hours', async () => {
    const { as, issue, wait } = await login()
    const token = issue('AKIDROOT')

    wait(12 * hourMs - 1)
    await expect(as('AWS', token)).resolves.toBeDefined()
    wait(1)
    await expect(as('AWS', token)).rejects.toEqual(withCode('token-expired'))
  })

  it('ends with its access key', async () => {
    const { as, issue } = await login({ AKIDOLD: keyOf('AKIDOLD', { status: 'inactive' }) })

    await expect(as('AWS', issue('AKIDOLD'))).rejects.toEqual(withCode('access-key-unknown'))
    await expect(as('AWS', issue('AKIDGONE'))).rejects.toEqual(withCode('access-key-unknown'))
  })

  it('is not accepted from another user name', async () => {
    const { as, issue } = await login()

    await expect(as('aws', issue('AKIDROOT'))).rejects.toEqual(withCode('access-key-unknown'))
  })

  it('passes however many forged ones came before, which are held up', async () => {
    const { as, issue } = await login()
    const codes: string[] = []
    for (let attempt = 0; attempt < 60; attempt++) {
      codes.push(await as('AWS', `v1.forged.${attempt}`).then(() => 'accepted', (error: { code: string }) => error.code))
    }

    expect(new Set(codes)).toEqual(new Set(['token-invalid', 'throttled']))
    await expect(as('AWS', issue('AKIDROOT'))).resolves.toBeDefined()
  })

  it('that expired or lost its key never counts as a wrong one', async () => {
    const { as, issue, wait } = await login()
    const expired = issue('AKIDROOT')
    const orphan = issue('AKIDGONE')
    wait(6 * hourMs)
    for (let attempt = 0; attempt < 60; attempt++) await as('AWS', orphan).catch(() => undefined)
    wait(6 * hourMs)
    for (let attempt = 0; attempt < 60; attempt++) await as('AWS', expired).catch(() => undefined)

    await expect(as('AWS', 'forged')).rejects.toEqual(withCode('token-invalid'))
  })
})

describe('an access key', () => {
  it('logs in with its secret, in no region of its own', async () => {
    const { as } = await login()

    await expect(as('AKIDROOT', 'right+secret/key')).resolves.toEqual({
      principal: rootPrincipal(accountId, 'AKIDROOT'),
      region: undefined,
    })
  })

  it.each([
    ['AKIDROOT', 'wrong', {}],
    ['AKIDNONE', 'right+secret/key', {}],
    ['AKIDROOT', 'right+secret/key', { status: 'inactive' }],
    ['AKIDROOT', 'right+secret/key', { sessionTokenSha256: hash('sha256', 'session', 'buffer') }],
  ] as const)('is refused alike for every reason: %s, %s, %j', async (user, password, more) => {
    const { as } = await login({ AKIDROOT: keyOf('AKIDROOT', more) })

    await expect(as(user, password)).rejects.toEqual(withCode('access-key-unknown'))
  })

  it('is held up after several wrong secrets, the right one included, and says for how long', async () => {
    const { as, wait } = await login()
    for (let attempt = 0; attempt < 6; attempt++) await as('AKIDROOT', 'wrong').catch(() => undefined)

    await expect(as('AKIDROOT', 'right+secret/key')).rejects.toMatchObject({
      code: 'throttled',
      detail: { retryAfterMs: expect.any(Number) },
    })
    wait(hourMs)
    await expect(as('AKIDROOT', 'right+secret/key')).resolves.toBeDefined()
  })
})

describe('the Authorization header', () => {
  const right = Buffer.from('AKIDROOT:right+secret/key').toString('base64')

  it.each([`Basic ${right}`, `basic ${right}`, `BASIC  ${right}`])('may be %.8s…', async (header) => {
    const { withHeader } = await login()

    await expect(withHeader(header)).resolves.toBeDefined()
  })

  it.each([
    undefined,
    '',
    'Basic',
    'Basic ',
    right,
    `Bearer ${right}`,
    `Basic ${Buffer.from('no colon').toString('base64')}`,
    `Basic ${Buffer.from(':password').toString('base64')}`,
    `Basic ${Buffer.from('user:').toString('base64')}`,
    'Basic ~~~~',
    `Basic ${'A'.repeat(9000)}`,
  ])('is no login: %.20s', async (header) => {
    const { withHeader } = await login()

    await expect(withHeader(header)).rejects.toEqual(withCode('unauthenticated'))
  })
})
