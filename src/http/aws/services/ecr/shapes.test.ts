import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkInput } from '../../shapes.ts'
import * as shapes from './shapes.ts'

/** The model's own expression: right, but exponential for some texts, which is why it is not what runs. */
const modelName = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/

function accepts(shape: Parameters<typeof checkInput>[0], value: unknown): boolean {
  return checkInput(shape, value).violations.length === 0
}

describe('a repository name', () => {
  it('is what the model says', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '0', '.', '_', '-', '/', 'A'), minLength: 2, maxLength: 12 })
    fc.assert(
      fc.property(text, (name) => {
        expect(accepts(shapes.repositoryName, name)).toBe(modelName.test(name))
      }),
      { numRuns: 2000 },
    )
  })

  it('is checked in no time, however it is made', () => {
    const started = performance.now()
    expect(accepts(shapes.repositoryName, `${'a-'.repeat(127)}!`)).toBe(false)
    expect(accepts(shapes.repositoryName, `a${'-'.repeat(254)}!`)).toBe(false)
    expect(performance.now() - started).toBeLessThan(100)
  })
})

describe('a digest', () => {
  it.each(['sha256:abc', 'a:0', 'sha256+b64:ABC', 'a-b_c.d:0'])('may be %s', (text) => {
    expect(accepts(shapes.digest, text)).toBe(true)
  })

  it.each(['', 'sha256', ':00', 'sha256:', 'sha256:xyz', 'sha256:00\n', 'a b:00', 'sha256:00:00'])('is not %j', (text) => {
    expect(accepts(shapes.digest, text)).toBe(false)
  })
})

describe('an image tag', () => {
  it.each(['latest', '_', 'v1.2-rc_3', 'V'.repeat(128)])('may be %s', (text) => {
    expect(accepts(shapes.imageTag, text)).toBe(true)
  })

  it.each(['', '.a', '-a', 'a b', 'a:b', 'a/b', 'ä', 'v'.repeat(129)])('is not %j', (text) => {
    expect(accepts(shapes.imageTag, text)).toBe(false)
  })
})
