import { defineCommand } from '../../storage/metadata/command.ts'
import { quarantineLocation } from '../../storage/metadata/stores/blob-index.ts'
import { reinstateLocation } from '../../storage/metadata/stores/integrity-walk.ts'

/** The bytes there were found to be gone or wrong: nobody is served them any more. False when nobody was by then. */
export const quarantineBlob = defineCommand({
  name: 'quarantine-blob',
  durability: 'durable',
  run: (tx, input: { store: string; key: string }): Promise<boolean> => quarantineLocation(tx, input.store, input.key),
})

/** The bytes there were found to be right after all. False when the place is not quarantined, or was replaced. */
export const reinstateBlob = defineCommand({
  name: 'reinstate-blob',
  durability: 'durable',
  run: (tx, input: { id: number; blobId: number }): Promise<boolean> => reinstateLocation(tx, input),
})
