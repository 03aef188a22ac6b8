import { defineCommand } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import {
  condemnLogGroup,
  deleteLogGroupTag,
  insertLogGroup,
  findLogGroup,
  lockLogGroup,
  lockLogGroupCount,
  putLogGroupTag,
  setLogProtection,
  setLogRetention,
  tagsOfLogGroup,
  type LogGroupRow,
  type LogPlace,
} from '../../storage/metadata/logs/group-store.ts'
import { groupUnknown, logsError } from '../errors.ts'

/** As many tags as AWS allows. */
const mostTags = 50

interface OnGroup {
  readonly place: LogPlace
  readonly group: string
}

/** Throws `log-group-exists`, `log-limit-exceeded`. */
export const createLogGroup = defineCommand({
  name: 'create-log-group',
  durability: 'durable',
  async run(tx, { place, group: name, tags, isProtected, mostGroups }: OnGroup & { tags: Readonly<Record<string, string>>; isProtected: boolean; mostGroups: number }, { nowMs }): Promise<void> {
    const count = await lockLogGroupCount(tx, place)
    if ((await findLogGroup(tx, place, name)) !== undefined) throw logsError('log-group-exists', 'The specified log group already exists')
    if (count >= mostGroups) throw logsError('log-limit-exceeded', `Resource limit exceeded: there are ${mostGroups} log groups.`)
    const id = await insertLogGroup(tx, place, { name, now: nowMs, isProtected })
    for (const [key, value] of Object.entries(tags)) await putLogGroupTag(tx, id, key, value)
  },
})

/** Throws `log-group-unknown`, `log-group-protected`. */
export const deleteLogGroup = defineCommand({
  name: 'delete-log-group',
  durability: 'durable',
  async run(tx, { place, group }: OnGroup, { nowMs }): Promise<void> {
    const { id, isProtected } = await lockGroup(tx, place, group)
    if (isProtected === 1) throw logsError('log-group-protected', 'The log group has deletion protection enabled: disable it first.')
    await condemnLogGroup(tx, id, nowMs)
  },
})

/** Null: lines stay. Throws `log-group-unknown`. */
export const setRetention = defineCommand({
  name: 'set-log-retention',
  durability: 'durable',
  async run(tx, { place, group, days }: OnGroup & { days: number | null }): Promise<void> {
    const { id } = await lockGroup(tx, place, group)
    await setLogRetention(tx, id, days)
  },
})

/** Throws `log-group-unknown`. */
export const setProtection = defineCommand({
  name: 'set-log-group-protection',
  durability: 'durable',
  async run(tx, { place, group, isProtected }: OnGroup & { isProtected: boolean }): Promise<void> {
    const { id } = await lockGroup(tx, place, group)
    await setLogProtection(tx, id, isProtected)
  },
})

/** Throws `log-group-unknown`, `log-tags-too-many`. */
export const tagLogGroup = defineCommand({
  name: 'tag-log-group',
  durability: 'durable',
  async run(tx, { place, group, tags }: OnGroup & { tags: Readonly<Record<string, string>> }): Promise<void> {
    const { id } = await lockGroup(tx, place, group)
    const keys = new Set([...(await tagsOfLogGroup(tx, id)).map(({ key }) => key), ...Object.keys(tags)])
    if (keys.size > mostTags) throw logsError('log-tags-too-many', `A log group has at most ${mostTags} tags.`)
    for (const [key, value] of Object.entries(tags)) await putLogGroupTag(tx, id, key, value)
  },
})

/** Throws `log-group-unknown`. */
export const untagLogGroup = defineCommand({
  name: 'untag-log-group',
  durability: 'durable',
  async run(tx, { place, group, keys }: OnGroup & { keys: readonly string[] }): Promise<void> {
    const { id } = await lockGroup(tx, place, group)
    for (const key of keys) await deleteLogGroupTag(tx, id, key)
  },
})

async function lockGroup(tx: Session, place: LogPlace, name: string): Promise<LogGroupRow> {
  const group = await lockLogGroup(tx, place, name)
  if (group === undefined) throw groupUnknown()
  return group
}
