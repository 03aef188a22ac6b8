import { defineCommand } from '../../storage/metadata/command.ts'
import { recordChecksums } from '../../storage/metadata/stores/blob-index.ts'
import { reinstateLocation } from '../../storage/metadata/stores/integrity-walk.ts'

/** The bytes there were found to be right after all, and to have these checksums. False when the place is not quarantined, or was replaced. */
export const reinstateBlob = defineCommand({
  name: 'reinstate-blob',
  durability: 'durable',
  async run(
    tx,
    input: { id: number; blobId: number; store: string; key: string; checksums: Uint8Array },
  ): Promise<boolean> {
    if (!(await reinstateLocation(tx, input))) return false
    // It may be the checksums that had decayed: the next download would set the place aside again.
    await recordChecksums(tx, input.store, input.key, input.checksums)
    return true
  },
})
