import { defineCommand } from '../../storage/metadata/command.ts'
import { saveLabelRows, type LabelRow } from '../../storage/metadata/stores/manifest-label-store.ts'

/** Read from the images' bytes, and so read again where it is lost. */
export const saveLabels = defineCommand({
  name: 'save-image-labels',
  durability: 'process',
  run: (tx, input: { rows: readonly LabelRow[] }): Promise<void> => saveLabelRows(tx, input.rows),
})
