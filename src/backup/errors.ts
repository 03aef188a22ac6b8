import { PlatformError, type ErrorDetail } from '../internal/platform-error.ts'

/**
 * - `backup-folder-busy`: another backup or restore uses the folder.
 * - `backup-point-unknown`: the folder has no such point, or none at all.
 * - `backup-newer`: a newer Stowage wrote the point.
 * - `backup-broken`: a file of the point is missing or not what was written.
 * - `backup-hold-lost`: the backup stood still for so long that its blobs may have been deleted meanwhile.
 * - `restore-not-empty`: there is something where the backup would go.
 * - `restore-keys-missing`: the keyring lacks keys that secrets in the backup were sealed with.
 * - `restore-unfinished`: a restore was begun here and did not end.
 */
export type BackupErrorCode =
  | 'backup-folder-busy'
  | 'backup-point-unknown'
  | 'backup-newer'
  | 'backup-broken'
  | 'backup-hold-lost'
  | 'restore-not-empty'
  | 'restore-keys-missing'
  | 'restore-unfinished'

export function backupError(code: BackupErrorCode, message: string, options: { detail?: ErrorDetail; cause?: unknown } = {}): PlatformError<BackupErrorCode> {
  return new PlatformError(code, message, options)
}
