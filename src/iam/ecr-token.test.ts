import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { systemIds } from '../internal/ids.ts'
import { parseAccountId, parseRegion } from '../values/account.ts'
import { ecrTokenLifetimeMs, EcrTokenReader, issueEcrToken, readEcrToken, type EcrTokenClaims } from './ecr-token.ts'
import { failureOf, newKeyringText, SteppedClock, testStart, textKeyring, withTemporaryDirectory } from './iam.test-support.ts'
import { openKeyring } from './keyring.ts'
import { rootPrincipal } from './principal.ts'

const claims: EcrTokenClaims = {
  principal: rootPrincipal(parseAccountId('012345678901'), 'AKIAABCDEFGHIJKLMNOP'),
  region: parseRegion('eu-central-1'),
  issuedAt: testStart,
  expiresAt: testStart + ecrTokenLifetimeMs,
}

const accountIds = fc.stringMatching(/^\d{12}$/).map(parseAccountId)

const anyClaims: fc.Arbitrary<EcrTokenClaims> = fc
  .record({
    accountId: accountIds,
    kind: fc.constantFrom('root' as const, 'user' as const, 'assumed-role' as const),
    arn: fc.string({ maxLength: 300 }),
    userId: fc.string({ maxLength: 100 }),
    accessKeyId: fc.stringMatching(/^[A-Z0-9]{16,128}$/),
    region: fc.stringMatching(/^[a-z0-9-]{2,25}$/).map(parseRegion),
    issuedAt: fc.integer({ min: 0, max: 4e12 }),
    lifetimeMs: fc.integer({ min: 1, max: ecrTokenLifetimeMs }),
  })
  .map(({ region, issuedAt, lifetimeMs, ...principal }) => ({
    principal,
    region,
    issuedAt,
    expiresAt: issuedAt + lifetimeMs,
  }))

describe('an ECR token', () => {
  test('carries its claims to the last millisecond of its life, as a docker password', async () => {
    const keyring = await textKeyring()
    await fc.assert(
      fc.asyncProperty(anyClaims, async (issued) => {
        const token = issueEcrToken(keyring, issued)
        expect(token).toMatch(/^[A-Za-z0-9._-]+$/)
        expect(token.length).toBeLessThan(2048)
        const reader = new EcrTokenReader(keyring)
        for (const read of [() => readEcrToken(keyring, token, issued.expiresAt - 1), () => reader.read(token, issued.expiresAt - 1)]) {
          expect(read()).toEqual(issued)
        }
        expect((await failureOf(() => readEcrToken(keyring, token, issued.expiresAt))).code).toBe('token-expired')
        expect((await failureOf(() => reader.read(token, issued.expiresAt))).code).toBe('token-expired')
      }),
    )
  })

  test('fits the longest user and role that IAM allows', async () => {
    const keyring = await textKeyring()
    const arn = `arn:aws:iam::012345678901:user/${'p'.repeat(510)}/${'u'.repeat(64)}`
    const userId = `${'A'.repeat(32)}:${'s'.repeat(64)}`
    const principal = { ...claims.principal, arn, userId, accessKeyId: 'A'.repeat(128) }
    const token = issueEcrToken(keyring, { ...claims, principal })
    expect(readEcrToken(keyring, token, testStart).principal).toEqual(principal)
    expect(() => issueEcrToken(keyring, { ...claims, principal: { ...principal, arn: 'x'.repeat(2000) } })).toThrow(RangeError)
  })

  test('with any byte changed is forged, fresh or expired, remembered or not', async () => {
    const keyring = await textKeyring()
    const token = issueEcrToken(keyring, claims)
    const reader = new EcrTokenReader(keyring)
    reader.read(token, testStart)
    for (let at = 0; at < token.length; at++) {
      for (const bit of [1, 2, 4, 8, 16, 32, 64]) {
        const changed = token.slice(0, at) + String.fromCharCode(token.charCodeAt(at) ^ bit) + token.slice(at + 1)
        expect((await failureOf(() => reader.read(changed, testStart))).code).toBe('token-invalid')
        if (bit === 1) {
          expect((await failureOf(() => readEcrToken(keyring, changed, claims.expiresAt))).code).toBe('token-invalid')
        }
      }
    }
    expect(reader.size).toBe(1)
  })

  test('of another purpose, another installation, or of any length is forged', async () => {
    const keyring = await textKeyring()
    const reader = new EcrTokenReader(keyring)
    const forged = [
      '',
      'AWS',
      'x'.repeat(1_000_000),
      issueEcrToken(await textKeyring(), claims),
      keyring.seal(Buffer.from('[1]'), 'secret-access-key'),
      keyring.seal(Buffer.from('[2]'), 'ecr-token'),
      keyring.seal(Buffer.from('{}'), 'ecr-token'),
    ]
    for (const token of forged) {
      expect((await failureOf(() => readEcrToken(keyring, token, testStart))).code).toBe('token-invalid')
      expect((await failureOf(() => reader.read(token, testStart))).code).toBe('token-invalid')
    }
    expect(reader.size).toBe(0)
  })

  test('names its access key when it has expired, and leaves the reader', async () => {
    const keyring = await textKeyring()
    const reader = new EcrTokenReader(keyring)
    const token = issueEcrToken(keyring, claims)
    reader.read(token, testStart)
    expect(reader.size).toBe(1)
    const failure = await failureOf(() => reader.read(token, claims.expiresAt))
    expect(failure.detail).toEqual({ accessKeyId: claims.principal.accessKeyId, expiresAt: claims.expiresAt })
    expect(failure.message).toBe('Your authorization token has expired. Reauthenticate and try again.')
    expect(reader.size).toBe(0)
  })

  test('outlives a rotation, but not its key, even where it was remembered', async () => {
    await withTemporaryDirectory(async (dataDir) => {
      const clock = new SteppedClock(testStart)
      const keyring = await openKeyring({ dataDir, requireExisting: false, clock, ids: systemIds })
      const reader = new EcrTokenReader(keyring)
      const token = issueEcrToken(keyring, claims)
      reader.read(token, testStart)
      await keyring.rotate()
      expect(reader.read(token, testStart)).toEqual(claims)
      expect(readEcrToken(keyring, token, testStart)).toEqual(claims)

      const { writeFile } = await import('node:fs/promises')
      await writeFile(`${dataDir}/keys/keyring.json`, newKeyringText())
      await keyring.reload()
      expect((await failureOf(() => reader.read(token, testStart))).detail).toEqual({ reason: 'key-unknown' })
    })
  })
})

test('a reader remembers the tokens used last, and no more than it may', async () => {
  const keyring = await textKeyring()
  const reader = new EcrTokenReader(keyring, { maxEntries: 3 })
  const tokens = Array.from({ length: 5 }, () => issueEcrToken(keyring, claims))
  const first = tokens[0] ?? ''
  const remembered = reader.read(first, testStart)
  for (const token of tokens) {
    reader.read(token, testStart)
    expect(reader.read(first, testStart)).toBe(remembered)
    expect(reader.size).toBeLessThanOrEqual(3)
  }
  expect(() => Object.assign(remembered.principal, { accountId: '999999999999' })).toThrow(TypeError)
})
