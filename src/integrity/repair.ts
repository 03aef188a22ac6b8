import { quarantineBlob } from '../registry/commands/damage.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { Repair } from './blob-check.ts'
import { reinstateBlob } from './commands/locations.ts'
import { recountRepository } from './commands/sums.ts'

/** What only a holder of the database's writer can do. */
export function repairIn(database: Pick<MetadataDatabase, 'execute'>, context: () => CommandContext): Repair {
  return {
    quarantine: ({ store, key }, reason) => database.execute(quarantineBlob, { store, key, reason }, context()),
    reinstate: ({ id, blobId, store, key }, checksums) =>
      database.execute(reinstateBlob, { id, blobId, store, key, checksums }, context()),
    recount: (repositoryId) => database.execute(recountRepository, { repositoryId }, context()),
  }
}
