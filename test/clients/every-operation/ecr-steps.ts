import { digestOf } from '../../support/images.ts'
import { callsOf, each, refused, upTo, type Scenario, type Step } from './step.ts'

const ecr = callsOf('ecr')

/** Quotas that a few calls reach. */
export const ecrQuotas = {
  STOWAGE_QUOTA_REPOSITORIES: '3',
  STOWAGE_QUOTA_IMAGES_PER_REPOSITORY: '3',
  STOWAGE_QUOTA_LAYER_PARTS: '2',
  STOWAGE_QUOTA_CREATION_TEMPLATES: '3',
  STOWAGE_QUOTA_PULL_TIME_EXCLUSIONS: '3',
}

const account = '000000000000'
const first = { repositoryName: 'clients/app-1' }
const second = { repositoryName: 'clients/app-2' }
const arn = (name: string): string => `arn:aws:ecr:us-east-1:${account}:repository/${name}`

const tags = upTo(3).map((number) => ({ Key: `key-${number}`, Value: 'a value' }))
const reservedTags = [{ Key: 'aws:key', Value: '' }]
const tooManyTags = upTo(51).map((number) => ({ Key: `key-${number}`, Value: '' }))

const absentDigest = `sha256:${'0'.repeat(64)}`
const absentUpload = '00000000-0000-4000-8000-000000000000'

const policyText = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Sid: 'Pull', Effect: 'Allow', Principal: '*', Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'] }],
})
const registryPolicyText = JSON.stringify({
  Version: '2012-10-17',
  Statement: [
    {
      Sid: 'Create',
      Effect: 'Allow',
      Principal: { AWS: `arn:aws:iam::${account}:root` },
      Action: 'ecr:CreateRepository',
      Resource: `arn:aws:ecr:us-east-1:${account}:repository/*`,
    },
  ],
})

const layer = 'the bytes of a layer'
const config = '{"os":"linux","architecture":"amd64"}'
const orphan = 'a layer of no image'

/** Refusals that all calls of a repository share, once for each operation. */
function ofRepository(step: Step): Step[] {
  return [
    refused('RepositoryNotFoundException', step, { repositoryName: 'clients/absent' }),
    refused('InvalidParameterException', step, { repositoryName: 'Not/Valid' }),
  ]
}

/** A call of a repository with the refusals that all such calls share before it. */
function repositoryCall(step: Step): Step[] {
  return [...ofRepository(step), step]
}

const uploadIn = (where: { repositoryName: string }, content: string, save: string): Step[] => {
  const upload = { ...where, uploadId: `\${${save}}` }
  return [
    ecr('InitiateLayerUpload', where, { save: { [save]: 'uploadId' } }),
    ecr('UploadLayerPart', { ...upload, partFirstByte: 0, partLastByte: content.length - 1, layerPartBlob: { $blob: content } }),
    ecr('CompleteLayerUpload', { ...upload, layerDigests: [digestOf(Buffer.from(content))] }),
  ]
}

function manifest(seed: string): string {
  const descriptor = (mediaType: string, content: string) => ({ mediaType, digest: digestOf(Buffer.from(content)), size: content.length })
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: [descriptor('application/vnd.oci.image.layer.v1.tar', layer)],
    annotations: { seed },
  })
}

function index(members: object): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [], ...members })
}

const subject = manifest('1')
const signature = index({
  artifactType: 'application/vnd.example.signature',
  subject: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf(Buffer.from(subject)), size: subject.length },
})
const absentChild = [{ mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: absentDigest, size: 2 }]

const registrySteps: Step[] = [
  ecr('GetAuthorizationToken'),
  ecr('GetAuthorizationToken', { registryIds: ['not an account'] }, { error: 'InvalidParameterException' }),
  ecr('DescribeRegistry'),
  ecr('PutAccountSetting', { name: 'BLOB_MOUNTING', value: 'ENABLED' }),
  ecr('PutAccountSetting', { name: 'NO_SUCH_SETTING', value: 'ENABLED' }, { error: 'InvalidParameterException' }),
  ecr('GetAccountSetting', { name: 'BLOB_MOUNTING' }),
  ecr('GetAccountSetting', { name: 'NO_SUCH_SETTING' }, { error: 'InvalidParameterException' }),
  ecr('GetRegistryPolicy', {}, { error: 'RegistryPolicyNotFoundException' }),
  ecr('DeleteRegistryPolicy', {}, { error: 'RegistryPolicyNotFoundException' }),
  ecr('PutRegistryPolicy', { policyText: 'no policy' }, { error: 'InvalidParameterException' }),
  ecr('PutRegistryPolicy', { policyText: registryPolicyText }),
  ecr('GetRegistryPolicy'),
  ecr('DeleteRegistryPolicy'),
]

const template = ecr('CreateRepositoryCreationTemplate', {
  prefix: 'template-1',
  appliedFor: ['CREATE_ON_PUSH'],
  resourceTags: tags,
  customRoleArn: `arn:aws:iam::${account}:role/creator`,
  description: 'for tests',
})
const changedTemplate = ecr('UpdateRepositoryCreationTemplate', { prefix: 'template-1', description: 'changed' })
const deletedTemplate = ecr('DeleteRepositoryCreationTemplate', { prefix: 'template-1' })
const exclusion = ecr('RegisterPullTimeUpdateExclusion', { principalArn: `arn:aws:iam::${account}:role/scanner-1` })
const noExclusion = ecr('DeregisterPullTimeUpdateExclusion', { principalArn: `arn:aws:iam::${account}:role/scanner-1` })

const templateSteps: Step[] = [
  ...each(upTo(3), (number) => ({ ...template, input: { ...template.input, prefix: `template-${number}` } })),
  refused('LimitExceededException', template, { prefix: 'template-4' }),
  refused('TemplateAlreadyExistsException', template),
  refused('InvalidParameterException', template, { prefix: 'Not/Valid' }),
  changedTemplate,
  refused('TemplateNotFoundException', changedTemplate, { prefix: 'absent' }),
  refused('InvalidParameterException', changedTemplate, { prefix: 'Not/Valid' }),
  ecr('DescribeRepositoryCreationTemplates'),
  ecr('DescribeRepositoryCreationTemplates', { prefixes: ['Not/Valid'] }, { error: 'InvalidParameterException' }),
  ...each(upTo(3), (number) => ({ ...exclusion, input: { principalArn: `arn:aws:iam::${account}:role/scanner-${number}` } })),
  refused('LimitExceededException', exclusion, { principalArn: `arn:aws:iam::${account}:role/scanner-4` }),
  refused('ExclusionAlreadyExistsException', exclusion),
  refused('InvalidParameterException', exclusion, { principalArn: 'nobody' }),
  ecr('ListPullTimeUpdateExclusions'),
  ecr('ListPullTimeUpdateExclusions', { maxResults: 1001 }, { error: 'InvalidParameterException' }),
]

const creation = ecr('CreateRepository', { ...first, tags, imageScanningConfiguration: { scanOnPush: true } })
const tagging = ecr('TagResource', { resourceArn: arn(first.repositoryName), tags })
const untagging = ecr('UntagResource', { resourceArn: arn(first.repositoryName), tagKeys: ['absent'] })
const tagList = ecr('ListTagsForResource', { resourceArn: arn(first.repositoryName) })

const repositorySteps: Step[] = [
  ...each(upTo(3), (number) => ({ ...creation, input: { ...creation.input, repositoryName: `clients/app-${number}` } })),
  refused('LimitExceededException', creation, { repositoryName: 'clients/app-4' }),
  refused('RepositoryAlreadyExistsException', creation),
  refused('InvalidParameterException', creation, { repositoryName: 'Not/Valid' }),
  refused('InvalidTagParameterException', creation, { tags: reservedTags }),
  refused('TooManyTagsException', creation, { tags: tooManyTags }),
  ecr('DescribeRepositories'),
  ecr('DescribeRepositories', { repositoryNames: ['clients/absent'] }, { error: 'RepositoryNotFoundException' }),
  ecr('DescribeRepositories', { repositoryNames: ['Not/Valid'] }, { error: 'InvalidParameterException' }),
  ...repositoryCall(ecr('PutImageTagMutability', { ...second, imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION', imageTagMutabilityExclusionFilters: [{ filterType: 'WILDCARD', filter: 'dev-*' }] })),
  ...repositoryCall(ecr('PutImageScanningConfiguration', { ...first, imageScanningConfiguration: { scanOnPush: false } })),
  tagging,
  refused('InvalidTagParameterException', tagging, { tags: reservedTags }),
  refused('TooManyTagsException', tagging, { tags: tooManyTags }),
  untagging,
  refused('InvalidTagParameterException', untagging, { tagKeys: ['aws:key'] }),
  refused('TooManyTagsException', untagging, { tagKeys: tooManyTags.map(({ Key }) => Key) }),
  tagList,
  ...each([tagging, untagging, tagList], (step) => [
    refused('RepositoryNotFoundException', step, { resourceArn: arn('clients/absent') }),
    refused('InvalidParameterException', step, { resourceArn: 'no ARN' }),
  ]),
  ...each(['GetRepositoryPolicy', 'DeleteRepositoryPolicy'], (operation) => refused('RepositoryPolicyNotFoundException', ecr(operation, first))),
  ...repositoryCall(ecr('SetRepositoryPolicy', { ...first, policyText })),
  ...repositoryCall(ecr('GetRepositoryPolicy', first)),
  ...repositoryCall(ecr('DeleteRepositoryPolicy', first)),
]

const part = ecr('UploadLayerPart', { ...first, uploadId: '${upload}', partFirstByte: 0, partLastByte: 2, layerPartBlob: { $blob: 'abc' } })
const completion = ecr('CompleteLayerUpload', { ...first, uploadId: '${upload}', layerDigests: [digestOf(Buffer.from('abcdef'))] })
const download = ecr('GetDownloadUrlForLayer', { ...first, layerDigest: digestOf(Buffer.from(layer)) })

const layerSteps: Step[] = [
  ...repositoryCall(ecr('InitiateLayerUpload', first, { save: { upload: 'uploadId' } })),
  refused('EmptyUploadException', completion),
  refused('InvalidLayerPartException', part, { partFirstByte: 7, partLastByte: 9 }),
  ...repositoryCall(part),
  refused('UploadNotFoundException', part, { uploadId: absentUpload }),
  { ...part, input: { ...part.input, partFirstByte: 3, partLastByte: 5, layerPartBlob: { $blob: 'def' } } },
  refused('LimitExceededException', part, { partFirstByte: 6, partLastByte: 8 }),
  ...ofRepository(completion),
  refused('LayerPartTooSmallException', completion),
  refused('UploadNotFoundException', completion, { uploadId: absentUpload }),
  ecr('InitiateLayerUpload', first, { save: { other: 'uploadId' } }),
  { ...part, input: { ...part.input, uploadId: '${other}' } },
  refused('InvalidLayerException', completion, { uploadId: '${other}', layerDigests: [absentDigest] }),
  ...each([layer, config, orphan], (content) => uploadIn(first, content, 'upload')),
  // The same bytes once more.
  ...uploadIn(first, layer, 'upload').map((step) => (step.operation === 'CompleteLayerUpload' ? refused('LayerAlreadyExistsException', step) : step)),
  ...repositoryCall(ecr('BatchCheckLayerAvailability', { ...first, layerDigests: [digestOf(Buffer.from(layer)), absentDigest, 'no digest'] })),
]

const put = ecr('PutImage', { ...first, imageManifest: manifest('1'), imageTag: 'v1' })

const listed = { mediaType: 'application/vnd.oci.image.index.v1+json', digest: digestOf(Buffer.from(index({}))), size: index({}).length }
const archiving = ecr('UpdateImageStorageClass', { ...first, imageId: { imageTag: 'v2' }, targetStorageClass: 'ARCHIVE' })

const imageSteps: Step[] = [
  ...ofRepository(put),
  refused('LayersNotFoundException', put, second),
  refused('ReferencedImagesNotFoundException', put, { imageManifest: index({ manifests: absentChild }) }),
  refused('ImageDigestDoesNotMatchException', put, { imageDigest: absentDigest }),
  ...each(upTo(3), (number) => ({ ...put, input: { ...first, imageManifest: manifest(`${number}`), imageTag: `v${number}` } })),
  refused('ImageAlreadyExistsException', put),
  refused('LimitExceededException', put, { imageManifest: manifest('4'), imageTag: 'v4' }),
  { ...put, input: { ...second, imageManifest: index({}), imageTag: 'v1' } },
  refused('ImageTagAlreadyExistsException', put, { ...second, imageManifest: index({ annotations: { seed: 'another' } }) }),
  ...repositoryCall(download),
  refused('LayersNotFoundException', download, { layerDigest: absentDigest }),
  refused('LayerInaccessibleException', download, { layerDigest: digestOf(Buffer.from(orphan)) }),
  ...repositoryCall(ecr('ListImages', { ...first, filter: { tagStatus: 'TAGGED' } })),
  ...repositoryCall(ecr('DescribeImages', first)),
  ecr('DescribeImages', { ...first, imageIds: [{ imageTag: 'absent' }] }, { error: 'ImageNotFoundException' }),
  ...repositoryCall(ecr('BatchGetImage', { ...first, imageIds: [{ imageTag: 'v1' }, { imageTag: 'absent' }] })),
  // After a pull there is a time of it.
  ecr('DescribeImages', { ...first, imageIds: [{ imageTag: 'v1' }] }, { until: 'imageDetails[].lastRecordedPullTime' }),
  ...each(['StartImageScan', 'DescribeImageScanFindings'], (operation) => {
    const scan = ecr(operation, { ...first, imageId: { imageTag: 'v1' } })
    return [
      refused(operation === 'StartImageScan' ? 'ValidationException' : 'ScanNotFoundException', scan),
      refused('ImageNotFoundException', scan, { imageId: { imageTag: 'absent' } }),
      ...ofRepository(scan),
    ]
  }),
  ...repositoryCall(ecr('BatchDeleteImage', { ...first, imageIds: [{ imageTag: 'v3' }, { imageTag: 'absent' }] })),
  ...repositoryCall(archiving),
  refused('ImageNotFoundException', archiving, { imageId: { imageTag: 'absent' } }),
  ecr('BatchCheckLayerAvailability', { ...first, layerDigests: [digestOf(Buffer.from(config)), absentDigest] }),
  ecr('DescribeImages', { ...first, imageIds: [{ imageTag: 'v2' }] }),
  ecr('BatchGetImage', { ...first, imageIds: [{ imageTag: 'v2' }] }),
  ecr('ListImages', { ...first, filter: { imageStatus: 'ARCHIVED' } }),
  { ...archiving, input: { ...archiving.input, targetStorageClass: 'STANDARD' } },
  // What an index lists goes with it alone.
  { ...put, input: { ...second, imageManifest: index({ manifests: [listed] }), imageTag: 'list' } },
  refused('ImageStorageClassUpdateNotSupportedException', archiving, { ...second, imageId: { imageDigest: listed.digest } }),
  ecr('DescribeImages', { ...first, imageIds: [{ imageTag: 'v2' }] }, { until: 'imageDetails[].lastActivatedAt' }),
  { ...put, input: { ...first, imageManifest: signature } },
  ...repositoryCall(ecr('ListImageReferrers', { ...first, subjectId: { imageDigest: digestOf(Buffer.from(subject)) } })),
]

const lifecyclePolicyText = JSON.stringify({
  rules: [
    {
      rulePriority: 1,
      description: 'all but the newest image, whatever it is called',
      selection: { tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: 1 },
      action: { type: 'expire' },
    },
  ],
})
const preview = ecr('StartLifecyclePolicyPreview', { ...first, lifecyclePolicyText })

const lifecycleSteps: Step[] = [
  ecr('GetLifecyclePolicy', first, { error: 'LifecyclePolicyNotFoundException' }),
  ecr('DeleteLifecyclePolicy', first, { error: 'LifecyclePolicyNotFoundException' }),
  ecr('StartLifecyclePolicyPreview', first, { error: 'LifecyclePolicyNotFoundException' }),
  ecr('GetLifecyclePolicyPreview', first, { error: 'LifecyclePolicyPreviewNotFoundException' }),
  ...repositoryCall(preview),
  ...repositoryCall(ecr('GetLifecyclePolicyPreview', first, { until: 'previewResults[].imagePushedAt' })),
  ...repositoryCall(ecr('PutLifecyclePolicy', { ...second, lifecyclePolicyText })),
  // It is carried out within a second here: what was evaluated has a time.
  ...repositoryCall(ecr('GetLifecyclePolicy', second, { until: 'lastEvaluatedAt' })),
  ...repositoryCall(ecr('DeleteLifecyclePolicy', second)),
]

const cleaning: Step[] = [
  ecr('DeleteRepository', first, { error: 'RepositoryNotEmptyException' }),
  ...repositoryCall(ecr('DeleteRepository', { ...first, force: true })),
  ...each(['clients/app-2', 'clients/app-3'], (repositoryName) => ecr('DeleteRepository', { repositoryName, force: true })),
  ...each(upTo(3), (number) => ({ ...deletedTemplate, input: { prefix: `template-${number}` } })),
  refused('TemplateNotFoundException', deletedTemplate),
  refused('InvalidParameterException', deletedTemplate, { prefix: 'Not/Valid' }),
  ...each(upTo(3), (number) => ({ ...noExclusion, input: { principalArn: `arn:aws:iam::${account}:role/scanner-${number}` } })),
  refused('ExclusionNotFoundException', noExclusion),
  refused('InvalidParameterException', noExclusion, { principalArn: 'nobody' }),
]

export const ecrScenario: Scenario = {
  steps: [...registrySteps, ...templateSteps, ...repositorySteps, ...layerSteps, ...imageSteps, ...lifecycleSteps],
  lists: [
    { service: 'ecr', operation: 'DescribeRepositories', input: {} },
    { service: 'ecr', operation: 'DescribeImages', input: first },
    { service: 'ecr', operation: 'ListImages', input: first },
    { service: 'ecr', operation: 'GetLifecyclePolicyPreview', input: first, pages: 2 },
    { service: 'ecr', operation: 'DescribeRepositoryCreationTemplates', input: {} },
  ],
  waits: [{ service: 'ecr', waiter: 'LifecyclePolicyPreviewComplete', input: first, refusal: 'RepositoryNotFoundException' }],
  cleaning,
}
