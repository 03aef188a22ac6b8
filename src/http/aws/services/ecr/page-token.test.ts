import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SteppedClock, testStart, textKeyring } from '../../../../iam/iam.test-support.ts'
import { addKey, newKeyring, serializeKeyring } from '../../../../iam/keyring-document.ts'
import { systemIds } from '../../../../internal/ids.ts'
import { AwsError } from '../../errors.ts'
import { PageTokens, type ListIdentity } from './page-token.ts'

const keyring = await textKeyring()
const tokens = new PageTokens(keyring)
const list: ListIdentity = ['ListImages', 7, 'team/app', 'ANY']

function isRefused(token: string, of: ListIdentity = list, by = tokens): boolean {
  try {
    by.read(of, token)
    return false
  } catch (error) {
    if (error instanceof AwsError && error.type === 'InvalidParameterException') return true
    throw error
  }
}

const identities = fc.array(fc.oneof(fc.string(), fc.nat()), { maxLength: 5 })

describe('a page token', () => {
  it('gives back the position it was issued for', () => {
    fc.assert(
      fc.property(identities, fc.string({ unit: 'binary' }), (identity, position) => {
        expect(tokens.read(identity, tokens.issue(identity, position))).toBe(position)
      }),
    )
  })

  it('is made of characters that need no escaping anywhere', () => {
    expect(tokens.issue(list, '123:ünlikely "tag"')).toMatch(/^[A-Za-z0-9._-]+$/)
  })

  it('stays within the length that inputs may have, for the longest position there is', () => {
    expect(tokens.issue(list, 'a'.repeat(256))?.length).toBeLessThan(1000)
  })

  it('is good for its own list only', () => {
    fc.assert(
      fc.property(identities, identities, fc.string(), (one, other, position) => {
        fc.pre(JSON.stringify(one) !== JSON.stringify(other))
        expect(isRefused(tokens.issue(one, position) ?? '', other)).toBe(true)
      }),
    )
  })

  it('is refused when a character of it is changed', () => {
    const token = tokens.issue(list, 'position') ?? ''
    // The last character of each part may hold bits that base64 drops; the signed text is compared as it stands.
    for (let index = 0; index < token.length - 1; index++) {
      const changed = token[index] === 'A' ? 'B' : 'A'
      expect(isRefused(token.slice(0, index) + changed + token.slice(index + 1))).toBe(true)
    }
  })

  it('is refused where it is no token at all', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(isRefused(text)).toBe(true)
      }),
    )
    for (const text of ['', '.', '..', 'WzEsIngiXQ', 'WzEsIngiXQ.', 'WzEsIngiXQ.v1.x.y']) expect(isRefused(text)).toBe(true)
  })

  it('is refused by another installation, and read by its own after a rotation', async () => {
    const clock = new SteppedClock(testStart)
    const document = newKeyring(clock, systemIds)
    const before = new PageTokens(await textKeyring(serializeKeyring(document)))
    const rotated = new PageTokens(await textKeyring(serializeKeyring(addKey(document, clock, systemIds))))
    const token = before.issue(list, 'position') ?? ''

    expect(rotated.read(list, token)).toBe('position')
    expect(isRefused(token, list, tokens)).toBe(true)
  })

  it('is not needed for the first page, and not given with the last', () => {
    expect(tokens.read(list, undefined)).toBeUndefined()
    expect(tokens.issue(list, undefined)).toBeUndefined()
  })
})
