import { describe, expect, it } from 'vitest'
import { allow, deny, home, policyOf, repositoryArnPrefix } from './policy.test-support.ts'
import { repositoryNameRanges } from './repository-names.ts'

/** Ranges as a reader writes them: `team/*`, `team/app`. */
function rangesFor(resources: unknown, context = {}): readonly string[] {
  const policy = allow({ Action: 'ecr:DescribeRepositories', Resource: resources })
  return repositoryNameRanges([policy], 'ecr:DescribeRepositories', repositoryArnPrefix, context).map(shown)
}

const shown = ({ prefix, isExact }: { prefix: string; isExact: boolean }) => (isExact ? prefix : `${prefix}*`)

const cases: readonly [rule: string, resources: unknown, ranges: readonly string[]][] = [
  ['* is every name', '*', ['*']],
  ['every repository of the registry is every name', `${repositoryArnPrefix}*`, ['*']],
  ['an ARN is one name', `${repositoryArnPrefix}team/app`, ['team/app']],
  ['a prefix is a range', `${repositoryArnPrefix}team/*`, ['team/*']],
  ['what stands behind a wildcard does not narrow', `${repositoryArnPrefix}team/*/app`, ['team/*']],
  ['? ends a prefix', `${repositoryArnPrefix}team-?/app`, ['team-*']],
  ['a wildcard in front is every name', `${repositoryArnPrefix}*/app`, ['*']],
  ['several are in order', [`${repositoryArnPrefix}b/*`, `${repositoryArnPrefix}a`], ['a', 'b/*']],
  ['a range inside another is left out', [`${repositoryArnPrefix}a/*`, `${repositoryArnPrefix}a/b/*`, `${repositoryArnPrefix}a/c`], ['a/*']],
  ['a name stands beside names that begin with it', [`${repositoryArnPrefix}a`, `${repositoryArnPrefix}a/*`], ['a', 'a/*']],
  ['the same twice is once', [`${repositoryArnPrefix}a`, `${repositoryArnPrefix}a`], ['a']],
  ['a wildcard for the region reaches this one', `arn:aws:ecr:*:${home}:repository/team/*`, ['team/*']],
  ['a wildcard for the account reaches this one', 'arn:aws:ecr:eu-central-1:*:repository/team/*', ['team/*']],
  ['another region is nothing', `arn:aws:ecr:us-east-1:${home}:repository/*`, []],
  ['another account is nothing', 'arn:aws:ecr:eu-central-1:444455556666:repository/*', []],
  ['another service is nothing', 'arn:aws:s3:::bucket/*', []],
  ['an incomplete ARN is every name', 'arn:aws:ecr', ['*']],
  ['a * that may end inside the name is every name', 'arn:aws:ecr:*:*:*/app', ['*']],
  ['a * that may also end in front of it is every name', 'arn:aws:ecr:*:*:*repository/app', ['*']],
  ['an ARN that is completed behind the name is nothing', 'arn:aws:ecr:*/app', []],
  ['what no name can hold is nothing', `${repositoryArnPrefix}Team/*`, []],
  ['a variable without a value is any text', `${repositoryArnPrefix}\${aws:username}/*`, ['*']],
  ['a variable with a default may have any value', `${repositoryArnPrefix}a\${aws:PrincipalTag/t, 'b'}`, ['ab']],
]

describe('repositoryNameRanges', () => {
  it.each(cases)('%s', (_, resources, ranges) => {
    expect(rangesFor(resources)).toEqual(ranges)
  })

  it('takes the values of variables from the context', () => {
    expect(rangesFor(`${repositoryArnPrefix}\${aws:username}/*`, { 'aws:username': 'anna' })).toEqual(['anna/*'])
  })

  it('takes time that grows with the pattern only', () => {
    const hostile = ['*'.repeat(5_000), '?'.repeat(5_000), '*?'.repeat(2_500), `${'*a?'.repeat(2_000)}:`]
    const startedAt = performance.now()
    for (const text of hostile) rangesFor(`arn:aws:ecr:*:*:${text}`)
    // Each place of the pattern with each other one would take a minute.
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  })

  it('looks at statements only that allow the action', () => {
    const policies = [
      allow({ Action: 'ecr:PutImage', Resource: `${repositoryArnPrefix}a` }),
      allow({ Action: 'ecr:Describe*', Resource: `${repositoryArnPrefix}b` }),
      deny({ Action: '*', Resource: `${repositoryArnPrefix}c` }),
    ]
    expect(repositoryNameRanges(policies, 'ecr:DescribeRepositories', repositoryArnPrefix).map(shown)).toEqual(['b'])
  })

  it('takes NotResource and a resource’s policy without resources for every name', () => {
    const others = allow({ Action: '*', NotResource: `${repositoryArnPrefix}a` })
    const registry = policyOf('resource', { Effect: 'Allow', Principal: '*', Action: 'ecr:*' })
    expect(repositoryNameRanges([others], 'ecr:DescribeRepositories', repositoryArnPrefix).map(shown)).toEqual(['*'])
    expect(repositoryNameRanges([registry], 'ecr:DescribeRepositories', repositoryArnPrefix).map(shown)).toEqual(['*'])
  })
})
