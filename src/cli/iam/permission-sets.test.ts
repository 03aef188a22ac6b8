import { describe, expect, it } from 'vitest'
import { evaluate, parsePolicy } from '../../iam/policy/index.ts'
import { permissionSetNames, permissionSets, policyOf, type PermissionScope, type PermissionSetName } from './permission-sets.ts'

const accountId = '111122223333'
const scope: PermissionScope = { accountId, region: 'us-east-1', repositoryPrefix: 'team-a/', tagPatterns: ['dev-*', 'pr-?'] }
const principal = { arn: `arn:aws:iam::${accountId}:user/somebody`, accountId, kind: 'user', userId: 'AIDAEXAMPLE' } as const

function allows(set: PermissionSetName, action: string, repository: string, tag?: string, region = 'us-east-1'): boolean {
  const resource = `arn:aws:ecr:${region}:${accountId}:repository/${repository}`
  const policy = parsePolicy(JSON.stringify(policyOf(set, scope)), 'identity')
  const context = tag === undefined ? {} : { 'stowage:ImageTag': tag }
  return evaluate({ principal, action, resource, accountId, context }, { identity: [policy] }).allowed
}

/** What changes something; no set but the two that push may do any of it. */
const writes = ['ecr:PutImage', 'ecr:BatchDeleteImage', 'ecr:CreateRepository', 'ecr:DeleteRepository', 'ecr:SetRepositoryPolicy', 'ecr:InitiateLayerUpload', 'ecr:TagResource', 'iam:CreateUser', 'iam:PutUserPolicy', 'sts:AssumeRole', 'stowage:CreateAccount']

describe('a ready set of permissions', () => {
  it.each(permissionSetNames.filter((set) => set !== 'usage-reporter'))('%s ends at its repositories and its region', (set) => {
    const actions = permissionSets[set].parts.filter(({ on }) => on === 'repositories').flatMap((part) => part.actions)
    expect(actions.length).toBeGreaterThan(0)
    for (const action of actions) {
      expect(allows(set, action, 'team-a/app')).toBe(true)
      expect(allows(set, action, 'team-b/app')).toBe(false)
      expect(allows(set, action, 'x/team-a/app')).toBe(false)
      expect(allows(set, action, 'team-a/app', undefined, 'eu-west-1')).toBe(false)
    }
  })

  it.each([
    ['ci-pusher', ['ecr:PutImage', 'ecr:InitiateLayerUpload']],
    ['puller', []],
    ['deployer', ['ecr:PutImage']],
    ['auditor', []],
    ['usage-reporter', []],
  ] as const)('%s may change %j and nothing else', (set, expected) => {
    expect(writes.filter((action) => allows(set, action, 'team-a/app'))).toEqual(expected)
  })

  it.each([
    ['ci-pusher', 'ecr:PutImage'],
    ['deployer', 'ecr:PutImage'],
    ['puller', 'ecr:BatchGetImage'],
  ] as const)('%s is narrowed to its tags in %s, and may use digests', (set, action) => {
    expect(allows(set, action, 'team-a/app', 'dev-7')).toBe(true)
    expect(allows(set, action, 'team-a/app', 'pr-1')).toBe(true)
    expect(allows(set, action, 'team-a/app', 'prod-7')).toBe(false)
    expect(allows(set, action, 'team-a/app', 'pr-12')).toBe(false)
    expect(allows(set, action, 'team-a/app')).toBe(true)
  })

  it('lets a reporter report, and nothing else', () => {
    const { Statement } = policyOf('usage-reporter', scope)
    expect(Statement).toEqual([{ Sid: 'Report', Effect: 'Allow', Action: ['stowage:PutUsageLeases'], Resource: `arn:aws:stowage:us-east-1:${accountId}:usage-source/*` }])
  })

  it('lets an auditor read no image', () => {
    expect(['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer', 'ecr:GetAuthorizationToken'].filter((action) => allows('auditor', action, 'team-a/app'))).toEqual([])
  })
})
