import { PlatformError, type ErrorDetail } from '../internal/platform-error.ts'

/**
 * - `storage-full`: no space or inodes; nothing was changed, and it may work again later.
 * - `storage-unavailable`: the disk, store or database failed or cannot be reached.
 * - `blob-missing`, `blob-corrupt`: the metadata names bytes that are not there, or not those.
 * - `manifest-corrupt`: the stored bytes of a manifest do not have its digest.
 * - `upload-missing`: the bytes of an upload session are gone.
 * - `body-too-large`, `body-aborted`: the sender sent more than allowed, or went away.
 */
export type StorageErrorCode =
  | 'storage-full'
  | 'storage-unavailable'
  | 'blob-missing'
  | 'blob-corrupt'
  | 'manifest-corrupt'
  | 'upload-missing'
  | 'body-too-large'
  | 'body-aborted'

export function storageError(
  code: StorageErrorCode,
  message: string,
  options: { detail?: ErrorDetail; cause?: unknown } = {},
): PlatformError<StorageErrorCode> {
  return new PlatformError(code, message, options)
}
