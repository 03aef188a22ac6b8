import type { CommandContext } from '../storage/metadata/command.ts'
import type { Session } from '../storage/metadata/session.ts'
import { activeManifestsNaming, archiveManifestRow, markActivating } from '../storage/metadata/stores/archive-store.ts'
import { hideBlob, showBlob } from '../storage/metadata/stores/blob-index.ts'
import { activateManifestRow, blobsOfManifest, type ManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import { noteLessPullable, type RepositoryRow } from '../storage/metadata/stores/repository-store.ts'
import type { Suspicions } from '../storage/metadata/stores/review-queue.ts'
import { digestFromBytes, type Digest } from '../values/index.ts'
import { storageClassEvent } from './change.ts'

/**
 * The one way to the archive for images: from now on nobody pulls the unit, nor sees the blobs that only it made visible; their
 * bytes follow. The members are as `collectUnit` found them for the archive, and somebody has asked `findVetoes`. The caller
 * holds the repository's lock, and writes the suspicions at its end.
 */
export async function archiveUnit(
  tx: Session,
  repository: RepositoryRow,
  members: readonly ManifestRow[],
  suspicions: Suspicions,
  context: CommandContext,
): Promise<void> {
  const now = context.nowMs
  for (const { id } of members) await archiveManifestRow(tx, { id, now })
  await noteLessPullable(tx, repository.id, members.length)
  for (const [blobId, digest] of await blobsOf(tx, members)) {
    if ((await activeManifestsNaming(tx, repository.id, digest)).length > 0) continue
    await hideBlob(tx, repository.id, blobId)
    suspicions.add({ kind: 'placement', repositoryId: 0, subjectId: blobId, reason: 'image archived', now, delayMs: 0 })
  }
  for (const member of members) await announce(tx, repository, member, 'ARCHIVE', context)
}

/** The members, as `collectArchived` found them, are on their way: they become active together when their blobs are. */
export async function beginActivation(
  tx: Session,
  repository: RepositoryRow,
  members: readonly ManifestRow[],
  suspicions: Suspicions,
  context: CommandContext,
): Promise<void> {
  for (const { id } of members) {
    await markActivating(tx, id)
    // Of each, since what it comes with may go to the trash meanwhile.
    suspicions.add({ kind: 'activation', repositoryId: repository.id, subjectId: id, reason: 'restored', now: context.nowMs, delayMs: 0 })
  }
}

/**
 * The members can be pulled from now on, wherever their bytes are; those that are in the archive follow. The caller holds the
 * repository's lock, and writes the suspicions at its end.
 */
export async function activateUnit(
  tx: Session,
  repository: RepositoryRow,
  members: readonly ManifestRow[],
  suspicions: Suspicions,
  context: CommandContext,
): Promise<void> {
  const now = context.nowMs
  for (const { id } of members) await activateManifestRow(tx, id, now)
  for (const [blobId] of await blobsOf(tx, members)) {
    await showBlob(tx, repository.id, blobId, now)
    suspicions.add({ kind: 'placement', repositoryId: 0, subjectId: blobId, reason: 'image activated', now, delayMs: 0 })
  }
  for (const member of members) await announce(tx, repository, member, 'STANDARD', context)
}

async function blobsOf(tx: Session, members: readonly ManifestRow[]): Promise<Map<number, Digest>> {
  const blobs = new Map<number, Digest>()
  for (const { id } of members) for (const { blobId, digest } of await blobsOfManifest(tx, id)) blobs.set(blobId, digest)
  return blobs
}

function announce(tx: Session, repository: RepositoryRow, member: ManifestRow, target: 'ARCHIVE' | 'STANDARD', context: CommandContext): Promise<void> {
  return storageClassEvent(tx, context, repository, {
    target,
    digest: digestFromBytes(member.digest),
    mediaType: member.media_type,
    artifactType: member.artifact_type ?? undefined,
  })
}
