import { describe, expect, it } from 'vitest'
import { home, isAllowedBy, repositoryArn, repositoryArnPrefix } from '../policy.test-support.ts'

const userArn = `arn:aws:iam::${home}:user/team/anna`

/* AWS: "IAM JSON policy elements: Resource" and "… NotResource". */
const resourceCases: readonly [rule: string, element: unknown, resource: string, holds: boolean][] = [
  ['an ARN is that resource', repositoryArn, repositoryArn, true],
  ['an ARN is no other resource', `${repositoryArnPrefix}team/other`, repositoryArn, false],
  ['names of resources have a case', `${repositoryArnPrefix}Team/app`, repositoryArn, false],
  ['an ARN is not what begins with it', `${repositoryArnPrefix}team/ap`, repositoryArn, false],
  ['an ARN is not what it begins with', `${repositoryArnPrefix}team/app2`, repositoryArn, false],
  ['* alone is every resource', '*', repositoryArn, true],
  ['* alone is the resource of an action that has none', '*', '*', true],
  ['an ARN is not the resource of an action that has none', repositoryArn, '*', false],
  ['an ARN of wildcards is not the resource of an action that has none', 'arn:aws:ecr:*:*:*', '*', false],
  ['* at the end is any rest', `${repositoryArnPrefix}team/*`, repositoryArn, true],
  ['* at the end spans slashes', `${repositoryArnPrefix}*`, `${repositoryArnPrefix}a/b/c`, true],
  ['* at the end keeps the beginning', `${repositoryArnPrefix}team/*`, `${repositoryArnPrefix}teams/app`, false],
  ['* behind a slash is not the part before it', `${repositoryArnPrefix}team/*`, `${repositoryArnPrefix}team`, false],
  ['* in the middle is any part', `${repositoryArnPrefix}*/app`, repositoryArn, true],
  ['* in the middle keeps the end', `${repositoryArnPrefix}*/app`, `${repositoryArnPrefix}team/app2`, false],
  ['? is one character of a name', `${repositoryArnPrefix}team/ap?`, repositoryArn, true],
  ['? is a slash too', `${repositoryArnPrefix}team?app`, repositoryArn, true],
  ['? is not none', `${repositoryArnPrefix}team/app?`, repositoryArn, false],
  ['* as the region is every region', `arn:aws:ecr:*:${home}:repository/team/app`, repositoryArn, true],
  ['* as the account is every account', 'arn:aws:ecr:eu-central-1:*:repository/team/app', repositoryArn, true],
  ['another region is another resource', `arn:aws:ecr:us-east-1:${home}:repository/team/app`, repositoryArn, false],
  ['another account is another resource', 'arn:aws:ecr:eu-central-1:444455556666:repository/team/app', repositoryArn, false],
  ['another partition is another resource', `arn:aws-cn:ecr:eu-central-1:${home}:repository/team/app`, repositoryArn, false],
  ['another service is another resource', `arn:aws:ecs:eu-central-1:${home}:repository/team/app`, repositoryArn, false],
  ['part of a region’s name may be a wildcard', `arn:aws:ecr:eu-*:${home}:repository/team/app`, repositoryArn, true],
  ['a list is any of its resources', [userArn, repositoryArn], repositoryArn, true],
  ['a list is none but its resources', [userArn, repositoryArn], `${repositoryArnPrefix}x`, false],
  ['an ARN of two fields less stands for all that begin so', 'arn:aws:ecr:eu-central-1', repositoryArn, true],
  ['an ARN of the service alone is all of the service', 'arn:aws:ecr', repositoryArn, true],
  ['an ARN of the service alone is nothing of another', 'arn:aws:s3', repositoryArn, false],
  ['an ARN without its last field is all of the account', `arn:aws:ecr:eu-central-1:${home}`, repositoryArn, true],
  ['an ARN without its last field is nothing of another account', 'arn:aws:ecr:eu-central-1:444455556666', repositoryArn, false],
  ['IAM’s resources have no region', `arn:aws:iam::${home}:user/team/*`, userArn, true],
  ['a path is part of a user’s ARN', `arn:aws:iam::${home}:user/anna`, userArn, false],
  ['a dot is a dot', `${repositoryArnPrefix}team.app`, repositoryArn, false],
  ['brackets are brackets', `${repositoryArnPrefix}[a-z]*`, repositoryArn, false],
]

const notResourceCases: readonly [rule: string, element: unknown, resource: string, holds: boolean][] = [
  ['NotResource is every resource but one', repositoryArn, `${repositoryArnPrefix}other`, true],
  ['NotResource leaves out its resource', repositoryArn, repositoryArn, false],
  ['NotResource leaves out what wildcards match', `${repositoryArnPrefix}team/*`, repositoryArn, false],
  ['NotResource with a list leaves out all of it', [userArn, repositoryArn], userArn, false],
  ['NotResource with a list reaches the rest', [userArn, repositoryArn], `${repositoryArnPrefix}x`, true],
  ['NotResource reaches an action without a resource', repositoryArn, '*', true],
  ['NotResource of everything is nothing', '*', repositoryArn, false],
]

describe('Resource', () => {
  it.each(resourceCases)('%s', (_, Resource, resource, holds) => {
    expect(isAllowedBy({ Effect: 'Allow', Action: 'ecr:*', Resource }, { resource })).toBe(holds)
  })
})

describe('NotResource', () => {
  it.each(notResourceCases)('%s', (_, NotResource, resource, holds) => {
    expect(isAllowedBy({ Effect: 'Allow', Action: 'ecr:*', NotResource }, { resource })).toBe(holds)
  })
})
