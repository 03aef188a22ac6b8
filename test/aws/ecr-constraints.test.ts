import type { ECR } from '@aws-sdk/client-ecr'
import { describe, expect, it } from 'vitest'
import { onEveryDatabase, refusalOf } from './ecr-under-test.ts'

/*
 * Every constraint of ECR's model, as a client that checks nothing meets it. None of these calls reaches a
 * repository: "team/app" does not exist.
 */

const digest = `sha256:${'a'.repeat(64)}`
const uploadId = '00000000-0000-4000-8000-000000000000'
const resourceArn = 'arn:aws:ecr:us-east-1:000000000000:repository/team/app'

/** An input of each operation that breaks no constraint. */
const validInputs = {
  getAuthorizationToken: {},
  createRepository: { repositoryName: 'team/app' },
  describeRepositories: {},
  deleteRepository: { repositoryName: 'team/app' },
  putImageTagMutability: { repositoryName: 'team/app', imageTagMutability: 'MUTABLE' },
  listImages: { repositoryName: 'team/app' },
  describeImages: { repositoryName: 'team/app' },
  batchGetImage: { repositoryName: 'team/app', imageIds: [{ imageTag: 'v1' }] },
  batchDeleteImage: { repositoryName: 'team/app', imageIds: [{ imageTag: 'v1' }] },
  putImage: { repositoryName: 'team/app', imageManifest: '{}' },
  batchCheckLayerAvailability: { repositoryName: 'team/app', layerDigests: [digest] },
  initiateLayerUpload: { repositoryName: 'team/app' },
  uploadLayerPart: {
    repositoryName: 'team/app',
    uploadId,
    partFirstByte: 0,
    partLastByte: 0,
    layerPartBlob: Uint8Array.of(1),
  },
  completeLayerUpload: { repositoryName: 'team/app', uploadId, layerDigests: [digest] },
  getDownloadUrlForLayer: { repositoryName: 'team/app', layerDigest: digest },
  tagResource: { resourceArn, tags: [] },
  untagResource: { resourceArn, tagKeys: [] },
  listTagsForResource: { resourceArn },
  setRepositoryPolicy: { repositoryName: 'team/app', policyText: '{}' },
  getRepositoryPolicy: { repositoryName: 'team/app' },
  deleteRepositoryPolicy: { repositoryName: 'team/app' },
  putRegistryPolicy: { policyText: '{}' },
  getAccountSetting: { name: 'BLOB_MOUNTING' },
  putAccountSetting: { name: 'BLOB_MOUNTING', value: 'ENABLED' },
  createRepositoryCreationTemplate: { prefix: 'team', appliedFor: ['CREATE_ON_PUSH'] },
  updateRepositoryCreationTemplate: { prefix: 'team' },
  deleteRepositoryCreationTemplate: { prefix: 'team' },
  describeRepositoryCreationTemplates: {},
  registerPullTimeUpdateExclusion: { principalArn: 'arn:aws:iam::000000000000:role/a' },
  deregisterPullTimeUpdateExclusion: { principalArn: 'arn:aws:iam::000000000000:role/a' },
  listPullTimeUpdateExclusions: {},
  putImageScanningConfiguration: { repositoryName: 'team/app', imageScanningConfiguration: {} },
  startImageScan: { repositoryName: 'team/app', imageId: { imageTag: 'v1' } },
  describeImageScanFindings: { repositoryName: 'team/app', imageId: { imageTag: 'v1' } },
} satisfies Partial<Record<keyof ECR, object>>

type Operation = keyof typeof validInputs

const operations = Object.keys(validInputs) as Operation[]
const onRepositories = operations.filter((operation) => 'repositoryName' in validInputs[operation])
const inRegistries = [...onRepositories, 'describeRepositories'] as const

function atLeast(length: number): string {
  return `Member must have length greater than or equal to ${length}`
}

function atMost(length: number): string {
  return `Member must have length less than or equal to ${length}`
}

const notNull = 'Member must not be null'
const nameRule = "must satisfy regular expression '[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(\\/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*'"
const prefixRule =
  "must satisfy regular expression '^([a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(\\/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*\\/?|ROOT)$'"
const digestRule = "must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
const tagRule = "must satisfy regular expression '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'"
const uploadIdRule =
  "must satisfy regular expression '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'"
const filterRule = "must satisfy regular expression '^[0-9a-zA-Z._*-]{1,128}$'"
const mutabilityRule =
  'Member must satisfy enum value set: [IMMUTABLE, MUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION]'
const oneToThousand = [
  [0, 'Member must have value greater than or equal to 1'],
  [-1, 'Member must have value greater than or equal to 1'],
  [1001, 'Member must have value less than or equal to 1000'],
] as const

function times<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value)
}

type Case = readonly [operation: Operation, member: string, value: unknown, field: string, constraint: string]

const cases: Case[] = [
  ...onRepositories.flatMap((operation): Case[] => [
    [operation, 'repositoryName', undefined, 'repositoryName', notNull],
    [operation, 'repositoryName', 'a', 'repositoryName', atLeast(2)],
    [operation, 'repositoryName', 'a'.repeat(257), 'repositoryName', atMost(256)],
  ]),
  ...['Upper', 'a//b', '/ab', 'ab/', 'a..b', 'a___b', '-ab', 'ab-', 'a b', 'ab\n', 'ä-name', 'a:b'].map(
    (name): Case => ['createRepository', 'repositoryName', name, 'repositoryName', nameRule],
  ),
  ...inRegistries.flatMap((operation): Case[] =>
    ['', '12345678901', '1234567890123', '12345678901a'].map((id) => [
      operation,
      'registryId',
      id,
      'registryId',
      "must satisfy regular expression '[0-9]{12}'",
    ]),
  ),

  ['getAuthorizationToken', 'registryIds', [], 'registryIds', atLeast(1)],
  ['getAuthorizationToken', 'registryIds', times(11, '000000000000'), 'registryIds', atMost(10)],
  ['getAuthorizationToken', 'registryIds', ['1'], 'registryIds.1.member', "must satisfy regular expression '[0-9]{12}'"],

  ['createRepository', 'imageTagMutability', 'SOMETIMES', 'imageTagMutability', mutabilityRule],
  ['createRepository', 'encryptionConfiguration', {}, 'encryptionConfiguration.encryptionType', notNull],
  [
    'createRepository',
    'encryptionConfiguration',
    { encryptionType: 'ROT13' },
    'encryptionConfiguration.encryptionType',
    'Member must satisfy enum value set: [AES256, KMS, KMS_DSSE]',
  ],
  ['createRepository', 'tags', [{ Value: 'v' }], 'tags.1.member.Key', notNull],
  ['createRepository', 'tags', [{ Key: 'k' }], 'tags.1.member.Value', notNull],

  ['putImageTagMutability', 'imageTagMutability', undefined, 'imageTagMutability', notNull],
  ['putImageTagMutability', 'imageTagMutability', 'mutable', 'imageTagMutability', mutabilityRule],
  ...(['createRepository', 'putImageTagMutability'] as const).flatMap((operation): Case[] => {
    const member = 'imageTagMutabilityExclusionFilters'
    const good = { filterType: 'WILDCARD', filter: 'v*' }
    return [
      [operation, member, [], member, atLeast(1)],
      [operation, member, times(6, good), member, atMost(5)],
      [operation, member, [{ filterType: 'WILDCARD' }], `${member}.1.member.filter`, notNull],
      [operation, member, [{ filter: 'v*' }], `${member}.1.member.filterType`, notNull],
      [
        operation,
        member,
        [good, { ...good, filterType: 'REGEX' }],
        `${member}.2.member.filterType`,
        'Member must satisfy enum value set: [WILDCARD]',
      ],
      [operation, member, [{ ...good, filter: '' }], `${member}.1.member.filter`, atLeast(1)],
      [operation, member, [{ ...good, filter: 'a'.repeat(129) }], `${member}.1.member.filter`, atMost(128)],
      [operation, member, [{ ...good, filter: 'a?' }], `${member}.1.member.filter`, filterRule],
    ]
  }),

  ['describeRepositories', 'repositoryNames', [], 'repositoryNames', atLeast(1)],
  ['describeRepositories', 'repositoryNames', times(101, 'team/app'), 'repositoryNames', atMost(100)],
  ['describeRepositories', 'repositoryNames', ['team/app', 'a'], 'repositoryNames.2.member', atLeast(2)],
  ['describeRepositories', 'repositoryNames', ['team/app', 'A/b'], 'repositoryNames.2.member', nameRule],

  ...(['describeRepositories', 'listImages', 'describeImages'] as const).flatMap((operation): Case[] => [
    ...oneToThousand.map(([value, constraint]): Case => [operation, 'maxResults', value, 'maxResults', constraint]),
    [operation, 'nextToken', 'x'.repeat(4097), 'nextToken', atMost(4096)],
  ]),
  ...(['listImages', 'describeImages'] as const).flatMap((operation): Case[] => [
    [
      operation,
      'filter',
      { tagStatus: 'tagged' },
      'filter.tagStatus',
      'Member must satisfy enum value set: [TAGGED, UNTAGGED, ANY]',
    ],
    [
      operation,
      'filter',
      { imageStatus: 'DELETED' },
      'filter.imageStatus',
      'Member must satisfy enum value set: [ACTIVE, ARCHIVED, ACTIVATING, ANY]',
    ],
  ]),

  ...(['describeImages', 'batchGetImage', 'batchDeleteImage'] as const).flatMap((operation): Case[] => [
    [operation, 'imageIds', [], 'imageIds', atLeast(1)],
    [operation, 'imageIds', times(101, { imageTag: 'v1' }), 'imageIds', atMost(100)],
  ]),
  ...(['batchGetImage', 'batchDeleteImage'] as const).map(
    (operation): Case => [operation, 'imageIds', undefined, 'imageIds', notNull],
  ),
  ['describeImages', 'imageIds', [{ imageTag: '' }], 'imageIds.1.member.imageTag', atLeast(1)],
  ['describeImages', 'imageIds', [{ imageTag: '-' }], 'imageIds.1.member.imageTag', tagRule],
  ['describeImages', 'imageIds', [{ imageTag: 'v' }, { imageDigest: 'x' }], 'imageIds.2.member.imageDigest', digestRule],
  ['batchGetImage', 'acceptedMediaTypes', [], 'acceptedMediaTypes', atLeast(1)],
  ['batchGetImage', 'acceptedMediaTypes', times(101, 'a/b'), 'acceptedMediaTypes', atMost(100)],

  ['putImage', 'imageManifest', undefined, 'imageManifest', notNull],
  ['putImage', 'imageManifest', '', 'imageManifest', atLeast(1)],
  ['putImage', 'imageManifest', ' '.repeat(4_194_305), 'imageManifest', atMost(4_194_304)],
  ['putImage', 'imageTag', '', 'imageTag', atLeast(1)],
  ['putImage', 'imageTag', 'v'.repeat(301), 'imageTag', atMost(300)],
  ['putImage', 'imageTag', 'v'.repeat(129), 'imageTag', tagRule],
  ['putImage', 'imageTag', 'a+b', 'imageTag', tagRule],
  ['putImage', 'imageTag', '.hidden', 'imageTag', tagRule],
  ['putImage', 'imageDigest', 'sha256', 'imageDigest', digestRule],
  ['putImage', 'imageDigest', 'sha256:xyz', 'imageDigest', digestRule],

  ['batchCheckLayerAvailability', 'layerDigests', undefined, 'layerDigests', notNull],
  ['batchCheckLayerAvailability', 'layerDigests', [], 'layerDigests', atLeast(1)],
  ['batchCheckLayerAvailability', 'layerDigests', times(101, digest), 'layerDigests', atMost(100)],
  ['batchCheckLayerAvailability', 'layerDigests', ['a'.repeat(1001)], 'layerDigests.1.member', atMost(1000)],
  ...(['uploadLayerPart', 'completeLayerUpload'] as const).flatMap((operation): Case[] => [
    [operation, 'uploadId', undefined, 'uploadId', notNull],
    [operation, 'uploadId', 'nonsense', 'uploadId', uploadIdRule],
    [operation, 'uploadId', '../../../../../../../../../../../../etc', 'uploadId', uploadIdRule],
  ]),
  ...(['partFirstByte', 'partLastByte'] as const).flatMap((member): Case[] => [
    ['uploadLayerPart', member, undefined, member, notNull],
    ['uploadLayerPart', member, -1, member, 'Member must have value greater than or equal to 0'],
  ]),
  ['uploadLayerPart', 'layerPartBlob', undefined, 'layerPartBlob', notNull],
  ['completeLayerUpload', 'layerDigests', undefined, 'layerDigests', notNull],
  ['completeLayerUpload', 'layerDigests', [], 'layerDigests', atLeast(1)],
  ['completeLayerUpload', 'layerDigests', times(101, digest), 'layerDigests', atMost(100)],
  ['completeLayerUpload', 'layerDigests', ['x'], 'layerDigests.1.member', digestRule],
  ['getDownloadUrlForLayer', 'layerDigest', undefined, 'layerDigest', notNull],
  ['getDownloadUrlForLayer', 'layerDigest', 'x', 'layerDigest', digestRule],

  ...(['tagResource', 'untagResource', 'listTagsForResource'] as const).flatMap((operation): Case[] => [
    [operation, 'resourceArn', undefined, 'resourceArn', notNull],
    [operation, 'resourceArn', '', 'resourceArn', 'Invalid ARN'],
  ]),
  ['tagResource', 'tags', undefined, 'tags', notNull],
  ['tagResource', 'tags', [{}], 'tags.1.member.Key', notNull],
  ['untagResource', 'tagKeys', undefined, 'tagKeys', notNull],

  ...(['setRepositoryPolicy', 'putRegistryPolicy'] as const).flatMap((operation): Case[] => [
    [operation, 'policyText', undefined, 'policyText', notNull],
    [operation, 'policyText', ' '.repeat(10_241), 'policyText', atMost(10_240)],
  ]),
  ['getAccountSetting', 'name', undefined, 'name', notNull],
  ['putAccountSetting', 'name', undefined, 'name', notNull],
  ['putAccountSetting', 'value', undefined, 'value', notNull],
  ['createRepositoryCreationTemplate', 'appliedFor', undefined, 'appliedFor', notNull],
  ['createRepositoryCreationTemplate', 'appliedFor', times(4, 'REPLICATION'), 'appliedFor', atMost(3)],
  ...(
    ['createRepositoryCreationTemplate', 'updateRepositoryCreationTemplate', 'deleteRepositoryCreationTemplate'] as const
  ).flatMap((operation): Case[] => [
    [operation, 'prefix', undefined, 'prefix', notNull],
    [operation, 'prefix', '', 'prefix', atLeast(1)],
    [operation, 'prefix', 'a'.repeat(257), 'prefix', atMost(256)],
    ...['Upper', 'a//', '/', 'ROOT/'].map((prefix): Case => [operation, 'prefix', prefix, 'prefix', prefixRule]),
  ]),
  ...(['createRepositoryCreationTemplate', 'updateRepositoryCreationTemplate'] as const).flatMap((operation): Case[] => [
    [operation, 'description', 'a'.repeat(257), 'description', atMost(256)],
    [operation, 'repositoryPolicy', ' '.repeat(10_241), 'repositoryPolicy', atMost(10_240)],
    [operation, 'lifecyclePolicy', ' '.repeat(30_721), 'lifecyclePolicy', atMost(30_720)],
    [operation, 'customRoleArn', 'a'.repeat(2049), 'customRoleArn', atMost(2048)],
    [operation, 'imageTagMutability', 'mutable', 'imageTagMutability', mutabilityRule],
  ]),
  ['describeRepositoryCreationTemplates', 'prefixes', times(101, 'team'), 'prefixes', atMost(100)],
  ...(['registerPullTimeUpdateExclusion', 'deregisterPullTimeUpdateExclusion'] as const).flatMap((operation): Case[] => [
    [operation, 'principalArn', undefined, 'principalArn', notNull],
    [operation, 'principalArn', `arn:aws:iam::000000000000:role/${'a'.repeat(200)}`, 'principalArn', atMost(200)],
  ]),
  ...(['describeRepositoryCreationTemplates', 'listPullTimeUpdateExclusions', 'describeImageScanFindings'] as const).flatMap(
    (operation): Case[] => [
      ...oneToThousand.map(([value, constraint]): Case => [operation, 'maxResults', value, 'maxResults', constraint]),
      [operation, 'nextToken', 'x'.repeat(4097), 'nextToken', atMost(4096)],
    ],
  ),
  ['putImageScanningConfiguration', 'imageScanningConfiguration', undefined, 'imageScanningConfiguration', notNull],
  ['startImageScan', 'imageId', undefined, 'imageId', notNull],
  ['describeImageScanFindings', 'imageId', { imageTag: '-' }, 'imageId.imageTag', tagRule],
]

function shownValue(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`
}

onEveryDatabase((server) => {
  function call(operation: Operation, input: object): Promise<unknown> {
    const { ecr } = server()
    const send = ecr[operation] as (this: ECR, input: object) => Promise<unknown>
    return send.call(ecr, input)
  }

  describe.each(operations)('%s', (operation) => {
    it.each(
      cases
        .filter((each) => each[0] === operation)
        .map(([, member, value, field, constraint]) => ({ member, value, field, constraint, shown: shownValue(value) })),
    )('refuses $shown as $member', async ({ member, value, field, constraint }) => {
      const refusal = await refusalOf(call(operation, { ...validInputs[operation], [member]: value }))

      const told = `at '${field}' failed to satisfy constraint: '${constraint}'`
      expect(refusal).toMatch(/^InvalidParameterException: /)
      // A tag without key and value breaks two constraints, which one message tells.
      expect(refusal).toContain(refusal.includes('validation errors detected') ? told.replace('at ', '') : told)
    })
  })

  it('refuses values of another type before it looks at anything else', async () => {
    const wrong: [Operation, object][] = [
      ['listImages', { repositoryName: 'team/app', maxResults: 1.5 }],
      ['batchGetImage', { repositoryName: 'team/app', imageIds: {} }],
      ['describeRepositories', { repositoryNames: [1] }],
    ]
    for (const [operation, input] of wrong) {
      expect(await refusalOf(call(operation, input))).toMatch(/^SerializationException: /)
    }
  })

  it('tells of every broken constraint', async () => {
    expect(await refusalOf(call('putImage', { repositoryName: 'a', imageTag: '' }))).toBe(
      "InvalidParameterException: 3 validation errors detected: Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Member must have length greater than or equal to 2'; 'imageManifest' failed to satisfy constraint: 'Member must not be null'; 'imageTag' failed to satisfy constraint: 'Member must have length greater than or equal to 1'",
    )
  })
})
