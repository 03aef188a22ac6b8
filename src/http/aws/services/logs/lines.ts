import { mostBatchLines, mostLinesOfPage, noEnd, type LinePosition, type Logs } from '../../../../logs/index.ts'
import { logsError } from '../../../../logs/errors.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import type { PageTokens } from '../ecr/page-token.ts'
import { groupResource, oneGroup, streamArn } from './names.ts'
import * as shapes from './shapes.ts'
import { tagsOfGroup } from './tags.ts'

/** 1 MiB of messages, of which a client may write each character as six, and 10,000 times what stands around one. */
const maxBodyBytes = 7 * 1024 * 1024
/** Three for each line, and some for lines that are too many, which is then said. */
const maxInputValues = 4 * mostBatchLines

/** Putting lines into streams, and reading them. */
export function lineOperations({ logs, pageTokens }: { readonly logs: Logs; readonly pageTokens: PageTokens }): Record<string, AwsOperation> {
  return {
    PutLogEvents: operation({
      action: 'logs:PutLogEvents',
      resource: ({ logGroupName, logStreamName }, { context }) => streamArn(context.registry, logGroupName, logStreamName),
      conditions: ({ logGroupName }, call) => tagsOfGroup(logs, call, logGroupName),
      maxBodyBytes,
      maxInputValues,
      input: structure({
        logGroupName: required(shapes.groupName),
        logStreamName: required(shapes.streamName),
        logEvents: required(shapes.lines),
        // Any is taken: calls need not wait for each other any more.
        sequenceToken: shapes.nextToken,
        entity: shapes.entity,
      }),
      async handler({ context }, { logGroupName, logStreamName, logEvents, entity }) {
        const given = logEvents.map(({ timestamp, message }) => ({ at: timestamp, message }))
        const { lastNumber, rejected } = await logs.put(context.registry, logGroupName, logStreamName, given)
        return {
          // Older programs give it back with their next call.
          nextSequenceToken: digits(lastNumber),
          rejectedLogEventsInfo: rejected && { tooNewLogEventStartIndex: rejected.tooNewStart, tooOldLogEventEndIndex: rejected.tooOldEnd, expiredLogEventEndIndex: rejected.expiredEnd },
          rejectedEntityInfo: entity && { errorType: 'UnsupportedLogGroupType' },
        }
      },
    }),

    GetLogEvents: operation({
      action: 'logs:GetLogEvents',
      resource: (input, { context }) => streamArn(context.registry, oneGroup(context.registry, input), input.logStreamName),
      conditions: (input, call) => tagsOfGroup(logs, call, oneGroup(call.context.registry, input)),
      input: structure({
        logGroupName: shapes.groupName,
        logGroupIdentifier: shapes.groupIdentifier,
        logStreamName: required(shapes.streamName),
        startTime: shapes.time,
        endTime: shapes.time,
        nextToken: shapes.nextToken,
        limit: shapes.linesLimit,
        startFromHead: shapes.flag,
        unmask: shapes.flag,
      }),
      async handler({ context: { registry } }, { logStreamName, startTime = 0, endTime = noEnd, nextToken, limit = mostLinesOfPage, startFromHead = false, ...input }) {
        requireOrder(startTime, endTime)
        const token = nextToken === undefined ? undefined : parseToken(nextToken)
        const direction = token?.direction ?? (startFromHead ? 'forward' : 'backward')
        const lines = await logs.read(registry, oneGroup(registry, input), logStreamName, { from: startTime, until: endTime, direction, position: token?.position, limit })
        const [first, last] = [lines[0], lines.at(-1)]
        // Where nothing is left the same token comes back, by which clients know that they are through. Whoever waits for the first
        // lines goes on from the beginning of the range.
        const begin = token?.position ?? { at: startTime, number: 0 }
        const end = token?.position ?? { at: Math.min(endTime, latestTime), number: 0 }
        return {
          events: lines.map(({ at, putAt, message }) => ({ timestamp: at, message, ingestionTime: putAt })),
          nextForwardToken: last === undefined && token?.direction === 'forward' ? nextToken : tokenOf('f', last ?? begin),
          nextBackwardToken: first === undefined && token?.direction === 'backward' ? nextToken : tokenOf('b', first ?? (direction === 'forward' ? begin : end)),
        }
      },
    }),

    FilterLogEvents: operation({
      action: 'logs:FilterLogEvents',
      resource: (input, { context }) => groupResource(context.registry, oneGroup(context.registry, input)),
      conditions: (input, call) => tagsOfGroup(logs, call, oneGroup(call.context.registry, input)),
      input: structure({
        logGroupName: shapes.groupName,
        logGroupIdentifier: shapes.groupIdentifier,
        logStreamNames: shapes.streamNames,
        logStreamNamePrefix: shapes.streamName,
        startTime: shapes.time,
        endTime: shapes.time,
        filterPattern: shapes.filterPattern,
        nextToken: shapes.nextToken,
        limit: shapes.linesLimit,
        interleaved: shapes.flag,
        unmask: shapes.flag,
      }),
      async handler({ context: { registry }, signal }, { logStreamNames, logStreamNamePrefix, startTime = 0, endTime = noEnd - 1, filterPattern = '', nextToken, limit = mostLinesOfPage, ...input }) {
        const group = oneGroup(registry, input)
        if (logStreamNames !== undefined && logStreamNamePrefix !== undefined) {
          throw logsError('log-input-invalid', 'LogStream names and LogStream name prefix are mutually exclusive parameters.')
        }
        requireOrder(startTime, endTime)
        const list = ['FilterLogEvents', registry.accountId, registry.region, group, JSON.stringify(logStreamNames ?? []), logStreamNamePrefix ?? '', startTime, endTime, filterPattern]
        const page = await logs.search(registry, group, {
          from: startTime,
          // CloudWatch Logs takes the end as part of the range here, and nowhere else.
          until: endTime + 1,
          pattern: filterPattern,
          streams: logStreamNames === undefined ? logStreamNamePrefix === undefined ? undefined : { prefix: logStreamNamePrefix } : { names: logStreamNames },
          after: pageTokens.read(list, nextToken),
          limit,
          signal,
        })
        return {
          events: page.items.map(({ stream, at, number, putAt, message }) => ({ logStreamName: stream, timestamp: at, message, ingestionTime: putAt, eventId: positionDigits({ at, number }) })),
          searchedLogStreams: [],
          nextToken: pageTokens.issue(list, page.next),
        }
      },
    }),
  }
}

function requireOrder(startTime: number, endTime: number): void {
  if (startTime > endTime) throw logsError('log-input-invalid', 'startTime must not be after endTime.')
}

const latestTime = Date.UTC(9999, 0)

/** As many as AWS's tokens and ids have. */
const digitCount = 56
const numberDigits = 16

function digits(number: number): string {
  return String(number).padStart(digitCount, '0')
}

/** A position as digits, which sort as positions do. */
function positionDigits({ at, number }: LinePosition): string {
  return `${at}${String(number).padStart(numberDigits, '0')}`.padStart(digitCount, '0')
}

function tokenOf(letter: 'f' | 'b', position: LinePosition): string {
  return `${letter}/${positionDigits(position)}/s`
}

/** @throws `log-input-invalid` */
function parseToken(text: string): { readonly direction: 'forward' | 'backward'; readonly position: LinePosition } {
  const [, letter, at = '', number = ''] = /^([fb])\/(\d{40})(\d{16})\/s$/u.exec(text) ?? []
  const position = { at: Number(at), number: Number(number) }
  if (letter === undefined || !Number.isSafeInteger(position.at) || !Number.isSafeInteger(position.number)) throw logsError('log-input-invalid', 'The specified nextToken is invalid.')
  return { direction: letter === 'f' ? 'forward' : 'backward', position }
}
