import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Principal } from '../../src/iam/index.ts'
import { commandContext, type RequestContext } from '../../src/registry/index.ts'
import { compareWithLastStart, noteDoubtedSources, restoredMark } from '../../src/registry/commands/holds.ts'
import { findRepositoryVetoes, findVetoes, registryHolds, vetoText } from '../../src/registry/protection/index.ts'
import { createProtections, type Protections } from '../../src/registry/protection/protections.ts'
import { createUsageSources, type LeaseReport, type UsageSources } from '../../src/registry/usage/usage-sources.ts'
import { findManifestRow } from '../../src/storage/metadata/stores/manifest-store.ts'
import { findRepositoryRow, type RepositoryRow } from '../../src/storage/metadata/stores/repository-store.ts'
import { digestFromBytes, digestOf, mediaTypes, parseAccountId, parseRepositoryName, parseTag, type Digest } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const name = parseRepositoryName('run/app')
const account = parseAccountId('000000000000')
const minuteMs = 60_000

function principal(arn: string): Principal {
  return { arn, accountId: account, kind: 'assumed-role', userId: 'AROAEXAMPLE:pod', accessKeyId: 'ASIAEXAMPLE' }
}
const agent = `arn:aws:iam::${account}:role/cluster/Agent`
const agentPod = principal(`arn:aws:sts::${account}:assumed-role/Agent/pod-1`)

describe.each(databases)('what runs, on %s', (kind) => {
  let fixture: RegistryFixture
  let sources: UsageSources
  let protections: Protections
  let repository: RepositoryRow
  let reporting: RequestContext
  let serial = 0
  let source: string
  let number: number

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    sources = createUsageSources(fixture)
    protections = createProtections(fixture)
    reporting = { ...fixture.context, actor: agentPod }
    await fixture.registry.createRepository(fixture.context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
    const row = await findRepositoryRow(fixture.database.reader, fixture.context.registry.id, name)
    if (row === undefined) throw new Error('the repository was just made')
    repository = row
  })
  afterAll(() => fixture.stop())

  beforeEach(async () => {
    for (const { name: old, status } of (await sources.list(fixture.context, { limit: 1000 })).items) {
      if (status !== 'decommissioned') await sources.decommission(fixture.context, old, 'the next test')
    }
    await releaseAll()
    source = `cluster-${(serial += 1)}`
    number = 0
    await sources.register(fixture.context, source, {
      principalArn: agent,
      kind: 'kubernetes',
      environment: 'prod',
      scope: ['run/*'],
      intervalMs: 10 * minuteMs,
      shrinkPercent: 50,
    })
  })

  async function releaseAll(): Promise<void> {
    for (const { id } of await registryHolds(fixture.database.reader, fixture.context.registry.id)) await protections.releaseHold(fixture.context, id, 'the test goes on')
  }
  async function push(manifest: object, tag?: string): Promise<Digest> {
    const bytes = Buffer.from(JSON.stringify(manifest))
    const { mediaType } = manifest as { mediaType: string }
    const reference = tag === undefined ? { kind: 'digest' as const, digest: digestOf(bytes) } : { kind: 'tag' as const, tag: parseTag(tag) }
    return (await fixture.registry.putManifest(fixture.context, name, { bytes, declaredMediaType: mediaType, reference, via: 'oci' })).digest
  }
  async function image(extra: object = {}): Promise<{ digest: Digest; config: Digest }> {
    const bytes = Buffer.from(JSON.stringify({ serial: (serial += 1) }))
    const config = await fixture.upload(name, bytes)
    const digest = await push({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: bytes.length },
      layers: [],
      ...extra,
    })
    return { digest, config }
  }
  const lease = (digest: Digest, more: Partial<LeaseReport> = {}): LeaseReport => ({
    digest,
    workload: 'shop/web',
    repositoryName: undefined,
    environment: undefined,
    until: undefined,
    ...more,
  })
  async function report(leases: readonly LeaseReport[], expected = leases.length) {
    const snapshot = { sourceName: source, number: (number += 1), writer: 'one' }
    await sources.begin(reporting, snapshot)
    if (leases.length > 0) await sources.put(reporting, snapshot, leases)
    return sources.complete(reporting, snapshot, expected)
  }
  async function vetoesOf(digest: Digest, mode: 'automatic' | 'by-hand' = 'by-hand', in_ = fixture): Promise<string> {
    const row = await findManifestRow(in_.database.reader, repository.id, digest)
    if (row === undefined) throw new Error('no such manifest')
    const vetoes = await findVetoes(in_.database.reader, repository, [row.id], fixture.clock.now(), { mode })
    return vetoText(vetoes.get(row.id) ?? [])
  }
  const doubt = async () => (await sources.get(fixture.context, source)).doubt

  it('holds an image by its digest, its config, its index or its child, and names the workload', async () => {
    const [leased, other] = [await image(), await image()]
    const index = await push({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ mediaType: mediaTypes.ociManifest, digest: leased.digest, size: 2 }],
      annotations: { of: source },
    })
    const { digest: signature } = await image({ subject: { mediaType: mediaTypes.ociIndex, digest: index, size: 2 } })
    for (const reported of [leased.digest, leased.config, index]) {
      await report([lease(reported), lease(reported, { workload: 'shop/worker' })])
      for (const held of [leased.digest, index, signature]) {
        expect(await vetoesOf(held), reported).toBe(`${reported} is in use by shop/web and 1 more (usage source '${source}', prod)`)
      }
      expect(await vetoesOf(other.digest)).toBe('')
    }
    expect(vetoText(await findRepositoryVetoes(fixture.database.reader, repository, fixture.clock.now(), { mode: 'by-hand' }))).toContain('is in use by shop/web')
    await report([lease(other.config)])
    expect(vetoText(await findRepositoryVetoes(fixture.database.reader, repository, fixture.clock.now(), { mode: 'by-hand' }))).toContain(other.config)
  })

  it('remembers when an image was last in use, by whichever of its digests it was reported', async () => {
    const [byConfig, byDigest, idle] = [await image(), await image(), await image()]
    await report([lease(byConfig.config), lease(byDigest.digest, { repositoryName: name })])
    const { reader } = fixture.database
    const used = await reader.query(reader.builder.selectFrom('digest_use').select(['repository', 'digest', 'last_used_at as at']).where('last_used_at', '=', fixture.clock.now()))
    const usedIn = (digest: Digest) => used.filter((row) => digestFromBytes(row.digest) === digest).map(({ repository: where }) => where)
    expect([usedIn(byConfig.digest), usedIn(byDigest.digest), usedIn(idle.digest)]).toEqual([[name], [name], []])
  })

  it('holds only in the repository that a lease names, and in the scope of its source', async () => {
    const { digest } = await image()
    await report([lease(digest, { repositoryName: 'run/other' })])
    expect(await vetoesOf(digest)).toBe('')
    await expect(report([lease(digest, { repositoryName: 'elsewhere/app' })])).rejects.toMatchObject({ code: 'parameter-invalid' })
    await report([lease(digest, { repositoryName: name })])
    expect(await vetoesOf(digest)).toContain('in use')
    await sources.update(fixture.context, source, { scope: ['other/*'] })
    expect(await vetoesOf(digest)).toBe('')
  })

  it('is replaced by a complete snapshot and by nothing less', async () => {
    const [before, after] = [await image(), await image()]
    await report([lease(before.digest)])
    await expect(report([lease(after.digest)], 2)).rejects.toMatchObject({ code: 'usage-snapshot-incomplete' })
    expect(await doubt()).toBe('incomplete')
    for (const { digest } of [before, after]) expect(await vetoesOf(digest)).toContain('in use')
    expect(await vetoesOf((await image()).digest, 'automatic')).toContain('not complete')

    // What was missing is sent, twice; and the count is right now.
    const snapshot = { sourceName: source, number, writer: 'one' }
    for (let time = 0; time < 2; time += 1) await sources.put(reporting, snapshot, [lease(after.digest, { workload: 'shop/two' })])
    expect(await sources.complete(reporting, snapshot, 2)).toMatchObject({ status: 'believed', leases: 2 })
    expect(await sources.complete(reporting, snapshot, 2)).toMatchObject({ status: 'believed', leases: 2 })
    expect(await vetoesOf(before.digest)).toBe('')
    expect(await vetoesOf(after.digest)).toContain('in use')
    expect(await vetoesOf(before.digest, 'automatic')).toBe('')
  })

  it('is told in order, by one writer, and by the principal of the source alone', async () => {
    const snapshot = { sourceName: source, number: 5, writer: 'one' }
    await sources.begin(reporting, snapshot)
    await sources.begin(reporting, snapshot)
    const { digest } = await image()
    for (const wrong of [{ ...snapshot, writer: 'two' }, { ...snapshot, number: 4 }]) {
      await expect(sources.begin(reporting, wrong)).rejects.toMatchObject({ code: 'usage-snapshot-conflict', detail: { lastSnapshotNumber: 5 } })
      await expect(sources.put(reporting, wrong, [lease(digest)])).rejects.toMatchObject({ code: 'usage-snapshot-conflict' })
      await expect(sources.complete(reporting, wrong, 0)).rejects.toMatchObject({ code: 'usage-snapshot-conflict' })
    }
    // The one that began later goes on; the other learns that it was given up.
    await sources.begin(reporting, { ...snapshot, number: 6, writer: 'two' })
    await expect(sources.put(reporting, snapshot, [lease(digest)])).rejects.toMatchObject({ code: 'usage-snapshot-conflict', message: expect.stringContaining('given up for 6') })
    expect(await vetoesOf(digest)).toBe('')
    for (const actor of [principal(`arn:aws:sts::${account}:assumed-role/Other/pod`), fixture.context.actor]) {
      await expect(sources.begin({ ...reporting, actor }, { ...snapshot, number: 7 })).rejects.toMatchObject({ code: 'access-denied' })
    }
  })

  it('goes on holding what a silent source last said, whatever its end, and everything against rules', async () => {
    const [leased, other] = [await image(), await image()]
    expect(await vetoesOf(other.digest, 'automatic')).toContain('has not reported yet')
    await report([lease(leased.digest, { until: fixture.clock.now() + minuteMs })])
    expect(await vetoesOf(other.digest, 'automatic')).toBe('')
    expect(await vetoesOf(leased.digest)).toContain('in use')
    fixture.clock.advance(2 * minuteMs)
    expect(await vetoesOf(leased.digest), 'ended, by a healthy source').toBe('')
    fixture.clock.advance(18 * minuteMs + 1)
    expect(await doubt()).toBe('silent')
    expect(await vetoesOf(leased.digest)).toContain('in use')
    expect(await vetoesOf(other.digest)).toBe('')
    expect(await vetoesOf(other.digest, 'automatic')).toContain('has not reported what runs for more than 2 of its intervals')

    const placed = { name: source, registryId: fixture.context.registry.id, accountId: account, region: fixture.context.registry.region }
    expect(await fixture.database.execute(noteDoubtedSources, { sources: [placed] }, commandContext(fixture.context))).toHaveLength(1)
    expect(await fixture.database.execute(noteDoubtedSources, { sources: [placed] }, commandContext(fixture.context))).toHaveLength(0)
    const [hold] = await registryHolds(fixture.database.reader, fixture.context.registry.id)
    expect(hold).toMatchObject({ cause: 'source', source: { name: source, scope: ['run/*'] } })
    // Somebody lets rules go on: what was last said to run is kept all the same.
    await protections.releaseHold(fixture.context, hold?.id ?? 0, 'the cluster is being moved')
    expect(await vetoesOf(other.digest, 'automatic')).toBe('')
    expect(await vetoesOf(leased.digest, 'automatic')).toContain('in use')
    await report([lease(other.digest)])
    expect(await vetoesOf(leased.digest, 'automatic')).toBe('')
    fixture.clock.advance(21 * minuteMs)
    expect(await vetoesOf(leased.digest, 'automatic'), 'doubted anew').toContain('has not reported')
  })

  it('doubts a snapshot that shrinks, until somebody accepts it', async () => {
    const images = [await image(), await image(), await image()]
    await report(images.map(({ digest }) => lease(digest)))
    const [kept, gone] = [images[0]!.digest, images[2]!.digest]
    expect(await report([lease(kept)])).toMatchObject({ status: 'doubted', leases: 1, previousLeases: 3, problem: '1 leases after 3: fewer by more than 50 %' })
    expect(await doubt()).toBe('shrunken')
    expect(await vetoesOf(gone)).toContain('in use')
    expect(await vetoesOf((await image()).digest, 'automatic')).toContain('suddenly reports much less')
    await expect(sources.accept(fixture.context, source, number - 1)).rejects.toMatchObject({ code: 'usage-snapshot-conflict' })
    await sources.accept(fixture.context, source, number)
    expect(await doubt()).toBeUndefined()
    expect(await vetoesOf(gone)).toBe('')
    expect(await vetoesOf(kept)).toContain('in use')
    expect(await registryHolds(fixture.database.reader, fixture.context.registry.id)).toEqual([])
  })

  it('believes what shrank once two more snapshots agree, each half an interval after the other; that nothing runs, never', async () => {
    const images = [await image(), await image(), await image()]
    await report(images.map(({ digest }) => lease(digest)))
    const less = [lease(images[0]!.digest)]
    expect(await report(less)).toMatchObject({ status: 'doubted' })
    for (let time = 0; time < 4; time += 1) expect(await report(less), 'at once').toMatchObject({ status: 'doubted' })
    fixture.clock.advance(5 * minuteMs)
    expect(await report(less)).toMatchObject({ status: 'doubted' })
    expect(await report(less)).toMatchObject({ status: 'doubted' })
    fixture.clock.advance(5 * minuteMs)
    expect(await report(less)).toMatchObject({ status: 'believed' })
    expect(await vetoesOf(images[2]!.digest)).toBe('')

    for (let time = 0; time < 5; time += 1) {
      fixture.clock.advance(5 * minuteMs)
      expect(await report([])).toMatchObject({ status: 'doubted' })
    }
    expect(await vetoesOf(images[0]!.digest)).toContain('in use')
  })

  it('ends with its source when that is decommissioned, which leaves a record', async () => {
    const { digest } = await image()
    await report([lease(digest)])
    fixture.clock.advance(60 * minuteMs)
    expect(await vetoesOf(digest, 'automatic')).not.toBe('')
    await sources.decommission(fixture.context, source, 'the cluster is gone')
    expect(await vetoesOf(digest, 'automatic')).toBe('')
    await expect(report([])).rejects.toMatchObject({ code: 'usage-source-unknown' })
    const { builder } = fixture.database.reader
    const records = await fixture.database.reader.query(builder.selectFrom('audit_record').select(['action', 'detail']).where('action', '=', 'DecommissionUsageSource').orderBy('id', 'desc').limit(1))
    expect(records.map(({ detail }) => JSON.parse(detail) as unknown)).toEqual([expect.objectContaining({ sourceName: source, reason: 'the cluster is gone', leases: 1 })])
  })

  describe('a hold', () => {
    const start = (wallMs: number, uptimeMs: number, more: { schema?: string; bootId?: string } = {}) =>
      fixture.database.execute(
        compareWithLastStart,
        { schema: more.schema ?? 'this', clock: { wallMs, uptimeMs, bootId: more.bootId ?? 'boot' } },
        { ...commandContext(fixture.context), nowMs: wallMs },
      )
    const none = { restore: 0, migration: 0, clock: 0 }

    it('placed by hand stops rules everywhere until it is released by hand', async () => {
      const { digest } = await image()
      await report([])
      const id = await protections.placeHold(fixture.context, 'an incident')
      await report([])
      expect(await vetoesOf(digest, 'automatic')).toContain(`(hold ${id}, operator): an incident`)
      expect(await vetoesOf(digest)).toBe('')
      await protections.releaseHold(fixture.context, id, 'over')
      expect(await vetoesOf(digest, 'automatic')).toBe('')
      await expect(protections.releaseHold(fixture.context, id, 'over')).rejects.toMatchObject({ code: 'hold-unknown' })
      const { items } = await protections.listHolds(fixture.context, { released: true, page: { limit: 1 } })
      expect(items).toMatchObject([{ id, released: { reason: 'over' } }])
    })

    it('is raised by a start on a database that was restored or had another version, and ends with news from every source', async () => {
      const { digest } = await image()
      await report([lease(digest)])
      const now = (): number => fixture.clock.now()
      await start(now(), 0)
      await releaseAll()
      expect(await start(now(), 0)).toEqual(none)
      await fixture.tamper(`insert into setting (name, value) values (?, 'the point p1')`, restoredMark)
      expect(await start(now(), 0, { schema: 'next' })).toEqual({ restore: 1, migration: 1, clock: 0 })
      expect(await start(now(), 0, { schema: 'next' }), 'and again').toEqual(none)
      expect(await vetoesOf(digest, 'automatic')).toContain('the database was restored from the point p1')

      await report([lease(digest)])
      expect(await vetoesOf((await image()).digest, 'automatic'), 'begun in the same moment').toContain('on hold')
      fixture.clock.advance(1)
      await sources.register(fixture.context, 'second', { principalArn: agent, kind: 'script', environment: 'e', scope: ['*'], intervalMs: 10 * minuteMs, shrinkPercent: 50 })
      await report([lease(digest)])
      expect(await vetoesOf((await image()).digest, 'automatic'), 'the second is missing').toContain('on hold')
      const snapshot = { sourceName: 'second', number: 1, writer: 'x' }
      await sources.begin(reporting, snapshot)
      await sources.complete(reporting, snapshot, 0)
      expect(await vetoesOf((await image()).digest, 'automatic')).toBe('')
      expect(await registryHolds(fixture.database.reader, fixture.context.registry.id)).toEqual([])
    })

    it('is raised by a clock that was set, and no lease ends while it lasts', async () => {
      const { digest } = await image()
      await report([lease(digest, { until: fixture.clock.now() + minuteMs })])
      const now = fixture.clock.now()
      await start(now, 1000)
      await releaseAll()
      expect(await start(now + 3_600_000, 1000 + 3_600_000), 'an hour later').toEqual(none)
      expect(await start(now + 30 * 24 * 3_600_000, 0, { bootId: 'next' }), 'switched off for a month').toEqual(none)
      expect(await start(now + 30 * 24 * 3_600_000 - 6 * minuteMs, 1, { bootId: 'third' })).toEqual({ ...none, clock: 1 })
      fixture.clock.advance(2 * minuteMs)
      expect(await vetoesOf(digest)).toContain('in use')
      const [hold] = await registryHolds(fixture.database.reader, fixture.context.registry.id)
      expect(hold).toMatchObject({ cause: 'clock', reason: 'since the server last ran the clock was set back by about 6 minutes' })
      await protections.releaseHold(fixture.context, hold?.id ?? 0, 'seen')
      expect(await vetoesOf(digest)).toBe('')
      expect(await start(now + 60 * 24 * 3_600_000, 2, { bootId: 'third' })).toEqual({ ...none, clock: 1 })
    })
  })
})
