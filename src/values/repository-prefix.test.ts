import { expect, test } from 'vitest'
import { parseRepositoryName } from './repository-name.ts'
import { parseRepositoryPrefix, prefixesOf } from './repository-prefix.ts'

test.each([
  ['prod', 'prod'],
  ['prod/', 'prod'],
  ['prod/team', 'prod/team'],
  ['prod/team.a__b-c/', 'prod/team.a__b-c'],
  ['a', 'a'],
  ['1/', '1'],
  ['ROOT', 'ROOT'],
  ['a'.repeat(256), 'a'.repeat(256)],
  [`${'a'.repeat(255)}/`, 'a'.repeat(255)],
])('%s is the prefix %s', (text, prefix) => {
  expect(parseRepositoryPrefix(text)).toBe(prefix)
})

test.each(['', '/', 'prod//', '/prod', 'Prod', 'root/ROOT', 'ROOT/', 'prod*', '-', 'a.', `${'a'.repeat(256)}/`, 'a'.repeat(257)])(
  '%j is no prefix',
  (text) => {
    expect(() => parseRepositoryPrefix(text)).toThrow(expect.objectContaining({ code: 'repository-name-invalid' }))
  },
)

test('the prefixes of a name are its namespaces, the longest first, and never the name itself', () => {
  expect(prefixesOf(parseRepositoryName('prod/team/app'))).toEqual(['prod/team', 'prod', 'ROOT'])
  expect(prefixesOf(parseRepositoryName('app'))).toEqual(['ROOT'])
})
