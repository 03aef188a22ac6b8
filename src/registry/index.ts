export { commandContext, systemActorArn, type Protocol, type RegistryRef, type RequestContext } from './context.ts'
export { registryError, type RegistryErrorCode } from './errors.ts'
export { createRegistry, type RegistryDependencies } from './registry.ts'
export { maxManifestBytes } from './manifests.ts'
export type {
  AppendRequest,
  BlobInfo,
  CompleteRequest,
  DeleteImageOutcome,
  ImageDetail,
  ImageFilter,
  ImageIdentifier,
  ImageListing,
  ImageStatus,
  ManifestWithBytes,
  NewManifest,
  NewRepository,
  Page,
  PageRequest,
  PutManifestResult,
  ReferrerDescriptor,
  Registry,
  Repository,
  StoredManifest,
  TagMutability,
  UploadBody,
  UploadSession,
} from './types.ts'
