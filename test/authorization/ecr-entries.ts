import type { Entry, EntryTable, Subject } from './entry.ts'
import { absentDigest, absentUploadId, excludedArn, homeAccount, image, layerDigest, presentTemplate, region, repositoryArn, type Place } from './places.ts'

const targetPrefix = 'AmazonEC2ContainerRegistry_V20150921'

interface Call extends Pick<Entry, 'granted' | 'grantedAt' | 'resource' | 'changes' | 'needsElsewhere'> {
  readonly input?: object
  /** Where it is not the action of the operation's own name. */
  readonly needs?: readonly string[]
}

function entry(operation: string, subject: Subject, { input, ...call }: Call, inputOf: (place: Place) => object): Entry {
  return {
    subject,
    needs: [`ecr:${operation}`],
    ...call,
    request: (place) => ({ protocol: 'json', service: 'ecr', target: `${targetPrefix}.${operation}`, input: { ...inputOf(place), ...input } }),
  }
}

/** A call that names a repository of a registry. */
function onRepository(operation: string, call: Call): Entry {
  return entry(operation, 'repository', call, ({ accountId, repository }) => ({ registryId: accountId, repositoryName: repository }))
}

/** A call that names a repository by its ARN. */
function onResource(operation: string, call: Call): Entry {
  return entry(operation, 'repository', call, (place) => ({ resourceArn: repositoryArn(place) }))
}

/** A call about the registry of the caller's account. */
function onOwnRegistry(operation: string, call: Call): Entry {
  return entry(operation, 'own account', { resource: '*', ...call }, () => ({}))
}

/** A template makes repositories for whoever pushes: who sets it has to have the right to make them. */
function creationBelow(prefix: string): NonNullable<Entry['needsElsewhere']>[number] {
  return { action: 'ecr:CreateRepository', resource: (accountId) => `arn:aws:ecr:${region}:${accountId}:repository/${prefix}/*` }
}

const tags = [{ Key: 'matrix', Value: 'cell' }]
const manifest = image.manifest.bytes.toString()
const withoutLayers = manifest.replaceAll(/sha256:[0-9a-f]{64}/g, absentDigest)

/** A policy that is none: whoever may set one is told so, and nothing changes. */
const noPolicy = '{"Version":"2012-10-17","Statement":[{"Effect":"Perhaps"}]}'

export const ecrEntries: EntryTable = {
  'ecr:GetAuthorizationToken': onOwnRegistry('GetAuthorizationToken', { granted: '200' }),
  // The host of another registry is told to everybody who may have a token: whose it is says the name.
  'ecr:GetAuthorizationToken for others': onOwnRegistry('GetAuthorizationToken', { input: { registryIds: [homeAccount, '999988887777'] }, granted: '200' }),

  'ecr:CreateRepository': onRepository('CreateRepository', { granted: 'RepositoryAlreadyExistsException' }),
  'ecr:CreateRepository with tags': onRepository('CreateRepository', {
    input: { tags },
    needs: ['ecr:CreateRepository', 'ecr:TagResource'],
    granted: 'RepositoryAlreadyExistsException',
  }),
  'ecr:DescribeRepositories': entry('DescribeRepositories', 'registry', { granted: '200' }, ({ accountId }) => ({ registryId: accountId })),
  'ecr:DescribeRepositories by name': entry('DescribeRepositories', 'repository', { granted: '200' }, ({ accountId, repository }) => ({
    registryId: accountId,
    repositoryNames: [repository],
  })),
  'ecr:DeleteRepository': onRepository('DeleteRepository', { granted: 'RepositoryNotEmptyException' }),
  'ecr:PutImageTagMutability': onRepository('PutImageTagMutability', { input: { imageTagMutability: 'MUTABLE' }, granted: '200' }),
  'ecr:PutImageScanningConfiguration': onRepository('PutImageScanningConfiguration', {
    input: { imageScanningConfiguration: { scanOnPush: false } },
    granted: '200',
  }),

  'ecr:TagResource': onResource('TagResource', { input: { tags }, granted: '200' }),
  'ecr:UntagResource': onResource('UntagResource', { input: { tagKeys: ['absent'] }, granted: '200' }),
  'ecr:ListTagsForResource': onResource('ListTagsForResource', { granted: '200' }),

  'ecr:SetRepositoryPolicy': onRepository('SetRepositoryPolicy', { input: { policyText: noPolicy }, granted: 'InvalidParameterException' }),
  'ecr:GetRepositoryPolicy': onRepository('GetRepositoryPolicy', {
    granted: 'RepositoryPolicyNotFoundException',
    grantedAt: { 'with a policy of its own': '200', 'of another account, lent': '200' },
  }),
  'ecr:DeleteRepositoryPolicy': onRepository('DeleteRepositoryPolicy', {
    granted: 'RepositoryPolicyNotFoundException',
    grantedAt: { 'with a policy of its own': '200', 'of another account, lent': '200' },
    changes: true,
  }),

  'ecr:BatchCheckLayerAvailability': onRepository('BatchCheckLayerAvailability', { input: { layerDigests: [layerDigest] }, granted: '200' }),
  'ecr:InitiateLayerUpload': onRepository('InitiateLayerUpload', { granted: '200' }),
  'ecr:UploadLayerPart': onRepository('UploadLayerPart', {
    input: { uploadId: absentUploadId, partFirstByte: 0, partLastByte: 0, layerPartBlob: 'AA==' },
    granted: 'UploadNotFoundException',
  }),
  'ecr:CompleteLayerUpload': onRepository('CompleteLayerUpload', {
    input: { uploadId: absentUploadId, layerDigests: [layerDigest] },
    granted: 'UploadNotFoundException',
  }),
  'ecr:GetDownloadUrlForLayer': onRepository('GetDownloadUrlForLayer', { input: { layerDigest }, granted: '200' }),

  'ecr:PutImage': onRepository('PutImage', { input: { imageManifest: withoutLayers, imageTag: 'v1' }, granted: 'LayersNotFoundException' }),
  'ecr:BatchGetImage': onRepository('BatchGetImage', { input: { imageIds: [{ imageTag: 'v1' }] }, granted: '200' }),
  'ecr:BatchDeleteImage': onRepository('BatchDeleteImage', { input: { imageIds: [{ imageTag: 'absent' }] }, granted: '200' }),
  'ecr:BatchDeleteImage by digest': onRepository('BatchDeleteImage', { input: { imageIds: [{ imageDigest: absentDigest }] }, granted: '200' }),
  'ecr:UpdateImageStorageClass': onRepository('UpdateImageStorageClass', {
    input: { imageId: { imageTag: 'absent' }, targetStorageClass: 'ARCHIVE' },
    granted: 'ImageNotFoundException',
  }),
  'ecr:DescribeImages': onRepository('DescribeImages', { granted: '200' }),
  'ecr:DescribeImages by tag': onRepository('DescribeImages', { input: { imageIds: [{ imageTag: 'v1' }] }, granted: '200' }),
  'ecr:ListImages': onRepository('ListImages', { granted: '200' }),
  // It has no action of its own.
  'ecr:ListImageReferrers': onRepository('ListImageReferrers', {
    input: { subjectId: { imageDigest: image.manifest.digest } },
    needs: ['ecr:BatchGetImage'],
    granted: '200',
  }),

  'ecr:PutLifecyclePolicy': onRepository('PutLifecyclePolicy', { input: { lifecyclePolicyText: '{"rules":[]}' }, granted: 'InvalidParameterException' }),
  'ecr:GetLifecyclePolicy': onRepository('GetLifecyclePolicy', { granted: 'LifecyclePolicyNotFoundException' }),
  'ecr:DeleteLifecyclePolicy': onRepository('DeleteLifecyclePolicy', { granted: 'LifecyclePolicyNotFoundException' }),
  'ecr:StartLifecyclePolicyPreview': onRepository('StartLifecyclePolicyPreview', { granted: 'LifecyclePolicyNotFoundException' }),
  'ecr:GetLifecyclePolicyPreview': onRepository('GetLifecyclePolicyPreview', { granted: 'LifecyclePolicyPreviewNotFoundException' }),

  // No scanner is there, and none is claimed: whoever may ask is told so.
  'ecr:StartImageScan': onRepository('StartImageScan', { input: { imageId: { imageTag: 'v1' } }, granted: 'ValidationException' }),
  'ecr:DescribeImageScanFindings': onRepository('DescribeImageScanFindings', { input: { imageId: { imageTag: 'v1' } }, granted: 'ScanNotFoundException' }),

  'ecr:DescribeRegistry': onOwnRegistry('DescribeRegistry', { granted: '200' }),
  'ecr:PutRegistryPolicy': onOwnRegistry('PutRegistryPolicy', { input: { policyText: noPolicy }, granted: 'InvalidParameterException' }),
  'ecr:GetRegistryPolicy': onOwnRegistry('GetRegistryPolicy', { granted: 'RegistryPolicyNotFoundException' }),
  'ecr:DeleteRegistryPolicy': onOwnRegistry('DeleteRegistryPolicy', { granted: 'RegistryPolicyNotFoundException' }),
  'ecr:GetAccountSetting': onOwnRegistry('GetAccountSetting', { input: { name: 'BLOB_MOUNTING' }, granted: '200' }),
  'ecr:PutAccountSetting': onOwnRegistry('PutAccountSetting', { input: { name: 'BLOB_MOUNTING', value: 'Perhaps' }, granted: 'InvalidParameterException' }),

  'ecr:CreateRepositoryCreationTemplate': onOwnRegistry('CreateRepositoryCreationTemplate', {
    input: { prefix: presentTemplate, appliedFor: ['REPLICATION'] },
    needsElsewhere: [creationBelow(presentTemplate)],
    granted: 'TemplateAlreadyExistsException',
  }),
  'ecr:UpdateRepositoryCreationTemplate': onOwnRegistry('UpdateRepositoryCreationTemplate', {
    input: { prefix: 'absent' },
    needsElsewhere: [creationBelow('absent')],
    granted: 'TemplateNotFoundException',
  }),
  'ecr:DeleteRepositoryCreationTemplate': onOwnRegistry('DeleteRepositoryCreationTemplate', { input: { prefix: 'absent' }, granted: 'TemplateNotFoundException' }),
  'ecr:DescribeRepositoryCreationTemplates': onOwnRegistry('DescribeRepositoryCreationTemplates', { granted: '200' }),

  'ecr:RegisterPullTimeUpdateExclusion': entry(
    'RegisterPullTimeUpdateExclusion',
    'own account',
    { resource: '*', granted: 'ExclusionAlreadyExistsException' },
    ({ accountId }) => ({ principalArn: excludedArn(accountId) }),
  ),
  'ecr:DeregisterPullTimeUpdateExclusion': onOwnRegistry('DeregisterPullTimeUpdateExclusion', {
    input: { principalArn: 'arn:aws:iam::444455556666:role/absent' },
    granted: 'ExclusionNotFoundException',
  }),
  'ecr:ListPullTimeUpdateExclusions': onOwnRegistry('ListPullTimeUpdateExclusions', { granted: '200' }),
}
