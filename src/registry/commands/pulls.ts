import { defineCommand } from '../../storage/metadata/command.ts'
import { addPulls } from '../../storage/metadata/stores/manifest-store.ts'

/** The pulls of the last moment. Not `durable`: the clock may lose a second to a power cut, a push may not wait for it. */
export const recordPulls = defineCommand({
  name: 'record-pulls',
  durability: 'process',
  async run(
    tx,
    input: { pulls: readonly { manifestId: number; lastPulledAt: number; count: number }[] },
  ): Promise<void> {
    await addPulls(tx, input.pulls)
  },
})
