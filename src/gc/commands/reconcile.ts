import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import { defineCommand } from '../../storage/metadata/command.ts'
import { claimJob, keepJob, makeJobDue, releaseJob } from '../../storage/metadata/stores/job-store.ts'
import { collectSuspicions, type Suspicion } from '../../storage/metadata/stores/review-queue.ts'
import { deleteServerMark, findServerMark, putServerMark } from '../../storage/metadata/stores/server-mark-store.ts'

/** The one comparison of an installation, however many servers it has. */
export const reconcileJob = { kind: 'reconcile', key: 'store' } as const

/** Where it is kept that somebody asked for one. */
export const reconcileRequestMark = 'gc-reconcile-request'

/** Somebody wants a comparison now. */
export interface ReconcileRequest {
  readonly repair: boolean
  readonly requestedAt: number
  readonly requestedBy: string
}

/** Asks for a comparison, which some server begins within its next look. One under way is ended, and what it found forgotten. */
export const requestReconciliation = defineCommand({
  name: 'request-reconciliation',
  durability: 'durable',
  async run(tx, input: { repair: boolean }, context): Promise<ReconcileRequest> {
    const request: ReconcileRequest = { repair: input.repair, requestedAt: context.nowMs, requestedBy: context.actorArn }
    await putServerMark(tx, reconcileRequestMark, JSON.stringify(request))
    const resource = `arn:aws:stowage::${context.accountId}:garbage-collection`
    await recordAudit(tx, context, { action: 'StartReconciliation', resource, detail: { repair: input.repair } })
    return request
  },
})

/** What was claimed. */
export interface ClaimedReconciliation {
  /** JSON of the state that the last holder left. */
  readonly payload: string
  /** Set where a comparison is to be begun because somebody asked for it. */
  readonly request: ReconcileRequest | undefined
}

/** Takes the lease until `until`. Undefined: neither due nor asked for, or another server's. */
export const claimReconciliation = defineCommand({
  name: 'claim-reconciliation',
  durability: 'process',
  async run(tx, input: { owner: string; until: number }, context): Promise<ClaimedReconciliation | undefined> {
    const mark = await findServerMark(tx, reconcileRequestMark)
    if (mark !== undefined) await makeJobDue(tx, reconcileJob, context.nowMs)
    const payload = await claimJob(tx, { ...reconcileJob, ...input, firstPayload: '{}', now: context.nowMs })
    if (payload === undefined) return undefined
    if (mark !== undefined) await deleteServerMark(tx, reconcileRequestMark)
    // Written by `requestReconciliation` alone.
    return { payload, request: mark === undefined ? undefined : (JSON.parse(mark) as ReconcileRequest) }
  },
})

/** Saves the state and renews the lease. False: it is another server's by now, or somebody asks for a new comparison. */
export const keepReconciliation = defineCommand({
  name: 'keep-reconciliation',
  durability: 'process',
  async run(tx, input: { owner: string; payload: string; until: number }): Promise<boolean> {
    return (await keepJob(tx, { ...reconcileJob, ...input })) && (await findServerMark(tx, reconcileRequestMark)) === undefined
  },
})

/** Saves the state and gives the lease back. */
export const releaseReconciliation = defineCommand({
  name: 'release-reconciliation',
  durability: 'process',
  run: (tx, input: { owner: string; payload: string; runAfter: number }): Promise<boolean> => releaseJob(tx, { ...reconcileJob, ...input }),
})

/** Has things looked at that no review would have come to. Each review decides anew whether they are garbage. */
export const reviewForgotten = defineCommand({
  name: 'review-forgotten',
  durability: 'process',
  async run(tx, input: { things: readonly (Pick<Suspicion, 'kind' | 'repositoryId' | 'subjectId'> & { readonly delayMs?: number })[] }, context): Promise<void> {
    const suspicions = collectSuspicions()
    for (const thing of input.things) suspicions.add({ ...thing, reason: 'found by reconciliation', now: context.nowMs })
    await suspicions.write(tx)
  },
})
