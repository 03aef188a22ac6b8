import { defineCommand } from '../../storage/metadata/command.ts'
import { advanceIamGeneration } from '../../storage/metadata/stores/access-key-store.ts'
import {
  deleteRegistryPolicyRow,
  deleteRepositoryPolicyRow,
  findRepositoryPolicy,
  upsertRegistryPolicy,
  upsertRepositoryPolicy,
} from '../../storage/metadata/stores/policy-store.ts'
import { audit, auditRegistry, lockRepository } from '../change.ts'
import { registryPolicyUnknown, repositoryPolicyUnknown } from '../policy-rules.ts'
import { registryForChange } from './registries.ts'

/* `policyText` is a policy as somebody wrote it, `document` what is kept of it: with unique ids of users and roles. */

export const setRepositoryPolicy = defineCommand({
  name: 'set-repository-policy',
  durability: 'durable',
  async run(tx, input: { name: string; policyText: string; document: string; force: boolean }, context): Promise<void> {
    const { id } = await lockRepository(tx, context, input.name)
    const former = await findRepositoryPolicy(tx, id)
    await upsertRepositoryPolicy(tx, id, input.document, context.nowMs)
    await audit(tx, context, input.name, 'SetRepositoryPolicy', { policyText: input.policyText, force: input.force })
    if (former !== input.document) await advanceIamGeneration(tx, context.accountId)
  },
})

/** What the policy was. Throws `repository-unknown`, `repository-policy-unknown`. */
export const deleteRepositoryPolicy = defineCommand({
  name: 'delete-repository-policy',
  durability: 'durable',
  async run(tx, input: { name: string }, context): Promise<string> {
    const { id } = await lockRepository(tx, context, input.name)
    const document = await findRepositoryPolicy(tx, id)
    if (document === undefined) throw repositoryPolicyUnknown(input.name, context.accountId)
    await deleteRepositoryPolicyRow(tx, id)
    await audit(tx, context, input.name, 'DeleteRepositoryPolicy', {})
    await advanceIamGeneration(tx, context.accountId)
    return document
  },
})

export const putRegistryPolicy = defineCommand({
  name: 'put-registry-policy',
  durability: 'durable',
  async run(tx, input: { policyText: string; document: string }, context): Promise<void> {
    const registryId = await registryForChange(tx, context)
    await upsertRegistryPolicy(tx, registryId, input.document, context.nowMs)
    await auditRegistry(tx, { ...context, registryId }, 'PutRegistryPolicy', { policyText: input.policyText })
    await advanceIamGeneration(tx, context.accountId)
  },
})

/** What the policy was. Throws `registry-policy-unknown`. */
export const deleteRegistryPolicy = defineCommand({
  name: 'delete-registry-policy',
  durability: 'durable',
  async run(tx, _input: Record<never, never>, context): Promise<string> {
    const document = await deleteRegistryPolicyRow(tx, context.registryId)
    if (document === undefined) throw registryPolicyUnknown(context.accountId)
    await auditRegistry(tx, context, 'DeleteRegistryPolicy', {})
    await advanceIamGeneration(tx, context.accountId)
    return document
  },
})
