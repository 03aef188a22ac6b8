import fc from 'fast-check'
import { createLocalJWKSet, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { claimedIssuer, verifyIdentityToken } from '../../src/iam/web-identity/identity-token.ts'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import { mutated } from './mutation.ts'
import { parsedOrRefused, parserProperty, require, requireEqual, type ParserProperty } from './parser-property.ts'

const nowMs = Date.UTC(2026, 0, 1)
const provider = { url: 'issuer.example/path', clientIds: ['sts.amazonaws.com'] }
const { privateKey, publicKey } = await generateKeyPair('ES256')
const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: 'a', alg: 'ES256', use: 'sig' }] })
const times = { iat: nowMs / 1000, exp: nowMs / 1000 + 300 }
const claims = { iss: `https://${provider.url}`, sub: 'repo:a/b:ref:refs/heads/main', aud: provider.clientIds[0]!, groups: ['a', 'b'], n: 1, ...times }

const sign = (payload: object): Promise<string> => new SignJWT({ ...payload }).setProtectedHeader({ alg: 'ES256', kid: 'a' }).sign(privateKey)
const genuine = await sign(claims)
const refusals = ['identity-token-invalid', 'identity-token-expired', 'identity-token-rejected']

/** Any claims, of which some are those that count. */
const anyClaims = fc.tuple(fc.dictionary(fc.string({ maxLength: 12 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 6 }), fc.subarray(Object.keys(claims)))

export const identityTokenProperties: readonly ParserProperty[] = [
  parserProperty('a web identity token that was changed', mutated([genuine]), async (token) => {
    parsedOrRefused(refusals, () => claimedIssuer(token))
    try {
      const identity = await verifyIdentityToken(token, keys, provider, nowMs)
      if (identity === undefined) return
      // What is signed is still what it was, however the text around it is written.
      requireEqual(identity.subject, claims.sub, 'its subject')
    } catch (error) {
      if (!isPlatformError(error) || !refusals.includes(error.code)) throw error
    }
  }),

  parserProperty('the claims of a web identity', anyClaims, async ([others, kept]) => {
    const right = Object.fromEntries(kept.map((name) => [name, claims[name as keyof typeof claims]]))
    try {
      const identity = await verifyIdentityToken(await sign({ ...others, ...right }), keys, provider, nowMs)
      if (identity === undefined) throw new Error('the key is among those given')
      require(identity.subject !== '', 'it has a subject')
      require(identity.audiences.some((audience) => provider.clientIds.includes(audience)), 'it is for the provider')
      for (const [key, value] of Object.entries(identity.conditions)) {
        require(key.startsWith(`${provider.url}:`), 'a claim stands under its issuer')
        require([value].flat().every((each) => typeof each === 'string'), 'the value of a condition key is text')
      }
    } catch (error) {
      if (!isPlatformError(error) || !refusals.includes(error.code)) throw error
    }
  }),
]
