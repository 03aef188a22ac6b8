import { audit, auditRegistry, lockRepository } from '../../registry/change.ts'
import { registryForChange } from '../../registry/commands/registries.ts'
import { registryError } from '../../registry/errors.ts'
import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { findPolicyAt, planEvaluation, putPolicyAt, type PolicyPlace } from '../../storage/metadata/stores/lifecycle-policy-store.ts'
import { lockRegistryRow } from '../../storage/metadata/stores/repository-store.ts'
import { countPrefixPolicies, planUnderPolicy } from '../../storage/metadata/stores/retention-policy-store.ts'
import { lifecycleError } from '../errors.ts'

/** Where a retention policy holds: in one repository, in those whose names begin with a prefix and a slash, or in all. */
export type RetentionPlace =
  | { readonly scope: 'repository'; readonly name: string }
  | { readonly scope: 'prefix'; readonly prefix: string }
  | { readonly scope: 'registry' }

export interface SavedPolicy {
  readonly version: number
  readonly document: string
  readonly updatedAt: number
  readonly updatedBy: string
}

/** More make nobody's life easier; each is a row that somebody has to read one day. */
const maxPrefixPolicies = 1000

/** Repositories that hear of a policy by one command: some milliseconds of work. */
const repositoriesPerCommand = 500

/** @param registryId of the place's registry */
export function retentionPolicyAt(registryId: number, place: RetentionPlace, repositoryId: number | undefined): PolicyPlace {
  const { scope } = place
  const scopeKey = scope === 'repository' ? String(repositoryId) : scope === 'prefix' ? place.prefix : ''
  return { registryId, grammar: 'retention', scope, scopeKey }
}

export function placeWords(place: RetentionPlace): string {
  switch (place.scope) {
    case 'repository':
      return `the repository with name '${place.name}'`
    case 'prefix':
      return `the prefix '${place.prefix}'`
    case 'registry':
      return 'the whole registry'
  }
}

export function retentionPolicyUnknown(place: RetentionPlace, accountId: string) {
  return lifecycleError(
    'lifecycle-policy-unknown',
    `Retention policy does not exist for ${placeWords(place)} in the registry with id '${accountId}'`,
  )
}

/** Throws `repository-unknown`, `limit-exceeded`. */
export const putRetentionPolicy = defineCommand({
  name: 'put-retention-policy',
  durability: 'durable',
  /** @param input `evaluateAt`: when it is first acted by in its repository; the others hear of it later */
  async run(tx, input: { place: RetentionPlace; document: string; evaluateAt: number }, context): Promise<SavedPolicy> {
    const { place, document } = input
    const { at, repositoryId } = await lockPlace(tx, place, context)
    const before = await findPolicyAt(tx, at)
    await auditPlace(tx, place, context, 'PutRetentionPolicy', { policyText: document })
    // The same again is no new version: nobody has changed their mind.
    if (before?.document === document) {
      return { version: before.version, document, updatedAt: before.updatedAt, updatedBy: before.updatedBy }
    }
    if (place.scope === 'prefix' && typeof before?.document !== 'string' && (await countPrefixPolicies(tx, at.registryId)) >= maxPrefixPolicies) {
      throw registryError('limit-exceeded', `The registry with id '${context.accountId}' already has retention policies for ${maxPrefixPolicies} prefixes.`)
    }
    const change = { repositoryId: repositoryId ?? null, document, now: context.nowMs, by: context.actorArn }
    const { version } = await putPolicyAt(tx, at, change)
    if (repositoryId !== undefined) await planEvaluation(tx, repositoryId, input.evaluateAt)
    return { version, document, updatedAt: context.nowMs, updatedBy: context.actorArn }
  },
})

/** What the policy was. Throws `repository-unknown`, `lifecycle-policy-unknown`. */
export const deleteRetentionPolicy = defineCommand({
  name: 'delete-retention-policy',
  durability: 'durable',
  async run(tx, input: { place: RetentionPlace; evaluateAt: number }, context): Promise<SavedPolicy> {
    const { place } = input
    const { at, repositoryId } = await lockPlace(tx, place, context)
    const before = await findPolicyAt(tx, at)
    if (typeof before?.document !== 'string') throw retentionPolicyUnknown(place, context.accountId)
    await putPolicyAt(tx, at, { repositoryId: repositoryId ?? null, document: null, now: context.nowMs, by: context.actorArn })
    // What it kept may go now by other policies.
    if (repositoryId !== undefined) await planEvaluation(tx, repositoryId, input.evaluateAt)
    await auditPlace(tx, place, context, 'DeleteRetentionPolicy', {})
    return { version: before.version, document: before.document, updatedAt: before.updatedAt, updatedBy: before.updatedBy }
  },
})

/** Tells the next repositories of a changed policy of a prefix or a registry. False: all know, or it was changed again. */
export const spreadPolicy = defineCommand({
  name: 'spread-retention-policy',
  durability: 'process',
  run: (tx, input: { policyId: number; dueAt: number }): Promise<boolean> =>
    planUnderPolicy(tx, { ...input, limit: repositoriesPerCommand }),
})

async function lockPlace(
  tx: Session,
  place: RetentionPlace,
  context: CommandContext,
): Promise<{ at: PolicyPlace; repositoryId: number | undefined }> {
  if (place.scope === 'repository') {
    const { id } = await lockRepository(tx, context, place.name)
    return { at: retentionPolicyAt(context.registryId, place, id), repositoryId: id }
  }
  const registryId = await registryForChange(tx, context)
  await lockRegistryRow(tx, registryId)
  return { at: retentionPolicyAt(registryId, place, undefined), repositoryId: undefined }
}

function auditPlace(
  tx: Session,
  place: RetentionPlace,
  context: CommandContext,
  action: string,
  detail: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (place.scope === 'repository') return audit(tx, context, place.name, action, detail)
  return auditRegistry(tx, context, action, { ...(place.scope === 'prefix' ? { prefix: place.prefix } : {}), ...detail })
}
