import fc from 'fast-check'
import { expect, test } from 'vitest'
import { digestOf } from '../values/digest.ts'
import { failureOf, testStart, textKeyring } from './iam.test-support.ts'
import { signLayerUrl, verifyLayerUrl, type LayerUrlClaims } from './layer-url.ts'

const anyClaims: fc.Arbitrary<LayerUrlClaims> = fc.record({
  registryId: fc.maxSafeNat(),
  repositoryId: fc.maxSafeNat(),
  digest: fc
    .tuple(fc.uint8Array(), fc.constantFrom('sha256' as const, 'sha512' as const))
    .map(([bytes, algorithm]) => digestOf(bytes, algorithm)),
  accountId: fc.constantFrom('111122223333', ''),
  accessKeyId: fc.constantFrom('AKIATESTTESTTESTTEST', ''),
  expiresAt: fc.integer({ min: 1, max: 4e12 }),
})

const claims: LayerUrlClaims = {
  registryId: 1,
  repositoryId: 42,
  digest: digestOf(Buffer.from('layer')),
  accountId: '111122223333',
  accessKeyId: 'AKIATESTTESTTESTTEST',
  expiresAt: testStart + 60_000,
}

test('a download token carries its claims until it expires, in characters that a URL takes as they are', async () => {
  const keyring = await textKeyring()
  await fc.assert(
    fc.asyncProperty(anyClaims, async (signed) => {
      const token = signLayerUrl(keyring, signed)
      expect(encodeURIComponent(token)).toBe(token)
      expect(verifyLayerUrl(keyring, token, signed.expiresAt - 1)).toEqual(signed)
      expect((await failureOf(() => verifyLayerUrl(keyring, token, signed.expiresAt))).code).toBe('token-expired')
    }),
  )
})

test('a download token with any byte changed, removed or added is forged', async () => {
  const keyring = await textKeyring()
  const token = signLayerUrl(keyring, claims)
  for (let at = 0; at <= token.length; at++) {
    const character = token[at] === 'A' ? 'B' : 'A'
    const changes = [
      token.slice(0, at) + character + token.slice(at + 1),
      token.slice(0, at) + character + token.slice(at),
      token.slice(0, at),
      token.slice(at + 1),
    ].filter((changed) => changed !== token)
    for (const changed of changes) {
      const failure = await failureOf(() => verifyLayerUrl(keyring, changed, testStart))
      expect(failure.code).toBe('token-invalid')
    }
  }
})

test('a download token of another installation, or no token, is forged', async () => {
  const keyring = await textKeyring()
  const foreign = signLayerUrl(await textKeyring(), claims)
  for (const token of ['', '.', '..', foreign, 'a'.repeat(100_000), keyring.seal(Buffer.from('[]'), 'layer-url')]) {
    expect((await failureOf(() => verifyLayerUrl(keyring, token, testStart))).code).toBe('token-invalid')
  }
})
