import { defineCommand } from '../../storage/metadata/command.ts'
import { deleteLogGroup, lockLogGroupById, shrinkLogGroup } from '../../storage/metadata/logs/group-store.ts'
import { deleteOldestLines } from '../../storage/metadata/logs/line-store.ts'
import { giveBackPages } from '../../storage/metadata/logs/pages.ts'
import { deleteLogStream, deleteStreamsOf } from '../../storage/metadata/logs/stream-store.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { lineBytes } from './append.ts'

/*
 * What nobody sees any more goes in pieces. None of it need be there after a power cut: what comes back goes again.
 */

const noTime = Number.MAX_SAFE_INTEGER

/** Removes some lines of a group that go at an age. Answers how many, fewer than the limit where no more are as old. */
export const removeExpiredLines = defineCommand({
  name: 'remove-expired-log-lines',
  durability: 'process',
  async run(tx, { groupId, before, limit }: { groupId: number; before: number; limit: number }): Promise<number> {
    return (await lockLogGroupById(tx, groupId)) ? removeLines(tx, groupId, { groupId }, before, limit) : 0
  },
})

/** Removes some lines of a stream that was deleted, and at last the stream. Answers whether it is gone. */
export const removeStreamLines = defineCommand({
  name: 'remove-log-stream-lines',
  durability: 'process',
  async run(tx, { groupId, streamId, limit }: { groupId: number; streamId: number; limit: number }): Promise<boolean> {
    // Another server may be at it, and have removed what this one would count.
    await lockLogGroupById(tx, groupId)
    if ((await removeLines(tx, groupId, { streamId }, noTime, limit)) === limit) return false
    await deleteLogStream(tx, streamId)
    return true
  },
})

/** Likewise of a group. */
export const removeGroupLines = defineCommand({
  name: 'remove-log-group-lines',
  durability: 'process',
  async run(tx, { groupId, limit }: { groupId: number; limit: number }): Promise<boolean> {
    if (!(await lockLogGroupById(tx, groupId))) return true
    if ((await removeLines(tx, groupId, { groupId }, noTime, limit)) === limit) return false
    if ((await deleteStreamsOf(tx, groupId, limit)) === limit) return false
    await deleteLogGroup(tx, groupId)
    return true
  },
})

async function removeLines(tx: Session, groupId: number, of: { groupId: number } | { streamId: number }, before: number, limit: number): Promise<number> {
  const { count, bytes } = await deleteOldestLines(tx, of, before, limit)
  if (count === 0) return 0
  await shrinkLogGroup(tx, groupId, bytes + count * lineBytes(''))
  await giveBackPages(tx)
  return count
}
