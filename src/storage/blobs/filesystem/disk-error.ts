import { storageError, type StorageErrorCode } from '../../errors.ts'

/** The system's name for what went wrong, such as `ENOENT`, if it was the system that failed. */
export function systemCode(error: unknown): string | undefined {
  const isSystemError = error instanceof Error && 'syscall' in error && 'code' in error
  return isSystemError && typeof error.code === 'string' ? error.code : undefined
}

/**
 * A system error as what it means to callers; any other error as it is. Callers handle an absent file themselves,
 * since only they know whether that is a missing blob or a missing upload.
 */
export function fromDisk(error: unknown, operation: string): unknown {
  const systemError = systemCode(error)
  if (systemError === undefined) return error
  const full = systemError === 'ENOSPC' || systemError === 'EDQUOT'
  const code: StorageErrorCode = full ? 'storage-full' : 'storage-unavailable'
  const message = full ? 'the blob store is full' : 'the blob store failed'
  return storageError(code, message, { detail: { operation, systemError }, cause: error })
}
