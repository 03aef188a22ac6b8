import { isPlatformError } from '../../../../internal/platform-error.ts'
import { parseRepositoryName, parseRepositoryPrefix, parseTag } from '../../../../values/index.ts'
import {
  boolean,
  enumeration,
  integer,
  list,
  pattern,
  required,
  simplePattern,
  string,
  structure,
  type Input,
} from '../../shapes.ts'

/*
 * The constraints of ECR's model (ecr-2015-09-21). No client checks all of them, so that they are checked here.
 */

/** The model's most and default number of results in a page. */
const maxPageSize = 1000
export const defaultPageSize = 100

/** The most ids, names or digests in one call. */
const maxBatchSize = 100

export const repositoryName = string({
  min: 2,
  max: 256,
  pattern: pattern(
    '[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(\\/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*',
    parses(parseRepositoryName, 'repository-name-invalid'),
  ),
})

export const registryId = string({ pattern: simplePattern(/^[0-9]{12}$/, '[0-9]{12}') })

/** What ECR calls a digest. Fewer texts are one: others are names of things that are not there. */
export const digestPattern = simplePattern(/^[a-zA-Z0-9\-_+.]+:[a-fA-F0-9]+$/, '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+')

/** Longer than any digest there is; the model bounds only the digests of batches, and those more generously. */
const maxDigestLength = 1000

export const digest = string({ min: 1, max: maxDigestLength, pattern: digestPattern })

/** Tags of OCI registries: what cannot be pushed by one protocol cannot be pushed by the other. */
export const tagPattern = pattern('[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}', parses(parseTag, 'tag-invalid'))

export const imageTag = string({ min: 1, max: 300, pattern: tagPattern })

export const maxResults = integer({ min: 1, max: maxPageSize })

/** Several times the longest that is given out. */
export const nextToken = string({ max: 4096 })

export const repositoryNames = list(repositoryName, { min: 1, max: maxBatchSize })

export const registryIds = list(registryId, { min: 1, max: 10 })

/** For calls that answer for each image: a bad id is that image's failure, not the call's. */
export const batchImageIds = list(structure({ imageDigest: string(), imageTag: string() }), {
  min: 1,
  max: maxBatchSize,
})

/** For calls that fail as a whole. */
export const imageIds = list(structure({ imageDigest: digest, imageTag }), { min: 1, max: maxBatchSize })

/** For calls that answer for each layer: a bad digest is that layer's failure. */
export const batchLayerDigests = list(string({ max: maxDigestLength }), { min: 1, max: maxBatchSize })

export const layerDigests = list(digest, { min: 1, max: maxBatchSize })

export const acceptedMediaTypes = list(string(), { min: 1, max: maxBatchSize })

/** The registry's own limit is in bytes; this one, of the model, is in characters. */
export const maxManifestCharacters = 4_194_304

export const imageManifest = string({ min: 1, max: maxManifestCharacters })

export const uploadId = string({
  pattern: simplePattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/),
})

export const partByte = integer({ min: 0 })

export const maxLayerPartBytes = 20_971_520

export const imageTagMutability = enumeration([
  'IMMUTABLE',
  'MUTABLE',
  'MUTABLE_WITH_EXCLUSION',
  'IMMUTABLE_WITH_EXCLUSION',
])

export const exclusionFilters = list(
  structure({
    filterType: required(enumeration(['WILDCARD'])),
    filter: required(string({ min: 1, max: 128, pattern: simplePattern(/^[0-9a-zA-Z._*-]{1,128}$/) })),
  }),
  { min: 1, max: 5 },
)

export const imageScanningConfiguration = structure({ scanOnPush: boolean() })

export const encryptionConfiguration = structure({
  encryptionType: required(enumeration(['AES256', 'KMS', 'KMS_DSSE'])),
  kmsKey: string({ max: 2048 }),
})

/** Lengths and counts of tags have exceptions of their own, which the operations throw. */
export const resourceTags = list(structure({ Key: required(string()), Value: required(string()) }))

/** What names one image in calls that fail as a whole. */
export const imageId = structure({ imageDigest: digest, imageTag })

/** Of a repository or a registry. What is wrong with one is told by whoever checks the document. */
export const policyText = string({ max: 10_240 })

/** What is wrong with one, its length too, is told by whoever reads it. */
export const lifecyclePolicyText = string()

/** A template's. API reference, CreateRepositoryCreationTemplate. */
export const templateLifecyclePolicy = string({ max: 30_720 })

export const lifecyclePreviewFilter = structure({ tagStatus: enumeration(['TAGGED', 'UNTAGGED', 'ANY']) })

export const templatePrefix = string({
  min: 1,
  max: 256,
  pattern: pattern(
    '^([a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(\\/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*\\/?|ROOT)$',
    parses(parseRepositoryPrefix, 'repository-name-invalid'),
  ),
})

export const templatePrefixes = list(templatePrefix, { max: maxBatchSize })

export const templateDescription = string({ max: 256 })

const templateUse = enumeration(['REPLICATION', 'PULL_THROUGH_CACHE', 'CREATE_ON_PUSH'])

export const appliedFor = list(templateUse, { min: 1, max: 3 })

export const customRoleArn = string({ max: 2048 })

/** A template names a key by its ARN, or not at all. */
export const templateEncryption = structure({
  encryptionType: required(enumeration(['AES256', 'KMS', 'KMS_DSSE'])),
  kmsKey: string({
    max: 2048,
    pattern: simplePattern(/^$|^arn:aws[a-z0-9-]*:kms:[a-z0-9-]+:[0-9]{12}:key\/[a-z0-9-]+$/, '^$|arn:aws[a-z0-9-]*:kms:[a-z0-9-]+:[0-9]{12}:key\\/[a-z0-9-]+'),
  }),
})

/** A user or a role. */
export const pullingPrincipalArn = string({
  max: 200,
  pattern: pattern('^arn:aws(-[a-z]+)*:iam::[0-9]{12}:(role|user)/[\\w+=,.@-]+(/[\\w+=,.@-]+)*$', (text) => {
    const [, partition = '', path = ''] = /^arn:(aws[a-z-]*):iam::[0-9]{12}:(?:role|user)\/([\w+=,.@/-]+)$/.exec(text) ?? []
    const [first, ...further] = partition.split('-')
    return first === 'aws' && [...further, ...path.split('/')].every((part) => part !== '')
  }),
})

export const imagesFilter = structure({
  tagStatus: enumeration(['TAGGED', 'UNTAGGED', 'ANY']),
  imageStatus: enumeration(['ACTIVE', 'ARCHIVED', 'ACTIVATING', 'ANY']),
})

export const referrersFilter = structure({
  artifactTypes: list(string({ min: 1, max: 255 }), { max: 5 }),
  artifactStatus: enumeration(['ACTIVE', 'ARCHIVED', 'ACTIVATING', 'ANY']),
})

/** Fewer than of other lists: each comes with its annotations. */
export const maxReferrers = integer({ min: 1, max: 50 })

/** What names a repository in most calls. */
export const repositoryMembers = { registryId, repositoryName: required(repositoryName) }

export type ExclusionFilters = Input<typeof exclusionFilters>
export type ResourceTags = Input<typeof resourceTags>
export type ImagesFilter = Input<typeof imagesFilter>
export type BatchImageId = Input<typeof batchImageIds>[number]

function parses(parse: (text: string) => unknown, code: string): (text: string) => boolean {
  return (text) => {
    try {
      parse(text)
      return true
    } catch (error) {
      if (isPlatformError(error, code)) return false
      throw error
    }
  }
}
