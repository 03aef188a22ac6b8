import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { mutants } from './mutants.ts'

const read = (path: string): string => readFileSync(join(import.meta.dirname, '../..', path), 'utf8')

/** The titles of a file's tests, `$what` of a table standing for anything. */
function titlesOf(file: string): RegExp[] {
  return [...read(file).matchAll(/\bit(?:\.each\(\w+\))?\(\s*(['`])(?<title>.*?)\1/gu)].map(({ groups }) => {
    const literal = groups!['title']!.replaceAll(/[()*+.?[\\\]^{|}]/gu, String.raw`\$&`)
    return new RegExp(`^${literal.replaceAll(/\$\w+/gu, '.+')}$`, 'u')
  })
}

describe.each(mutants)('the mutant $name', ({ file, from, to, test }) => {
  it('can be applied in one place', () => {
    expect(read(file).split(from)).toHaveLength(2)
    expect(to).not.toBe(from)
  })

  it('names a test that is there', () => {
    expect(titlesOf(test.file).some((title) => title.test(test.title))).toBe(true)
  })
})

it('names each mutant once', () => {
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length)
})
