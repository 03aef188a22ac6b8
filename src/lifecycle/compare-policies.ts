import { collectUnits } from '../registry/image-unit.ts'
import type { Session } from '../storage/metadata/session.ts'
import { tagsOf } from '../storage/metadata/stores/image-kin.ts'
import { imageSummaries } from '../storage/metadata/stores/lifecycle-preview-store.ts'
import { findRepositoryRowById } from '../storage/metadata/stores/repository-store.ts'
import { sharesOfManifests } from '../storage/metadata/stores/storage-use-store.ts'
import type { Digest, Tag } from '../values/index.ts'
import type { EvaluationConditions } from './evaluate-repository.ts'
import { nextTurn } from './pace.ts'
import type { Decision, Decisions } from './policy/index.ts'

/** Images, and what their manifests say they take; layers that they share are in each of them. */
export interface ImageAmount {
  readonly images: number
  readonly sizeBytes: number
}

/** Images that go, and what comes back when they go together, with what goes with them, and their time in the trash is over. */
export interface GoingImages extends ImageAmount {
  readonly freedBytes: number
}

/**
 * What another set of policies changes for an image: it is deleted, or is not any more; or else it is archived, or is not any more.
 */
export type PolicyChange = 'deleted' | 'spared' | 'archived' | 'not-archived'

/** An image of which two sets of policies make different things. */
export interface ComparedImage {
  readonly manifestId: number
  readonly digest: Digest
  readonly tags: readonly Tag[]
  readonly pushedAt: number
  readonly sizeBytes: number
  readonly change: PolicyChange
  /** Which of the policies acts, by its place in its set, and by which of its rules. */
  readonly policy: number
  readonly rule: number
  /** Not at once: whoever pulls it is given notice first. */
  readonly isAfterNotice: boolean
}

export interface PolicyComparison {
  readonly imageCount: number
  readonly before: GoingImages
  readonly after: GoingImages
  /** Deleted only by the policies after the change, and only by those before. */
  readonly deleted: ImageAmount
  readonly spared: ImageAmount
  /** What the policies before and after the change move to the archive. */
  readonly archivedBefore: ImageAmount
  readonly archivedAfter: ImageAmount
  /** The first images of which anything changes, in the order of their pushes. */
  readonly changes: readonly ComparedImage[]
}

/** Looked up together: about half a millisecond of work. */
const imagesPerStep = 200

class Amount implements ImageAmount {
  images = 0
  sizeBytes = 0

  add(sizeBytes: number): void {
    this.images += 1
    this.sizeBytes += sizeBytes
  }

  with(freedBytes: number): GoingImages {
    return { images: this.images, sizeBytes: this.sizeBytes, freedBytes }
  }
}

interface Fate {
  readonly id: number
  readonly before: PossiblyLater | undefined
  readonly after: PossiblyLater | undefined
}

type PossiblyLater = Decision & { readonly isAfterNotice?: boolean }

/** What two evaluations of one repository would delete and archive, at once or after a notice, beside each other. */
export async function comparePolicies(
  session: Session,
  { repositoryId, before, after, limit }: { readonly repositoryId: number; readonly before: Decisions; readonly after: Decisions; readonly limit: number },
  { signal, pace = nextTurn }: EvaluationConditions = {},
): Promise<PolicyComparison> {
  const going: Record<'before' | 'after', number[]> = { before: [], after: [] }
  const amounts = { before: new Amount(), after: new Amount(), deleted: new Amount(), spared: new Amount(), archivedBefore: new Amount(), archivedAfter: new Amount() }
  const changes: ComparedImage[] = []
  let waiting: Fate[] = []
  const flush = async (): Promise<void> => {
    signal?.throwIfAborted()
    const fates = waiting
    waiting = []
    if (fates.length === 0) return
    const rows = new Map((await imageSummaries(session, fates.map(({ id }) => id))).map((row) => [row.id, row]))
    const shown = fates.filter((fate) => changeOf(fate) !== undefined && rows.has(fate.id)).slice(0, limit - changes.length)
    const tags = Map.groupBy(shown.length === 0 ? [] : await tagsOf(session, shown.map(({ id }) => id)), ({ id }) => id)
    for (const fate of fates) {
      const sizeBytes = rows.get(fate.id)?.sizeBytes
      if (sizeBytes === undefined) continue
      for (const when of ['before', 'after'] as const) {
        const action = fate[when]?.action
        if (action === 'transition') amounts[when === 'before' ? 'archivedBefore' : 'archivedAfter'].add(sizeBytes)
        if (action !== 'expire') continue
        amounts[when].add(sizeBytes)
        going[when].push(fate.id)
      }
      const change = changeOf(fate)
      if (change === 'deleted' || change === 'spared') amounts[change].add(sizeBytes)
    }
    for (const fate of shown) {
      const { id } = fate
      const { digest, pushedAt, sizeBytes } = rows.get(id)!
      const change = changeOf(fate)!
      const { policy, rule, isAfterNotice = false } = isByAfter(change) ? fate.after! : fate.before!
      const names = (tags.get(id) ?? []).map(({ tag }) => tag as Tag).sort()
      changes.push({ manifestId: id, digest, tags: names, pushedAt, sizeBytes, change, policy, rule, isAfterNotice })
    }
    await pace()
  }
  for (const fate of side(before.ends(), after.ends())) {
    waiting.push(fate)
    if (waiting.length === imagesPerStep) await flush()
  }
  await flush()
  const isSame = amounts.deleted.images === 0 && amounts.spared.images === 0
  const freedAfter = await freedBy(session, repositoryId, going.after, signal)
  const freedBefore = isSame ? freedAfter : await freedBy(session, repositoryId, going.before, signal)
  return {
    imageCount: after.imageCount,
    ...amounts,
    before: amounts.before.with(freedBefore),
    after: amounts.after.with(freedAfter),
    changes,
  }
}

/** Layers and configs that nothing but these images of the account needs, nor what is in the trash by now. */
async function freedBy(session: Session, repositoryId: number, ids: readonly number[], signal: AbortSignal | undefined): Promise<number> {
  const repository = ids.length === 0 ? undefined : await findRepositoryRowById(session, repositoryId)
  if (repository === undefined) return 0
  const { bytes, sharedBytes } = await sharesOfManifests(session, repository, await collectUnits(session, ids, signal))
  return bytes - sharedBytes
}

function changeOf({ before, after }: Fate): PolicyChange | undefined {
  if (before?.action === after?.action) return undefined
  if (after?.action === 'expire') return 'deleted'
  if (before?.action === 'expire') return 'spared'
  return after === undefined ? 'not-archived' : 'archived'
}

/** Whether it is the policies after the change of which a rule acts. */
export function isByAfter(change: PolicyChange): boolean {
  return change === 'deleted' || change === 'archived'
}

/**
 * Images that only the second of two evaluations of one repository would delete, or archive: what the first would delete may be
 * archived, not the other way round.
 */
export function countSurprises(before: Decisions, after: Decisions): number {
  let surprises = 0
  for (const { before: was, after: is } of side(before[Symbol.iterator](), after[Symbol.iterator]())) {
    if (is !== undefined && was?.action !== is.action && was?.action !== 'expire') surprises += 1
  }
  return surprises
}

/** Both in the order of the images' numbers, as decisions come. */
function* side(left: Iterator<PossiblyLater, undefined>, right: Iterator<PossiblyLater, undefined>): Generator<Fate> {
  let was = left.next().value
  let is = right.next().value
  while (was !== undefined || is !== undefined) {
    const id = Math.min(was?.manifestId ?? Number.POSITIVE_INFINITY, is?.manifestId ?? Number.POSITIVE_INFINITY)
    const fate: Fate = { id, before: was?.manifestId === id ? was : undefined, after: is?.manifestId === id ? is : undefined }
    yield fate
    if (fate.before) was = left.next().value
    if (fate.after) is = right.next().value
  }
}
