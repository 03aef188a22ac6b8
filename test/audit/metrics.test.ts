import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { encodeLine, type JournalRecord } from '../../src/audit/journal-record.ts'
import { networkOf, RollUp } from '../../src/audit/roll-up.ts'
import { Sealer } from '../../src/audit/sealer.ts'
import type { EventEnvelope } from '../../src/events/envelope.ts'
import { systemIds } from '../../src/internal/ids.ts'
import type { AlarmSettings } from '../../src/metrics/alarms/alarm.ts'
import { MetricAlarms } from '../../src/metrics/alarms/metric-alarms.ts'
import { removeOldMetricPoints } from '../../src/metrics/metric-retention.ts'
import { MetricReader, roundedStart, type MetricId, type StatisticName } from '../../src/metrics/metric-reader.ts'
import { MetricWriter } from '../../src/metrics/metric-writer.ts'
import { sampleResources } from '../../src/metrics/resource-samples.ts'
import { commandContext } from '../../src/registry/index.ts'
import { derivedLimits, putLimits } from '../../src/metrics/series-limits.ts'
import { addPoints, rememberSeries } from '../../src/storage/metadata/observe/metric-store.ts'
import { openObserveStore, observeTarget, prepareObserveStore, type ObserveStore } from '../../src/storage/metadata/observe/store.ts'
import { registryOfMetrics } from '../../src/metrics/metric-names.ts'
import { parseRepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const account = '000000000000'
const region = 'us-east-1'
const minuteMs = 60_000
const start = Date.UTC(2026, 0, 1)
const actor = { arn: `arn:aws:iam::${account}:user/team/ci`, account, kind: 'user', userId: 'AIDA', keyId: 'AKIA' } as const

function pull(at: number, more: Partial<JournalRecord> = {}): JournalRecord {
  return { id: systemIds.uuid(), at: start + at, account, region, protocol: 'oci', source: 'ecr.amazonaws.com', name: 'BatchGetImage', reads: true, actor, ip: '192.0.2.7', status: 200, ms: 2, bytesOut: 100, repository: 'team/app', pulls: 1, client: 'ci', ...more }
}

describe.each(databases)('metrics on %s', (kind) => {
  let fixture: RegistryFixture
  let store: ObserveStore
  let second: ObserveStore
  let reader: MetricReader
  let folder: string
  let place = 0
  /** Of each test its own, so that they share a store. */
  let there: string

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    const target = observeTarget(fixture.dataDir, fixture.target)
    await prepareObserveStore(target)
    store = openObserveStore(target, { connections: 2, readOnly: false })
    second = openObserveStore(target, { connections: 1, readOnly: false })
    reader = new MetricReader(store.reader)
  })
  afterAll(async () => {
    await Promise.all([store.close(), second.close()])
    await fixture.stop()
  })
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'stowage-metrics-'))
    there = `eu-west-${(place += 1)}`
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  /** At once where that is two connections; on SQLite a transaction of one thread would wait for another of the same thread. */
  async function both<Result>(first: () => Promise<Result>, other: () => Promise<Result>): Promise<Result[]> {
    return kind === 'postgres' ? Promise.all([first(), other()]) : [await first(), await other()]
  }

  function sealer(of: ObserveStore = store, more: Partial<ConstructorParameters<typeof Sealer>[0]> = {}, limits?: ConstructorParameters<typeof RollUp>[2]): Sealer {
    return new Sealer({
      store: of,
      metadata: fixture.database.reader,
      folder,
      serverId: 'this',
      leftBehind: new Set(),
      now: () => fixture.clock.now(),
      forget: () => Promise.resolve(),
      onDamage: () => undefined,
      rollUp: new RollUp({ account, region: there }, () => start, limits),
      ...more,
    })
  }

  function segment(name: string, records: readonly JournalRecord[]): void {
    writeFileSync(join(folder, `${name}.lines`), records.map((record) => encodeLine({ ...record, region: there })).join(''))
  }

  async function series(statistic: StatisticName, namespace: string, name: string, dimensions: Readonly<Record<string, string>> = {}, periodMinutes = 1): Promise<(readonly [minute: number, value: number])[]> {
    const metric: MetricId = { namespace, name, dimensions: Object.entries(dimensions) }
    const values = await reader.readSeries({ account, region: there, metric, statistic, periodMs: periodMinutes * minuteMs, from: start, to: start + 24 * 60 * minuteMs })
    return values.map(({ at, value }) => [(at - start) / minuteMs, value] as const)
  }

  const sums = (...of: Parameters<typeof series> extends [unknown, ...infer Rest] ? Rest : never) => series('Sum', ...of)

  it('counts a record once, however often it is sealed and by whomever', async () => {
    const records = [pull(0), pull(1), pull(61_000, { pulls: 3 }), pull(62_000, { name: 'PutImage', reads: false, pulls: undefined as never, client: undefined as never, status: 201, bytesIn: 50 })]
    segment('a', records)
    const failing: ObserveStore = {
      ...store,
      transaction: (work) =>
        store.transaction(async (tx) => {
          await work(tx)
          throw new Error('killed before the commit')
        }),
    }
    await expect(sealer(failing).sealSegments()).rejects.toThrow('killed before the commit')
    expect(await sums('AWS/ECR', 'RepositoryPullCount', { RepositoryName: 'team/app' })).toEqual([])
    await sealer().sealSegments()
    segment('b', [...records, pull(63_000)])
    segment('c', [...records.toReversed(), pull(64_000)])
    await both(() => sealer(store).sealSegments(), () => sealer(second).sealSegments())

    expect(await sums('AWS/ECR', 'RepositoryPullCount', { RepositoryName: 'team/app' })).toEqual([[0, 2], [1, 5]])
    expect(await series('SampleCount', 'Stowage', 'RequestLatency')).toEqual([[0, 2], [1, 4]])
    expect(await sums('Stowage', 'PullCount', { ClientKind: 'ci' }, 5)).toEqual([[0, 7]])
    expect(await sums('Stowage', 'PullCount', { Principal: `${account}:user/ci` }, 60)).toEqual([[0, 7]])
    expect(await sums('Stowage', 'PullCount', { SourceNetwork: '192.0.2.0/24' }, 60)).toEqual([[0, 7]])
    expect(await sums('Stowage', 'PushCount', { RepositoryName: 'team/app' })).toEqual([[1, 1]])
    expect(await sums('Stowage', 'BytesIn', {}, 60)).toEqual([[0, 50]])
    expect(await sums('Stowage', 'BytesOut', {}, 60)).toEqual([[0, 600]])
    const usage = { Class: 'None', Service: 'ECR', Type: 'API' }
    expect(await sums('AWS/Usage', 'CallCount', { ...usage, Resource: 'BatchGetImage' }, 60)).toEqual([[0, 5]])
    expect(await sums('AWS/Usage', 'CallCount', { ...usage, Resource: 'PutImage' }, 60)).toEqual([[0, 1]])
  })

  it('tells errors, throttling and latencies, and keeps what strangers send out of accounts', async () => {
    const nothing = { pulls: undefined as never, client: undefined as never }
    const stranger = { ...nothing, actor: undefined as never, account: '999999999999', status: 401, error: 'UNAUTHORIZED', ms: 9 }
    segment('a', [
      pull(0, { ms: 4 }),
      pull(1, { ...nothing, status: 404, error: 'MANIFEST_UNKNOWN', ms: 1 }),
      pull(2, { ...nothing, status: 429, error: 'TOOMANYREQUESTS' }),
      pull(3, { ...nothing, status: 400, error: 'ThrottlingException' }),
      pull(4, { ...nothing, status: 500, error: 'UNKNOWN' }),
      pull(5, stranger),
    ])
    await sealer().sealSegments()
    expect(await sums('Stowage', '4xxErrors')).toEqual([[0, 4]])
    expect(await series('Average', 'Stowage', '5xxErrors')).toEqual([[0, 1 / 6]])
    expect(await sums('Stowage', 'ThrottledRequests')).toEqual([[0, 2]])
    expect(await series('Minimum', 'Stowage', 'RequestLatency')).toEqual([[0, 1]])
    expect(await series('Maximum', 'Stowage', 'RequestLatency', { Operation: 'BatchGetImage' })).toEqual([[0, 9]])
    const { length } = await reader.list('999999999999', there, { dimensions: [], activeSince: start }, { limit: 10 })
    expect(length).toBe(0)
  })

  it('counts what has no series of its own together', async () => {
    segment('a', ['a', 'b', 'c', 'd'].map((repository) => pull(0, { repository })))
    await sealer(store, {}, { perMetric: 2, total: 1_000_000 }).sealSegments()
    segment('b', [pull(0, { repository: 'a' }), pull(0, { repository: 'd' })])
    await sealer(store, {}, { perMetric: 2, total: 1_000_000 }).sealSegments()
    expect(await sums('AWS/ECR', 'RepositoryPullCount', { RepositoryName: 'a' })).toEqual([[0, 2]])
    expect(await sums('AWS/ECR', 'RepositoryPullCount', { RepositoryName: '(other)' })).toEqual([[0, 3]])
    expect(await sums('AWS/ECR', 'RepositoryPullCount', { RepositoryName: 'd' })).toEqual([])
  })

  it('has room for others where one registry has all series that it may have', async () => {
    const limits = { perMetric: 10, perRegistry: 3, total: 1_000_000 }
    const add = async (registry: string, names: readonly string[]) => {
      const additions = names.map((name) => ({ registry, namespace: 'App', name, dimensions: '[]', unit: 'None', at: start, set: { samples: 1, total: 1, low: 1, high: 1 } }))
      return (await store.transaction((tx) => addPoints(tx, rememberSeries(limits), additions, start))).map(({ name }) => name)
    }
    expect(await add(`${there} one`, ['a', 'b'])).toEqual([])
    expect(await add(`${there} one`, ['a', 'b', 'c', 'd'])).toEqual(['d'])
    expect(await add(`${there} other`, ['d'])).toEqual([])
    expect(putLimits.total).toBeLessThan(derivedLimits.total)
  })

  it('reads any period from any minute, and forgets the finer points sooner', async () => {
    segment('a', [0, 1, 2, 7, 8, 61, 125].map((minute) => pull(minute * minuteMs)))
    await sealer().sealSegments()
    const name = ['AWS/ECR', 'RepositoryPullCount', { RepositoryName: 'team/app' }] as const
    expect(await sums(...name, 5)).toEqual([[0, 3], [5, 2], [60, 1], [125, 1]])
    expect(await sums(...name, 7)).toEqual([[0, 3], [7, 2], [56, 1], [119, 1]])
    const metric: MetricId = { namespace: name[0], name: name[1], dimensions: Object.entries(name[2]) }
    const shifted = await reader.readSeries({ account, region: there, metric, statistic: 'Sum', periodMs: 5 * minuteMs, from: start + 2 * minuteMs, to: start + 62 * minuteMs })
    expect(shifted.map(({ at, value }) => [(at - start) / minuteMs, value])).toEqual([[2, 1], [7, 2], [57, 1]])

    await removeOldMetricPoints(store, { minuteMs: 0, fiveMinutesMs: minuteMs * 60, hourMs: minuteMs * 600 }, start + 130 * minuteMs)
    expect(await sums(...name)).toEqual([])
    expect(await sums(...name, 5)).toEqual([[125, 1]])
    expect(await sums(...name, 60)).toEqual([[0, 5], [60, 1], [120, 1]])
    expect(roundedStart(start + 90_000, start)).toBe(start + minuteMs)
    expect(roundedStart(start + 90_000, start + 16 * 24 * 60 * minuteMs)).toBe(start)
  })

  it('reads many series together as it reads each by itself', async () => {
    const names = Array.from({ length: 40 }, (_, n) => `m${n}`)
    const additions = [0, 1, 2, 7, 130].flatMap((minute) =>
      names.flatMap((name, n) =>
        (n % 5 === 0 ? ['Bytes', 'Count'] : ['Count']).map((unit) => ({ registry: registryOfMetrics(account, there), namespace: 'App', name, dimensions: '[]', unit, at: start + minute * minuteMs, set: { samples: 2, total: n + minute, low: -n, high: minute } })),
      ),
    )
    await store.transaction((tx) => addPoints(tx, rememberSeries({ perMetric: 1_000, total: 1_000_000 }), additions, start))
    const requests = [...names, 'none'].flatMap((name, n) =>
      (['Sum', 'Maximum'] as const).map((statistic) => ({
        account, region: there, statistic, periodMs: [1, 5, 7, 60][n % 4]! * minuteMs, from: start, to: start + 12 * 60 * minuteMs,
        metric: { namespace: 'App', name, dimensions: [] }, unit: n % 10 === 0 ? 'Bytes' : undefined,
      })),
    )
    const reading = reader.readAhead(requests)
    let values = 0
    // Also where what is asked for is not the next one.
    for (const request of [...requests.slice(30), ...requests.slice(0, 30)]) {
      const found = await reading.of(request)
      expect(found).toEqual(await reader.readSeries(request))
      values += found.length
    }
    expect(values).toBeGreaterThan(200)
  })

  it('lists metrics in pages, by names and dimensions', async () => {
    segment('a', ['x', 'y"]', 'z'].map((repository) => pull(0, { repository })))
    await sealer().sealSegments()
    const list = (filter: Partial<Parameters<MetricReader['list']>[2]>, page = {}) => reader.list(account, there, { dimensions: [], activeSince: start, ...filter }, { limit: 100, ...page })
    const all = await list({})
    expect(all.map(({ namespace, name }) => `${namespace} ${name}`)).toEqual(all.map(({ namespace, name }) => `${namespace} ${name}`).toSorted())
    const paged: MetricId[] = []
    for (let after: (MetricId & { id: number }) | undefined; ; ) {
      const page = await list({}, { limit: 3, ...(after === undefined ? {} : { after }) })
      paged.push(...page)
      after = page.at(-1)
      if (page.length < 3) break
    }
    expect(paged).toEqual(all)
    expect((await list({ name: 'RepositoryPullCount' })).map(({ dimensions }) => dimensions[0]![1])).toEqual(['x', 'y"]', 'z'])
    expect(await list({ namespace: 'AWS/ECR', dimensions: [{ name: 'RepositoryName', value: 'y"]' }] })).toHaveLength(1)
    expect(await list({ dimensions: [{ name: 'Repository' }] })).toEqual([])
    expect((await list({ dimensions: [{ name: 'SourceNetwork' }] })).map(({ name }) => name)).toEqual(['PullCount'])
    expect(await list({ activeSince: start + 60 * minuteMs })).toEqual([])
  })

  it('samples how much there is once for all servers', async () => {
    const { registry, context, database, clock } = fixture
    await registry.createRepository(context, { name: parseRepositoryName('sampled/app'), tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
    const now = clock.now()
    const everyMs = 5 * minuteMs
    const sample = (at: number, of: ObserveStore) => sampleResources({ store: of, metadata: database.reader, home: { account, region: there }, now: at, everyMs })
    const done = await both(() => sample(now, store), () => sample(now, second))
    expect(done.filter(Boolean)).toHaveLength(1)
    expect(await sample(now + everyMs, second)).toBe(true)
    const value = (metric: MetricId, place: string) => reader.readSeries({ account, region: place, metric, statistic: 'Sum', periodMs: 60 * minuteMs, from: now - (now % (60 * minuteMs)), to: now + 60 * minuteMs })
    const usage = [['Class', 'None'], ['Resource', 'RepositoryCount'], ['Service', 'ECR'], ['Type', 'RESOURCE']] as const
    const counts = await value({ namespace: 'AWS/Usage', name: 'ResourceCount', dimensions: usage }, context.registry.region)
    expect(counts.reduce((sum, { value: count }) => sum + count, 0)).toBe(2)
    expect((await value({ namespace: 'Stowage', name: 'CollectionDue', dimensions: [['Kind', 'blob']] }, there)).length).toBeGreaterThan(0)
  })

  it('writes what clients put before it answers, wholly or not at all', async () => {
    const writer = new MetricWriter({ store: observeTarget(fixture.dataDir, fixture.target) }, (error) => {
      throw error
    })
    try {
      const metric = (name: string): MetricId => ({ namespace: 'App', name, dimensions: [['b', '2'], ['a', '1']] })
      const set = { samples: 1, total: 5, low: 5, high: 5 }
      const put = (name: string, at = start) => writer.put(account, there, [{ metric: metric(name), unit: 'Count', at, set }])
      expect(await Promise.all([put('jobs'), put('jobs'), put('jobs', start + minuteMs), put('other')])).toEqual(['written', 'written', 'written', 'written'])
      expect(await sums('App', 'jobs', { a: '1', b: '2' })).toEqual([[0, 10], [1, 5]])
      const many = Array.from({ length: 10_001 }, (_, n) => ({ metric: { ...metric('many'), dimensions: [['n', String(n)]] as const }, unit: 'None', at: start, set }))
      expect(await Promise.all([writer.put(account, there, many), put('after')])).toEqual(['too-many-series', 'written'])
      expect(await sums('App', 'many', { n: '0' })).toEqual([])
      expect(await sums('App', 'after', { a: '1', b: '2' })).toEqual([[0, 5]])
    } finally {
      await writer.stop()
    }
  })

  it('removes old points beside writing where nobody else does', async () => {
    const day = 24 * 60 * minuteMs
    const writer = new MetricWriter({ store: observeTarget(fixture.dataDir, fixture.target), retention: { minuteMs: day, fiveMinutesMs: day, hourMs: 3650 * day } }, (error) => {
      throw error
    })
    const put = (at: number) => writer.put(account, there, [{ metric: { namespace: 'App', name: 'old', dimensions: [] }, unit: 'None', at, set: { samples: 1, total: 1, low: 1, high: 1 } }])
    try {
      // The first is removed when its commit is answered, and the second waits for that.
      expect(await put(start)).toBe('written')
      expect(await put(start + minuteMs)).toBe('written')
      expect(await sums('App', 'old', {}, 1)).toEqual([[1, 1]])
      expect(await sums('App', 'old', {}, 60)).toEqual([[0, 2]])
    } finally {
      await writer.stop()
    }
  })

  it('raises an alarm where points cross its threshold, once for all servers, and tells it in the same transaction', async () => {
    const { database, context, clock } = fixture
    clock.advance(minuteMs - (clock.now() % minuteMs) + 10_000)
    const told: EventEnvelope[] = []
    const errors: unknown[] = []
    const newAlarms = () =>
      new MetricAlarms({ database, reader, clock, systemContext: () => commandContext({ ...context, protocol: 'system' }), targetsOf: async (_, event) => (told.push(event), []), onTold: () => undefined, onError: (error) => errors.push(error) })
    const [one, other] = [newAlarms(), newAlarms()]
    const alarm: AlarmSettings = { namespace: 'AWS/ECR', metricName: 'RepositoryPullCount', dimensions: [['RepositoryName', 'watched/app']], statistic: 'Sum', periodSeconds: 60, evaluationPeriods: 2, threshold: 1, comparison: 'GreaterThanThreshold' }
    expect(await one.put(context, 'many pulls', alarm, true)).toBe(true)
    const state = async () => (await one.find(context, 'many pulls'))!
    const evaluateBoth = () => both(() => one.evaluateAll(), () => other.evaluateAll())
    const pullNow = async (minutesAgo: number, pulls: number) => {
      writeFileSync(join(folder, `${systemIds.uuid()}.lines`), encodeLine(pull(clock.now() - start - minutesAgo * minuteMs, { repository: 'watched/app', pulls, region: context.registry.region })))
      await sealer().sealSegments()
    }
    await evaluateBoth()
    expect(await state()).toMatchObject({ state: 'INSUFFICIENT_DATA', stateReason: 'Unchecked: Initial alarm creation' })
    await pullNow(2, 2)
    await pullNow(1, 5)
    await evaluateBoth()
    expect(await state()).toMatchObject({ state: 'ALARM', transitionedAt: clock.now() })
    expect((await state()).stateReason).toContain('2 out of the last 2 datapoints')
    clock.advance(minuteMs)
    await pullNow(1, 1)
    await evaluateBoth()
    expect((await state()).state).toBe('OK')
    // The state that it is put into by hand is evaluated again.
    expect(await one.setState(context, 'many pulls', { state: 'ALARM', reason: 'a drill', data: null })).toBe(true)
    expect((await state()).stateReason).toBe('a drill')
    await evaluateBoth()
    expect((await state()).state).toBe('OK')
    expect(await one.setState(context, 'absent', { state: 'ALARM', reason: 'a drill', data: null })).toBe(false)

    const items = await one.history(context, { alarmName: 'many pulls', kind: 'StateUpdate', from: 0, until: Number.MAX_SAFE_INTEGER, isAscending: true, limit: 100 })
    expect(items.map(({ summary }) => summary)).toEqual(['INSUFFICIENT_DATA to ALARM', 'ALARM to OK', 'OK to ALARM', 'ALARM to OK'].map((change) => `Alarm updated from ${change}`))
    expect(told[0]).toMatchObject({
      'detail-type': 'CloudWatch Alarm State Change',
      source: 'aws.cloudwatch',
      resources: [`arn:aws:cloudwatch:${context.registry.region}:${account}:alarm:many pulls`],
      detail: { alarmName: 'many pulls', previousState: { value: 'INSUFFICIENT_DATA' }, state: { value: 'ALARM' }, configuration: { metrics: [{ metricStat: { metric: { name: 'RepositoryPullCount' }, stat: 'Sum', period: 60 } }] } },
    })
    expect(await one.delete(context, ['many pulls', 'absent'])).toBe('absent')
    expect(await state()).toBeDefined()
    expect(await one.delete(context, ['many pulls'])).toBeUndefined()
    expect(await one.find(context, 'many pulls')).toBeUndefined()
    expect(errors).toEqual([])
  })

  it('puts an alarm into a state by hand also while something else changes it', async () => {
    const { context, database, clock } = fixture
    let between: () => Promise<unknown> = () => Promise.resolve()
    const targetsOf = async (): Promise<readonly number[]> => {
      const work = between
      between = () => Promise.resolve()
      await work()
      return []
    }
    const alarms = new MetricAlarms({ database, reader, clock, systemContext: () => commandContext({ ...context, protocol: 'system' }), targetsOf, onTold: () => undefined, onError: () => undefined })
    const settings: AlarmSettings = { namespace: 'App', metricName: 'jobs', dimensions: [], statistic: 'Sum', periodSeconds: 60, evaluationPeriods: 1, threshold: 1, comparison: 'GreaterThanThreshold' }
    await alarms.put(context, 'contended', settings, true)
    between = () => alarms.setState(context, 'contended', { state: 'OK', reason: 'in between', data: null })
    expect(await alarms.setState(context, 'contended', { state: 'ALARM', reason: 'a drill', data: null })).toBe(true)
    expect(await alarms.find(context, 'contended')).toMatchObject({ state: 'ALARM', stateReason: 'a drill' })
    between = () => alarms.delete(context, ['contended'])
    expect(await alarms.setState(context, 'contended', { state: 'OK', reason: 'too late', data: null })).toBe(false)
  })
})

it.each([
  ['10.1.2.3', '10.1.2.0/24'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8::7', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
])('takes %s for a client of %s', (ip, network) => {
  expect(networkOf(ip)).toBe(network)
})
