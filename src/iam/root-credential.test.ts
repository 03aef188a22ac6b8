import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { systemIds } from '../internal/ids.ts'
import { failureOf } from './iam.test-support.ts'
import { generateRootCredential, parseRootCredential, type RootCredential } from './root-credential.ts'

function parse(accessKeyId: string | undefined, secretAccessKey: string | undefined): RootCredential | undefined {
  return parseRootCredential({
    accessKeyId: { name: 'THE_KEY_ID', value: accessKeyId },
    secretAccessKey: { name: 'THE_SECRET', value: secretAccessKey },
  })
}

test('generated credentials look like those of AWS, differ, and pass the check for given ones', () => {
  const made = Array.from({ length: 200 }, () => generateRootCredential(systemIds))
  for (const { accessKeyId, secretAccessKey } of made) {
    expect(accessKeyId).toMatch(/^AKIA[A-Z2-7]{16}$/)
    expect(secretAccessKey).toMatch(/^[A-Za-z0-9+/]{40}$/)
    expect(parse(accessKeyId, secretAccessKey)).toEqual({ accessKeyId, secretAccessKey })
  }
  expect(new Set(made.map((credential) => credential.accessKeyId)).size).toBe(200)
  expect(new Set(made.map((credential) => credential.secretAccessKey)).size).toBe(200)
})

test('an environment that gives none has none', () => {
  expect(parse(undefined, undefined)).toBeUndefined()
  expect(parse('', '')).toBeUndefined()
})

const goodId = 'AKIAABCDEFGHIJKLMNOP'
const goodSecret = 'correct-horse:battery/staple'

test.each([
  ['no secret', goodId, undefined, 'THE_SECRET is not'],
  ['no id', undefined, goodSecret, 'THE_KEY_ID is not'],
  ['a short id', 'AKIA', goodSecret, 'THE_KEY_ID must be 16 to 128'],
  ['a long id', 'A'.repeat(129), goodSecret, 'THE_KEY_ID must be 16 to 128'],
  ['an id in lower case', goodId.toLowerCase(), goodSecret, 'THE_KEY_ID must be 16 to 128'],
  ['an id with a line break', `${goodId}\n`, goodSecret, 'THE_KEY_ID must be 16 to 128'],
  ['a short secret', goodId, 'fifteen-letters', 'THE_SECRET must have at least 16'],
  ['a long secret', goodId, 'long'.repeat(300), 'THE_SECRET must have at most 1024'],
  ['a secret with a line break', goodId, `${goodSecret}\n`, 'THE_SECRET must be printable ASCII'],
  ['a secret beyond ASCII', goodId, `${goodSecret}ü`, 'THE_SECRET must be printable ASCII'],
  ['one value for both', goodId, goodId, 'THE_SECRET must differ'],
  ['the two the wrong way round', goodSecret, goodId, 'THE_KEY_ID must be 16 to 128'],
])('%s is refused with a text that holds neither value', async (_name, accessKeyId, secretAccessKey, text) => {
  const failure = await failureOf(() => parse(accessKeyId, secretAccessKey))
  expect(failure.code).toBe('root-credential-invalid')
  expect(failure.message).toContain(text)
  for (const value of [accessKeyId, secretAccessKey]) {
    if (value !== undefined) expect(inspect(failure).split('\n    at ')[0]).not.toContain(value)
  }
})

test('the shortest and the longest are taken', () => {
  expect(parse('A'.repeat(16), 'sixteen-letters!')).toBeDefined()
  expect(parse('9'.repeat(128), 's'.repeat(1024))).toBeDefined()
})
