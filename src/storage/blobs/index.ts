export type {
  AppendOptions,
  AppendResult,
  BlobEncoding,
  BlobHold,
  BlobRange,
  BlobStore,
  ByteSource,
  ExpectedBytes,
  HashedBytes,
  HashOptions,
  ListedBlob,
  ListedUpload,
  OpenBlob,
  PublishedBlob,
  RecoveryQuestions,
  RecoveryReport,
} from './blob-store.ts'
export { encoded } from './zstd-frame.ts'
export { startChecksums } from './block-checksums.ts'
export { openFilesystemBlobStore } from './filesystem/index.ts'
export { openBlobStores, type BlobStoreFolders } from './open-blob-stores.ts'
export { archiveStoreName, isArchiveKey, TieredBlobStore } from './tiered-blob-store.ts'
