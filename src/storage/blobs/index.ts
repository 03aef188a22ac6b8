export type {
  AppendOptions,
  AppendResult,
  BlobHold,
  BlobRange,
  BlobStore,
  ByteSource,
  ExpectedBytes,
  HashedBytes,
  HashOptions,
  ListedBlob,
  OpenBlob,
  PublishedBlob,
  RecoveryQuestions,
  RecoveryReport,
} from './blob-store.ts'
export { startChecksums } from './block-checksums.ts'
export { openFilesystemBlobStore } from './filesystem/index.ts'
