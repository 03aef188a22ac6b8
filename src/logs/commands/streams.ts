import { defineCommand } from '../../storage/metadata/command.ts'
import { countLogStreams, lockLogGroup, type LogPlace } from '../../storage/metadata/logs/group-store.ts'
import { condemnLogStream, findLogStream, insertLogStream } from '../../storage/metadata/logs/stream-store.ts'
import { groupUnknown, logsError, streamUnknown } from '../errors.ts'

interface OnStream {
  readonly place: LogPlace
  readonly group: string
  readonly stream: string
}

/** Throws `log-group-unknown`, `log-stream-exists`, `log-limit-exceeded`. */
export const createLogStream = defineCommand({
  name: 'create-log-stream',
  durability: 'durable',
  async run(tx, { place, group: groupName, stream, mostStreams }: OnStream & { mostStreams: number }, { nowMs }): Promise<void> {
    const group = await lockLogGroup(tx, place, groupName)
    if (group === undefined) throw groupUnknown()
    if ((await findLogStream(tx, group.id, stream)) !== undefined) throw logsError('log-stream-exists', 'The specified log stream already exists')
    if (group.streamCount >= mostStreams) throw logsError('log-limit-exceeded', `Resource limit exceeded: the log group has ${mostStreams} log streams.`)
    await insertLogStream(tx, group.id, stream, nowMs)
    await countLogStreams(tx, group.id, 1)
  },
})

/** Throws `log-group-unknown`, `log-stream-unknown`. */
export const deleteLogStream = defineCommand({
  name: 'delete-log-stream',
  durability: 'durable',
  async run(tx, { place, group: groupName, stream: streamName }: OnStream, { nowMs }): Promise<void> {
    const group = await lockLogGroup(tx, place, groupName)
    if (group === undefined) throw groupUnknown()
    const stream = await findLogStream(tx, group.id, streamName)
    if (stream === undefined) throw streamUnknown()
    await condemnLogStream(tx, stream.id, nowMs)
    await countLogStreams(tx, group.id, -1)
  },
})
