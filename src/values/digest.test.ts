import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import {
  digestAlgorithm,
  digestFromBytes,
  digestFromHex,
  digestHex,
  digestOf,
  digestToBytes,
  isDigest,
  parseDigest,
} from './digest.ts'

const sha256OfNothing = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const a64 = 'a'.repeat(64)

const digests = fc
  .tuple(fc.constantFrom('sha256' as const, 'sha512' as const), fc.uint8Array({ maxLength: 64 }))
  .map(([algorithm, bytes]) => digestOf(bytes, algorithm))

describe('parseDigest', () => {
  it.each([
    '',
    ':',
    'sha256',
    'sha256:',
    a64,
    `:${a64}`,
    `sha256:${'a'.repeat(63)}`,
    `sha256:${'a'.repeat(65)}`,
    `sha256:${'A'.repeat(64)}`,
    `SHA256:${a64}`,
    `sha256:${'g'.repeat(64)}`,
    `sha256:${'a'.repeat(63)}\n`,
    ` sha256:${a64}`,
    `sha256::${'a'.repeat(63)}`,
    `sha512:${a64}`,
    `sha256:${'a'.repeat(128)}`,
    `sha384:${'a'.repeat(96)}`,
    `md5:${'a'.repeat(32)}`,
    `sha256+b64u:${a64}`,
    `constructor:${a64}`,
    'sha256:baddigeststring',
    `sha256:../../${'a'.repeat(58)}`,
    `sha256:${'\u0661'.repeat(64)}`,
  ])('refuses %j', (text) => {
    expect(isDigest(text)).toBe(false)
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: 'digest-invalid' }))
  })

  it('says which text it refused, shortened', () => {
    expect(() => parseDigest('x'.repeat(1_000_000))).toThrow(
      expect.objectContaining({ detail: { digest: `${'x'.repeat(300)}…` } }),
    )
  })

  test('what it accepts is the text itself', () => {
    fc.assert(
      fc.property(digests, (digest) => {
        expect(isDigest(digest)).toBe(true)
        expect(parseDigest(digest)).toBe(digest)
        expect(`${digestAlgorithm(digest)}:${digestHex(digest)}`).toBe(digest)
      }),
    )
  })

  test('it agrees with isDigest on any text', () => {
    const prefixes = fc.constantFrom('sha256:', 'sha512:', 'sha1:')
    const near = fc.tuple(prefixes, fc.string({ maxLength: 130 })).map((parts) => parts.join(''))
    fc.assert(
      fc.property(fc.oneof(fc.string(), near), (text) => {
        let accepted = true
        try {
          parseDigest(text)
        } catch (error) {
          expect(error).toMatchObject({ code: 'digest-invalid' })
          accepted = false
        }
        expect(isDigest(text)).toBe(accepted)
      }),
    )
  })
})

describe('the stored form', () => {
  it('is the algorithm byte and the hash', () => {
    expect(digestToBytes(parseDigest(`sha256:${'0f'.repeat(32)}`))).toEqual(Buffer.from([1, ...Array(32).fill(0x0f)]))
    expect(digestToBytes(parseDigest(`sha512:${'0f'.repeat(64)}`))).toEqual(Buffer.from([2, ...Array(64).fill(0x0f)]))
  })

  test('reads back as the same digest, also from a view into a larger buffer', () => {
    fc.assert(
      fc.property(digests, (digest) => {
        const bytes = digestToBytes(digest)
        expect(digestFromBytes(bytes)).toBe(digest)
        expect(digestFromHex(Buffer.from(bytes).toString('hex'))).toBe(digest)
        const larger = new Uint8Array([9, 9, ...bytes, 9])
        expect(digestFromBytes(larger.subarray(2, 2 + bytes.length))).toBe(digest)
      }),
    )
  })

  it.each([
    ['nothing', []],
    ['no hash', [1]],
    ['an unknown algorithm', [3, ...Array<number>(32).fill(0)]],
    ['a short hash', [1, ...Array<number>(31).fill(0)]],
    ['a long hash', [1, ...Array<number>(33).fill(0)]],
    ["another algorithm's length", [2, ...Array<number>(32).fill(0)]],
  ])('with %s is refused', (_, bytes) => {
    expect(() => digestFromBytes(Uint8Array.from(bytes))).toThrow(expect.objectContaining({ code: 'digest-invalid' }))
    expect(() => digestFromHex(Buffer.from(bytes).toString('hex'))).toThrow(expect.objectContaining({ code: 'digest-invalid' }))
  })
})

describe('digestOf', () => {
  it('hashes with sha256 unless told otherwise', () => {
    expect(digestOf(new Uint8Array())).toBe(sha256OfNothing)
    expect(digestOf(new Uint8Array(), 'sha512')).toMatch(/^sha512:cf83e1357eefb8bd[0-9a-f]{112}$/)
  })
})
