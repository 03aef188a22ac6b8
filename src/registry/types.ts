import type { BlobShares, RepositoryUse, StatesUse, TotalUse } from '../storage/metadata/stores/storage-use-store.ts'
import type { Readable } from 'node:stream'
import type { Principal } from '../iam/principal.ts'
import type { OpenBlob } from '../storage/blobs/blob-store.ts'
import type { Digest } from '../values/digest.ts'
import type { Reference, Tag } from '../values/reference.ts'
import type { RepositoryName } from '../values/repository-name.ts'
import type { RepositoryPrefix } from '../values/repository-prefix.ts'
import type { RequestContext } from './context.ts'
import type { NewRetirement, Retirement } from './retirement-states.ts'
import type { RestoreOutcome, TagChange, TrashBatch, TrashedImageDetail } from './trash-types.ts'

/** A page of a keyset listing: `after` is the last key of the previous page, not necessarily a living one. */
export interface PageRequest {
  readonly limit: number
  readonly after?: string | undefined
}

/** `next` is the `after` of the following page; absent on the last one. */
export interface Page<Item> {
  readonly items: Item[]
  readonly next: string | undefined
}

/** Names from `from` on, up to and without `to`; without `to` there is no end. In the order of their bytes. */
export interface NameRange {
  readonly from: string
  readonly to: string | undefined
}

/** What a listing of repositories may show. */
export interface RepositoryVisibility {
  /** Only names in one of these are looked at. In order, none touching another. */
  readonly ranges: readonly NameRange[]
  /** Which of the named repositories, in order and all of one registry, may be shown; undefined: every one. */
  readonly filter: ((names: readonly RepositoryName[]) => Promise<readonly boolean[]>) | undefined
}

export type TagMutability = 'MUTABLE' | 'IMMUTABLE' | 'MUTABLE_WITH_EXCLUSION' | 'IMMUTABLE_WITH_EXCLUSION'

export interface Repository {
  readonly id: number
  readonly registryId: number
  readonly name: RepositoryName
  readonly createdAt: number
  readonly tagMutability: TagMutability
  /** Wildcard patterns (`*` = any run of characters) of the `_WITH_EXCLUSION` modes. */
  readonly mutabilityFilters: readonly string[]
  readonly scanOnPush: boolean
  readonly encryptionType: 'AES256'
}

export interface NewRepository {
  readonly name: RepositoryName
  readonly tagMutability: TagMutability
  readonly mutabilityFilters: readonly string[]
  readonly scanOnPush: boolean
  readonly tags: Readonly<Record<string, string>>
}

/** What an account may choose for its registry in a region; its values and defaults are in `account-settings.ts`. */
export type AccountSettingName = 'BASIC_SCAN_TYPE_VERSION' | 'BLOB_MOUNTING' | 'REGISTRY_POLICY_SCOPE'

/** Which ways of coming into being a template is for. */
export type TemplateUse = 'PULL_THROUGH_CACHE' | 'REPLICATION' | 'CREATE_ON_PUSH'

/** The settings of repositories that nobody creates by name. */
export interface CreationTemplate {
  /** As its maker wrote it: `prod` and `prod/` are one prefix, of which there is one template. */
  readonly prefix: string
  readonly description: string | undefined
  readonly tagMutability: TagMutability
  readonly mutabilityFilters: readonly string[]
  readonly tags: Readonly<Record<string, string>>
  readonly repositoryPolicy: string | undefined
  /** In its normal form: whoever sends one has read it before. */
  readonly lifecyclePolicy: string | undefined
  readonly appliedFor: readonly TemplateUse[]
  readonly customRoleArn: string | undefined
  readonly createdAt: number
  readonly updatedAt: number
}

export type NewCreationTemplate = Omit<CreationTemplate, 'createdAt' | 'updatedAt'>

/** What is absent stays as it is; an empty text takes a setting away. */
export type CreationTemplateChanges = {
  readonly [Setting in Exclude<keyof NewCreationTemplate, 'prefix'>]?: NewCreationTemplate[Setting] | undefined
}

export interface StoredManifest {
  readonly digest: Digest
  readonly mediaType: string
  readonly sizeBytes: number
  /** What whoever pulls it should know, as a sentence without its full stop: it is retired, why, and what comes next. */
  readonly notice?: string | undefined
}

/** Who gets images that are blocked for new deployments, beside those that run them. */
export interface BlockedPulls {
  /** Whether the caller has the right to. Asked only where it matters; absent: it has not. */
  readonly mayPullBlocked?: (() => Promise<boolean>) | undefined
  /** Of a pull by tag: no other image is brought back from the trash or the archive for it. */
  readonly onlyDigest?: Digest | undefined
}

export interface ManifestWithBytes extends StoredManifest {
  /** Exactly the bytes that were pushed. */
  readonly bytes: Buffer
}

export interface NewManifest {
  readonly bytes: Buffer
  /** The Content-Type or imageManifestMediaType it was sent with. */
  readonly declaredMediaType: string | undefined
  /** A tag to point at it, or the digest it must have. Absent: push by digest only. */
  readonly reference?: Reference | undefined
  /** Further tags set in the same change. */
  readonly tags?: readonly Tag[] | undefined
  /** The digest it must have, where the caller names one beside the reference. */
  readonly expectedDigest?: Digest | undefined
  /** 'ecr': re-putting the same digest and tag is `image-exists`; 'oci': it succeeds (unless immutable). */
  readonly via: 'oci' | 'ecr'
}

export interface PutManifestResult {
  readonly digest: Digest
  readonly mediaType: string
  readonly subject: Digest | undefined
  readonly tags: readonly Tag[]
}

export interface ReferrerDescriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly sizeBytes: number
  readonly artifactType: string | undefined
  readonly annotations: Readonly<Record<string, string>>
  readonly status: ImageStatus
}

export interface ReferrerFilter {
  /** Of one of these artifact types; undefined: of any, or of none. */
  readonly artifactTypes?: readonly string[] | undefined
  readonly status: ImageStatus | 'ANY'
}

export type ImageStatus = 'ACTIVE' | 'ARCHIVED' | 'ACTIVATING'

export interface ImageDetail {
  readonly digest: Digest
  readonly tags: readonly Tag[]
  readonly mediaType: string
  readonly artifactType: string | undefined
  /** Config and layers of an image; the largest child of an index. */
  readonly imageSizeBytes: number
  readonly pushedAt: number
  readonly lastPulledAt: number | undefined
  readonly subject: Digest | undefined
  readonly status: ImageStatus
  readonly lastArchivedAt: number | undefined
  readonly lastActivatedAt: number | undefined
}

/** Where an image is on its way to its end. */
export interface ImageState {
  readonly image: ImageDetail
  readonly retirement: Retirement | undefined
  /** What goes and comes with it, itself included. Of an image in the trash nothing: its batch says it. */
  readonly unit: readonly Digest[]
  /** Indexes of the repository that list it: it goes with them only. */
  readonly listedBy: readonly Digest[]
  /** Why no rule may remove it now. */
  readonly vetoes: readonly { readonly kind: string; readonly message: string }[]
  readonly trash: ImageInTrash | undefined
}

/** How far a living image has come: what the archive makes of it goes before what people are told. */
export type ImageLifeState = 'active' | 'deprecated' | 'blocked' | 'archived' | 'activating'

export interface ListedImageState {
  readonly image: ImageDetail
  readonly state: ImageLifeState
  readonly retirement: Retirement | undefined
  /** Why no rule may remove it now. */
  readonly vetoes: ImageState['vetoes']
}

export interface ImageInTrash {
  readonly batch: string
  readonly trashedAt: number
  readonly trashedBy: string
  readonly purgeAfter: number
  /** What did it. */
  readonly cause: Readonly<Record<string, unknown>>
  /** The rule of a policy that deleted it, in words. */
  readonly rule: string | undefined
  /** The tags that it had. */
  readonly tags: readonly Tag[]
}

/** One row of ListImages: a tagged image appears once per tag. */
export interface ImageListing {
  readonly digest: Digest
  readonly tag: Tag | undefined
}

export interface ImageFilter {
  readonly tagStatus: 'TAGGED' | 'UNTAGGED' | 'ANY'
  /** Default ACTIVE, as ECR's listings. */
  readonly imageStatus: ImageStatus | 'ANY'
}

/** How a caller names an image: either or both; with both the tag must point at the digest. */
export interface ImageIdentifier {
  readonly digest?: Digest | undefined
  readonly tag?: Tag | undefined
}

/** An image to delete. */
export interface ImageToDelete extends ImageIdentifier {
  /**
   * Of one named by its digest alone: the tags that the caller was found to have the right to take with it. Absent where
   * the right does not depend on tags.
   */
  readonly knownTags?: readonly Tag[] | undefined
}

export type DeleteImageOutcome =
  | { readonly kind: 'deleted'; readonly digest: Digest; readonly tags: readonly Tag[] }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'tag-digest-mismatch' }
  | { readonly kind: 'referenced'; readonly by: readonly Digest[] }
  /** It is protected, or a workload has it; the reason says who and what. */
  | { readonly kind: 'vetoed'; readonly reason: string }

export interface BlobInfo {
  readonly digest: Digest
  readonly sizeBytes: number
}

export interface UploadSession {
  readonly id: string
  /** Bytes acknowledged so far; the next byte expected. */
  readonly sizeBytes: number
  readonly createdAt: number
}

export type UploadBody = Readable | AsyncIterable<Uint8Array>

export interface AppendRequest {
  readonly body: UploadBody
  /** Where the sender says its first byte goes; absent for a streamed body (appended at the end). */
  readonly expectedOffset?: number | undefined
  /** Bytes the sender promised; a body of another length leaves the session where it was, resumable. */
  readonly contentLengthBytes?: number | undefined
  /** One of ECR's parts: all but the last must have 5 MiB, which `completeUpload` sees to (`upload-part-too-small`). */
  readonly isPart?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** Nobody else looks at the body's buffers again: their memory may be freed as soon as they are written. */
  readonly ownsBody?: boolean | undefined
}

export interface CompleteRequest {
  readonly digest: Digest
  /** A last chunk, or the whole blob of a monolithic upload. */
  readonly last?: AppendRequest | undefined
  /** 'ecr' refuses a layer that the repository already has (`layer-exists`). */
  readonly refuseExisting?: boolean | undefined
}

/**
 * The registry's operations: the one write path. Every edge (OCI, ECR, command line, background work) calls
 * these and nothing below them. All of them throw `PlatformError` with a `RegistryErrorCode`, `ValueErrorCode`
 * or `StorageErrorCode`; a repository that is not there is always `repository-unknown`.
 */
export interface Registry {
  createRepository(context: RequestContext, input: NewRepository): Promise<Repository>
  findRepository(context: RequestContext, name: RepositoryName): Promise<Repository | undefined>
  getRepository(context: RequestContext, name: RepositoryName): Promise<Repository>
  /**
   * With `visibility` a page costs what it looks at: it ends where too many names were hidden, with fewer items or none,
   * and its `next` may be the name of a repository that must not be shown.
   */
  listRepositories(context: RequestContext, page: PageRequest, visibility?: RepositoryVisibility): Promise<Page<Repository>>
  /** Moves the repository whole into the trash. Throws `repository-not-empty` without `force`. */
  deleteRepository(context: RequestContext, name: RepositoryName, options: { force: boolean }): Promise<Repository>
  putTagMutability(
    context: RequestContext,
    name: RepositoryName,
    mode: TagMutability,
    filters: readonly string[],
  ): Promise<Repository>
  tagResource(context: RequestContext, name: RepositoryName, tags: Readonly<Record<string, string>>): Promise<void>
  untagResource(context: RequestContext, name: RepositoryName, keys: readonly string[]): Promise<void>
  listResourceTags(context: RequestContext, name: RepositoryName): Promise<Record<string, string>>
  /** Kept and shown; nothing is scanned as long as there is no scanner. */
  putScanOnPush(context: RequestContext, name: RepositoryName, scanOnPush: boolean): Promise<Repository>

  /**
   * Throws `parameter-invalid` for what is no policy of a repository, and without `force` for one under which the caller
   * could not set another, which is what `mayStillSet` says of it.
   */
  setRepositoryPolicy(
    context: RequestContext,
    name: RepositoryName,
    document: string,
    options: { force: boolean; mayStillSet: (document: string) => boolean | Promise<boolean> },
  ): Promise<void>
  /** The document as it was set. Throws `repository-policy-unknown`. */
  getRepositoryPolicy(context: RequestContext, name: RepositoryName): Promise<string>
  /** Answers what it was. Throws `repository-policy-unknown`. */
  deleteRepositoryPolicy(context: RequestContext, name: RepositoryName): Promise<string>
  /** Throws `parameter-invalid`. */
  putRegistryPolicy(context: RequestContext, document: string): Promise<void>
  /** The document as it was put. Throws `registry-policy-unknown`. */
  getRegistryPolicy(context: RequestContext): Promise<string>
  /** Answers what it was. Throws `registry-policy-unknown`. */
  deleteRegistryPolicy(context: RequestContext): Promise<string>

  getAccountSetting(context: RequestContext, name: AccountSettingName): Promise<string>
  /** Throws `parameter-invalid`. */
  putAccountSetting(context: RequestContext, name: AccountSettingName, value: string): Promise<void>

  /** Throws `template-exists`, `limit-exceeded`, `parameter-invalid`. */
  createCreationTemplate(context: RequestContext, template: NewCreationTemplate): Promise<CreationTemplate>
  /** Throws `template-unknown`, `parameter-invalid`. */
  updateCreationTemplate(
    context: RequestContext,
    prefix: RepositoryPrefix,
    changes: CreationTemplateChanges,
  ): Promise<CreationTemplate>
  /** Answers what it was. Throws `template-unknown`. */
  deleteCreationTemplate(context: RequestContext, prefix: RepositoryPrefix): Promise<CreationTemplate>
  listCreationTemplates(context: RequestContext, page: PageRequest): Promise<Page<CreationTemplate>>
  /** Those of the prefixes that have one. */
  findCreationTemplates(context: RequestContext, prefixes: readonly RepositoryPrefix[]): Promise<CreationTemplate[]>
  /**
   * Makes a repository for a push that found none, by the template of the longest prefix that is for pushes. False where
   * there is none, its role is not there or not ECR's to use, or somebody may not: then nothing happened. True as well when
   * another push was quicker. Throws `repository-unknown`, with the reason, where the region is not served.
   *
   * @param mayCreate whether the caller may make a repository with these tags, and so the template's role, where it has one
   */
  createForPush(
    context: RequestContext,
    name: RepositoryName,
    mayCreate: (tags: Readonly<Record<string, string>>, role: Principal | undefined) => boolean | Promise<boolean>,
  ): Promise<boolean>

  /** Pulls of the principal no longer count as use. Throws `exclusion-exists`, `limit-exceeded`. */
  registerPullTimeExclusion(context: RequestContext, principalArn: string): Promise<{ createdAt: number }>
  /** Throws `exclusion-unknown`. */
  deregisterPullTimeExclusion(context: RequestContext, principalArn: string): Promise<void>
  listPullTimeExclusions(context: RequestContext, page: PageRequest): Promise<Page<string>>

  /** Throws `manifest-unknown`, `image-blocked`, `image-archived`. Records the pull. */
  getManifest(context: RequestContext, name: RepositoryName, reference: Reference, options?: BlockedPulls): Promise<ManifestWithBytes>
  /** Throws `manifest-unknown`, `image-blocked`, `image-archived`. */
  headManifest(context: RequestContext, name: RepositoryName, reference: Reference, options?: BlockedPulls): Promise<StoredManifest>
  /** Where an image is on its way to its end, in the trash or before it. Throws `manifest-unknown`, `repository-trashed`. */
  describeImageState(context: RequestContext, name: RepositoryName, image: ImageIdentifier): Promise<ImageState>
  /**
   * The living images of a repository with their states, in the order in which they came; of one state where that is asked for.
   * A page of few among many may have less than it could, and has a next one. Throws `repository-unknown`.
   */
  listImageStates(context: RequestContext, name: RepositoryName, state: ImageLifeState | undefined, page: PageRequest): Promise<Page<ListedImageState>>
  /**
   * Retires an image with what it alone lists; without `retirement` takes that back. Steps come in the order of their times.
   * Throws `manifest-unknown`.
   */
  setImageRetirement(
    context: RequestContext,
    name: RepositoryName,
    image: ImageIdentifier,
    retirement: NewRetirement | undefined,
  ): Promise<{ digest: Digest; retirement: Retirement | undefined }>
  /**
   * Archives an image with what it lists and what refers to it, or begins to restore it. Where it is so already nothing changes.
   * Throws `manifest-unknown`, `storage-class-unsupported`.
   */
  updateStorageClass(
    context: RequestContext,
    name: RepositoryName,
    image: ImageIdentifier,
    target: 'ARCHIVE' | 'STANDARD',
  ): Promise<{ digest: Digest; status: ImageStatus }>
  putManifest(context: RequestContext, name: RepositoryName, input: NewManifest): Promise<PutManifestResult>
  /** What a registry's living images have together, each with all its layers; and of each repository, by name. */
  listStorage(context: RequestContext, page: PageRequest): Promise<{ readonly logicalBytes: number; readonly repositories: Page<RepositoryUse & { readonly name: RepositoryName }> }>
  /**
   * What a repository uses, and what of it only the images named, with what goes with them, have; without `images` all of the
   * repository, its trash too. Throws `repository-unknown`, `manifest-unknown`.
   */
  describeStorage(context: RequestContext, name: RepositoryName, images: readonly ImageIdentifier[] | undefined): Promise<{
    readonly repository: StatesUse & { readonly images: number; readonly logicalBytes: number }
    readonly freed: BlobShares
    /** That would go; undefined for the whole repository. */
    readonly manifests: number | undefined
  }>
  /**
   * What an account's repositories have together in all regions, and of their blobs, those of the trash too, each once; shared are those
   * that several repositories have. Its cost grows with all that the account has.
   */
  describeAccountStorage(context: RequestContext, signal?: AbortSignal): Promise<{ readonly use: TotalUse; readonly blobs: BlobShares }>
  /** What is in the trash of a registry, or of the repositories of one name, living and deleted; the newest first. */
  listTrash(context: RequestContext, name: RepositoryName | undefined, page: PageRequest): Promise<Page<TrashBatch>>
  /** A batch of a repository of this name; of a deleted repository's own batch no images. Throws `trash-unknown`. */
  describeTrash(
    context: RequestContext,
    name: RepositoryName,
    batch: string,
    page: PageRequest,
  ): Promise<{ batch: TrashBatch; images: Page<TrashedImageDetail> }>
  /** In which batch an image is, by its digest, or the one that went last with a tag. Throws `trash-unknown`, `repository-trashed`. */
  findInTrash(context: RequestContext, name: RepositoryName, image: ImageIdentifier): Promise<{ batch: string; digest: Digest }>
  /**
   * Brings a batch back, or of its images those named with what went with them. Images stay that have other tags by now than
   * `knownTags`, about which the caller was asked (`tagsInTrash`). Throws `trash-unknown`, `limit-exceeded`, `repository-exists`,
   * `repository-trashed`.
   */
  restoreTrash(
    context: RequestContext,
    batch: string,
    digests?: readonly Digest[],
    knownTags?: readonly (Tag | undefined)[],
  ): Promise<RestoreOutcome>
  /**
   * Ends the time of a batch in the trash before its end: a collection takes it away for good, once it was in the
   * trash for as long as a promise of a blob holds, unless a hold, a protection or a workload forbids it. Throws `trash-unknown`.
   */
  purgeTrash(context: RequestContext, name: RepositoryName, batch: string): Promise<void>
  /** Changes of tags whose images stayed, of one tag or of all; the newest first. */
  listTagChanges(context: RequestContext, name: RepositoryName, tag: Tag | undefined, page: PageRequest): Promise<Page<TagChange>>
  /**
   * Undoes the change of a tag whose image stayed, by the change's number. Throws `tag-change-unknown`, `tag-changed-since`,
   * `manifest-unknown`, and what the change would throw that undoes it: `tag-immutable`, `image-protected`.
   */
  /**
   * The tags that a restoration would give back, as far as others have not taken them: of a batch, or of some of its images and
   * what comes with them; undefined stands for images without one. Throws `limit-exceeded`.
   */
  tagsInTrash(
    context: RequestContext,
    name: RepositoryName,
    restored: { readonly batch: string | undefined; readonly digests: readonly Digest[] | undefined },
  ): Promise<(Tag | undefined)[]>
  /** The tag of a change that can be undone. */
  tagOfChange(context: RequestContext, name: RepositoryName, changeId: number): Promise<Tag | undefined>
  undoTagChange(context: RequestContext, name: RepositoryName, changeId: number): Promise<{ tag: Tag; digest: Digest | undefined }>
  /** OCI: removes the tag only; the image stays, by digest. Throws `tag-unknown`. */
  deleteTag(context: RequestContext, name: RepositoryName, tag: Tag): Promise<void>
  /**
   * OCI: trashes the image with all its tags. Throws `manifest-unknown`, `manifest-referenced`, and `tags-changed` where
   * it has other tags than `knownTags`.
   */
  deleteManifest(
    context: RequestContext,
    name: RepositoryName,
    image: { readonly digest: Digest } & Pick<ImageToDelete, 'knownTags'>,
  ): Promise<void>
  /**
   * ECR: a tag alone removes the tag, and the image with its last tag; a digest removes the image. One outcome per image.
   * Throws `tags-changed`, with nothing deleted, where an image has other tags than its `knownTags`.
   */
  deleteImages(context: RequestContext, name: RepositoryName, images: readonly ImageToDelete[]): Promise<DeleteImageOutcome[]>
  listTags(context: RequestContext, name: RepositoryName, page: PageRequest): Promise<Page<Tag>>
  listReferrers(
    context: RequestContext,
    name: RepositoryName,
    subject: Digest,
    options: ReferrerFilter & { page: PageRequest },
  ): Promise<Page<ReferrerDescriptor>>
  listImages(
    context: RequestContext,
    name: RepositoryName,
    options: { filter: ImageFilter; page: PageRequest },
  ): Promise<Page<ImageListing>>
  describeImages(
    context: RequestContext,
    name: RepositoryName,
    options: { filter: ImageFilter; page: PageRequest },
  ): Promise<Page<ImageDetail>>
  /** One entry per identifier, `undefined` where there is no such (visible) image. */
  describeImagesById(
    context: RequestContext,
    name: RepositoryName,
    identifiers: readonly ImageIdentifier[],
  ): Promise<(ImageDetail | undefined)[]>
  /**
   * The tags of each image, for whoever decides whether they may be taken. None where there is no such image, and where
   * there is no such repository: the question alone tells nobody what there is.
   */
  tagsOfImages(context: RequestContext, name: RepositoryName, digests: readonly Digest[]): Promise<(readonly Tag[])[]>

  /** A positive answer is a promise: the blob stays for at least an hour. */
  statBlob(context: RequestContext, name: RepositoryName, digest: Digest): Promise<BlobInfo | undefined>
  /**
   * Throws `blob-unknown`, or `blob-missing`, `blob-corrupt` when the bytes are gone or not what they were. The caller
   * closes what it gets, and whatever it reads of that is right: damage makes the reading fail.
   */
  openBlob(context: RequestContext, name: RepositoryName, digest: Digest): Promise<BlobInfo & { content: OpenBlob }>
  /** As `openBlob`, for a link that was given out: the link is the permission. */
  openLinkedBlob(link: {
    registryId: number
    repositoryId: number
    digest: Digest
  }): Promise<BlobInfo & { content: OpenBlob }>
  /** Of a blob that a living manifest of the repository names, in the archive or not: for the server's own reading. */
  openNamedBlob(blob: { registryId: number; repositoryId: number; digest: Digest }): Promise<BlobInfo & { content: OpenBlob }>
  /** True when only images in the archive, or on their way out of it, hold the blob in the repository: nobody is given it. */
  isBlobArchived(context: RequestContext, name: RepositoryName, digest: Digest): Promise<boolean>
  /** True when some manifest of the repository uses the blob (ECR serves only those layers by URL). */
  isBlobReferenced(context: RequestContext, name: RepositoryName, digest: Digest): Promise<boolean>
  /**
   * Makes a blob of `from` visible in `name`. Without `from`: of any repository of the registry for which
   * `mayRead` says yes. False when there is none, or the account mounts nothing: the client then uploads.
   */
  mountBlob(
    context: RequestContext,
    name: RepositoryName,
    digest: Digest,
    source: { from: RepositoryName } | { anyReadable: (name: RepositoryName) => Promise<boolean> },
  ): Promise<boolean>
  /** Throws `blob-unknown`, `blob-referenced`. */
  deleteBlob(context: RequestContext, name: RepositoryName, digest: Digest): Promise<void>

  beginUpload(context: RequestContext, name: RepositoryName): Promise<UploadSession>
  /** Throws `upload-unknown`. */
  getUpload(context: RequestContext, name: RepositoryName, uploadId: string): Promise<UploadSession>
  /**
   * Throws `upload-unknown`, `upload-range-invalid` (with detail.sizeBytes: where to continue; also when another
   * writer holds the session), `body-aborted`, `size-mismatch`.
   */
  appendUpload(context: RequestContext, name: RepositoryName, uploadId: string, request: AppendRequest): Promise<UploadSession>
  /** Durable when it returns. Throws as `appendUpload`, and `digest-mismatch` (the session is gone then). */
  completeUpload(context: RequestContext, name: RepositoryName, uploadId: string, request: CompleteRequest): Promise<BlobInfo>
  /** Throws `upload-unknown`. */
  cancelUpload(context: RequestContext, name: RepositoryName, uploadId: string): Promise<void>
}
