import { retire } from '../../registry/commands/retirement.ts'
import { openVetoes } from '../../registry/protection/index.ts'
import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import type { ManifestRow } from '../../storage/metadata/stores/manifest-store.ts'
import type { RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import { findRetirement } from '../../storage/metadata/stores/retirement-store.ts'
import { lockRepositoryRowById } from '../../storage/metadata/stores/trash-store.ts'
import { manifestsById } from '../../storage/metadata/stores/unit-store.ts'
import type { RetirementStep } from '../../registry/retirement-states.ts'
import { isOutdated, unchangedImages, withoutHolders, type DecidedImage, type EvaluatedState } from './decided-images.ts'

/** An image to which a rule gives notice. */
export interface AnnouncedImage extends DecidedImage {
  readonly notice: { readonly ms: number; readonly blockMs: number | undefined; readonly reason: string | undefined }
}

export interface NoticeInput extends EvaluatedState {
  readonly repositoryId: number
  readonly announced: readonly AnnouncedImage[]
  /** Images of which a rule told something that is not to come any more. */
  readonly withdrawn: readonly number[]
}

export interface NoticeOutcome {
  /** The policies, or what is counted by them, are not those of the evaluation any more: nothing was done. */
  readonly isStale: boolean
  /** Images of which something was told or taken back. */
  readonly told: number
  /** Images that changed since the evaluation, and those that somebody holds: nothing was told of them. */
  readonly changed: number
  readonly held: number
}

const nothingDone: NoticeOutcome = { isStale: false, told: 0, changed: 0, held: 0 }

/**
 * Tells of the end that rules have in store for images, and takes back what is not to come any more. Each image is looked at again
 * as before it goes: one that is protected, leased or part of another by now is told nothing.
 */
export const giveNotice = defineCommand({
  name: 'give-notice',
  durability: 'durable',
  async run(tx, input: NoticeInput, context): Promise<NoticeOutcome> {
    const repository = await lockRepositoryRowById(tx, input.repositoryId)
    if (repository?.trashed_at !== null) return nothingDone
    const guards = await openVetoes(tx, repository, context.nowMs, { mode: 'automatic' })
    // No run has done anything yet.
    if (await isOutdated(tx, repository, { ...input, batch: '' })) return { ...nothingDone, isStale: true }
    const { unchanged, changed } = await unchangedImages(tx, repository, context.nowMs, { ...input, images: input.announced })
    const free = await withoutHolders(tx, unchanged, [])
    const vetoes = await guards.ofManifests(free.map(({ row }) => row.id))
    const announced = new Map(input.announced.map((image) => [image.manifestId, image]))
    let told = 0
    for (const { row } of free) {
      if (vetoes.has(row.id)) continue
      if (await announce(tx, repository, row, announced.get(row.id)!, context)) told += 1
    }
    for (const row of await manifestsById(tx, input.withdrawn)) {
      if (row.trashed_at === null && (await withdraw(tx, repository, row, context))) told += 1
    }
    const held = unchanged.length - free.length + vetoes.size
    return { isStale: false, told, changed, held }
  },
})

async function announce(tx: Session, repository: RepositoryRow, row: ManifestRow, { action, rule, notice }: AnnouncedImage, context: CommandContext): Promise<boolean> {
  const now = context.nowMs
  const before = await noticeOf(tx, row)
  // Who retired it by hand has said more than a rule can.
  if (before !== undefined && before.rule === null) return false
  // A rule that gives longer notice than it did goes on with what was told.
  const since = before?.rule_action === action ? before.changed_at : now
  const at = Math.max(since + notice.ms, before?.rule_action === action ? (before.rule_until ?? 0) : 0)
  const blockAt = notice.blockMs === undefined ? undefined : at - notice.blockMs
  const isBlocked = blockAt !== undefined && blockAt <= now
  const steps: RetirementStep[] = blockAt === undefined || isBlocked ? [] : [{ state: 'blocked', at: blockAt }]
  const retirement = {
    state: isBlocked ? 'blocked' : 'deprecated',
    reason: notice.reason ?? `it falls under the ${rule}`,
    replacedBy: undefined,
    steps,
    since,
    announced: { rule, action, at },
  } as const
  await retire(tx, repository, row, retirement, context)
  return true
}

async function withdraw(tx: Session, repository: RepositoryRow, row: ManifestRow, context: CommandContext): Promise<boolean> {
  const before = await noticeOf(tx, row)
  if (before === undefined || before.rule === null) return false
  await retire(tx, repository, row, undefined, context)
  return true
}

/** What was said of the image itself: as a part of another it has no say. */
async function noticeOf(tx: Session, { id }: ManifestRow) {
  const notice = await findRetirement(tx, id)
  return notice?.image_id === id ? notice : undefined
}
