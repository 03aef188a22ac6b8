import { audit, lockRepository } from '../../registry/change.ts'
import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import {
  endPreview,
  findPreview,
  insertPreview,
  insertPreviewPage,
  keepPreview,
  previewPageAfter,
  removePreview,
  type PreviewRow,
} from '../../storage/metadata/stores/lifecycle-preview-store.ts'
import { findRepositoryRowById } from '../../storage/metadata/stores/repository-store.ts'
import { lifecycleError } from '../errors.ts'
import { readResults, type PreviewPage, type StoredResult } from '../preview-pages.ts'
import { ecrRules, imagesPerEvent, policyWithRules, serviceEventImage } from '../service-events.ts'

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
export const savePreviewPages = defineCommand({
  name: 'save-lifecycle-preview-pages',
  durability: 'process',
  async run(
    tx,
    input: { previewId: number; owner: string; until: number; pages: readonly PreviewPage[] },
  ): Promise<boolean> {
    const { previewId, owner, until, pages } = input
    if (!(await keepPreview(tx, { previewId, owner, until }))) return false
    for (const page of pages) await insertPreviewPage(tx, { previewId, ...page })
    return true
  },
})

export const finishPreview = defineCommand({
  name: 'finish-lifecycle-preview',
  durability: 'durable',
  async run(tx, input: { previewId: number; repositoryId: number; owner: string; failure: string | null; summary: string | null }, context): Promise<void> {
    const { failure, repositoryId, previewId } = input
    const isEnded = await endPreview(tx, { ...input, status: failure === null ? 'COMPLETE' : 'FAILED', now: context.nowMs })
    if (!isEnded || failure !== null) return
    const repository = await findRepositoryRowById(tx, repositoryId)
    const preview = await findPreview(tx, repositoryId)
    if (repository?.trashed_at === null && preview?.id === previewId) await tellDryRun(tx, repository.name, preview, context)
  },
})

/** Images of a preview that are told: it has them all, and there may be a million. */
const maxToldImages = 1000

/** Records what a policy would have done, as ECR does: in events of some images each. */
async function tellDryRun(tx: Session, repositoryName: string, { id, document, startedAt }: PreviewRow, context: CommandContext): Promise<void> {
  const images: StoredResult[] = []
  for (let after = 0; images.length < maxToldImages; ) {
    const page = await previewPageAfter(tx, id, after)
    if (page === undefined) break
    const results = readResults(page)
    images.push(...results.slice(0, maxToldImages - images.length))
    after = results.at(-1)?.[0] ?? Number.MAX_SAFE_INTEGER
  }
  const policy = { lifecycleEventRules: ecrRules(document), lastEvaluatedAt: startedAt, policyVersion: 1, policyId: String(id) }
  for (let at = 0; at === 0 || at < images.length; at += imagesPerEvent) {
    const part = images.slice(at, at + imagesPerEvent)
    await audit(tx, context, repositoryName, 'DryRunEvent', {
      lifecycleEventPolicy: policyWithRules(policy, new Set(part.map((result) => result[6]))),
      lifecycleEventImageActions: part.map(([, digest, tags, pushedAt, , , rule]) => ({ lifecycleEventImage: serviceEventImage({ digest, tags, pushedAt }), rulePriority: rule })),
      lifecycleEventFailureDetails: [],
    })
  }
}
