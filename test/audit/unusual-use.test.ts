import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RollUp } from '../../src/audit/roll-up.ts'
import type { RequestBody } from '../../src/audit/trail-record.ts'
import { createDestination } from '../../src/events/commands/destinations.ts'
import { putRule, putTargets } from '../../src/events/commands/rules.ts'
import { FanOut } from '../../src/events/delivery/fan-out.ts'
import { RuleBook } from '../../src/events/delivery/rule-book.ts'
import type { EventEnvelope } from '../../src/events/envelope.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { UnusualUseWatch } from '../../src/metrics/watch/unusual-use-watch.ts'
import { commandContext } from '../../src/registry/index.ts'
import { openObserveStore, observeTarget, prepareObserveStore, type ObserveStore } from '../../src/storage/metadata/observe/store.ts'
import { countEvents } from '../../src/storage/metadata/stores/event-delivery-store.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const account = '000000000000'
const region = 'us-east-1'
const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const everyMs = 5 * minuteMs
const learningMs = 7 * dayMs

describe.each(databases)('unusual use on %s', (kind) => {
  let fixture: RegistryFixture
  let store: ObserveStore
  let rollUp: RollUp
  let told: EventEnvelope[] = []
  const errors: unknown[] = []
  const system = () => commandContext({ ...fixture.context, protocol: 'system' })

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    const target = observeTarget(fixture.dataDir, fixture.target)
    await prepareObserveStore(target)
    store = openObserveStore(target, { connections: 2, readOnly: false })
    rollUp = new RollUp({ account, region }, () => fixture.clock.now())
    const { database } = fixture
    const arn = `arn:aws:events:${region}:${account}:api-destination/hook`
    await database.execute(createDestination, { name: 'hook', url: 'https://hooks.example.com/', description: null, secretSealed: 'sealed' }, system())
    await database.execute(putRule, { name: 'unusual', pattern: '{"detail-type":["Stowage Unusual Use"]}', state: 'ENABLED', description: null, roleArn: null }, system())
    await database.execute(putTargets, { rule: 'unusual', targets: [{ id: '1', destinationName: 'hook', arn, roleArn: null, body: '{}', maxAgeMs: dayMs, maxAttempts: 10 }] }, system())
  })
  afterAll(async () => {
    await store.close()
    await fixture.stop()
  })

  /** As a server that has just started has it: all that was learnt is in the database. */
  function newWatch(isAlone: boolean): UnusualUseWatch {
    const { database, clock } = fixture
    const fanOut = new FanOut({ database, systemContext: system }, new RuleBook({ database, onUnreadable: (_, error) => errors.push(error) }))
    return new UnusualUseWatch(
      { database, metrics: store.reader, clock, systemContext: system, targetsOf: (id, event) => fanOut.targetsOf(id, event), onUnusual: (event) => told.push(event), onError: (error) => errors.push(error) },
      { everyMs, learningMs, factor: 5, isAlone },
    )
  }

  /** What two servers tell that look at the same moment, neither of which was told to leave it to the other. */
  async function look(): Promise<EventEnvelope[]> {
    told = []
    await Promise.all([newWatch(true).look(), newWatch(true).look()])
    expect(errors).toEqual([])
    return told
  }

  async function did(count: number, more: Partial<RequestBody>): Promise<void> {
    const body = (): RequestBody => ({
      id: systemIds.uuid(), at: fixture.clock.now(), account, region, protocol: 'oci', source: 'ecr.amazonaws.com', name: 'BatchGetImage', reads: true,
      actor: { arn: `arn:aws:iam::${account}:user/team/ci`, account, kind: 'user', userId: 'AIDA', keyId: 'AKIA' },
      ip: '192.0.2.7', status: 200, ms: 2, repository: 'team/app', ...more,
    })
    const counted = rollUp.begin()
    for (let n = 0; n < count; n += 1) counted.count(body())
    await store.transaction((tx) => rollUp.add(tx, counted))
  }

  const pulls = (count: number, more: Partial<RequestBody> = {}) => did(count, { pulls: 1, client: 'ci', ...more })
  const user = (name: string) => ({ arn: `arn:aws:iam::${account}:user/${name}`, account, kind: 'user', userId: 'AIDB', keyId: 'AKIB' }) as const
  const deletion = (images: number) => ({ id: 1, at: 0, action: 'BatchDeleteImage', resource: '', detail: { imageIds: Array.from({ length: images }, () => ({})) } })

  it('writes nothing for a registry of which there is nothing', async () => {
    expect(await look()).toEqual([])
    expect(await fixture.database.reader.query(fixture.database.reader.builder.selectFrom('setting').select('name').where('name', 'like', 'watch%'))).toEqual([])
  })

  it('learns silently, and then tells of somebody new once', async () => {
    const { clock, database } = fixture
    await pulls(30)
    expect(await look()).toEqual([])
    await pulls(1, { actor: user('early'), ip: '198.51.100.1' })
    await did(150, { status: 403, error: 'DENIED', actor: user('early') })
    clock.advance(learningMs - dayMs)
    expect(await look()).toEqual([])
    clock.advance(2 * dayMs)
    await pulls(1)
    expect(await look()).toEqual([])

    await pulls(2, { actor: user('stranger') })
    await did(1, { name: 'BatchDeleteImage', reads: false, actor: user('stranger'), changes: [deletion(3)] })
    const [event, ...more] = await look()
    expect(more).toEqual([])
    expect(event).toMatchObject({
      'detail-type': 'Stowage Unusual Use',
      source: 'stowage',
      account,
      region,
      resources: [`arn:aws:ecr:${region}:${account}:*`],
      detail: { unusual: 'NEW_PRINCIPAL', principal: `${account}:user/stranger`, amount: 5, usual: 0, pulls: 2, deletes: 3 },
    })
    expect((event!.detail as { query: string }).query).toContain('--lookup-attributes AttributeKey=Username,AttributeValue=stranger')
    expect((await countEvents(database.reader)).onTheirWay).toBe(1)

    // What they do later is theirs: they are known by any of it.
    await did(1, { name: 'PutImage', reads: false, status: 201, actor: user('stranger') })
    expect(await look()).toEqual([])
    await pulls(1, { ip: '203.0.113.9' })
    expect((await look()).map(({ detail }) => detail)).toMatchObject([{ unusual: 'NEW_NETWORK', 'source-network': '203.0.113.0/24', amount: 1 }])
    expect(await look()).toEqual([])
    expect((await countEvents(database.reader)).onTheirWay).toBe(2)
  })

  it('tells of a crowd by its first ones and their number', async () => {
    for (let n = 0; n < 8; n += 1) await pulls(1, { ip: `100.64.${n}.1` })
    const details = (await look()).map(({ detail }) => detail as { unusual: string; others?: number })
    expect(details.map(({ unusual, others }) => [unusual, others])).toEqual([...Array.from({ length: 4 }, () => ['NEW_NETWORK', undefined]), ['NEW_NETWORK', 3]])
    expect(await look()).toEqual([])
  })

  it('tells of a burst of refusals once, and again after a day of quiet', async () => {
    const { clock, database } = fixture
    const before = (await countEvents(database.reader)).onTheirWay
    const burst = (count: number) => did(count, { protocol: 'ecr', status: 400, error: 'AccessDeniedException', actor: user('stranger'), ip: '203.0.113.9' })
    clock.advance(hourMs - (clock.now() % hourMs) + minuteMs)
    await burst(700)
    expect(await look()).toEqual([])
    await burst(100)
    const [event, ...more] = await look()
    expect(more).toEqual([])
    expect(event!.detail).toMatchObject({
      unusual: 'REFUSALS', amount: 800, usual: 150, unit: 'Count',
      principals: [{ name: `${account}:user/stranger`, amount: 800 }],
      'source-networks': [{ name: '203.0.113.0/24', amount: 800 }],
    })
    // It goes on, in this hour and the next.
    await burst(10)
    clock.advance(hourMs)
    await burst(900)
    expect(await look()).toEqual([])
    clock.advance(2 * dayMs)
    await burst(4500)
    expect(await look()).toEqual([])
    await burst(1)
    expect((await look()).map(({ detail }) => detail)).toMatchObject([{ unusual: 'REFUSALS', amount: 4501, usual: 900 }])

    const records = await database.reader.query(database.reader.builder.selectFrom('audit_record').select(['resource', 'detail']).where('action', '=', 'UnusualUse'))
    expect(records).toHaveLength(2 + 5 + 2)
    expect(JSON.parse(records[0]!.detail)).toMatchObject({ unusual: 'NEW_PRINCIPAL' })
    expect((await countEvents(database.reader)).onTheirWay - before).toBe(2)
  })

  it('tells of pulls, bytes, pushes and deletions', async () => {
    await pulls(201, { bytesOut: 6 * 1024 ** 2 })
    await did(51, { name: 'PutImage', reads: false, status: 201 })
    await did(1, { name: 'BatchDeleteImage', reads: false, changes: [deletion(21)] })
    expect((await look()).map(({ detail }) => detail)).toMatchObject([
      { unusual: 'PULLS', amount: 201, usual: 31, principals: [{ name: `${account}:user/ci`, amount: 201 }] },
      { unusual: 'BYTES_OUT', amount: 201 * 6 * 1024 ** 2, unit: 'Bytes' },
      { unusual: 'PUSHES', amount: 51 },
      { unusual: 'DELETES', amount: 21, usual: 3 },
    ])
    expect(await look()).toEqual([])
  })

  it('is done by one server in a span of time, and by the next in the next', async () => {
    const { clock } = fixture
    clock.advance(everyMs - (clock.now() % everyMs))
    await pulls(1, { actor: user('late') })
    told = []
    await Promise.all([newWatch(false).look(), newWatch(false).look()])
    expect(told).toHaveLength(1)
    await pulls(1, { actor: user('later') })
    await newWatch(false).look()
    expect(told).toHaveLength(1)
    clock.advance(everyMs)
    await newWatch(false).look()
    expect(told).toHaveLength(2)
    expect(errors).toEqual([])
  })
})
