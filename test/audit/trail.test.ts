import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { forgetSealedChanges } from '../../src/audit/commands/sealed-changes.ts'
import { AuditTrail, Journal, type JournalRecord } from '../../src/audit/index.ts'
import { encodeLine, linesOf } from '../../src/audit/journal-record.ts'
import { removeOldEvents } from '../../src/audit/retention.ts'
import { Sealer } from '../../src/audit/sealer.ts'
import type { TrailQuery } from '../../src/audit/trail.ts'
import { chainHash, type TrailBody } from '../../src/audit/trail-record.ts'
import { verifyTrail } from '../../src/audit/verify-trail.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { commandContext } from '../../src/registry/index.ts'
import { readChain, readHead } from '../../src/storage/metadata/observe/audit-store.ts'
import { Session } from '../../src/storage/metadata/session.ts'
import { openObserveStore, observeTarget, prepareObserveStore, type ObserveStore } from '../../src/storage/metadata/observe/store.ts'
import { parseRepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const name = parseRepositoryName('audit/app')

let fixture: RegistryFixture
let store: ObserveStore
let folder: string

function record(n: number, more: Partial<JournalRecord> = {}): JournalRecord {
  return { id: systemIds.uuid(), at: Date.UTC(2026, 0, 1) + n, account: '000000000000', region: 'us-east-1', protocol: 'oci', source: 'ecr.amazonaws.com', name: 'BatchGetImage', reads: true, ip: '127.0.0.1', status: 200, ms: 1, ...more }
}

function segment(name: string, records: readonly JournalRecord[], tail = ''): void {
  writeFileSync(join(folder, name), [...records.map(encodeLine), tail].join(''))
}

function newSealer(more: Partial<ConstructorParameters<typeof Sealer>[0]> = {}): Sealer {
  return new Sealer({
    store,
    metadata: fixture.database.reader,
    folder,
    serverId: 'this',
    leftBehind: new Set(),
    now: () => fixture.clock.now(),
    forget: (ids) => fixture.database.execute(forgetSealedChanges, { ids }, commandContext(fixture.context)),
    onDamage: () => undefined,
    ...more,
  })
}

async function bodies(): Promise<TrailBody[]> {
  return (await readChain(store.reader, 0, 1000)).map(({ body }) => JSON.parse(body) as TrailBody)
}

/** Changes something in a request of that id. */
async function change(requestId: string): Promise<void> {
  await fixture.registry.putTagMutability({ ...fixture.context, requestId }, name, 'IMMUTABLE', [])
}

async function start(kind: (typeof databases)[number]): Promise<void> {
  fixture = await startRegistry(kind)
  const target = observeTarget(fixture.dataDir, fixture.target)
  await prepareObserveStore(target)
  store = openObserveStore(target, { connections: 1, readOnly: false })
  await fixture.registry.createRepository({ ...fixture.context, requestId: systemIds.uuid() }, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stowage-audit-'))
})
afterEach(async () => {
  await store.close()
  await fixture.stop()
  rmSync(folder, { recursive: true })
})

describe.each(databases)('sealing on %s', (kind) => {
  beforeEach(() => start(kind))

  it('makes one record of a request and what it changed, however often it is done', async () => {
    const read = record(1)
    const write = record(2, { name: 'PutImage', reads: false })
    await change(write.id)
    await change(write.id)
    segment('a.lines', [read, write])
    // As after a crash between the store's commit and what follows it.
    await expect(newSealer({ forget: () => Promise.reject(new Error('killed')) }).sealSegments()).rejects.toThrow('killed')
    expect(readdirSync(folder)).toEqual(['a.lines'])
    await newSealer().sealSegments()
    segment('b.lines', [write, read])
    await newSealer().sealSegments()
    fixture.clock.advance(3_600_000)
    await newSealer().sealLoneChanges()

    // The repository was made in a request without a line.
    const sealed = (await bodies()).filter((body) => !('kind' in body && body.change.action === 'CreateRepository'))
    expect(sealed.map(({ id }) => id)).toEqual([read.id, write.id])
    expect(sealed[1]).toMatchObject({ changes: [{ action: 'PutImageTagMutability' }, { action: 'PutImageTagMutability' }] })
    expect(readdirSync(folder)).toEqual([])
    expect(await fixture.database.reader.query(fixture.database.reader.builder.selectFrom('audit_record').select('id').where('request_id', '=', write.id))).toEqual([])
  })

  it('makes a record of a change whose request never came, after a minute, once', async () => {
    const id = systemIds.uuid()
    await change(id)
    await newSealer().sealLoneChanges()
    const before = await bodies()
    expect(before.some((body) => 'kind' in body && body.requestId === id)).toBe(false)
    fixture.clock.advance(61_000)
    await expect(newSealer({ forget: () => Promise.reject(new Error('killed')) }).sealLoneChanges()).rejects.toThrow('killed')
    await newSealer().sealLoneChanges()

    const own = (await bodies()).filter((body) => 'kind' in body && body.requestId === id)
    expect(own).toHaveLength(1)
    // The line comes after all: a record of its own, without what is told already.
    segment('late.lines', [record(3, { id, name: 'PutImageTagMutability', reads: false })])
    await newSealer().sealSegments()
    expect((await bodies()).filter((body) => body.id === id)).toMatchObject([{ name: 'PutImageTagMutability' }])
    expect(await verifyTrail(store.reader)).toMatchObject({ findings: [] })
  })

  it('leaves what a server still writes to, keeps what it cannot read, and reads what was left', async () => {
    const [own, others, left, torn] = [record(1), record(2), record(3), record(4)]
    segment('this.1.open', [own])
    segment('other.1.open', [others])
    segment('gone.1.open', [left])
    segment('gone.2.open', [torn], encodeLine(record(5)).slice(0, 90))
    const damage: { file: string; lines: number }[] = []
    await newSealer({ now: Date.now, leftBehind: new Set(['gone.1.open', 'gone.2.open']), onDamage: (found) => damage.push(found) }).sealSegments()

    expect((await bodies()).map(({ id }) => id).toSorted()).toEqual([left.id, torn.id].toSorted())
    expect(readdirSync(folder).toSorted()).toEqual(['gone.2.open.damaged', 'other.1.open', 'this.1.open'])
    expect(damage).toEqual([{ file: join(folder, 'gone.2.open.damaged'), lines: 1 }])
    await newSealer({ now: () => Date.now() + 3_600_000 }).sealSegments()
    expect(readdirSync(folder).toSorted()).toEqual(['gone.2.open.damaged', 'this.1.open'])
  })

  it('lets several servers seal the same segments at once', async () => {
    const records = Array.from({ length: 300 }, (_, n) => record(n))
    segment('a.lines', records)
    segment('b.lines', records.toReversed())
    const others = kind === 'postgres' ? [openObserveStore(observeTarget(fixture.dataDir, fixture.target), { connections: 1, readOnly: false })] : []
    await Promise.all([newSealer(), ...others.map((other) => newSealer({ store: other }))].map((sealer) => sealer.sealSegments()))
    await Promise.all(others.map((other) => other.close()))
    expect(new Set((await bodies()).map(({ id }) => id)).size).toBe(300)
    expect(await verifyTrail(store.reader)).toMatchObject({ records: 300, end: { seq: 300 }, findings: [] })
  })

  it('finds records that were changed, removed, moved or filed under another name, and an end that was cut off', async () => {
    segment('a.lines', Array.from({ length: 10 }, (_, n) => record(n, { repository: `r${n}` })))
    await newSealer().sealSegments()
    const { end } = await verifyTrail(store.reader)
    const tamper = async (sql: string, ...values: (string | number | Uint8Array)[]): Promise<void> => {
      if (kind === 'postgres') return fixture.tamper(sql.replaceAll('audit_', 'stowage_observe.audit_'), ...values)
      const { DatabaseSync } = await import('node:sqlite')
      const database = new DatabaseSync(join(fixture.dataDir, 'observe.db'))
      database.prepare(sql).run(...values)
      database.close()
    }
    const found = async () => (await verifyTrail(store.reader, { kept: end })).findings.map(({ seq, kind: what }) => `${seq} ${what}`)
    const rows = await readChain(store.reader, 0, 10)
    const bodyOf = (seq: number): string => rows[seq - 1]!.body

    expect(await found()).toEqual([])
    await tamper('update audit_event set body = ? where seq = 3', bodyOf(3).replace('127.0.0.1', '10.0.0.1'))
    expect(await found()).toEqual(['3 changed'])
    await tamper('update audit_event set body = ? where seq = 3', bodyOf(4))
    await tamper('update audit_event set body = ? where seq = 4', bodyOf(3))
    expect(await found()).toEqual(['3 changed', '3 index', '4 changed', '4 index'])
    await tamper('update audit_event set body = ? where seq = 3', bodyOf(3))
    await tamper('update audit_event set body = ? where seq = 4', bodyOf(4))
    expect(await found()).toEqual([])
    await tamper('update audit_event set read_only = 0 where seq = 5')
    expect(await found()).toEqual(['5 index'])
    await tamper('update audit_event set read_only = 1 where seq = 5')
    await tamper('delete from audit_event where seq in (6, 7)')
    expect(await found()).toEqual(['6 missing'])
    await tamper('delete from audit_event where seq > 8')
    expect(await found()).toEqual(['6 missing', '9 end', '10 end'])
    // Whoever moves the head too is found by what was kept elsewhere alone.
    await tamper('update audit_head set seq = ?, hash = ?', 8, rows[7]!.hash)
    expect(await found()).toEqual(['6 missing', '10 end'])
  })

  it('finds a whole new chain by an end that was kept elsewhere', async () => {
    segment('a.lines', [record(1), record(2)])
    await newSealer().sealSegments()
    const { end } = await verifyTrail(store.reader)
    await store.transaction(async (tx) => {
      let hash: Uint8Array = new Uint8Array(32)
      for (const { seq, body } of await readChain(tx, 0, 10)) {
        const forged = body.replace('127.0.0.1', '10.0.0.1')
        hash = chainHash(hash, seq, forged)
        const place = tx.dialect === 'postgres' ? 'stowage_observe.' : ''
        const marks = tx.dialect === 'postgres' ? ['$1', '$2', '$3'] : ['?', '?', '?']
        await tx.query({ compile: () => ({ sql: `update ${place}audit_event set body = ${marks[0]}, hash = ${marks[1]} where seq = ${marks[2]}`, parameters: [forged, hash, seq] }), execute: () => Promise.resolve([]) })
        await tx.query({ compile: () => ({ sql: `update ${place}audit_head set hash = ${marks[0]}`, parameters: [hash] }), execute: () => Promise.resolve([]) })
      }
    })
    expect((await verifyTrail(store.reader)).findings).toEqual([])
    expect((await verifyTrail(store.reader, { kept: end })).findings).toMatchObject([{ kind: 'changed' }])
  })

  it('removes what is too old from the beginning on, and the rest is still a chain', async () => {
    segment('a.lines', Array.from({ length: 10 }, (_, n) => record(n * 86_400_000)))
    await newSealer().sealSegments()
    const { end } = await verifyTrail(store.reader)
    expect(await removeOldEvents(store, 5 * 86_400_000, Date.UTC(2026, 0, 10))).toBe(4)
    expect(await readHead(store.reader)).toMatchObject({ seq: 10, cutSeq: 4 })
    expect(await verifyTrail(store.reader, { kept: end })).toMatchObject({ records: 6, cutSeq: 4, findings: [] })
    expect(await removeOldEvents(store, 86_400_000, Date.UTC(2027, 0, 1))).toBe(6)
    segment('b.lines', [record(11)])
    await newSealer().sealSegments()
    expect(await verifyTrail(store.reader, { kept: end })).toMatchObject({ records: 1, cutSeq: 10, findings: [] })
  })
})

describe.each(databases)('look-ups on %s', (kind) => {
  beforeEach(() => start(kind))

  it('find what they ask for among many records, by the index that has it in order', async () => {
    const account = '000000000000'
    const records = Array.from({ length: 431 }, (_, n) =>
      record(n, {
        name: n % 2 === 0 ? 'BatchGetImage' : 'DescribeImages',
        repository: `team/app-${n % 7}`,
        actor: { arn: `arn:aws:iam::${account}:user/user-${n % 5}`, account, kind: 'user', userId: `AIDA${n % 5}`, keyId: `AKIA${n % 3}` },
      }),
    )
    segment('a.lines', records)
    await newSealer().sealSegments()
    const plans: string[] = []
    const { reader } = store
    const watched = new Session({
      dialect: reader.dialect,
      async run(sql, values) {
        if (kind === 'sqlite' && sql.includes('audit_event')) {
          const explained = await reader.query<{ detail: string }>({ compile: () => ({ sql: `explain query plan ${sql}`, parameters: values }), execute: () => Promise.resolve([]) })
          plans.push(explained.map(({ detail }) => detail).join('; '))
        }
        return { rows: await reader.query({ compile: () => ({ sql, parameters: values }), execute: () => Promise.resolve([]) }), affected: 0 }
      },
    })
    const trail = new AuditTrail(watched)
    const expectFound = async (attribute: TrailQuery['attribute'], index: string, isMeant: (n: number) => boolean): Promise<void> => {
      plans.length = 0
      const found: string[] = []
      let after: string | undefined
      do {
        const page = await trail.lookUp({ account, region: 'us-east-1', attribute, from: Date.UTC(2026, 0, 1) + 10, until: Date.UTC(2026, 0, 1) + 420, after, limit: 50 })
        found.push(...page.events.map(({ id }) => id))
        after = page.next
      } while (after !== undefined)
      expect(found).toEqual(records.filter((_, n) => n >= 10 && n <= 420 && isMeant(n)).map(({ id }) => id).reverse())
      if (kind === 'sqlite') for (const plan of plans) expect(plan).toMatch(new RegExp(`^SEARCH audit_event USING INDEX ${index} \\([^;]*\\)$`, 'u'))
    }
    await expectFound(undefined, 'audit_event_trail', () => true)
    await expectFound({ key: 'EventName', value: 'DescribeImages' }, 'audit_event_name', (n) => n % 2 === 1)
    await expectFound({ key: 'ReadOnly', value: 'true' }, 'audit_event_reads', () => true)
    await expectFound({ key: 'Username', value: 'user-3' }, 'audit_event_user', (n) => n % 5 === 3)
    await expectFound({ key: 'AccessKeyId', value: 'AKIA2' }, 'audit_event_key', (n) => n % 3 === 2)
    await expectFound({ key: 'ResourceName', value: 'team/app-6' }, 'audit_event_resource', (n) => n % 7 === 6)
    await expectFound({ key: 'ResourceType', value: 'AWS::ECR::Repository' }, 'audit_event_type', () => true)
    await expectFound({ key: 'EventSource', value: 'ecr.amazonaws.com' }, 'audit_event_source', () => true)
    await expectFound({ key: 'EventId', value: records[77]!.id }, 'audit_event_id', (n) => n === 77)
  })
})

describe('the journal', () => {
  beforeEach(() => start('sqlite'))

  it('has a line when it was noted, and keeps those that cannot be written until they can', async () => {
    const dir = join(folder, 'journal')
    const told: string[] = []
    const journal = new Journal({ folder: dir, serverId: 'this', isRequired: true, onSegment: () => told.push('segment'), onFailure: () => told.push('failure'), onRecovery: (lost) => told.push(`recovery ${lost}`) })
    const written = [record(1), record(2, { message: 'v1.key.' + 'a'.repeat(43) })]
    for (const each of written) journal.note(each)
    // Who waits for a line goes on with the line on the file.
    const atWrite: boolean[] = []
    journal.whenWritten(() => atWrite.push(readdirSync(dir).length > 0))
    expect(atWrite).toEqual([])
    await new Promise((resolve) => setImmediate(resolve))
    expect(atWrite).toEqual([true])
    const [name = ''] = readdirSync(dir)
    const lines = [...linesOf(readFileSync(join(dir, name)))]
    expect(lines.map((line) => line?.record.id)).toEqual(written.map(({ id }) => id))
    // What opens a door is in no line.
    expect(lines[1]?.record.message).toBe('REDACTED')
    await journal.flush()
    expect(readdirSync(dir)).toEqual(['this.1.lines'])

    rmSync(dir, { recursive: true })
    const late = record(3)
    journal.note(late)
    journal.write()
    expect(journal.mustRefuse).toBe(true)
    const { mkdirSync } = await import('node:fs')
    mkdirSync(dir)
    await expect.poll(() => journal.mustRefuse, { timeout: 5_000 }).toBe(false)
    await journal.stop()
    const [file = ''] = readdirSync(dir)
    expect([...linesOf(readFileSync(join(dir, file)))].map((line) => line?.record.id)).toEqual([late.id])
    expect(told).toEqual(['segment', 'failure', 'recovery 0', 'segment'])
  })
})
