export type {
  AppendOptions,
  AppendResult,
  BlobHold,
  BlobRange,
  BlobStore,
  ByteSource,
  HashedBytes,
  HashOptions,
  ListedBlob,
  OpenBlob,
  PublishedBlob,
  RecoveryQuestions,
  RecoveryReport,
} from './blob-store.ts'
export { openFilesystemBlobStore } from './filesystem/index.ts'
