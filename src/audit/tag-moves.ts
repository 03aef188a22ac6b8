import type { TagMove } from '../storage/metadata/observe/tag-move-store.ts'
import { isChangeBody, trailName, type RecordedChange, type TrailBody } from './trail-record.ts'

const repositoryArn = /^arn:aws:ecr:([^:]*):([^:]*):repository\/(.+)$/u

/** As commands tell changes of tags: `TagChange` of `storage/metadata/stores/change-log.ts`. */
interface ToldTagChange {
  readonly imageTag: string
  readonly imageDigest?: string
  readonly previousImageDigest?: string
}

/** What a record tells of tags: those that its changes name, and whole repositories that went or came back. */
export function tagMovesOf(seq: number, body: TrailBody): TagMove[] {
  const changes = isChangeBody(body) ? [body.change] : (body.changes ?? [])
  return changes.flatMap((change): TagMove[] => {
    const [, region, account, repository] = repositoryArn.exec(change.resource) ?? []
    if (region === undefined || account === undefined || repository === undefined) return []
    const common = { seq, trail: trailName(account, region), repository, at: change.at, changeId: change.id }
    const whole = wholeRepository(change)
    if (whole !== undefined) return [{ ...common, tag: '', digest: undefined, previous: undefined, batch: whole }]
    return toldTagChanges(change).map(({ imageTag, imageDigest, previousImageDigest }) => ({
      ...common,
      tag: imageTag,
      digest: imageDigest,
      previous: previousImageDigest,
      batch: undefined,
    }))
  })
}

/** The batch of the trash, of a change that took all of a repository there or brought it back. */
function wholeRepository({ action, detail }: RecordedChange): string | undefined {
  const { trashBatch, repositoryRestored } = detail
  const isWhole = action === 'DeleteRepository' || (action === 'RestoreTrash' && repositoryRestored === true)
  return isWhole && typeof trashBatch === 'string' ? trashBatch : undefined
}

/** The change that took or brought a batch, whichever it was. */
export function isReturn({ action }: Pick<RecordedChange, 'action'>): boolean {
  return action === 'RestoreTrash'
}

function toldTagChanges({ detail }: RecordedChange): readonly ToldTagChange[] {
  const told = detail['tagChanges']
  return Array.isArray(told) ? (told as ToldTagChange[]) : []
}
