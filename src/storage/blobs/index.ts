export type {
  AppendOptions,
  AppendResult,
  BlobRange,
  BlobStore,
  ByteSource,
  HashedBytes,
  HashOptions,
  OpenBlob,
  PublishedBlob,
  RecoveryQuestions,
  RecoveryReport,
} from './blob-store.ts'
export { openFilesystemBlobStore } from './filesystem/index.ts'
