import { iamError } from '../../iam/errors.ts'
import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { recordEvent } from '../../storage/metadata/stores/change-log.ts'
import { findManifestRow } from '../../storage/metadata/stores/manifest-store.ts'
import {
  deleteEndedProtections,
  deleteProtectionRow,
  findProtection,
  protectionsInForce,
  upsertProtection,
  type ProtectionRow,
} from '../../storage/metadata/stores/protection-store.ts'
import type { RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import type { Digest } from '../../values/index.ts'
import { audit, lockRepository } from '../change.ts'
import { parameterInvalid, registryError } from '../errors.ts'

/** What a protection is of; `value` is the tag or the digest, and empty for the repository. */
export interface ProtectionTarget {
  readonly kind: 'tag' | 'digest' | 'repository'
  readonly value: string
}

/** Every deletion in a repository reads all of its protections. */
export const maxProtections = 1000

/**
 * Protects a repository with all that is in it, a tag with the image it points to, or a digest. In the place of an earlier
 * protection of the same; to let one end earlier than it would have, `mayLoosen` is needed.
 *
 * Throws `repository-unknown`, `manifest-unknown`, `parameter-invalid`, `limit-exceeded`, `access-denied`.
 */
export const putProtection = defineCommand({
  name: 'put-protection',
  durability: 'durable',
  async run(
    tx,
    input: { name: string; target: ProtectionTarget; reason: string; owner: string; endsAt: number | null; mayLoosen: boolean },
    context,
  ): Promise<ProtectionRow> {
    const { target, reason, owner, endsAt, mayLoosen } = input
    const repository = await lockRepository(tx, context, input.name)
    if (endsAt !== null && endsAt <= context.nowMs) throw parameterInvalid('endsAt', 'Member must be in the future')
    if (target.kind === 'digest' && (await findManifestRow(tx, repository.id, target.value as Digest))?.trashed_at !== null) {
      throw registryError('manifest-unknown', `The repository has no image ${target.value}.`, { digest: target.value })
    }
    const present = await findProtection(tx, repository.id, target.kind, target.value)
    if (present !== undefined && !mayLoosen && endOf(present.ends_at) > endOf(endsAt) && endOf(present.ends_at) > context.nowMs) {
      throw iamError('access-denied', 'To let a protection end earlier is to take a part of it away, which needs stowage:DeleteProtection.')
    }
    await deleteEndedProtections(tx, repository.id, context.nowMs)
    if (present === undefined && (await protectionsInForce(tx, repository.id, context.nowMs)).length >= maxProtections) {
      throw registryError('limit-exceeded', `The repository with name '${input.name}' already has the maximum number of protections which is '${maxProtections}'`)
    }
    const row = {
      repository_id: repository.id,
      kind: target.kind,
      target: target.value,
      reason,
      owner,
      created_at: context.nowMs,
      created_by: context.actorArn,
      ends_at: endsAt,
    }
    await upsertProtection(tx, row)
    await tell(tx, repository, 'PutProtection', row, context)
    const put = await findProtection(tx, repository.id, target.kind, target.value)
    if (put === undefined) throw new Error('the protection was just put and is not there')
    return put
  },
})

/** Answers what it was. Throws `repository-unknown`, `protection-unknown`. */
export const deleteProtection = defineCommand({
  name: 'delete-protection',
  durability: 'durable',
  async run(tx, input: { name: string; target: ProtectionTarget }, context): Promise<ProtectionRow> {
    const repository = await lockRepository(tx, context, input.name)
    const { kind, value } = input.target
    const row = await deleteProtectionRow(tx, repository.id, kind, value)
    if (row === undefined) {
      const what = kind === 'repository' ? 'The repository itself' : `The ${kind} '${value}'`
      throw registryError('protection-unknown', `${what} has no protection in the repository with name '${input.name}'`)
    }
    await tell(tx, repository, 'DeleteProtection', row, context)
    return row
  },
})

function endOf(endsAt: number | null): number {
  return endsAt ?? Number.POSITIVE_INFINITY
}

async function tell(
  tx: Session,
  repository: RepositoryRow,
  action: 'PutProtection' | 'DeleteProtection',
  row: Omit<ProtectionRow, 'id'>,
  context: CommandContext,
): Promise<void> {
  const { kind, target, reason, owner, ends_at: endsAt } = row
  const detail = {
    protects: kind,
    ...(target === '' ? {} : { target }),
    reason,
    owner,
    ...(endsAt === null ? {} : { endsAt: new Date(endsAt).toISOString() }),
  }
  await audit(tx, context, repository.name, action, detail)
  await recordEvent(tx, context, repository.id, 'Stowage Protection Change', {
    'action-type': action === 'PutProtection' ? 'PUT' : 'DELETE',
    'repository-name': repository.name,
    ...detail,
  })
}
