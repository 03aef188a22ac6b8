import { audit, lockRepository } from '../../registry/change.ts'
import { defineCommand } from '../../storage/metadata/command.ts'
import {
  endPreview,
  findPreview,
  insertPreview,
  insertPreviewPage,
  keepPreview,
  removePreview,
} from '../../storage/metadata/stores/lifecycle-preview-store.ts'
import { lifecycleError } from '../errors.ts'

/** Takes the place of the last preview. Throws `preview-in-progress` while somebody works at that. */
export const beginPreview = defineCommand({
  name: 'begin-lifecycle-preview',
  durability: 'durable',
  async run(tx, input: { name: string; document: string; owner: string; until: number }, context): Promise<{ previewId: number; repositoryId: number }> {
    const { id: repositoryId } = await lockRepository(tx, context, input.name)
    const last = await findPreview(tx, repositoryId)
    if (last?.status === 'IN_PROGRESS' && (last.leasedUntil ?? 0) >= context.nowMs) {
      throw lifecycleError('preview-in-progress', 'The previous lifecycle policy preview request has not completed. Wait and try again.')
    }
    if (last) await removePreview(tx, last.id)
    const { document, owner, until } = input
    const previewId = await insertPreview(tx, { repositoryId, document, now: context.nowMs, by: context.actorArn, owner, until })
    await audit(tx, context, input.name, 'StartLifecyclePolicyPreview', { lifecyclePolicyText: document })
    return { previewId, repositoryId }
  },
})

/** Adds results and renews the lease. False: the preview is not this owner's any more. */
export const savePreviewPage = defineCommand({
  name: 'save-lifecycle-preview-page',
  durability: 'process',
  async run(
    tx,
    input: { previewId: number; owner: string; until: number; page: { firstManifestId: number; results: Uint8Array } | undefined },
  ): Promise<boolean> {
    const { previewId, owner, until, page } = input
    if (!(await keepPreview(tx, { previewId, owner, until }))) return false
    if (page !== undefined) await insertPreviewPage(tx, { previewId, ...page })
    return true
  },
})

export const finishPreview = defineCommand({
  name: 'finish-lifecycle-preview',
  durability: 'durable',
  async run(tx, input: { previewId: number; owner: string; failure: string | null; summary: string | null }, context): Promise<void> {
    const { failure } = input
    await endPreview(tx, { ...input, status: failure === null ? 'COMPLETE' : 'FAILED', now: context.nowMs })
  },
})
