import { defineCommand } from '../../storage/metadata/command.ts'
import { deleteChanges } from '../../storage/metadata/stores/change-records.ts'

/** Removes what the audit trail has by now. */
export const forgetSealedChanges = defineCommand({
  name: 'forget-sealed-changes',
  // What a crash brings back is recognised and removed again.
  durability: 'process',
  run: (tx, input: { ids: readonly number[] }): Promise<void> => deleteChanges(tx, input.ids),
})
