import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { advanceIamGeneration } from '../../storage/metadata/stores/access-key-store.ts'
import { findRepositoryPolicy, upsertRepositoryPolicy } from '../../storage/metadata/stores/policy-store.ts'
import {
  sumManifests,
  deleteResourceTag,
  holdsManifests,
  insertRepositoryRow,
  lowerRepositoryCount,
  resourceTagsOf,
  trashRepositoryRow,
  updateMutability,
  updateScanOnPush,
  upsertResourceTag,
  type RepositoryRow,
} from '../../storage/metadata/stores/repository-store.ts'
import { planEvaluation, putPolicyAt } from '../../storage/metadata/stores/lifecycle-policy-store.ts'
import { planNewRepository } from '../../storage/metadata/stores/retention-policy-store.ts'
import { recordTrashBatch } from '../../storage/metadata/stores/trash-store.ts'
import { suspect } from '../../storage/metadata/stores/review-queue.ts'
import { audit, lockRepository } from '../change.ts'
import { registryError } from '../errors.ts'
import { findRepositoryVetoes, vetoText } from '../protection/vetoes.ts'
import { countNewRepository } from '../quotas.ts'
import { registryForChange } from './registries.ts'

/** The one blob domain there is until repositories can name a key of their own. */
const defaultDomainId = 1
/** ECR's quota of resource tags. */
const maxResourceTags = 50

export const createRepository = defineCommand({
  name: 'create-repository',
  durability: 'durable',
  async run(
    tx,
    input: {
      name: string
      tagMutability: string
      mutabilityFilters: readonly string[]
      scanOnPush: boolean
      tags: Readonly<Record<string, string>>
      repositoryPolicy?: string | undefined
      lifecyclePolicy?: string | undefined
      /** The prefix of the template that a push makes it by. */
      template?: string | undefined
      maxRepositories: number
    },
    context,
  ): Promise<RepositoryRow> {
    if (Object.keys(input.tags).length > maxResourceTags) throw tooManyTags()
    const registryId = await registryForChange(tx, context)
    const row = await insertRepositoryRow(tx, {
      registry_id: registryId,
      domain_id: defaultDomainId,
      name: input.name,
      created_at: context.nowMs,
      created_by: context.actorArn,
      tag_mutability: input.tagMutability,
      mutability_filters: JSON.stringify(input.mutabilityFilters),
      scan_on_push: input.scanOnPush ? 1 : 0,
      encryption_type: 'AES256',
    })
    if (!row) {
      throw registryError(
        'repository-exists',
        `The repository with name '${input.name}' already exists in the registry with id '${context.accountId}'`,
      )
    }
    for (const [key, value] of Object.entries(input.tags)) await upsertResourceTag(tx, row.id, key, value)
    const { repositoryPolicy, lifecyclePolicy, template } = input
    if (repositoryPolicy !== undefined) await upsertRepositoryPolicy(tx, row.id, repositoryPolicy, context.nowMs)
    if (lifecyclePolicy !== undefined) await putLifecyclePolicyOf(tx, { registryId, repositoryId: row.id, document: lifecyclePolicy }, context)
    await countNewRepository(tx, registryId, input.maxRepositories, context)
    await planNewRepository(tx, { registryId, repositoryId: row.id, dueAt: context.nowMs })
    await audit(tx, { ...context, registryId }, input.name, 'CreateRepository', {
      imageTagMutability: input.tagMutability,
      tags: input.tags,
      ...(template === undefined ? {} : { repositoryCreationTemplate: template }),
      ...(repositoryPolicy === undefined ? {} : { policyText: repositoryPolicy }),
      ...(lifecyclePolicy === undefined ? {} : { lifecyclePolicyText: lifecyclePolicy }),
    })
    // What was remembered of a name without a repository says nothing of its tags and policy.
    if (Object.keys(input.tags).length > 0 || repositoryPolicy !== undefined) await advanceIamGeneration(tx, context.accountId)
    return row
  },
})

/** It is acted by an hour after the first push, as any other. */
async function putLifecyclePolicyOf(
  tx: Session,
  { registryId, repositoryId, document }: { registryId: number; repositoryId: number; document: string },
  { nowMs, actorArn }: CommandContext,
): Promise<void> {
  const place = { registryId, grammar: 'ecr', scope: 'repository', scopeKey: String(repositoryId) } as const
  await putPolicyAt(tx, place, { repositoryId, document, now: nowMs, by: actorArn })
  await planEvaluation(tx, repositoryId, nowMs)
}

export const deleteRepository = defineCommand({
  name: 'delete-repository',
  durability: 'durable',
  async run(tx, input: { name: string; force: boolean; trashBatch: string; retentionMs: number }, context): Promise<RepositoryRow> {
    const row = await lockRepository(tx, context, input.name)
    if (!input.force && (await holdsManifests(tx, row.id))) {
      throw registryError(
        'repository-not-empty',
        `The repository with name '${input.name}' in registry with id '${context.accountId}' cannot be deleted because it still contains images`,
      )
    }
    const vetoes = await findRepositoryVetoes(tx, row, context.nowMs, { mode: 'by-hand' })
    if (vetoes.length > 0) {
      throw registryError(
        'repository-protected',
        `The repository with name '${input.name}' in registry with id '${context.accountId}' cannot be deleted because of what it contains: ${vetoText(vetoes)}`,
      )
    }
    // Trashed whole: its images, tags and settings stay as they are beneath it, out of sight.
    await trashRepositoryRow(tx, row.id, {
      now: context.nowMs,
      purgeAfter: context.nowMs + input.retentionMs,
      by: context.actorArn,
      batch: input.trashBatch,
    })
    await recordTrashBatch(tx, {
      id: input.trashBatch,
      registry_id: row.registry_id,
      repository_id: row.id,
      kind: 'repository',
      cause: JSON.stringify({ action: 'DeleteRepository', requestId: context.requestId }),
      is_security: 0,
      image_count: row.image_count ?? (await sumManifests(tx, row.id)).images,
      tag_count: 0,
      created_at: context.nowMs,
      created_by: context.actorArn,
      purge_after: context.nowMs + input.retentionMs,
    })
    await lowerRepositoryCount(tx, row.registry_id)
    await suspect(tx, {
      kind: 'repository',
      repositoryId: row.id,
      subjectId: row.id,
      reason: 'repository deleted',
      now: context.nowMs,
      delayMs: input.retentionMs,
    })
    await audit(tx, context, input.name, 'DeleteRepository', { force: input.force, trashBatch: input.trashBatch })
    // Its policy and tags say no longer who may use a repository of this name.
    const hasSaid = (await findRepositoryPolicy(tx, row.id)) !== undefined || Object.keys(await resourceTagsOf(tx, row.id)).length > 0
    if (hasSaid) await advanceIamGeneration(tx, context.accountId)
    return row
  },
})

export const putTagMutability = defineCommand({
  name: 'put-tag-mutability',
  durability: 'durable',
  async run(
    tx,
    input: { name: string; mode: string; filters: readonly string[] },
    context,
  ): Promise<RepositoryRow> {
    const { id } = await lockRepository(tx, context, input.name)
    const row = await updateMutability(tx, id, input.mode, JSON.stringify(input.filters))
    await audit(tx, context, input.name, 'PutImageTagMutability', {
      imageTagMutability: input.mode,
      imageTagMutabilityExclusionFilters: input.filters,
    })
    return row
  },
})

export const putScanOnPush = defineCommand({
  name: 'put-scan-on-push',
  durability: 'durable',
  async run(tx, input: { name: string; scanOnPush: boolean }, context): Promise<RepositoryRow> {
    const { id } = await lockRepository(tx, context, input.name)
    const row = await updateScanOnPush(tx, id, input.scanOnPush)
    await audit(tx, context, input.name, 'PutImageScanningConfiguration', { scanOnPush: input.scanOnPush })
    return row
  },
})

export const tagResource = defineCommand({
  name: 'tag-resource',
  durability: 'durable',
  async run(tx, input: { name: string; tags: Readonly<Record<string, string>> }, context): Promise<void> {
    const row = await lockRepository(tx, context, input.name)
    const existing = await resourceTagsOf(tx, row.id)
    const keys = new Set([...Object.keys(existing), ...Object.keys(input.tags)])
    if (keys.size > maxResourceTags) throw tooManyTags()
    const changed = Object.entries(input.tags).filter(([key, value]) => existing[key] !== value)
    for (const [key, value] of changed) await upsertResourceTag(tx, row.id, key, value)
    await audit(tx, context, input.name, 'TagResource', { tags: input.tags })
    if (changed.length > 0) await advanceIamGeneration(tx, context.accountId)
  },
})

export const untagResource = defineCommand({
  name: 'untag-resource',
  durability: 'durable',
  async run(tx, input: { name: string; keys: readonly string[] }, context): Promise<void> {
    const row = await lockRepository(tx, context, input.name)
    const existing = await resourceTagsOf(tx, row.id)
    const dropped = input.keys.filter((key) => existing[key] !== undefined)
    for (const key of dropped) await deleteResourceTag(tx, row.id, key)
    await audit(tx, context, input.name, 'UntagResource', { tagKeys: input.keys })
    if (dropped.length > 0) await advanceIamGeneration(tx, context.accountId)
  },
})

function tooManyTags() {
  return registryError('too-many-tags', `A repository has at most ${maxResourceTags} tags.`)
}
