import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { lockNamed, setBoundary } from '../../storage/metadata/stores/iam-entity-store.ts'
import {
  attachedPolicyArns,
  deleteAttachment,
  deleteInlinePolicyRow,
  inlinePolicies,
  insertAttachment,
  upsertInlinePolicy,
  type PolicyOwnerKind,
} from '../../storage/metadata/stores/iam-policy-store.ts'
import type { AccountId } from '../../values/index.ts'
import { iamError } from '../errors.ts'
import { managedPolicy } from '../managed-policies.ts'
import { policyNameIn } from '../policy-arn.ts'
import { policySize } from '../policy/index.ts'
import { iamQuotas, type IamQuota } from '../quotas.ts'
import { arnOf, lockEntity, quotaExceeded, recordIamChange } from './change.ts'

/** Who is given a policy, or loses one. */
export interface PolicyOwner {
  readonly kind: PolicyOwnerKind
  readonly name: string
}

const attachmentQuotas = {
  user: 'PoliciesPerUser',
  group: 'PoliciesPerGroup',
  role: 'PoliciesPerRole',
} as const satisfies Record<PolicyOwnerKind, IamQuota>

const inlineQuotas = {
  user: 'UserPolicySize',
  group: 'GroupPolicySize',
  role: 'RolePolicySize',
} as const satisfies Record<PolicyOwnerKind, IamQuota>

/** Succeeds where the policy is attached already. */
export const attachPolicy = defineCommand({
  name: 'attach-policy',
  durability: 'durable',
  async run(tx, input: { action: string; owner: PolicyOwner; policyArn: string }, context): Promise<void> {
    const { kind, name } = input.owner
    const row = await lockEntity(tx, context, kind, name)
    await holdPolicy(tx, context, input.policyArn)
    const attached = await attachedPolicyArns(tx, { kind, id: row.id })
    if (!attached.includes(input.policyArn) && attached.length >= iamQuotas[attachmentQuotas[kind]]) {
      throw quotaExceeded(attachmentQuotas[kind])
    }
    await insertAttachment(tx, { kind, id: row.id }, input.policyArn)
    const { action, policyArn } = input
    await recordIamChange(tx, context, { action, resource: arnOf(kind, row), detail: { policyArn } })
  },
})

/** Throws `entity-unknown` where the policy was not attached. */
export const detachPolicy = defineCommand({
  name: 'detach-policy',
  durability: 'durable',
  async run(tx, input: { action: string; owner: PolicyOwner; policyArn: string }, context): Promise<void> {
    const { kind, name } = input.owner
    const row = await lockEntity(tx, context, kind, name)
    const { action, policyArn } = input
    if (!(await deleteAttachment(tx, { kind, id: row.id }, policyArn))) {
      throw iamError('entity-unknown', `Policy ${policyArn} was not found.`)
    }
    await recordIamChange(tx, context, { action, resource: arnOf(kind, row), detail: { policyArn } })
  },
})

export const putInlinePolicy = defineCommand({
  name: 'put-inline-policy',
  durability: 'durable',
  async run(
    tx,
    input: { action: string; owner: PolicyOwner; policyName: string; document: string },
    context,
  ): Promise<void> {
    const { kind, name } = input.owner
    const row = await lockEntity(tx, context, kind, name)
    const { policyName, document } = input
    const others = (await inlinePolicies(tx, { kind, id: row.id })).filter((policy) => policy.name !== policyName)
    const size = others.reduce((sum, policy) => sum + policySize(policy.document), policySize(document))
    const limit = iamQuotas[inlineQuotas[kind]]
    if (size > limit) {
      throw iamError('iam-limit-exceeded', `Maximum policy size of ${limit} bytes exceeded for ${kind} ${row.name}`)
    }
    await upsertInlinePolicy(tx, { kind, id: row.id }, { name: policyName, document })
    await recordIamChange(tx, context, { action: input.action, resource: arnOf(kind, row), detail: { policyName } })
  },
})

/** Throws `entity-unknown` where there is no such policy. */
export const deleteInlinePolicy = defineCommand({
  name: 'delete-inline-policy',
  durability: 'durable',
  async run(tx, input: { action: string; owner: PolicyOwner; policyName: string }, context): Promise<void> {
    const { kind, name } = input.owner
    const row = await lockEntity(tx, context, kind, name)
    const { policyName } = input
    if (!(await deleteInlinePolicyRow(tx, { kind, id: row.id }, policyName))) throw inlinePolicyUnknown(kind, policyName)
    await recordIamChange(tx, context, { action: input.action, resource: arnOf(kind, row), detail: { policyName } })
  },
})

/** Bounds a user or role by a policy; null takes the boundary away, and is no error where there is none. */
export const putBoundary = defineCommand({
  name: 'put-permissions-boundary',
  durability: 'durable',
  async run(
    tx,
    input: { action: string; owner: { kind: 'user' | 'role'; name: string }; policyArn: string | null },
    context,
  ): Promise<void> {
    const { kind, name } = input.owner
    const row = await lockEntity(tx, context, kind, name)
    const { action, policyArn } = input
    if (policyArn !== null) await holdPolicy(tx, context, policyArn)
    await setBoundary(tx, kind, row.id, policyArn)
    await recordIamChange(tx, context, { action, resource: arnOf(kind, row), detail: { policyArn } })
  },
})

/**
 * Keeps a managed policy from being deleted before the commit. Throws `entity-unknown` where the account has no policy of
 * exactly this ARN: another account's are as unknown as those that are not there.
 */
export async function holdPolicy(tx: Session, { accountId }: CommandContext, policyArn: string): Promise<void> {
  if (managedPolicy(policyArn)) return
  const name = policyNameIn(policyArn, accountId as AccountId)
  const row = name === undefined ? undefined : await lockNamed(tx, 'policy', accountId, name, 'share')
  if (row && arnOf('policy', row) === policyArn) return
  throw iamError('entity-unknown', `Policy ${policyArn} does not exist or is not attachable.`)
}

/** Throws `entity-in-use`. */
export async function refuseWhileItHasPolicies(tx: Session, owner: { kind: PolicyOwnerKind; id: number }): Promise<void> {
  if ((await attachedPolicyArns(tx, owner)).length > 0) {
    throw iamError('entity-in-use', 'Cannot delete entity, must detach all policies first.')
  }
  if ((await inlinePolicies(tx, owner)).length > 0) {
    throw iamError('entity-in-use', 'Cannot delete entity, must delete policies first.')
  }
}

/** In IAM's words. */
export function inlinePolicyUnknown(kind: PolicyOwnerKind, policyName: string) {
  return iamError('entity-unknown', `The ${kind} policy with name ${policyName} cannot be found.`)
}
