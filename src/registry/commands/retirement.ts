import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { referencingManifests } from '../../storage/metadata/stores/blob-index.ts'
import { recordEvent, toldTagChanges } from '../../storage/metadata/stores/change-log.ts'
import { findManifestRow, type ManifestRow } from '../../storage/metadata/stores/manifest-store.ts'
import type { RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import {
  findRetirement,
  planRetirement,
  retireManifest,
  setRetirementState,
  unretireImage,
  type RetirementRow,
} from '../../storage/metadata/stores/retirement-store.ts'
import { collectSuspicions } from '../../storage/metadata/stores/review-queue.ts'
import { findTag, tagsOfManifest } from '../../storage/metadata/stores/tag-store.ts'
import { livingChildrenOf } from '../../storage/metadata/stores/unit-store.ts'
import { digestFromBytes, type Digest, type Tag } from '../../values/index.ts'
import { archiveUnit } from '../archive.ts'
import { audit, lockRepository } from '../change.ts'
import { registryError } from '../errors.ts'
import { collectUnit } from '../image-unit.ts'
import { findVetoes, vetoText } from '../protection/index.ts'
import { retirementCode, toRetirement, type AnnouncedRemoval, type NewRetirement, type Retirement, type RetirementStep } from '../retirement-states.ts'
import { trashUnit } from '../trash.ts'

interface SetInput {
  readonly name: string
  readonly image: { readonly digest?: Digest | undefined; readonly tag?: Tag | undefined }
  /** Absent: it is retired no more. */
  readonly retirement: NewRetirement | undefined
}

/**
 * Retires an image and what it lists that nothing else lists, in the place of what was said of it before; or takes that back.
 * Throws `manifest-unknown`.
 */
export const setImageRetirement = defineCommand({
  name: 'set-image-retirement',
  durability: 'durable',
  async run(tx, { name, image: wanted, retirement }: SetInput, context): Promise<{ digest: Digest; retirement: Retirement | undefined }> {
    const repository = await lockRepository(tx, context, name)
    const image = await livingImage(tx, repository, wanted)
    return { digest: digestFromBytes(image.digest), retirement: await retire(tx, repository, image, retirement, context) }
  },
})

/**
 * Retires an image with what it alone lists, or without `retirement` takes that back, and tells of it. With `announced` a rule
 * does so, which will remove the image at a time that no step is for. The caller holds the repository's lock.
 */
export async function retire(
  tx: Session,
  repository: RepositoryRow,
  image: ManifestRow,
  retirement: (NewRetirement & { readonly since?: number; readonly announced?: AnnouncedRemoval }) | undefined,
  context: CommandContext,
): Promise<Retirement | undefined> {
  await unretireImage(tx, image.id)
  let set: Retirement | undefined
  if (retirement !== undefined) {
    const { state, reason, replacedBy, steps, since, announced } = retirement
    for (const member of await withOwnChildren(tx, image)) {
      const isNamed = member.id === image.id
      await retireManifest(tx, retirementCode(state), {
        manifest_id: member.id,
        image_id: image.id,
        reason,
        replaced_by: replacedBy ?? null,
        steps: JSON.stringify(isNamed ? steps : []),
        due_at: isNamed ? (steps[0]?.at ?? null) : null,
        postponed: null,
        changed_at: since ?? context.nowMs,
        changed_by: context.actorArn,
        rule: announced?.rule ?? null,
        rule_action: announced?.action ?? null,
        rule_until: announced?.at ?? null,
        rule_repository_id: announced === undefined ? null : repository.id,
      })
    }
    const row = await findRetirement(tx, image.id)
    if (row === undefined) throw new Error('the image was just retired and is not')
    set = toRetirement(retirementCode(state), row)
  }
  await tell(tx, repository, digestFromBytes(image.digest), await tagsOfManifest(tx, image.id), set, context)
  return set
}

/** What came of looking at a step that was due. */
export type StepOutcome =
  | { readonly kind: 'taken'; readonly state: RetirementStep['state'] }
  | { readonly kind: 'postponed'; readonly reason: string }
  /** Nothing is due any more: somebody else was quicker, or has changed it. */
  | { readonly kind: 'none' }

/** A step that something stands against is tried again this much later. */
const retryMs = 60 * 60 * 1000

/**
 * Takes the step of an image's retirement that is due: blocks it, or puts it into the archive or the trash with its unit. It
 * waits, and says why, while a living index lists the image, and with the archive and the trash while anything else forbids it.
 * Safe to run twice, and beside others that do the same.
 */
export const takeRetirementStep = defineCommand({
  name: 'take-retirement-step',
  durability: 'durable',
  async run(tx, input: { name: string; digest: Digest; trashBatch: string; retentionMs: number }, context): Promise<StepOutcome> {
    const repository = await lockRepository(tx, context, input.name)
    const image = await findManifestRow(tx, repository.id, input.digest)
    const row = image?.trashed_at === null ? await findRetirement(tx, image.id) : undefined
    if (image === undefined || row === undefined || row.due_at === null || row.due_at > context.nowMs) return { kind: 'none' }
    const [step, ...later] = JSON.parse(row.steps) as RetirementStep[]
    if (step === undefined) return { kind: 'none' }
    const taken = { manifestId: image.id, steps: JSON.stringify(later), dueAt: later[0]?.at ?? null, postponed: null }
    const postpone = async (reason: string): Promise<StepOutcome> => {
      await planRetirement(tx, { ...taken, steps: row.steps, dueAt: context.nowMs + retryMs, postponed: reason })
      return { kind: 'postponed', reason }
    }
    // Whoever pulls the index needs it, for blocking as for the trash.
    const listedBy = await referencingManifests(tx, repository.id, input.digest)
    if (listedBy.length > 0) return postpone(`it is listed by ${listedBy.join(', ')}`)
    if (step.state === 'blocked') {
      await setRetirementState(tx, image.id, retirementCode('blocked'))
      await planRetirement(tx, taken)
      await tell(tx, repository, input.digest, await tagsOfManifest(tx, image.id), toRetirement(retirementCode('blocked'), { ...row, ...rowOf(taken) }), context)
      return { kind: 'taken', state: 'blocked' }
    }
    const unit = await collectUnit(tx, image, step.state === 'archived' ? 'archive' : undefined)
    const vetoes = await findVetoes(tx, repository, unit.map(({ id }) => id), context.nowMs, { mode: 'automatic' })
    if (vetoes.size > 0) return postpone(vetoText([...vetoes.values()].flat()))
    await planRetirement(tx, taken)
    const suspicions = collectSuspicions()
    if (step.state === 'archived') {
      // It may have been archived by a rule or by hand meanwhile.
      if (image.storage_class === 'active') await archiveUnit(tx, repository, unit, suspicions, context)
      await suspicions.write(tx)
      await tell(tx, repository, input.digest, await tagsOfManifest(tx, image.id), toRetirement(image.retirement, { ...row, ...rowOf(taken) }), context)
      return { kind: 'taken', state: 'archived' }
    }
    const cause = { action: 'ImageRetirement', reason: row.reason, retiredBy: row.changed_by }
    const trashed = await trashUnit(tx, repository, unit, { batch: input.trashBatch, retentionMs: input.retentionMs, cause }, suspicions, context)
    await suspicions.write(tx)
    const facts = { imageDigest: input.digest, imageTags: trashed[0]?.tags ?? [], state: 'trashed', reason: row.reason, trashBatch: input.trashBatch }
    await audit(tx, context, repository.name, 'RetireImage', { ...facts, ...toldTagChanges(trashed.flatMap(({ tagChanges }) => tagChanges)) })
    await recordEvent(tx, context, repository.id, 'Stowage Image Retirement', {
      'repository-name': repository.name,
      'image-digest': input.digest,
      'image-tags': facts.imageTags,
      state: 'TRASHED',
      reason: row.reason,
      'trash-batch': input.trashBatch,
    })
    return { kind: 'taken', state: 'trashed' }
  },
})

/** Puts a step off that is due and failed, for as long as one that something stands against. */
export const putStepOff = defineCommand({
  name: 'put-retirement-step-off',
  durability: 'durable',
  async run(tx, input: { name: string; digest: Digest }, context): Promise<void> {
    const repository = await lockRepository(tx, context, input.name)
    const image = await findManifestRow(tx, repository.id, input.digest)
    const row = image?.trashed_at === null ? await findRetirement(tx, image.id) : undefined
    if (image === undefined || row === undefined || row.due_at === null || row.due_at > context.nowMs) return
    const postponed = 'it failed, and the log of the server says why'
    await planRetirement(tx, { manifestId: image.id, steps: row.steps, dueAt: context.nowMs + retryMs, postponed })
  },
})

function rowOf({ steps, dueAt, postponed }: { steps: string; dueAt: number | null; postponed: null }): Pick<RetirementRow, 'steps' | 'due_at' | 'postponed'> {
  return { steps, due_at: dueAt, postponed }
}

async function livingImage(tx: Session, repository: RepositoryRow, { digest, tag }: SetInput['image']): Promise<ManifestRow> {
  const target = tag === undefined ? undefined : await findTag(tx, repository.id, tag)
  const wanted = tag === undefined ? digest : target?.digest
  const row = wanted === undefined || (digest !== undefined && digest !== wanted) ? undefined : await findManifestRow(tx, repository.id, wanted)
  if (row?.trashed_at !== null) throw registryError('manifest-unknown', 'Requested image not found', { digest, tag })
  return row
}

/** The image, and of its unit what it lists: its signatures can be read whatever becomes of it. */
async function withOwnChildren(tx: Session, image: ManifestRow): Promise<ManifestRow[]> {
  const unit = new Set((await collectUnit(tx, image)).map(({ id }) => id))
  const found = new Map<number, ManifestRow>([[image.id, image]])
  for (let newest = [image.id]; newest.length > 0; ) {
    const children = (await livingChildrenOf(tx, newest)).filter(({ id }) => unit.has(id) && !found.has(id))
    for (const child of children) found.set(child.id, child)
    newest = children.map(({ id }) => id)
  }
  return [...found.values()]
}

async function tell(
  tx: Session,
  repository: RepositoryRow,
  digest: Digest,
  tags: readonly string[],
  retirement: Retirement | undefined,
  context: CommandContext,
): Promise<void> {
  const steps = retirement?.steps.map(({ state, at }) => ({ state: state.toUpperCase(), at: new Date(at).toISOString() }))
  const { reason, replacedBy } = retirement ?? {}
  const state = retirement?.state.toUpperCase() ?? 'NONE'
  await audit(tx, context, repository.name, 'SetImageRetirement', { imageDigest: digest, imageTags: tags, state, reason, replacedBy, steps })
  await recordEvent(tx, context, repository.id, 'Stowage Image Retirement', {
    'repository-name': repository.name,
    'image-digest': digest,
    'image-tags': tags,
    state,
    ...(reason !== undefined && { reason }),
    ...(replacedBy !== undefined && { 'replaced-by': replacedBy }),
    ...(steps !== undefined && { steps }),
  })
}
