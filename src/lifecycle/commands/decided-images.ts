import { toldEndOf } from '../../registry/retirement-states.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { tagsOf } from '../../storage/metadata/stores/image-kin.ts'
import { activityOf } from '../../storage/metadata/stores/lifecycle-facts.ts'
import { policiesInForce } from '../../storage/metadata/stores/lifecycle-policy-store.ts'
import { tagsHaveChanged } from '../../storage/metadata/stores/lifecycle-run-store.ts'
import type { ManifestRow } from '../../storage/metadata/stores/manifest-store.ts'
import type { RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import { findRetirement } from '../../storage/metadata/stores/retirement-store.ts'
import { livingParentsOf, livingSubjectsOf, manifestsById } from '../../storage/metadata/stores/unit-store.ts'
import { digestFromBytes } from '../../values/index.ts'
import { fingerprintOf } from '../fingerprint.ts'
import { policiesSeen } from '../policies-seen.ts'
import type { Action, ImageFacts } from '../policy/index.ts'
import type { LifecycleFailure } from '../run-summary.ts'

/*
 * What an evaluation decided about is looked at again under the repository's lock, before anybody acts on it: it was evaluated
 * some time ago, and without holding anything up.
 */

/** An image that a rule decided about, and what the decision rested on. */
export interface DecidedImage {
  readonly manifestId: number
  readonly fingerprint: number
  readonly action: Action
  readonly rule: string
  /** The policy's place among those that were evaluated, from 0, and the rule's number in it. */
  readonly policyPlace: number
  readonly ruleNumber: number
  /** How long its end has to have been told; undefined: it need not be. */
  readonly noticeMs?: number | undefined
}

/** What an evaluation saw of a repository beside its images: when that is otherwise, it counts no more. */
export interface EvaluatedState {
  /** As `policiesSeen` has them. */
  readonly policies: string
  readonly lastTagChange: number
  readonly lostCount: number
  /** Images with higher numbers came later. */
  readonly newestId: number
  /** Some rule counts images, or asks since when they have their tags: then it matters what became of the others. */
  readonly othersMatter: boolean
  /** Which times are in the fingerprints. */
  readonly pullsMatter: boolean
  readonly usesMatter: boolean
}

export interface Candidate extends Pick<DecidedImage, 'action' | 'rule' | 'policyPlace' | 'ruleNumber'> {
  readonly row: ManifestRow
  readonly tags: readonly string[]
}

/** Whether a repository is not what an evaluation saw any more. What a run did itself is in what it says it saw. */
export async function isOutdated(tx: Session, repository: RepositoryRow, { batch, ...seen }: EvaluatedState & { readonly batch: string }): Promise<boolean> {
  if (policiesSeen(await policiesInForce(tx, repository)) !== seen.policies) return true
  if (!seen.othersMatter) return false
  return repository.lost_count !== seen.lostCount || (await tagsHaveChanged(tx, { repositoryId: repository.id, batch, ...seen }))
}

/** Those that are still what the decision was about. */
export async function unchangedImages(
  tx: Session,
  repository: RepositoryRow,
  nowMs: number,
  { images, pullsMatter, usesMatter }: Pick<EvaluatedState, 'pullsMatter' | 'usesMatter'> & { readonly images: readonly DecidedImage[] },
): Promise<{ unchanged: Candidate[]; changed: number }> {
  const ids = images.map(({ manifestId }) => manifestId)
  const rows = new Map((await manifestsById(tx, ids)).map((row) => [row.id, row]))
  const tags = Map.groupBy(await tagsOf(tx, ids), ({ id }) => id)
  const activity = new Map((pullsMatter ? await activityOf(tx, repository, ids, { uses: usesMatter }) : []).map((row) => [row.id, row]))
  const unchanged: Candidate[] = []
  for (const { manifestId, fingerprint, action, rule, policyPlace, ruleNumber, noticeMs } of images) {
    const row = rows.get(manifestId)
    if (row?.trashed_at !== null) continue
    const names = (tags.get(manifestId) ?? []).map(({ tag }) => tag)
    const isSame =
      fingerprintOf({
        tags: names.map((name) => ({ name, taggedAt: 0 })),
        storageClass: row.storage_class as ImageFacts['storageClass'],
        pushedAt: row.pushed_at,
        lastActivatedAt: row.last_activated_at ?? undefined,
        lastPulledAt: activity.get(manifestId)?.lastPulledAt ?? undefined,
        lastUsedAt: activity.get(manifestId)?.lastUsedAt ?? undefined,
      }) === fingerprint
    if (isSame && (noticeMs === undefined || (await hasHadNotice(tx, row, { action, noticeMs, nowMs })))) {
      unchanged.push({ row, tags: names, action, rule, policyPlace, ruleNumber })
    }
  }
  return { unchanged, changed: images.length - unchanged.length }
}

/** Whether what an image was told of its end is still said, and its time is over. */
async function hasHadNotice(tx: Session, { id }: ManifestRow, { action, noticeMs, nowMs }: { action: Action; noticeMs: number; nowMs: number }): Promise<boolean> {
  const notice = await findRetirement(tx, id)
  if (notice?.image_id !== id || (notice.rule_action !== null && notice.rule_action !== action)) return false
  const told = toldEndOf({ ruleAction: notice.rule_action, ruleUntil: notice.rule_until, steps: notice.steps })
  return Math.max(notice.changed_at + noticeMs, told ?? 0) <= nowMs
}

/** Those that are no part of another image by now; the others fail as ECR has them fail. */
export async function withoutHolders(tx: Session, candidates: readonly Candidate[], failures: LifecycleFailure[]): Promise<Candidate[]> {
  const ids = candidates.map(({ row }) => row.id)
  const listed = new Set<number>()
  const listedInUse = new Set<number>()
  for (const { child, parentClass } of await livingParentsOf(tx, ids)) {
    listed.add(child)
    if (parentClass !== 'archived') listedInUse.add(child)
  }
  const referring = await livingSubjectsOf(tx, ids)
  return candidates.filter(({ row, action }) => {
    // What is archived already needs no part of it to be pulled.
    const isListed = (action === 'expire' ? listed : listedInUse).has(row.id)
    const subjectClass = referring.get(row.id)
    if (!isListed && (subjectClass === undefined || (action === 'transition' && subjectClass === 'archived'))) return true
    failures.push({
      imageDigest: digestFromBytes(row.digest),
      failureCode: 'ImageReferencedByManifestList',
      failureReason: isListed ? 'Requested image referenced by manifest list' : 'The image refers to another, and goes with that',
    })
    return false
  })
}
