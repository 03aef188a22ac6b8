export { nodeDisk, type Disk, type FileFacts } from './disk.ts'
export { openFilesystemBlobStore, type FilesystemBlobStoreOptions } from './filesystem-blob-store.ts'
