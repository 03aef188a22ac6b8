import { describe, expect, it } from 'vitest'
import { textKeyring, SteppedClock, testStart } from '../../../../iam/iam.test-support.ts'
import { rootPrincipal } from '../../../../iam/index.ts'
import type { Registry } from '../../../../registry/index.ts'
import { parseAccountId, parseRegion } from '../../../../values/index.ts'
import type { AwsCall } from '../../service.ts'
import { createEcrService } from './index.ts'

const clock = new SteppedClock(testStart)
// What is asked here is settled before a registry is: none is needed.
const registry = {} as Registry
const { operations, accountOf } = createEcrService({ registry, lifecycle: {} as never, keyring: await textKeyring(), clock })

const accountId = parseAccountId('111122223333')
const region = parseRegion('eu-west-1')
const call: AwsCall = {
  context: {
    actor: rootPrincipal(accountId, 'AKIAEXAMPLE'),
    registry: { id: 1, accountId, region },
    requestId: 'request',
    sourceIp: '127.0.0.1',
    userAgent: 'test',
    protocol: 'ecr',
    clock,
  },
  host: 'localhost',
  secure: false,
  signal: new AbortController().signal,
  authorize: async () => undefined,
  allows: async () => true,
  requireAnew: () => Promise.resolve(),
}

const repository = `arn:aws:ecr:${region}:${accountId}:repository/team/app`
const everyRepository = `arn:aws:ecr:${region}:${accountId}:repository/*`

/** The resource of each operation, for an input that names the repository team/app where it can name one. */
const resources: Readonly<Record<string, string>> = {
  GetAuthorizationToken: '*',
  CreateRepository: repository,
  DescribeRepositories: everyRepository,
  DeleteRepository: repository,
  PutImageTagMutability: repository,
  ListImages: repository,
  DescribeImages: repository,
  ListImageReferrers: repository,
  PutLifecyclePolicy: repository,
  GetLifecyclePolicy: repository,
  DeleteLifecyclePolicy: repository,
  StartLifecyclePolicyPreview: repository,
  GetLifecyclePolicyPreview: repository,
  BatchGetImage: repository,
  BatchDeleteImage: repository,
  PutImage: repository,
  UpdateImageStorageClass: repository,
  BatchCheckLayerAvailability: repository,
  InitiateLayerUpload: repository,
  UploadLayerPart: repository,
  CompleteLayerUpload: repository,
  GetDownloadUrlForLayer: repository,
  TagResource: repository,
  UntagResource: repository,
  ListTagsForResource: repository,
  DescribeRegistry: '*',
  SetRepositoryPolicy: repository,
  GetRepositoryPolicy: repository,
  DeleteRepositoryPolicy: repository,
  PutRegistryPolicy: '*',
  GetRegistryPolicy: '*',
  DeleteRegistryPolicy: '*',
  GetAccountSetting: '*',
  PutAccountSetting: '*',
  CreateRepositoryCreationTemplate: '*',
  UpdateRepositoryCreationTemplate: '*',
  DeleteRepositoryCreationTemplate: '*',
  DescribeRepositoryCreationTemplates: '*',
  RegisterPullTimeUpdateExclusion: '*',
  DeregisterPullTimeUpdateExclusion: '*',
  ListPullTimeUpdateExclusions: '*',
  PutImageScanningConfiguration: repository,
  StartImageScan: repository,
  DescribeImageScanFindings: repository,
}

/** Actions that have another name than their operation. */
const actions: Readonly<Record<string, string>> = { ListImageReferrers: 'ecr:BatchGetImage' }

describe('the operations of ECR', () => {
  it('are these', () => {
    expect(Object.keys(operations).toSorted()).toEqual(Object.keys(resources).toSorted())
  })

  it.each(Object.entries(operations))('%s says which action on which resource it needs', (name, operation) => {
    const input = { repositoryName: 'team/app', resourceArn: repository }

    expect(operation.action).toBe(actions[name] ?? `ecr:${name}`)
    expect(operation.resource(input, call)).toBe(resources[name])
    expect(operation.openToEveryCaller).toBeUndefined()
  })

  it.each(Object.entries(operations).filter(([name]) => resources[name] !== '*'))(
    '%s needs it in the registry that its input names',
    (_, operation) => {
      const foreign = repository.replace(accountId, '999988887777')
      for (const named of [{ registryId: '999988887777' }, { resourceArn: foreign }]) {
        const input = { repositoryName: 'team/app', resourceArn: foreign, ...named }
        const there = { ...call.context.registry, accountId: accountOf?.(input) ?? accountId }

        expect(operation.resource(input, { ...call, context: { ...call.context, registry: there } })).toContain(':999988887777:repository/')
      }
    },
  )

  it('that name nobody’s registry, or something that cannot be one, work on the caller’s own', () => {
    const inputs = [{}, { resourceArn: 'nonsense' }, { resourceArn: 'arn:aws:iam::aws:policy/x' }, { resourceArn: 'arn:aws:ecr:eu-west-1::x' }]

    expect(inputs.map((input) => accountOf?.(input))).toEqual(inputs.map(() => undefined))
  })
})
