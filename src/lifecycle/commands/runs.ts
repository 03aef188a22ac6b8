import { audit } from '../../registry/change.ts'
import { collectUnit } from '../../registry/image-unit.ts'
import { findVetoes, vetoText } from '../../registry/protection/index.ts'
import { policyExecution, trashUnit } from '../../registry/trash.ts'
import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { recordEvent } from '../../storage/metadata/stores/change-log.ts'
import {
  claimEvaluation,
  finishEvaluation,
  giveEvaluationBack,
  planEvaluation,
} from '../../storage/metadata/stores/lifecycle-policy-store.ts'
import { decideRun, findRun, hasShrunk, insertRun, updateRun } from '../../storage/metadata/stores/lifecycle-run-store.ts'
import type { ManifestRow } from '../../storage/metadata/stores/manifest-store.ts'
import type { RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import { collectSuspicions } from '../../storage/metadata/stores/review-queue.ts'
import { tagsOf } from '../../storage/metadata/stores/image-kin.ts'
import { livingParentsOf, livingSubjectsOf, manifestsById } from '../../storage/metadata/stores/unit-store.ts'
import { lockRepositoryRowById } from '../../storage/metadata/stores/trash-store.ts'
import { digestFromBytes, type Digest } from '../../values/index.ts'
import { lifecycleError } from '../errors.ts'
import { fingerprintOf } from '../fingerprint.ts'
import type { ImageFacts } from '../policy/index.ts'

export const claimLifecycle = defineCommand({
  name: 'claim-lifecycle',
  durability: 'process',
  run: (tx, input: { repositoryId: number; owner: string; until: number }, context): Promise<boolean> =>
    claimEvaluation(tx, { ...input, now: context.nowMs }),
})

export const releaseLifecycle = defineCommand({
  name: 'release-lifecycle',
  durability: 'process',
  run: (tx, input: { repositoryId: number; owner: string; dueAt: number }): Promise<void> => giveEvaluationBack(tx, input),
})

export const finishLifecycle = defineCommand({
  name: 'finish-lifecycle',
  durability: 'durable',
  run: (
    tx,
    input: { repositoryId: number; owner: string; evaluatedAt: number; evaluatedSeq: number; policiesSeen: string; dueAt: number },
  ): Promise<void> => finishEvaluation(tx, input),
})

/** Plans an evaluation as soon as possible. */
export const planLifecycle = defineCommand({
  name: 'plan-lifecycle',
  durability: 'durable',
  run: (tx, input: { repositoryId: number }, context): Promise<void> => planEvaluation(tx, input.repositoryId, context.nowMs),
})

export const beginRun = defineCommand({
  name: 'begin-lifecycle-run',
  durability: 'durable',
  run: (tx, input: { id: string; repositoryId: number; cause: string; policies: string }, context): Promise<void> =>
    insertRun(tx, { ...input, now: context.nowMs, by: context.actorArn }),
})

export interface RunProgress {
  readonly id: string
  readonly status: string
  readonly concern: string | null
  readonly summary: string
  readonly trashBatch: string | null
  readonly isOver: boolean
}

/** Notes how far a run came, and with its end tells of it. */
export const noteRun = defineCommand({
  name: 'note-lifecycle-run',
  durability: 'durable',
  async run(tx, input: RunProgress & { repositoryId: number; repositoryName: string }, context): Promise<void> {
    const { id, status, concern, summary, trashBatch, isOver } = input
    const current = await findRun(tx, context.registryId, id)
    // Somebody has just let it go on.
    if (current?.decidedAt != null && status === 'unconfirmed') return
    const isNews = isOver || current?.status !== status || current.concern !== concern
    const isNoted = await updateRun(tx, { id, status, concern, summary, trashBatch, finishedAt: isOver ? context.nowMs : null })
    if (!isNoted || !isNews || (!isOver && status !== 'unconfirmed')) return
    const detail = { runId: id, status, ...(concern === null ? {} : { concern }), ...(JSON.parse(summary) as object), ...(trashBatch === null ? {} : { trashBatch }) }
    // As ECR's record of a policy that was carried out is called in CloudTrail.
    await audit(tx, context, input.repositoryName, policyExecution, detail)
    await recordEvent(tx, context, input.repositoryId, 'Stowage Lifecycle Run', { 'repository-name': input.repositoryName, ...detail })
  },
})

/** What was cancelled is not asked about again for this long, unless the repository or its policies change. */
const cancelledMs = 24 * 60 * 60 * 1000

/** What somebody says of a run that waits for them. Throws `run-unknown`, `run-settled`. */
export const settleRun = defineCommand({
  name: 'settle-lifecycle-run',
  durability: 'durable',
  async run(tx, input: { id: string; decision: 'confirmed' | 'cancelled' }, context): Promise<void> {
    const run = await findRun(tx, context.registryId, input.id)
    if (!run) throw runUnknown(input.id)
    const { id, decision } = input
    const finishedAt = decision === 'cancelled' ? context.nowMs : null
    if (!(await decideRun(tx, { id, from: 'unconfirmed', status: decision, now: context.nowMs, by: context.actorArn, finishedAt }))) {
      throw lifecycleError('run-settled', `The run ${id} does not wait for anybody: it is ${run.status}.`)
    }
    await planEvaluation(tx, run.repositoryId, decision === 'confirmed' ? context.nowMs : context.nowMs + cancelledMs)
    await audit(tx, context, run.repositoryName, decision === 'confirmed' ? 'ConfirmLifecycleRun' : 'CancelLifecycleRun', { runId: id })
  },
})

export function runUnknown(id: string) {
  return lifecycleError('run-unknown', `There is no lifecycle run ${id} in this registry.`, { runId: id })
}

/** An image that a rule decided about, and what the decision rested on. */
export interface DecidedImage {
  readonly manifestId: number
  readonly fingerprint: number
  /** Where the rule went by pulls: later ones keep the image. Undefined: pulls do not matter. */
  readonly notPulledSince?: number
  readonly rule: string
}

export interface ApplyInput {
  readonly repositoryId: number
  readonly runId: string
  readonly batch: string
  readonly retentionMs: number
  readonly evaluatedAt: number
  readonly lastTagChange: number
  /** Some rule counts images: then it matters that none went meanwhile. */
  readonly countsMatter: boolean
  readonly images: readonly DecidedImage[]
}

export interface ApplyOutcome {
  /** The repository lost images or tags since the evaluation, which therefore counts no more: nothing was done. */
  readonly isStale: boolean
  readonly expired: number
  /** Of units: with children and referrers. */
  readonly manifests: number
  readonly changed: number
  readonly failures: readonly LifecycleFailure[]
}

/** In the words of ECR's `lifecycleEventFailureDetails`. */
export interface LifecycleFailure {
  readonly imageDigest: Digest
  readonly failureCode: 'ImageReferencedByManifestList' | 'ImageInUse'
  readonly failureReason: string
}

/**
 * Takes what rules decided about to the trash, having looked at each image again under the repository's lock: one that was
 * tagged, activated, pulled, protected, leased or listed meanwhile stays.
 */
export const applyLifecycle = defineCommand({
  name: 'apply-lifecycle',
  durability: 'durable',
  async run(tx, input: ApplyInput, context): Promise<ApplyOutcome> {
    const nothing = { isStale: false, expired: 0, manifests: 0, changed: 0, failures: [] }
    const repository = await lockRepositoryRowById(tx, input.repositoryId)
    if (repository?.trashed_at !== null) return nothing
    const { repositoryId, lastTagChange, evaluatedAt, batch } = input
    if (input.countsMatter && (await hasShrunk(tx, { repositoryId, lastTagChange, since: evaluatedAt, batch }))) return { ...nothing, isStale: true }
    const { unchanged, changed } = await unchangedImages(tx, input.images)
    const failures: LifecycleFailure[] = []
    const free = await withoutHolders(tx, unchanged, failures)
    const vetoes = await findVetoes(tx, repository, free.map(({ row }) => row.id), context.nowMs, { mode: 'automatic' })
    let expired = 0
    let manifests = 0
    const suspicions = collectSuspicions()
    for (const { row, rule } of free) {
      const held = vetoes.get(row.id)
      if (held) {
        failures.push({ imageDigest: digestFromBytes(row.digest), failureCode: 'ImageInUse', failureReason: vetoText(held) })
        continue
      }
      const trashed = await trashOne(tx, repository, row, rule, input, suspicions, context)
      if (trashed === 0) continue
      expired += 1
      manifests += trashed
    }
    await suspicions.write(tx)
    const outcome = { isStale: false, expired, manifests, changed, failures }
    await addToRun(tx, input, outcome, context)
    return outcome
  },
})

/** Failures told in a run's record; all are counted. */
const maxToldFailures = 100

/** Keeps in the run's row what was done, so that it is told whatever becomes of the server. */
async function addToRun(tx: Session, { runId, batch, images }: ApplyInput, outcome: ApplyOutcome, context: CommandContext): Promise<void> {
  const run = await findRun(tx, context.registryId, runId)
  if (!run) return
  const before = JSON.parse(run.summary) as Partial<Record<'images' | 'expired' | 'manifests' | 'changed' | 'failed', number>> & {
    lifecycleEventFailureDetails?: LifecycleFailure[]
  }
  // Of a run that waited the summary says what was planned.
  const isFirst = run.status !== 'applying'
  const sum = (name: 'images' | 'expired' | 'manifests' | 'changed' | 'failed', added: number): number => (isFirst ? 0 : (before[name] ?? 0)) + added
  const told = isFirst ? [] : (before.lifecycleEventFailureDetails ?? [])
  const summary = {
    images: sum('images', images.length),
    expired: sum('expired', outcome.expired),
    manifests: sum('manifests', outcome.manifests),
    changed: sum('changed', outcome.changed),
    failed: sum('failed', outcome.failures.length),
    lifecycleEventFailureDetails: [...told, ...outcome.failures].slice(0, maxToldFailures),
  }
  const trashBatch = summary.expired > 0 ? batch : null
  await updateRun(tx, { id: runId, status: 'applying', concern: null, summary: JSON.stringify(summary), trashBatch, finishedAt: null })
}

interface Candidate {
  readonly row: ManifestRow
  readonly rule: string
}

async function trashOne(
  tx: Session,
  repository: RepositoryRow,
  row: ManifestRow,
  rule: string,
  { batch, retentionMs, runId }: ApplyInput,
  suspicions: ReturnType<typeof collectSuspicions>,
  context: CommandContext,
): Promise<number> {
  const unit = await collectUnit(tx, row)
  const cause = { action: policyExecution, runId }
  const trashed = await trashUnit(tx, repository, unit, { batch, retentionMs, cause }, suspicions, context)
  await recordEvent(tx, context, repository.id, 'Stowage Lifecycle Action', {
    'repository-name': repository.name,
    'image-digest': digestFromBytes(row.digest),
    'action-type': 'EXPIRE',
    rule,
    'run-id': runId,
    'trash-batch': batch,
  })
  return trashed.length
}

/** Those that are still what the decision was about. */
async function unchangedImages(tx: Session, images: readonly DecidedImage[]): Promise<{ unchanged: Candidate[]; changed: number }> {
  const ids = images.map(({ manifestId }) => manifestId)
  const rows = new Map((await manifestsById(tx, ids)).map((row) => [row.id, row]))
  const tags = Map.groupBy(await tagsOf(tx, ids), ({ id }) => id)
  const unchanged: Candidate[] = []
  for (const { manifestId, fingerprint, notPulledSince, rule } of images) {
    const row = rows.get(manifestId)
    if (row?.trashed_at !== null) continue
    const isSame =
      fingerprintOf({
        tags: (tags.get(manifestId) ?? []).map(({ tag }) => ({ name: tag, taggedAt: 0 })),
        storageClass: row.storage_class as ImageFacts['storageClass'],
        pushedAt: row.pushed_at,
        lastActivatedAt: row.last_activated_at ?? undefined,
      }) === fingerprint
    if (isSame && (notPulledSince === undefined || (row.lastPulledAt ?? 0) <= notPulledSince)) unchanged.push({ row, rule })
  }
  return { unchanged, changed: images.length - unchanged.length }
}

/** Those that are no part of another image by now; the others fail as ECR has them fail. */
async function withoutHolders(tx: Session, candidates: readonly Candidate[], failures: LifecycleFailure[]): Promise<Candidate[]> {
  const ids = candidates.map(({ row }) => row.id)
  const listed = new Set((await livingParentsOf(tx, ids)).map(({ child }) => child))
  const referring = await livingSubjectsOf(tx, ids)
  return candidates.filter(({ row }) => {
    if (!listed.has(row.id) && !referring.has(row.id)) return true
    failures.push({
      imageDigest: digestFromBytes(row.digest),
      failureCode: 'ImageReferencedByManifestList',
      failureReason: listed.has(row.id) ? 'Requested image referenced by manifest list' : 'The image refers to another, and goes with that',
    })
    return false
  })
}
