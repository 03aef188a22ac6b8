import { defineCommand } from '../../storage/metadata/command.ts'
import { deleteNamed, insertPolicy, type PolicyRow } from '../../storage/metadata/stores/iam-entity-store.ts'
import {
  deletePolicyVersionRow,
  insertPolicyVersion,
  policyUsages,
  policyVersions,
  setPolicyVersions,
  type PolicyVersionRow,
} from '../../storage/metadata/stores/iam-policy-store.ts'
import { deleteIamTags } from '../../storage/metadata/stores/iam-tag-store.ts'
import { iamError } from '../errors.ts'
import { iamQuotas } from '../quotas.ts'
import { arnOf, entityExists, lockEntity, recordIamChange, reserveRoom } from './change.ts'
import { addTags, type Tag } from './entity-tags.ts'

export const createPolicy = defineCommand({
  name: 'create-policy',
  durability: 'durable',
  async run(
    tx,
    input: {
      name: string
      path: string
      uniqueId: string
      description: string | null
      document: string
      tags: readonly Tag[]
    },
    context,
  ): Promise<PolicyRow> {
    await reserveRoom(tx, context, 'policy')
    const row = await insertPolicy(tx, {
      account_id: context.accountId,
      name: input.name,
      path: input.path,
      unique_id: input.uniqueId,
      description: input.description,
      created_at: context.nowMs,
    })
    if (!row) throw entityExists('policy', input.name)
    await insertPolicyVersion(tx, { policy_id: row.id, version: 1, document: input.document, created_at: context.nowMs })
    await addTags(tx, { kind: 'policy', id: row.id }, input.tags)
    await recordIamChange(tx, context, {
      action: 'CreatePolicy',
      resource: arnOf('policy', row),
      detail: { policyId: row.unique_id },
    })
    return row
  },
})

export const createPolicyVersion = defineCommand({
  name: 'create-policy-version',
  durability: 'durable',
  async run(
    tx,
    input: { name: string; document: string; setAsDefault: boolean },
    context,
  ): Promise<{ row: PolicyVersionRow; isDefault: boolean }> {
    const policy = await lockEntity(tx, context, 'policy', input.name)
    if ((await policyVersions(tx, policy.id)).length >= iamQuotas.VersionsPerPolicy) {
      throw iamError(
        'iam-limit-exceeded',
        `A managed policy can have up to ${iamQuotas.VersionsPerPolicy} versions. Before you create a new version, you must delete an existing version.`,
      )
    }
    const version = policy.last_version + 1
    const row = { policy_id: policy.id, version, document: input.document, created_at: context.nowMs }
    await insertPolicyVersion(tx, row)
    await setPolicyVersions(tx, policy.id, {
      defaultVersion: input.setAsDefault ? version : policy.default_version,
      lastVersion: version,
      now: context.nowMs,
    })
    await recordIamChange(tx, context, {
      action: 'CreatePolicyVersion',
      resource: arnOf('policy', policy),
      detail: { versionId: `v${version}`, setAsDefault: input.setAsDefault },
    })
    return { row, isDefault: input.setAsDefault }
  },
})

/** The version that holds, for everybody who has the policy, from now on. */
export const setDefaultPolicyVersion = defineCommand({
  name: 'set-default-policy-version',
  durability: 'durable',
  async run(tx, input: { name: string; version: number }, context): Promise<void> {
    const policy = await lockEntity(tx, context, 'policy', input.name)
    const { version } = input
    if (!(await policyVersions(tx, policy.id)).some((each) => each.version === version)) {
      throw policyVersionUnknown(arnOf('policy', policy), version)
    }
    await setPolicyVersions(tx, policy.id, {
      defaultVersion: version,
      lastVersion: policy.last_version,
      now: context.nowMs,
    })
    await recordIamChange(tx, context, {
      action: 'SetDefaultPolicyVersion',
      resource: arnOf('policy', policy),
      detail: { versionId: `v${version}` },
    })
  },
})

export const deletePolicyVersion = defineCommand({
  name: 'delete-policy-version',
  durability: 'durable',
  async run(tx, input: { name: string; version: number }, context): Promise<void> {
    const policy = await lockEntity(tx, context, 'policy', input.name)
    const { version } = input
    if (!(await policyVersions(tx, policy.id)).some((each) => each.version === version)) {
      throw policyVersionUnknown(arnOf('policy', policy), version)
    }
    if (version === policy.default_version) {
      throw iamError('entity-in-use', 'Cannot delete the default version of a policy.')
    }
    await deletePolicyVersionRow(tx, policy.id, version)
    await recordIamChange(tx, context, {
      action: 'DeletePolicyVersion',
      resource: arnOf('policy', policy),
      detail: { versionId: `v${version}` },
    })
  },
})

/** Throws `entity-in-use` while somebody has it, is bounded by it, or it has versions beside the default one. */
export const deletePolicy = defineCommand({
  name: 'delete-policy',
  durability: 'durable',
  async run(tx, input: { name: string }, context): Promise<void> {
    const policy = await lockEntity(tx, context, 'policy', input.name)
    const arn = arnOf('policy', policy)
    const usage = (await policyUsages(tx, context.accountId, [arn])).get(arn)
    if (usage !== undefined && usage.attachmentCount > 0) {
      throw iamError('entity-in-use', 'Cannot delete a policy attached to entities.')
    }
    if (usage !== undefined) {
      throw iamError('entity-in-use', 'Cannot delete a policy that is used as a permissions boundary.')
    }
    const versions = await policyVersions(tx, policy.id)
    if (versions.length > 1) {
      throw iamError(
        'entity-in-use',
        "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
      )
    }
    for (const { version } of versions) await deletePolicyVersionRow(tx, policy.id, version)
    await deleteIamTags(tx, { kind: 'policy', id: policy.id })
    await deleteNamed(tx, 'policy', policy.id)
    await recordIamChange(tx, context, {
      action: 'DeletePolicy',
      resource: arn,
      detail: { policyId: policy.unique_id },
    })
  },
})

/** In IAM's words. */
export function policyVersionUnknown(arn: string, version: number) {
  return iamError('entity-unknown', `Policy ${arn} version v${version} does not exist or is not attachable.`)
}
