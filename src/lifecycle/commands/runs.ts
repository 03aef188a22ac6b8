import { archiveUnit } from '../../registry/archive.ts'
import { audit } from '../../registry/change.ts'
import { collectUnit } from '../../registry/image-unit.ts'
import { openVetoes, vetoText } from '../../registry/protection/index.ts'
import { policyExecution, trashUnit } from '../../registry/trash.ts'
import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { recordEvent, toldTagChanges, type TagChange } from '../../storage/metadata/stores/change-log.ts'
import {
  claimEvaluation,
  endEvaluationLeases,
  finishEvaluation,
  giveEvaluationBack,
  planEvaluation,
  renewEvaluation,
  restEvaluation,
  type FinishedEvaluation,
} from '../../storage/metadata/stores/lifecycle-policy-store.ts'
import { cancelRun, confirmRun, findRun, forgetOldRuns, insertRun, updateRun } from '../../storage/metadata/stores/lifecycle-run-store.ts'
import type { ManifestRow } from '../../storage/metadata/stores/manifest-store.ts'
import type { RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import { findRetirement, unretireImage } from '../../storage/metadata/stores/retirement-store.ts'
import { collectSuspicions } from '../../storage/metadata/stores/review-queue.ts'
import { lockRepositoryRowById } from '../../storage/metadata/stores/trash-store.ts'
import { digestFromBytes } from '../../values/index.ts'
import { lifecycleError } from '../errors.ts'
import { isOutdated, unchangedImages, withoutHolders, type Candidate, type DecidedImage, type EvaluatedState } from './decided-images.ts'
import { imagesPerEvent, policyWithRules, serviceEventImage, type ServiceEventPolicy } from '../service-events.ts'
import { hasBegun, noSummary, summaryOf, type LifecycleFailure } from '../run-summary.ts'

export const claimLifecycle = defineCommand({
  name: 'claim-lifecycle',
  durability: 'process',
  run: (tx, input: { repositoryId: number; owner: string; until: number }, context): Promise<boolean> =>
    claimEvaluation(tx, { ...input, now: context.nowMs }),
})

export const keepLifecycle = defineCommand({
  name: 'keep-lifecycle',
  durability: 'process',
  run: (tx, input: { repositoryId: number; owner: string; until: number }): Promise<boolean> => renewEvaluation(tx, input),
})

export const releaseLifecycle = defineCommand({
  name: 'release-lifecycle',
  durability: 'process',
  run: (tx, input: { repositoryId: number; owner: string; dueAt: number }): Promise<void> => giveEvaluationBack(tx, input),
})

/** At the start of the only server of a database: whoever evaluated is gone. */
export const freeLifecycle = defineCommand({
  name: 'free-lifecycle',
  durability: 'process',
  run: (tx: Session): Promise<void> => endEvaluationLeases(tx),
})

export const finishLifecycle = defineCommand({
  name: 'finish-lifecycle',
  durability: 'durable',
  run: (tx, input: FinishedEvaluation): Promise<void> => finishEvaluation(tx, input),
})

/** Plans an evaluation as soon as possible. */
export const planLifecycle = defineCommand({
  name: 'plan-lifecycle',
  durability: 'durable',
  run: (tx, input: { repositoryId: number }, context): Promise<void> => planEvaluation(tx, input.repositoryId, context.nowMs),
})

/** Runs of a repository that are remembered when they are over: six weeks of one each hour. What they did stays in the audit log. */
export const keptRuns = 1000
/** One is begun at a time, so that any more than one catches up. */
const runsForgottenAtOnce = 100

/** Records a run, and forgets the repository's oldest that are over. */
export const beginRun = defineCommand({
  name: 'begin-lifecycle-run',
  durability: 'durable',
  async run(tx, input: { id: string; repositoryId: number; cause: string; policies: string }, context): Promise<void> {
    await insertRun(tx, { ...input, now: context.nowMs, by: context.actorArn })
    await forgetOldRuns(tx, { repositoryId: input.repositoryId, kept: keptRuns, limit: runsForgottenAtOnce })
  },
})

export interface RunProgress {
  readonly id: string
  readonly status: string
  readonly concern: string | null
  readonly summary: string
  readonly trashBatch: string | null
  readonly isOver: boolean
}

/** Notes how far a run came, and with its end tells of it. False: it is over already, because somebody ended it. */
export const noteRun = defineCommand({
  name: 'note-lifecycle-run',
  durability: 'durable',
  async run(tx, input: RunProgress & { repositoryId: number; repositoryName: string }, context): Promise<boolean> {
    const { id, status, concern, summary, trashBatch, isOver } = input
    const current = await findRun(tx, context.registryId, id)
    // Somebody has just let it go on.
    if (current?.decidedAt != null && current.finishedAt === null && status === 'unconfirmed') return true
    const isNews = isOver || current?.status !== status || current.concern !== concern
    const isNoted = await updateRun(tx, { id, status, concern, summary, trashBatch, finishedAt: isOver ? context.nowMs : null })
    if (!isNoted || !isNews || (!isOver && status !== 'unconfirmed')) return isNoted
    const detail = { runId: id, status, ...(concern === null ? {} : { concern }), ...(JSON.parse(summary) as object), ...(trashBatch === null ? {} : { trashBatch }) }
    await audit(tx, context, input.repositoryName, 'LifecycleRun', detail)
    await recordEvent(tx, context, input.repositoryId, 'Stowage Lifecycle Run', { 'repository-name': input.repositoryName, ...detail })
    return true
  },
})

/** What was cancelled is not asked about again for this long, unless the repository or its policies change. */
export const cancelledMs = 24 * 60 * 60 * 1000

/**
 * What somebody says of a run: it may go on, if it waits for that, or it is dropped, whatever it does. One that is under way does
 * nothing more from now on, and keeps what it has done. Throws `run-unknown`, `run-settled`.
 */
export const settleRun = defineCommand({
  name: 'settle-lifecycle-run',
  durability: 'durable',
  async run(tx, input: { id: string; decision: 'confirmed' | 'cancelled' }, context): Promise<void> {
    const run = await findRun(tx, context.registryId, input.id)
    if (!run) throw runUnknown(input.id)
    const { id, decision } = input
    const by = { id, now: context.nowMs, by: context.actorArn }
    // What a run is just doing is in its record by then.
    if (decision === 'cancelled') await lockRepositoryRowById(tx, run.repositoryId)
    if (!(await (decision === 'cancelled' ? cancelRun(tx, by) : confirmRun(tx, by)))) {
      const { status } = (await findRun(tx, context.registryId, id)) ?? run
      throw lifecycleError('run-settled', `The run ${id} ${decision === 'cancelled' ? 'is over' : 'does not wait for anybody'}: it is ${status}.`)
    }
    if (decision === 'confirmed') await planEvaluation(tx, run.repositoryId, context.nowMs)
    else await restEvaluation(tx, run.repositoryId, context.nowMs + cancelledMs)
    await audit(tx, context, run.repositoryName, decision === 'confirmed' ? 'ConfirmLifecycleRun' : 'CancelLifecycleRun', { runId: id })
  },
})

export function runUnknown(id: string) {
  return lifecycleError('run-unknown', `There is no lifecycle run ${id} in this registry.`, { runId: id })
}

export interface ApplyInput extends EvaluatedState {
  readonly repositoryId: number
  readonly runId: string
  readonly batch: string
  readonly retentionMs: number
  readonly images: readonly DecidedImage[]
  /** The policies that were evaluated, in their order, as records tell them. */
  readonly told: readonly ServiceEventPolicy[]
}

export interface ApplyOutcome {
  /** The policies, or what is counted by them, are not those of the evaluation any more: nothing was done. */
  readonly isStale: boolean
  /** Somebody has cancelled the run: nothing was done. */
  readonly isCancelled: boolean
  readonly expired: number
  readonly archived: number
  /** Of units: with children and referrers. */
  readonly manifests: number
  readonly changed: number
  readonly failures: readonly LifecycleFailure[]
}

const nothingDone: ApplyOutcome = { isStale: false, isCancelled: false, expired: 0, archived: 0, manifests: 0, changed: 0, failures: [] }

/**
 * Takes what rules decided about to the trash or the archive, having looked at each image again under the repository's lock: one
 * that was tagged, activated, pulled, protected, leased or listed meanwhile stays. Nothing goes by a policy that was changed or taken
 * away, nor by a run that was cancelled.
 */
export const applyLifecycle = defineCommand({
  name: 'apply-lifecycle',
  durability: 'durable',
  async run(tx, input: ApplyInput, context): Promise<ApplyOutcome> {
    const repository = await lockRepositoryRowById(tx, input.repositoryId)
    if (repository?.trashed_at !== null) return nothingDone
    const run = await findRun(tx, repository.registry_id, input.runId)
    if (run !== undefined && run.finishedAt !== null) return { ...nothingDone, isCancelled: true }
    // It shares the registry's row, which whoever changes a policy of a prefix or of the registry has alone.
    const guards = await openVetoes(tx, repository, context.nowMs, { mode: 'automatic' })
    if (await isOutdated(tx, repository, input)) return { ...nothingDone, isStale: true }
    const { unchanged, changed } = await unchangedImages(tx, repository, context.nowMs, input)
    const failures: LifecycleFailure[] = []
    const free = await withoutHolders(tx, unchanged, failures)
    const vetoes = await guards.ofManifests(free.map(({ row }) => row.id))
    const done = { expire: 0, transition: 0 }
    let manifests = 0
    const suspicions = collectSuspicions()
    const taken: TakenImage[] = []
    for (const candidate of free) {
      const { row, rule, action } = candidate
      const held = vetoes.get(row.id)
      if (held) {
        failures.push({ imageDigest: digestFromBytes(row.digest), failureCode: 'ImageInUse', failureReason: vetoText(held) })
        continue
      }
      const take = action === 'expire' ? trashOne : archiveOne
      const { size, tagChanges } = await take(tx, repository, row, rule, input, suspicions, context)
      if (size === 0) continue
      taken.push({ candidate, tagChanges })
      done[action] += 1
      manifests += size
    }
    await suspicions.write(tx)
    await tellExecution(tx, repository.name, input, { taken, failures, candidates: unchanged }, context)
    const outcome = { ...nothingDone, expired: done.expire, archived: done.transition, manifests, changed, failures }
    await addToRun(tx, input, outcome, context)
    return outcome
  },
})

interface TakenImage {
  readonly candidate: Candidate
  /** Of all that went with it too. */
  readonly tagChanges: readonly TagChange[]
}

/** Records what was done, and what could not be, as ECR does: in events of some images each, of one policy. */
async function tellExecution(
  tx: Session,
  repositoryName: string,
  { told, runId }: ApplyInput,
  { taken, failures, candidates }: { readonly taken: readonly TakenImage[]; readonly failures: readonly LifecycleFailure[]; readonly candidates: readonly Candidate[] },
  context: CommandContext,
): Promise<void> {
  const byDigest = new Map(failures.length === 0 ? [] : candidates.map((candidate) => [digestFromBytes(candidate.row.digest), candidate]))
  const all = [
    ...taken.map(({ candidate, tagChanges }) => ({ candidate, tagChanges, failure: undefined })),
    ...failures.flatMap((failure) => {
      const candidate = byDigest.get(failure.imageDigest)
      return candidate === undefined ? [] : [{ candidate, tagChanges: [], failure }]
    }),
  ]
  for (const [place, images] of Map.groupBy(all, ({ candidate }) => candidate.policyPlace)) {
    for (let at = 0; at < images.length; at += imagesPerEvent) {
      const part = images.slice(at, at + imagesPerEvent)
      const shown = part.map(({ candidate: { row, tags, ruleNumber }, failure }) => ({
        lifecycleEventImage: serviceEventImage({ digest: digestFromBytes(row.digest), tags, pushedAt: row.pushed_at }),
        rulePriority: ruleNumber,
        ...(failure === undefined ? {} : { failureCode: failure.failureCode, failureReason: failure.failureReason }),
      }))
      await audit(tx, context, repositoryName, policyExecution, {
        lifecycleEventPolicy: policyWithRules(told[place]!, new Set(part.map(({ candidate }) => candidate.ruleNumber))),
        lifecycleEventImageActions: shown.filter((image) => !('failureCode' in image)),
        lifecycleEventFailureDetails: shown.filter((image) => 'failureCode' in image),
        runId,
        ...toldTagChanges(part.flatMap(({ tagChanges }) => tagChanges)),
      })
    }
  }
}

/** Failures told in a run's record; all are counted. */
const maxToldFailures = 100

/** Keeps in the run's row what was done, so that it is told whatever becomes of the server. */
async function addToRun(tx: Session, { runId, batch, images }: ApplyInput, outcome: ApplyOutcome, context: CommandContext): Promise<void> {
  const run = await findRun(tx, context.registryId, runId)
  if (!run) return
  // Of a run that has done nothing yet the summary says what was planned.
  const before = hasBegun(summaryOf(run)) ? summaryOf(run) : noSummary
  const sum = (name: 'images' | 'expired' | 'archived' | 'manifests' | 'changed' | 'failed', added: number): number => before[name] + added
  const summary = {
    images: sum('images', images.length),
    expired: sum('expired', outcome.expired),
    archived: sum('archived', outcome.archived),
    manifests: sum('manifests', outcome.manifests),
    changed: sum('changed', outcome.changed),
    failed: sum('failed', outcome.failures.length),
    lifecycleEventFailureDetails: [...before.lifecycleEventFailureDetails, ...outcome.failures].slice(0, maxToldFailures),
  }
  const trashBatch = summary.expired > 0 ? batch : null
  await updateRun(tx, { id: runId, status: 'applying', concern: null, summary: JSON.stringify(summary), trashBatch, finishedAt: null })
}

async function trashOne(
  tx: Session,
  repository: RepositoryRow,
  row: ManifestRow,
  rule: string,
  { batch, retentionMs, runId }: ApplyInput,
  suspicions: ReturnType<typeof collectSuspicions>,
  context: CommandContext,
): Promise<{ size: number; tagChanges: readonly TagChange[] }> {
  const unit = await collectUnit(tx, row)
  await endNotice(tx, row)
  const cause = { action: policyExecution, runId }
  const trashed = await trashUnit(tx, repository, unit, { batch, retentionMs, cause, rule }, suspicions, context)
  await recordEvent(tx, context, repository.id, 'Stowage Lifecycle Action', {
    'repository-name': repository.name,
    'image-digest': digestFromBytes(row.digest),
    'action-type': 'EXPIRE',
    rule,
    'run-id': runId,
    'trash-batch': batch,
  })
  return { size: trashed.length, tagChanges: trashed.flatMap(({ tagChanges }) => tagChanges) }
}

async function archiveOne(
  tx: Session,
  repository: RepositoryRow,
  row: ManifestRow,
  rule: string,
  { runId }: ApplyInput,
  suspicions: ReturnType<typeof collectSuspicions>,
  context: CommandContext,
): Promise<{ size: number; tagChanges: readonly TagChange[] }> {
  const unit = await collectUnit(tx, row, 'archive')
  await endNotice(tx, row)
  await archiveUnit(tx, repository, unit, suspicions, context)
  await recordEvent(tx, context, repository.id, 'Stowage Lifecycle Action', {
    'repository-name': repository.name,
    'image-digest': digestFromBytes(row.digest),
    'action-type': 'TRANSITION',
    'target-storage-class': 'ARCHIVE',
    rule,
    'run-id': runId,
  })
  return { size: unit.length, tagChanges: [] }
}

/** What a rule announced has come: if the image comes back, it is given notice anew. */
async function endNotice(tx: Session, { id, retirement }: ManifestRow): Promise<void> {
  if (retirement === 0) return
  const row = await findRetirement(tx, id)
  if (row?.image_id === id && row.rule !== null) await unretireImage(tx, id)
}
