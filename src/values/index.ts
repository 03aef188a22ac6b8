export { parseAccountId, parseRegion, type AccountId, type Region } from './account.ts'
export { arnParts, iamArn, oidcProviderArn, parseArn, repositoryArn, rootArn, type Arn, type ArnParts } from './arn.ts'
export type { Descriptor, Platform } from './descriptor.ts'
export {
  digestAlgorithm,
  digestFromBytes,
  digestFromHex,
  digestHex,
  digestOf,
  digestToBytes,
  isDigest,
  parseDigest,
  type Digest,
  type DigestAlgorithm,
} from './digest.ts'
export { valueError, type ValueErrorCode } from './errors.ts'
export { findStructuralProblem } from './json-structure.ts'
export { parseManifest, type ParsedManifest } from './manifest.ts'
export {
  isForeignLayerMediaType,
  isIndexMediaType,
  isManifestMediaType,
  isMediaType,
  mediaTypes,
} from './media-type.ts'
export { parseReference, parseTag, type Reference, type Tag } from './reference.ts'
export { parseRepositoryName, type RepositoryName } from './repository-name.ts'
export { parseRepositoryPrefix, prefixesOf, type RepositoryPrefix } from './repository-prefix.ts'
