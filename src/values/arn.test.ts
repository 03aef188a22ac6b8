import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { anyText } from './any-text.test-support.ts'
import { parseAccountId, parseRegion } from './account.ts'
import { arnParts, parseArn, repositoryArn, rootArn } from './arn.ts'
import { parseRepositoryName } from './repository-name.ts'

const accountId = parseAccountId('123456789012')

describe('parseArn', () => {
  it.each([
    [
      'arn:aws:ecr:eu-central-1:123456789012:repository/team/app',
      { partition: 'aws', service: 'ecr', region: 'eu-central-1', accountId, resource: 'repository/team/app' },
    ],
    [
      'arn:aws:iam::123456789012:user/a@b',
      { partition: 'aws', service: 'iam', region: undefined, accountId, resource: 'user/a@b' },
    ],
    [
      'arn:aws:iam::aws:policy/AdministratorAccess',
      { partition: 'aws', service: 'iam', region: undefined, accountId: 'aws', resource: 'policy/AdministratorAccess' },
    ],
    [
      'arn:aws-us-gov:s3:::bucket/key:with:colons',
      {
        partition: 'aws-us-gov',
        service: 's3',
        region: undefined,
        accountId: undefined,
        resource: 'bucket/key:with:colons',
      },
    ],
  ])('splits %j', (text, parts) => {
    expect(parseArn(text)).toBe(text)
    expect(arnParts(parseArn(text))).toEqual(parts)
  })

  it.each([
    '',
    'arn',
    'arn:aws:ecr:eu-central-1:123456789012',
    'arn:aws:ecr:eu-central-1:123456789012:',
    'ARN:aws:ecr:eu-central-1:123456789012:repository/app',
    'arn::ecr:eu-central-1:123456789012:repository/app',
    'arn:awsome:ecr:eu-central-1:123456789012:repository/app',
    'arn:aws::eu-central-1:123456789012:repository/app',
    'arn:aws:ECR:eu-central-1:123456789012:repository/app',
    'arn:aws:ecr:EU:123456789012:repository/app',
    'arn:aws:ecr:eu-central-1:12345678901:repository/app',
    'arn:aws:ecr:*:123456789012:repository/app',
    'arn:aws:ecr:eu-central-1:123456789012:repository/a\nb',
    'arn:aws:ecr:eu-central-1:123456789012:repository/a\u0085b',
    `arn:aws:s3:::${'a'.repeat(2048)}`,
    ':'.repeat(1_000_000),
  ])('refuses %.80j', (text) => {
    expect(() => parseArn(text)).toThrow(expect.objectContaining({ code: 'arn-invalid' }))
  })

  test('any text is accepted as it is or refused with the same code', () => {
    const near = fc
      .array(fc.constantFrom('arn', 'aws', 'ecr', '', 'eu-west-1', '123456789012', 'root', 'x y'), { maxLength: 8 })
      .map((parts) => parts.join(':'))
    fc.assert(
      fc.property(fc.oneof(near, anyText), (text) => {
        try {
          expect(parseArn(text)).toBe(text)
        } catch (error) {
          expect(error).toMatchObject({ code: 'arn-invalid' })
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('the ARNs of this registry', () => {
  it('name repositories and accounts, and parse', () => {
    const repository = repositoryArn(parseRegion('eu-central-1'), accountId, parseRepositoryName('team/app'))
    expect(repository).toBe('arn:aws:ecr:eu-central-1:123456789012:repository/team/app')
    expect(arnParts(repository).resource).toBe('repository/team/app')
    expect(rootArn(accountId)).toBe('arn:aws:iam::123456789012:root')
    expect(arnParts(rootArn(accountId)).accountId).toBe(accountId)
  })
})
