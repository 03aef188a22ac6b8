import { digestFromBytes, type Digest } from '../../../values/index.ts'
import type { CommandContext } from '../command.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'
import { findRegistryId, insertRegistry, listRegistryIds } from './repository-store.ts'

const nextEvent = statement<{ repositoryId: number }>()((db, p) =>
  db
    .updateTable('repository')
    .set((eb) => ({ event_seq: eb('event_seq', '+', 1) }))
    .where('id', '=', p.repositoryId)
    .returning('event_seq'),
)

const insertEvent = statement<{
  registryId: number
  repositoryId: number
  eventSeq: number
  type: string
  payload: string
  now: number
}>()((db, p) =>
  db.insertInto('outbox').values({
    registry_id: p.registryId,
    repository_id: p.repositoryId,
    event_seq: p.eventSeq,
    type: p.type,
    payload: p.payload,
    created_at: p.now,
    attempt_count: 0,
  }),
)

/** Puts an event into the outbox with the repository's next number: it exists if and only if the change does. */
export async function recordEvent(
  tx: Session,
  context: CommandContext,
  repositoryId: number,
  type: string,
  payload: Readonly<Record<string, unknown>>,
): Promise<void> {
  const next = await tx.first(nextEvent, { repositoryId })
  if (!next) throw new Error('an event names a repository that is not there')
  await tx.change(insertEvent, {
    registryId: context.registryId,
    repositoryId,
    eventSeq: next.event_seq,
    type,
    payload: JSON.stringify(payload),
    now: context.nowMs,
  })
}

const insertAudit = statement<{
  registryId: number
  now: number
  requestId: string
  actor: string
  action: string
  resource: string
  outcome: string
  protocol: string
  sourceIp: string
  userAgent: string
  detail: string
}>()((db, p) =>
  db.insertInto('audit_record').values({
    registry_id: p.registryId,
    occurred_at: p.now,
    request_id: p.requestId,
    actor: p.actor,
    action: p.action,
    resource: p.resource,
    outcome: p.outcome,
    protocol: p.protocol,
    source_ip: p.sourceIp,
    user_agent: p.userAgent,
    detail: p.detail,
  }),
)

/**
 * The audit row of a change. `detail` holds names, digests and settings, never a secret.
 *
 * A record belongs to a registry. Where the account has made nothing in the region yet (its identities are managed
 * through `us-east-1`, wherever its images are), the first record brings the registry into being. A region in which the account
 * may not begin gets none: the record then stands in the account's oldest registry.
 */
export async function recordAudit(
  tx: Session,
  context: CommandContext,
  record: { action: string; resource: string; detail?: Readonly<Record<string, unknown>> },
): Promise<void> {
  await tx.change(insertAudit, {
    registryId: context.registryId === 0 ? await newRegistryId(tx, context) : context.registryId,
    now: context.nowMs,
    requestId: context.requestId,
    actor: context.actorArn,
    action: record.action,
    resource: record.resource,
    outcome: 'success',
    protocol: context.protocol,
    sourceIp: context.sourceIp,
    userAgent: context.userAgent,
    detail: JSON.stringify(record.detail ?? {}),
  })
}

async function newRegistryId(tx: Session, { accountId, region, nowMs, newRegistry }: CommandContext): Promise<number> {
  if (newRegistry !== undefined) {
    const { isServedRegion, maxPerAccount } = newRegistry
    const ids = await listRegistryIds(tx, accountId, maxPerAccount)
    const [oldest] = ids
    const mayBegin = isServedRegion && ids.length < maxPerAccount
    if (oldest !== undefined && !mayBegin) return (await findRegistryId(tx, accountId, region)) ?? oldest
  }
  await insertRegistry(tx, accountId, region, nowMs)
  const id = await findRegistryId(tx, accountId, region)
  if (id === undefined) throw new Error('the registry was just inserted and is not there')
  return id
}

const insertTagHistory = statement<{
  repositoryId: number
  name: string
  digest: Uint8Array | null
  previousDigest: Uint8Array | null
  trashBatch: string | null
  now: number
  actor: string
}>()((db, p) =>
  db.insertInto('tag_history').values({
    repository_id: p.repositoryId,
    name: p.name,
    digest: p.digest,
    previous_digest: p.previousDigest,
    changed_at: p.now,
    changed_by: p.actor,
    trash_batch: p.trashBatch,
  }),
)

/** A change of a tag as audit records tell it, under `tagChanges`: without a digest it names nothing any more, or named nothing before. */
export interface TagChange {
  readonly imageTag: string
  readonly imageDigest?: Digest
  readonly previousImageDigest?: Digest
}

/**
 * What a tag points at from now on (null: nothing) and did until now. `trashBatch`: its image went too, in that batch. Answers it as
 * the audit record of the command has to tell it: the history of a tag is read from those.
 */
export async function recordTagChange(
  tx: Session,
  context: CommandContext,
  change: {
    repositoryId: number
    name: string
    digest: Uint8Array | null
    previousDigest: Uint8Array | null
    trashBatch?: string
  },
): Promise<TagChange> {
  const { trashBatch = null, ...rest } = change
  await tx.change(insertTagHistory, { ...rest, trashBatch, now: context.nowMs, actor: context.actorArn })
  return {
    imageTag: change.name,
    ...(change.digest === null ? {} : { imageDigest: digestFromBytes(change.digest) }),
    ...(change.previousDigest === null ? {} : { previousImageDigest: digestFromBytes(change.previousDigest) }),
  }
}

/** The member of an audit record that tells changes of tags. */
export function toldTagChanges(tagChanges: readonly TagChange[]): { readonly tagChanges?: readonly TagChange[] } {
  return tagChanges.length === 0 ? {} : { tagChanges }
}
