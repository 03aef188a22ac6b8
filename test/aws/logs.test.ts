import { CloudWatchLogs, type InputLogEvent } from '@aws-sdk/client-cloudwatch-logs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Clock } from '../../src/internal/clock.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { databases } from '../support/registry.ts'

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs
/** A batch of it is full. */
const batchBytes = 1_048_576

/** The time of day, moved. */
class MovedClock implements Clock {
  aheadMs = 0
  now(): number {
    return Date.now() + this.aheadMs
  }
}

describe.each(databases)('logs on %s', (database) => {
  const clock = new MovedClock()
  let server: TestPlatform
  let logs: CloudWatchLogs

  beforeAll(async () => {
    server = await startTestPlatform({ database, clock, settings: { STOWAGE_QUOTA_LOG_STREAMS: '90', STOWAGE_QUOTA_LOGS_MIB: '8' } })
    logs = clientAt(0)
  })
  afterAll(async () => {
    logs.destroy()
    await server.stop()
  })

  /** A client whose clock is as far off as the server's. */
  function clientAt(systemClockOffset: number): CloudWatchLogs {
    return new CloudWatchLogs({ endpoint: server.url, region: 'us-east-1', credentials: server.credentials, maxAttempts: 1, systemClockOffset })
  }

  async function makeStream(logGroupName: string, ...streams: string[]): Promise<void> {
    await logs.createLogGroup({ logGroupName })
    for (const logStreamName of streams) await logs.createLogStream({ logGroupName, logStreamName })
  }

  function events(count: number, from = clock.now() - count, message = (n: number): string => `line ${n}`): InputLogEvent[] {
    return Array.from({ length: count }, (_, n) => ({ timestamp: from + n, message: message(n) }))
  }

  const messages = (list: readonly { message?: string | undefined }[] | undefined): (string | undefined)[] => (list ?? []).map(({ message }) => message)

  it('answers as CloudWatch does where there is something already, or nothing', async () => {
    await makeStream('twice', 's')
    const named = { logGroupName: 'twice', logStreamName: 's' }
    const absent = { logGroupName: 'absent', logStreamName: 's' }
    await expect(logs.createLogGroup({ logGroupName: 'twice' })).rejects.toMatchObject({ name: 'ResourceAlreadyExistsException', message: 'The specified log group already exists' })
    await expect(logs.createLogStream(named)).rejects.toMatchObject({ name: 'ResourceAlreadyExistsException', message: 'The specified log stream already exists' })
    const groupAbsent = { name: 'ResourceNotFoundException', message: 'The specified log group does not exist.' }
    const streamAbsent = { name: 'ResourceNotFoundException', message: 'The specified log stream does not exist.' }
    for (const call of [() => logs.createLogStream(absent), () => logs.deleteLogGroup(absent), () => logs.getLogEvents(absent), () => logs.filterLogEvents({ logGroupName: 'absent' }), () => logs.describeLogStreams({ logGroupName: 'absent' }), () => logs.putLogEvents({ ...absent, logEvents: events(1) })]) {
      await expect(call()).rejects.toMatchObject(groupAbsent)
    }
    for (const call of [() => logs.putLogEvents({ ...named, logStreamName: 'x', logEvents: events(1) }), () => logs.getLogEvents({ ...named, logStreamName: 'x' }), () => logs.deleteLogStream({ ...named, logStreamName: 'x' }), () => logs.filterLogEvents({ logGroupName: 'twice', logStreamNames: ['s', 'x'] })]) {
      await expect(call()).rejects.toMatchObject(streamAbsent)
    }
    for (const call of [() => logs.createLogGroup({ logGroupName: 'no spaces' }), () => logs.createLogGroup({ logGroupName: 'aws/x' }), () => logs.createLogGroup({ logGroupName: 'x', kmsKeyId: 'k' }), () => logs.createLogStream({ ...named, logStreamName: 'a:b' }), () => logs.putRetentionPolicy({ logGroupName: 'twice', retentionInDays: 2 }), () => logs.putLogEvents({ ...named, logEvents: [{ timestamp: 1, message: '' }] }), () => logs.filterLogEvents({ logGroupName: 'twice', filterPattern: 'a-b' }), () => logs.getLogEvents({ ...named, nextToken: 'f/1/s' }), () => logs.filterLogEvents({ logGroupName: 'twice', nextToken: 'x' })]) {
      await expect(call()).rejects.toMatchObject({ name: 'InvalidParameterException' })
    }
  })

  it('holds batches to the limits of CloudWatch', async () => {
    await makeStream('limits', 's')
    const put = (logEvents: InputLogEvent[]) => logs.putLogEvents({ logGroupName: 'limits', logStreamName: 's', sequenceToken: 'any', logEvents })
    const now = clock.now()
    await expect(put([{ timestamp: now, message: 'b' }, { timestamp: now - 1, message: 'a' }])).rejects.toMatchObject({ name: 'InvalidParameterException', message: expect.stringContaining('chronological order') as string })
    await expect(put([{ timestamp: now - dayMs - 1000, message: 'a' }, { timestamp: now, message: 'b' }])).rejects.toMatchObject({ message: expect.stringContaining('cannot span more than 24 hours') as string })
    await expect(put(events(10_001))).rejects.toMatchObject({ name: 'InvalidParameterException' })
    const full = 'é'.repeat((batchBytes - 26) / 2)
    await expect(put([{ timestamp: now, message: `${full}a` }])).rejects.toMatchObject({ message: `Upload too large: ${batchBytes + 1} bytes exceeds limit of ${batchBytes}` })
    await put([{ timestamp: now, message: full }])
    expect((await logs.getLogEvents({ logGroupName: 'limits', logStreamName: 's' })).events?.[0]?.message).toBe(full)

    // Too old, taken, and too new: the rest is taken all the same.
    const { rejectedLogEventsInfo } = await put([
      { timestamp: now - 15 * dayMs, message: 'old' },
      { timestamp: now - 14 * dayMs - hourMs, message: 'old' },
      { timestamp: now, message: 'taken' },
      { timestamp: now + 3 * hourMs, message: 'new' },
    ])
    expect(rejectedLogEventsInfo).toEqual({ tooOldLogEventEndIndex: 2, tooNewLogEventStartIndex: 3 })
    await logs.putRetentionPolicy({ logGroupName: 'limits', retentionInDays: 1 })
    expect((await put([{ timestamp: now - dayMs - hourMs, message: 'expired' }, { timestamp: now - 2 * hourMs, message: 'kept' }])).rejectedLogEventsInfo).toEqual({ expiredLogEventEndIndex: 1 })
    expect((await put([{ timestamp: now - 20 * dayMs, message: 'old' }])).rejectedLogEventsInfo).toEqual({ tooOldLogEventEndIndex: 1 })
    const { events: found } = await logs.getLogEvents({ logGroupName: 'limits', logStreamName: 's' })
    expect(messages(found).map((text) => text?.slice(0, 5))).toEqual(['kept', full.slice(0, 5), 'taken'])
    await expect(logs.createLogGroup({ logGroupName: 'class', logGroupClass: 'DELIVERY' })).rejects.toMatchObject({ name: 'InvalidParameterException' })
  })

  it('keeps every character that a program may write', async () => {
    await makeStream('characters', 's')
    const texts = ['{"a":"\\"\\\\"}', "'", '\u0001\u001b[31m', 'a\0b', 'half \ud83d', '😀 é 漢', '\n\t\r', '$1 ? :x %s']
    await logs.putLogEvents({ logGroupName: 'characters', logStreamName: 's', logEvents: texts.map((message, n) => ({ timestamp: clock.now() - 100 + n, message })) })
    const { events: found } = await logs.filterLogEvents({ logGroupName: 'characters' })
    // What no text of a database has stands for an unreadable character.
    expect(messages(found)).toEqual(texts.map((text) => text.toWellFormed().replace('\0', '\ufffd')))
  })

  it('gives a stream out in both directions, and the same token back at its ends', async () => {
    await makeStream('pages', 's')
    const named = { logGroupName: 'pages', logStreamName: 's' }
    const empty = await logs.getLogEvents(named)
    expect(empty.events).toEqual([])
    const from = clock.now() - 1000
    await logs.putLogEvents({ ...named, logEvents: events(25, from) })
    // Who waited for the first lines.
    expect((await logs.getLogEvents({ ...named, nextToken: empty.nextForwardToken, limit: 3 })).events).toHaveLength(3)

    const forward: (string | undefined)[] = []
    let token: string | undefined
    for (;;) {
      const page = await logs.getLogEvents({ ...named, startFromHead: true, limit: 10, nextToken: token })
      forward.push(...messages(page.events))
      if (page.nextForwardToken === token) break
      token = page.nextForwardToken
    }
    expect(forward).toEqual(events(25).map(({ message }) => message))
    await logs.putLogEvents({ ...named, logEvents: [{ timestamp: from + 100, message: 'later' }] })
    expect(messages((await logs.getLogEvents({ ...named, nextToken: token })).events)).toEqual(['later'])

    const last = await logs.getLogEvents({ ...named, limit: 10 })
    expect(messages(last.events)).toEqual([...forward.slice(16), 'later'])
    const before = await logs.getLogEvents({ ...named, limit: 10, nextToken: last.nextBackwardToken })
    expect(messages(before.events)).toEqual(forward.slice(6, 16))
    const first = await logs.getLogEvents({ ...named, limit: 10, nextToken: before.nextBackwardToken })
    expect(messages(first.events)).toEqual(forward.slice(0, 6))
    const none = await logs.getLogEvents({ ...named, limit: 10, nextToken: first.nextBackwardToken })
    expect([none.events, none.nextBackwardToken]).toEqual([[], first.nextBackwardToken])
    // From its middle forward again.
    expect(messages((await logs.getLogEvents({ ...named, nextToken: before.nextForwardToken, limit: 2 })).events)).toEqual(forward.slice(16, 18))
    // The end is not in the range.
    expect(messages((await logs.getLogEvents({ ...named, startTime: from + 3, endTime: from + 5 })).events)).toEqual(['line 3', 'line 4'])
    expect(messages((await logs.filterLogEvents({ logGroupName: 'pages', startTime: from + 3, endTime: from + 5 })).events)).toEqual(['line 3', 'line 4', 'line 5'])
  })

  it('ends a page of long lines before it has more than a megabyte', async () => {
    await makeStream('long', 's')
    const named = { logGroupName: 'long', logStreamName: 's' }
    for (let n = 0; n < 3; n += 1) await logs.putLogEvents({ ...named, logEvents: [{ timestamp: clock.now(), message: String(n).repeat(700_000) }] })
    const sizes: number[] = []
    let token: string | undefined
    for (;;) {
      const page = await logs.getLogEvents({ ...named, startFromHead: true, nextToken: token })
      if (page.nextForwardToken === token) break
      sizes.push(page.events?.length ?? 0)
      token = page.nextForwardToken
    }
    expect(sizes).toEqual([1, 1, 1])
    const found = await logs.filterLogEvents({ logGroupName: 'long' })
    expect([found.events?.length, typeof found.nextToken]).toEqual([1, 'string'])
  })

  it('searches streams together, in the order of time, in pages', async () => {
    const names = Array.from({ length: 60 }, (_, n) => `${n % 2 === 0 ? 'even' : 'odd'}-${n}`)
    await makeStream('search', ...names)
    const from = clock.now() - 10_000
    await Promise.all(names.map((logStreamName, s) => logs.putLogEvents({ logGroupName: 'search', logStreamName, logEvents: Array.from({ length: 40 }, (_, n) => ({ timestamp: from + n * 60 + s, message: JSON.stringify({ stream: s, n }) })) })))
    const all = async (query: object, limit = 1000) => {
      const found: { stream: number; n: number }[] = []
      const ids = new Set<string | undefined>()
      let nextToken: string | undefined
      do {
        const page = await logs.filterLogEvents({ logGroupName: 'search', limit, nextToken, ...query })
        expect(page.events!.length).toBeLessThanOrEqual(limit)
        for (const { eventId, message, logStreamName } of page.events!) {
          ids.add(eventId)
          const line = JSON.parse(message!) as { stream: number; n: number }
          expect(logStreamName).toBe(names[line.stream])
          found.push(line)
        }
        nextToken = page.nextToken
      } while (nextToken !== undefined)
      expect(ids.size).toBe(found.length)
      return found
    }
    const expected = (takes: (line: { stream: number; n: number }) => boolean) => Array.from({ length: 2400 }, (_, i) => ({ stream: i % 60, n: Math.floor(i / 60) })).filter(takes)
    expect(await all({})).toEqual(expected(() => true))
    expect(await all({ logStreamNamePrefix: 'odd' })).toEqual(expected(({ stream }) => stream % 2 === 1))
    expect(await all({ logStreamNames: names.slice(5, 45) }, 333)).toEqual(expected(({ stream }) => stream >= 5 && stream < 45))
    expect(await all({ logStreamNames: ['even-4'] })).toEqual(expected(({ stream }) => stream === 4))
    expect(await all({ filterPattern: '{ $.n > 27 && $.stream = 1* }' })).toEqual(expected(({ stream, n }) => n > 27 && String(stream).startsWith('1')))
    expect(await all({ filterPattern: '"\\"n\\":7}"', startTime: from + 7 * 60 + 50 })).toEqual(expected(({ stream, n }) => n === 7 && stream >= 50))

    // What is deleted is not seen any more, and neither are its lines.
    await logs.deleteLogStream({ logGroupName: 'search', logStreamName: 'even-0' })
    expect(await all({})).toEqual(expected(({ stream }) => stream !== 0))
  })

  it('lists groups and streams in pages, by name and by their last lines', async () => {
    await makeStream('/list/a', 'x-1', 'x-2', 'y')
    await makeStream('/list/b')
    await makeStream('/other/list')
    await logs.putLogEvents({ logGroupName: '/list/a', logStreamName: 'x-2', logEvents: events(1, clock.now() - 5000) })
    const last = clock.now() - 2000
    await logs.putLogEvents({ logGroupName: '/list/a', logStreamName: 'x-1', logEvents: events(2, last - 1) })
    const groupsOf = async (query: object) => (await logs.describeLogGroups(query)).logGroups?.map(({ logGroupName }) => logGroupName)
    expect(await groupsOf({ logGroupNamePrefix: '/list/' })).toEqual(['/list/a', '/list/b'])
    expect(await groupsOf({ logGroupNamePattern: 'list' })).toEqual(['/list/a', '/list/b', '/other/list'])
    const page = await logs.describeLogGroups({ logGroupNamePattern: 'list', limit: 2 })
    expect(await groupsOf({ logGroupNamePattern: 'list', limit: 2, nextToken: page.nextToken })).toEqual(['/other/list'])
    expect(page.logGroups?.[0]).toMatchObject({
      arn: 'arn:aws:logs:us-east-1:000000000000:log-group:/list/a:*',
      logGroupArn: 'arn:aws:logs:us-east-1:000000000000:log-group:/list/a',
      storedBytes: 3 * (26 + 'line 0'.length),
      logGroupClass: 'STANDARD',
      metricFilterCount: 0,
    })
    const streamsOf = async (query: object) => (await logs.describeLogStreams({ logGroupIdentifier: 'arn:aws:logs:us-east-1:000000000000:log-group:/list/a:*', ...query })).logStreams?.map(({ logStreamName }) => logStreamName)
    expect(await streamsOf({})).toEqual(['x-1', 'x-2', 'y'])
    expect(await streamsOf({ descending: true, limit: 2 })).toEqual(['y', 'x-2'])
    expect(await streamsOf({ logStreamNamePrefix: 'x' })).toEqual(['x-1', 'x-2'])
    expect(await streamsOf({ orderBy: 'LastEventTime', descending: true })).toEqual(['x-1', 'x-2', 'y'])
    const recent = await logs.describeLogStreams({ logGroupName: '/list/a', orderBy: 'LastEventTime', limit: 1 })
    const next = await logs.describeLogStreams({ logGroupName: '/list/a', orderBy: 'LastEventTime', limit: 1, nextToken: recent.nextToken })
    expect(next.logStreams?.[0]).toMatchObject({ logStreamName: 'x-2', arn: 'arn:aws:logs:us-east-1:000000000000:log-group:/list/a:log-stream:x-2' })
    const { logStreams } = await logs.describeLogStreams({ logGroupName: '/list/a', logStreamNamePrefix: 'x-1' })
    expect(logStreams?.[0]).toMatchObject({ firstEventTimestamp: last - 1, lastEventTimestamp: last })
  })

  it('keeps tags, and a group that is not to be deleted', async () => {
    const resourceArn = 'arn:aws:logs:us-east-1:000000000000:log-group:tagged'
    await logs.createLogGroup({ logGroupName: 'tagged', tags: { a: '1', b: '2' }, deletionProtectionEnabled: true })
    await logs.tagResource({ resourceArn, tags: { b: '3', c: '' } })
    await logs.untagResource({ resourceArn, tagKeys: ['a', 'absent'] })
    expect((await logs.listTagsForResource({ resourceArn })).tags).toEqual({ b: '3', c: '' })
    const many = Object.fromEntries(Array.from({ length: 49 }, (_, n) => [`k${n}`, '']))
    await expect(logs.tagResource({ resourceArn, tags: many })).rejects.toMatchObject({ name: 'TooManyTagsException' })
    await expect(logs.listTagsForResource({ resourceArn: resourceArn.replace('000000000000', '111111111111') })).rejects.toMatchObject({ name: 'ResourceNotFoundException' })
    await expect(logs.deleteLogGroup({ logGroupName: 'tagged' })).rejects.toMatchObject({ name: 'ValidationException' })
    await logs.putLogGroupDeletionProtection({ logGroupIdentifier: resourceArn, deletionProtectionEnabled: false })
    await logs.deleteLogGroup({ logGroupName: 'tagged' })
    // The name is free at once, and nothing of the one before is in it.
    await logs.createLogGroup({ logGroupName: 'tagged' })
    expect((await logs.listTagsForResource({ resourceArn })).tags).toEqual({})
  })

  it('takes no more than there may be', async () => {
    await expect(logs.createLogStream({ logGroupName: 'search', logStreamName: 'even-0' })).resolves.toBeDefined()
    const more = Array.from({ length: 31 }, (_, n) => logs.createLogStream({ logGroupName: 'search', logStreamName: `more-${n}` }))
    const refused = (await Promise.allSettled(more)).filter(({ status }) => status === 'rejected')
    expect(refused).toMatchObject([{ reason: { name: 'LimitExceededException' } }])
    await makeStream('full', 's')
    await makeStream('full-too', 's')
    const big = { logGroupName: 'full', logStreamName: 's', logEvents: [{ timestamp: clock.now(), message: 'x'.repeat(1_000_000) }] }
    // Calls for several groups share a commit, and the room that is left.
    const results = await Promise.allSettled(Array.from({ length: 9 }, (_, n) => logs.putLogEvents({ ...big, logGroupName: n % 2 === 0 ? 'full' : 'full-too' })))
    const kept = results.filter(({ status }) => status === 'fulfilled').length
    const { logGroups } = await logs.describeLogGroups({})
    const bytes = logGroups!.reduce((sum, { storedBytes }) => sum + storedBytes!, 0)
    expect(kept).toBeLessThan(9)
    expect([bytes <= 8 * 1024 * 1024, bytes > 7 * 1024 * 1024]).toEqual([true, true])
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { name: 'LimitExceededException', message: 'Resource limit exceeded: the log groups of an account in a region may have 8388608 bytes.' } })
    // Deleting makes room at once.
    await logs.deleteLogGroup({ logGroupName: 'full' })
    await logs.createLogGroup({ logGroupName: 'full' })
    await logs.createLogStream({ logGroupName: 'full', logStreamName: 's' })
    await logs.putLogEvents(big)
  })

  it('shows no line that is older than its group keeps', async () => {
    await makeStream('aging', 's')
    const named = { logGroupName: 'aging', logStreamName: 's' }
    await logs.putLogEvents({ ...named, logEvents: events(3, clock.now() - 20 * hourMs) })
    await logs.putLogEvents({ ...named, logEvents: events(2, clock.now() - hourMs) })
    await logs.putRetentionPolicy({ logGroupName: 'aging', retentionInDays: 1 })
    expect((await logs.describeLogGroups({ logGroupNamePrefix: 'aging' })).logGroups?.[0]).toMatchObject({ retentionInDays: 1 })
    clock.aheadMs = 6 * hourMs
    const later = clientAt(clock.aheadMs)
    try {
      expect((await later.getLogEvents(named)).events).toHaveLength(2)
      expect((await later.filterLogEvents({ logGroupName: 'aging' })).events).toHaveLength(2)
      // Setting it again looks at once.
      await later.putRetentionPolicy({ logGroupName: 'aging', retentionInDays: 1 })
      const left = 2 * (26 + 'line 0'.length)
      for (let attempt = 0; attempt < 100; attempt += 1) if ((await later.describeLogGroups({ logGroupNamePrefix: 'aging' })).logGroups?.[0]?.storedBytes === left) break
      expect((await later.describeLogGroups({ logGroupNamePrefix: 'aging' })).logGroups?.[0]?.storedBytes).toBe(left)
      await later.deleteRetentionPolicy({ logGroupName: 'aging' })
      expect((await later.getLogEvents(named)).events).toHaveLength(2)
      expect((await later.describeLogGroups({ logGroupNamePrefix: 'aging' })).logGroups?.[0]).not.toHaveProperty('retentionInDays')
    } finally {
      clock.aheadMs = 0
      later.destroy()
    }
  })
})
