import { repositoryArn, type AccountId, type RepositoryName } from '../values/index.ts'
import type { Region } from '../values/index.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { Session } from '../storage/metadata/session.ts'
import { recordAudit, recordEvent } from '../storage/metadata/stores/change-log.ts'
import { findRepositoryRow, lockRepositoryRow, type RepositoryRow } from '../storage/metadata/stores/repository-store.ts'
import { findRepositoryBatch } from '../storage/metadata/stores/trash-listing.ts'
import { registryError } from './errors.ts'

/*
 * What every change of a repository has in common. The order of locks on PostgreSQL, the same in every command:
 * the repository's row, then what is bounded together with other repositories (quotas.ts), then blobs in the order of their
 * digests, then everything else, which only the holder of the repository's lock changes. Upload sessions come before the
 * repository's row is touched, one at a time.
 */

/** The repository's row, locked. Throws `repository-unknown`. */
export async function lockRepository(tx: Session, context: CommandContext, name: string): Promise<RepositoryRow> {
  const row = await lockRepositoryRow(tx, context.registryId, name)
  if (!row) throw repositoryUnknown(name, context.accountId)
  return row
}

/** The repository's row for reading. Throws `repository-unknown`. */
export async function readRepository(
  session: Session,
  registry: { readonly registryId: number; readonly accountId: string },
  name: string,
): Promise<RepositoryRow> {
  const row = await findRepositoryRow(session, registry.registryId, name)
  if (!row) throw repositoryUnknown(name, registry.accountId)
  return row
}

/**
 * As `readRepository`, for what may be asked about images of deleted repositories too. Throws `repository-trashed` where the repository
 * itself can be brought back.
 */
export async function readRepositoryOrTrash(
  session: Session,
  registry: { readonly registryId: number; readonly accountId: string },
  name: string,
): Promise<RepositoryRow> {
  const row = await findRepositoryRow(session, registry.registryId, name)
  if (row) return row
  const batch = await findRepositoryBatch(session, { registryId: registry.registryId, name })
  throw batch === undefined ? repositoryUnknown(name, registry.accountId) : repositoryTrashed(name, batch)
}

/** Of an image: it comes back with its repository. */
export function repositoryTrashed(name: string, trashBatch: string) {
  const text = `The repository with name '${name}' was itself deleted. Restore it first: its batch is ${trashBatch}.`
  return registryError('repository-trashed', text, { repositoryName: name, trashBatch })
}

export function repositoryUnknown(name: string, accountId: string) {
  return registryError(
    'repository-unknown',
    `The repository with name '${name}' does not exist in the registry with id '${accountId}'`,
    { repositoryName: name, registryId: accountId },
  )
}

/** Writes the audit row of a change of a repository. `action` is the name of the ECR operation. */
export async function audit(
  tx: Session,
  context: CommandContext,
  repositoryName: string,
  action: string,
  detail: Readonly<Record<string, unknown>>,
): Promise<void> {
  const resource = repositoryArn(
    context.region as Region,
    context.accountId as AccountId,
    repositoryName as RepositoryName,
  )
  await recordAudit(tx, context, { action, resource, detail: { repositoryName, ...detail } })
}

/** Writes the audit row of a change of a registry itself. `action` is the name of the ECR operation. */
export async function auditRegistry(
  tx: Session,
  context: CommandContext,
  action: string,
  detail: Readonly<Record<string, unknown>>,
): Promise<void> {
  const resource = `arn:aws:ecr:${context.region}:${context.accountId}:*`
  await recordAudit(tx, context, { action, resource, detail: { registryId: context.accountId, ...detail } })
}

/** As ECR tells of an image that went to the archive, or came back: without its tags. */
export async function storageClassEvent(
  tx: Session,
  context: CommandContext,
  repository: { readonly id: number; readonly name: string },
  event: { target: 'ARCHIVE' | 'STANDARD'; digest: string; mediaType: string; artifactType: string | undefined },
): Promise<void> {
  await recordEvent(tx, context, repository.id, 'ECR Image Action', {
    result: 'SUCCESS',
    'repository-name': repository.name,
    'image-digest': event.digest,
    'action-type': 'UPDATE_STORAGE_CLASS',
    'target-storage-class': event.target,
    'manifest-media-type': event.mediaType,
    ...(event.artifactType === undefined ? {} : { 'artifact-media-type': event.artifactType }),
    ...(event.target === 'STANDARD' ? { 'last-activated-at': new Date(context.nowMs).toISOString() } : {}),
  })
}

/** Puts an event of an image into the outbox, in the words of ECR's EventBridge events. */
export async function imageEvent(
  tx: Session,
  context: CommandContext,
  repository: { readonly id: number; readonly name: string },
  event: {
    action: 'PUSH' | 'DELETE'
    digest: string
    tag: string | undefined
    mediaType: string
    artifactType: string | undefined
  },
): Promise<void> {
  await recordEvent(tx, context, repository.id, 'ECR Image Action', {
    result: 'SUCCESS',
    'repository-name': repository.name,
    'image-digest': event.digest,
    'action-type': event.action,
    ...(event.tag === undefined ? {} : { 'image-tag': event.tag }),
    'manifest-media-type': event.mediaType,
    ...(event.artifactType === undefined ? {} : { 'artifact-media-type': event.artifactType }),
  })
}
