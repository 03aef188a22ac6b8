import { defineCommand } from '../../storage/metadata/command.ts'
import { deleteNamed, insertRole, updateRoleRow, type RoleRow } from '../../storage/metadata/stores/iam-entity-store.ts'
import { deleteIamTags } from '../../storage/metadata/stores/iam-tag-store.ts'
import { deleteSessionsOfRole } from '../../storage/metadata/stores/session-store.ts'
import { arnOf, entityExists, lockEntity, recordIamChange, reserveRoom } from './change.ts'
import { addTags, type Tag } from './entity-tags.ts'
import { holdPolicy, refuseWhileItHasPolicies } from './policy-attachments.ts'

export const createRole = defineCommand({
  name: 'create-role',
  durability: 'durable',
  async run(
    tx,
    input: {
      name: string
      path: string
      uniqueId: string
      description: string | null
      trustPolicy: string
      maxSessionSeconds: number
      boundaryArn: string | null
      tags: readonly Tag[]
    },
    context,
  ): Promise<RoleRow> {
    await reserveRoom(tx, context, 'role')
    if (input.boundaryArn !== null) await holdPolicy(tx, context, input.boundaryArn)
    const row = await insertRole(tx, {
      account_id: context.accountId,
      name: input.name,
      path: input.path,
      unique_id: input.uniqueId,
      description: input.description,
      trust_policy: input.trustPolicy,
      max_session_seconds: input.maxSessionSeconds,
      boundary_arn: input.boundaryArn,
      created_at: context.nowMs,
    })
    if (!row) throw entityExists('role', input.name)
    await addTags(tx, { kind: 'role', id: row.id }, input.tags)
    await recordIamChange(tx, context, {
      action: 'CreateRole',
      resource: arnOf('role', row),
      detail: { roleId: row.unique_id, permissionsBoundary: input.boundaryArn },
    })
    return row
  },
})

/** Changes what is given and leaves the rest. */
export const updateRole = defineCommand({
  name: 'update-role',
  durability: 'durable',
  async run(
    tx,
    input: {
      action: string
      name: string
      description?: string | undefined
      maxSessionSeconds?: number | undefined
      trustPolicy?: string | undefined
    },
    context,
  ): Promise<RoleRow> {
    const former = await lockEntity(tx, context, 'role', input.name)
    const row = await updateRoleRow(tx, former.id, {
      description: input.description ?? former.description,
      maxSessionSeconds: input.maxSessionSeconds ?? former.max_session_seconds,
      trustPolicy: input.trustPolicy ?? former.trust_policy,
    })
    await recordIamChange(tx, context, {
      action: input.action,
      resource: arnOf('role', row),
      detail: { maxSessionDuration: row.max_session_seconds },
    })
    return row
  },
})

/** Throws `entity-in-use` while it has policies. Its sessions end at once. */
export const deleteRole = defineCommand({
  name: 'delete-role',
  durability: 'durable',
  async run(tx, input: { name: string }, context): Promise<void> {
    const row = await lockEntity(tx, context, 'role', input.name, 'delete')
    await refuseWhileItHasPolicies(tx, { kind: 'role', id: row.id })
    await deleteSessionsOfRole(tx, row)
    await deleteIamTags(tx, { kind: 'role', id: row.id })
    await deleteNamed(tx, 'role', row.id)
    await recordIamChange(tx, context, {
      action: 'DeleteRole',
      resource: arnOf('role', row),
      detail: { roleId: row.unique_id },
    })
  },
})
