import type { BytesInFlight } from '../../internal/bytes-in-flight.ts'
import { openFilesystemBlobStore } from './filesystem/index.ts'
import type { BlobStore } from './blob-store.ts'
import { archiveStoreName, TieredBlobStore } from './tiered-blob-store.ts'

export interface BlobStoreFolders {
  /** Must exist. */
  readonly dataDir: string
  /** Is made where it is not there; the folder that it is in must exist. */
  readonly archiveDir: string
}

/** Opens the stores of an installation, making their folders; `wrap` is what each is used through. Throws `storage-unavailable`. */
export async function openBlobStores({ dataDir, archiveDir }: BlobStoreFolders, bytesInFlight: BytesInFlight, wrap = (store: BlobStore): BlobStore => store): Promise<TieredBlobStore> {
  const active = await openFilesystemBlobStore({ dataDir, bytesInFlight })
  try {
    return new TieredBlobStore(wrap(active), wrap(await openFilesystemBlobStore({ name: archiveStoreName, dataDir: archiveDir, makesDataDir: true, bytesInFlight })))
  } catch (error) {
    await active.close()
    throw error
  }
}
