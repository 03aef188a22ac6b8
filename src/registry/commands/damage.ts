import { defineCommand } from '../../storage/metadata/command.ts'
import { quarantineLocation, recordChecksums } from '../../storage/metadata/stores/blob-index.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'

/**
 * Sets bytes aside that are gone or damaged: nothing is served from them any more, the blob counts as absent, and the
 * next push of it brings new ones. The file itself stays for whoever wants to look. False when they were set aside before.
 */
export const quarantineBlob = defineCommand({
  name: 'quarantine-blob',
  durability: 'durable',
  async run(tx, input: { store: string; key: string; reason: string }, context): Promise<boolean> {
    const { store, key, reason } = input
    if (!(await quarantineLocation(tx, store, key))) return false
    await recordAudit(tx, context, { action: 'QuarantineBlob', resource: key, detail: { store, reason } })
    return true
  },
})

/** Notes the checksums of bytes that were read whole and have the digest they should. */
export const recordBlobChecksums = defineCommand({
  name: 'record-blob-checksums',
  durability: 'process',
  async run(tx, input: { store: string; key: string; checksums: Uint8Array }): Promise<void> {
    await recordChecksums(tx, input.store, input.key, input.checksums)
  },
})
