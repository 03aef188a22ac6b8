export { accountSettingNames } from './account-settings.ts'
export { commandContext, systemActorArn, type Protocol, type RegistryRef, type RequestContext } from './context.ts'
export { pushCreating } from './create-on-push.ts'
export { deletingAsAllowed } from './delete-as-allowed.ts'
export { parameterInvalid, registryError, type RegistryErrorCode } from './errors.ts'
export { createRegistry, type RegistryDependencies } from './registry.ts'
export { maxManifestBytes } from './manifests.ts'
export type { NewRetirement, Retirement, RetirementState, RetirementStep } from './retirement-states.ts'
export type { RestoreOutcome, TagChange, TrashBatch, TrashedImageDetail } from './trash-types.ts'
export type {
  AccountSettingName,
  AppendRequest,
  BlobInfo,
  CompleteRequest,
  CreationTemplate,
  CreationTemplateChanges,
  DeleteImageOutcome,
  ImageDetail,
  ImageFilter,
  ImageIdentifier,
  ImageInTrash,
  ImageListing,
  ImageLifeState,
  ImageState,
  ListedImageState,
  ImageStatus,
  ImageToDelete,
  ManifestWithBytes,
  NewCreationTemplate,
  NameRange,
  NewManifest,
  NewRepository,
  Page,
  PageRequest,
  PutManifestResult,
  ReferrerDescriptor,
  ReferrerFilter,
  Registry,
  Repository,
  RepositoryVisibility,
  StoredManifest,
  TagMutability,
  TemplateUse,
  UploadBody,
  UploadSession,
} from './types.ts'
