import { describe, expect, it } from 'vitest'
import { parseAccountId, parseRegion } from '../../values/account.ts'
import { parseRepositoryName } from '../../values/repository-name.ts'
import { operationOf, operationResource, operations, type OperationName } from './operations.ts'
import { parseDistributionPath, routeMethods, type RouteKind } from './path.ts'
import { parseQuery } from './query.ts'

const digest = `sha256:${'ab'.repeat(32)}`

/** A request for each form of path, with the queries that make another operation of it. */
const requests: Record<RouteKind, readonly string[]> = {
  ping: ['/v2/'],
  catalog: ['/v2/_catalog'],
  tags: ['/v2/app/tags/list'],
  manifest: ['/v2/app/manifests/latest', `/v2/app/manifests/${digest}`],
  blob: [`/v2/app/blobs/${digest}`],
  uploadStart: ['/v2/app/blobs/uploads/', `/v2/app/blobs/uploads/?digest=${digest}`, `/v2/app/blobs/uploads/?mount=${digest}&from=other`],
  upload: ['/v2/app/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00'],
  referrers: [`/v2/app/referrers/${digest}`],
}

const reachable = Object.entries(requests).flatMap(([kind, urls]) =>
  routeMethods[kind as RouteKind].flatMap((method) =>
    urls.map((url) => {
      const { route, query } = parseDistributionPath(method, url)
      return { method, url, kind, operation: operationOf(method, route, parseQuery(query)) }
    }),
  ),
)

describe('the table of operations', () => {
  it.each(reachable)('has $method $url as $operation', ({ method, kind, operation }) => {
    const rule = operations[operation]
    expect(rule.route).toBe(kind)
    expect(rule.methods).toContain(method)
  })

  it('has nothing that no request reaches', () => {
    const unreached = Object.keys(operations).filter((name) => !reachable.some(({ operation }) => operation === name))
    expect(unreached).toEqual([])
  })

  it('names an IAM action for every operation but the ping, which takes credentials alone', () => {
    const open = Object.entries(operations).filter(([, { actions, scope }]) => actions.length === 0 || scope === 'credentials')
    expect(open.map(([name]) => name)).toEqual(['ping'])
  })

  it('names actions of ECR only', () => {
    const actions = Object.values(operations).flatMap((rule): readonly string[] => rule.actions)
    expect(actions.filter((action) => !/^ecr:[A-Z][A-Za-z]+$/.test(action))).toEqual([])
  })

  it.each<[OperationName, string[]]>([
    ['getManifest', ['ecr:BatchGetImage']],
    ['headManifest', ['ecr:BatchGetImage']],
    ['putManifest', ['ecr:PutImage']],
    ['deleteTag', ['ecr:BatchDeleteImage']],
    ['deleteManifest', ['ecr:BatchDeleteImage']],
    ['getBlob', ['ecr:GetDownloadUrlForLayer']],
    ['headBlob', ['ecr:BatchCheckLayerAvailability']],
    ['deleteBlob', ['ecr:BatchDeleteImage']],
    ['beginUpload', ['ecr:InitiateLayerUpload']],
    ['appendUpload', ['ecr:UploadLayerPart']],
    ['completeUpload', ['ecr:UploadLayerPart', 'ecr:CompleteLayerUpload']],
    ['uploadBlob', ['ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload']],
    ['listTags', ['ecr:ListImages']],
    ['listRepositories', ['ecr:DescribeRepositories']],
    ['listReferrers', ['ecr:BatchGetImage']],
  ])('asks for %s what AWS asks', (operation, actions) => {
    expect(operations[operation].actions).toEqual(actions)
  })
})

describe('operationResource', () => {
  const registry = { accountId: parseAccountId('123456789012'), region: parseRegion('eu-west-1') }

  it('is the repository', () => {
    expect(operationResource(registry, parseRepositoryName('team/app'))).toBe(
      'arn:aws:ecr:eu-west-1:123456789012:repository/team/app',
    )
  })

  it('is every repository for an operation on the registry', () => {
    expect(operationResource(registry, undefined)).toBe('arn:aws:ecr:eu-west-1:123456789012:repository/*')
  })
})
