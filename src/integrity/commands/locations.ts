import { defineCommand } from '../../storage/metadata/command.ts'
import { reinstateLocation } from '../../storage/metadata/stores/integrity-walk.ts'

/** The bytes there were found to be right after all. False when the place is not quarantined, or was replaced. */
export const reinstateBlob = defineCommand({
  name: 'reinstate-blob',
  durability: 'durable',
  run: (tx, input: { id: number; blobId: number }): Promise<boolean> => reinstateLocation(tx, input),
})
