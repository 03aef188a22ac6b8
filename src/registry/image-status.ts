import type { ImageStatus } from './types.ts'

/** The column's value for a status that images are filtered by; undefined where any will do. */
export function storageClassOf(status: ImageStatus | 'ANY'): string | undefined {
  return status === 'ANY' ? undefined : status.toLowerCase()
}

export function statusOf(storageClass: string): ImageStatus {
  return storageClass.toUpperCase() as ImageStatus
}
