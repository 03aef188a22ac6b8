import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { reinstateBlob } from '../../src/integrity/commands/locations.ts'
import type { VerifyProgress } from '../../src/integrity/index.ts'
import { commandContext } from '../../src/registry/index.ts'
import { walkLocations } from '../../src/storage/metadata/stores/integrity-walk.ts'
import { digestToBytes, mediaTypes, parseRepositoryName, parseTag } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'
import {
  bytesFrom,
  createRepository,
  damages,
  fileOf,
  plantSmallBlobs,
  pushImage,
  putManifest,
  runVerify,
  statesOf,
} from './installation.ts'

const repository = 'verify/app'

describe.each(databases)('verify on %s', (kind) => {
  let fixture: RegistryFixture

  beforeEach(async () => {
    fixture = await startRegistry(kind)
    await createRepository(fixture, repository)
  })
  afterEach(() => fixture.stop())

  it('finds nothing wrong with an installation in order, having looked at all of it', async () => {
    const one = await pushImage(fixture, repository, 'one', '1')
    await pushImage(fixture, repository, 'two', '2')
    await putManifest(
      fixture,
      repository,
      'index',
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: mediaTypes.ociIndex,
          manifests: [{ mediaType: mediaTypes.ociManifest, digest: one.digest, size: 100 }],
        }),
      ),
    )
    await fixture.upload(repository, Buffer.alloc(0))

    const { report, findings } = await runVerify(fixture)

    expect(findings).toEqual([])
    expect(report).toMatchObject({
      isComplete: true,
      counts: { tags: 3, manifests: 3, blobs: 5, hashedBlobs: 5, quarantined: 0, reinstated: 0, findings: {} },
    })
    expect(report.counts.bytesRead).toBeGreaterThan(2 * one.layerBytes.length)
  })

  describe.each([
    { damage: 'flip', found: 'blob-corrupt' },
    { damage: 'zero', found: 'blob-corrupt' },
    { damage: 'truncate', found: 'blob-wrong-size' },
    { damage: 'remove', found: 'blob-missing' },
  ] as const)('a file damaged by "$damage"', ({ damage, found }) => {
    it('is reported with whom it concerns, quarantined once, and healed by a push', async () => {
      await pushImage(fixture, repository, 'sound', 'sound')
      const image = await pushImage(fixture, repository, 'bad', 'bad')
      damages[damage](await fileOf(fixture, image.layer))

      const first = await runVerify(fixture)
      const second = await runVerify(fixture)

      expect(first.findings).toMatchObject([
        { kind: found, digest: image.layer, usedBy: [`${repository}@${image.digest}`], quarantined: true },
      ])
      expect(first.report.counts).toMatchObject({ quarantined: 1, findings: { [found]: 1 } })
      expect(await statesOf(fixture, image.layer)).toEqual(['quarantined'])
      expect(second.findings).toMatchObject([{ kind: 'blob-quarantined', digest: image.layer }])
      expect(second.report.counts.quarantined).toBe(0)

      await fixture.upload(repository, image.layerBytes)

      expect((await runVerify(fixture)).findings).toEqual([])
      expect(await statesOf(fixture, image.layer)).toEqual(['quarantined', 'active'])
    })
  })

  it('changes nothing where it may only look', async () => {
    const image = await pushImage(fixture, repository, 'bad', 'bad')
    damages.flip(await fileOf(fixture, image.layer))

    const { findings } = await runVerify(fixture, { repair: false })

    expect(findings).toMatchObject([{ kind: 'blob-corrupt', quarantined: false }])
    expect(await statesOf(fixture, image.layer)).toEqual(['active'])
  })

  it.each([
    ['images', 'image_count = image_count - 1', { notedImages: 0 }],
    ['bytes', 'logical_bytes = logical_bytes + 7', { notedImages: 1 }],
  ])('tells of a sum of %s that is wrong, and notes the right one where it may', async (_what, damage, { notedImages }) => {
    await createRepository(fixture, 'verify/before')
    await pushImage(fixture, 'verify/before', 'fine', 'fine')
    await pushImage(fixture, repository, 'counted', 'counted')
    await createRepository(fixture, 'verify/empty')
    await fixture.tamper(`update repository set ${damage} where name = '${repository}'`)

    const watched = await runVerify(fixture, { repair: false })
    const mended = await runVerify(fixture)

    const told = { kind: 'sums-wrong', repository, detail: expect.stringMatching(new RegExp(`^it has 1 images of \\d+ bytes, and ${notedImages} images of`)) as string }
    expect(watched.findings).toMatchObject([{ ...told, corrected: false, remedy: expect.stringContaining('stowage verify') as string }])
    expect(mended.findings).toMatchObject([{ ...told, corrected: true }])
    expect(mended.report.counts.findings).toEqual({ 'sums-wrong': 1 })
    expect((await runVerify(fixture, { repair: false })).findings).toEqual([])
  })

  it('puts a blob back into service that was quarantined and is whole', async () => {
    const image = await pushImage(fixture, repository, 'fine', 'fine')
    await fixture.tamper(`update blob_location set state = 'quarantined'`)

    const watched = await runVerify(fixture, { repair: false })
    const { report, findings } = await runVerify(fixture)

    expect(watched.findings.map((finding) => finding.kind)).toEqual(['blob-quarantined', 'blob-quarantined'])
    expect(findings).toEqual([])
    expect(report.counts.reinstated).toBe(2)
    expect(await statesOf(fixture, image.layer)).toEqual(['active'])
  })

  it('mends the checksums of a blob whose bytes are right, so that it can be read again', async () => {
    const image = await pushImage(fixture, repository, 'fine', 'fine')
    const read = async (): Promise<Buffer> => {
      const { content } = await fixture.registry.openBlob(fixture.context, parseRepositoryName(repository), image.layer)
      const parts: Buffer[] = []
      try {
        for await (const part of content.read()) parts.push(part)
      } finally {
        await content.close()
      }
      return Buffer.concat(parts)
    }
    await fixture.tamper('update blob_checksum set checksums = ?', Buffer.alloc(4))
    await expect(read()).rejects.toMatchObject({ code: 'blob-corrupt' })
    expect(await statesOf(fixture, image.layer)).toEqual(['quarantined'])

    expect((await runVerify(fixture)).report.counts.reinstated).toBe(1)

    expect((await read()).equals(image.layerBytes)).toBe(true)
    expect((await runVerify(fixture)).findings).toEqual([])
  })

  it('leaves a quarantined place alone when the blob was given other bytes', async () => {
    const image = await pushImage(fixture, repository, 'fine', 'fine')
    await fixture.tamper(`update blob_location set state = 'quarantined'`)
    await fixture.upload(repository, image.layerBytes)

    expect((await runVerify(fixture)).report.counts.reinstated).toBe(1)
    expect(await statesOf(fixture, image.layer)).toEqual(['quarantined', 'active'])
  })

  it('does not take a store that is not there for blobs that are lost', async () => {
    const image = await pushImage(fixture, repository, 'kept', 'kept')
    const shard = join(fixture.dataDir, 'blobs/default')
    renameSync(shard, `${shard}-elsewhere`)

    const { findings } = await runVerify(fixture)

    expect(findings).toMatchObject([
      { kind: 'blob-missing', quarantined: false },
      { kind: 'blob-missing', quarantined: false },
    ])
    expect(await statesOf(fixture, image.layer)).toEqual(['active'])
    renameSync(`${shard}-elsewhere`, shard)
    expect((await runVerify(fixture)).findings).toEqual([])
  })

  it('reports a manifest whose bytes are wrong or gone', async () => {
    const corrupt = await pushImage(fixture, repository, 'corrupt', '1')
    const gone = await pushImage(fixture, repository, 'gone', '2')
    const idOf = `(select id from manifest where digest = ?)`
    await fixture.tamper(
      `update manifest_payload set payload = ? where manifest_id = ${idOf}`,
      Buffer.from('{}'),
      digestToBytes(corrupt.digest),
    )
    await fixture.tamper(`delete from manifest_payload where manifest_id = ${idOf}`, digestToBytes(gone.digest))

    const { findings } = await runVerify(fixture)

    expect(findings).toMatchObject([
      { kind: 'manifest-corrupt', repository, digest: corrupt.digest },
      { kind: 'manifest-missing', repository, digest: gone.digest },
    ])
  })

  it('reports a tag that points at nothing, at trash, or into another repository', async () => {
    await createRepository(fixture, 'verify/other')
    const other = await pushImage(fixture, 'verify/other', 'fine', 'other')
    for (const [tag, seed] of [['nothing', '1'], ['trash', '2'], ['across', '3'], ['fine', '4']] as const) {
      await pushImage(fixture, repository, tag, seed)
    }
    await fixture.tamper(`update tag set manifest_id = 999999 where name = 'nothing'`)
    await fixture.tamper(`update manifest set trashed_at = 1 where id = (select manifest_id from tag where name = 'trash')`)
    await fixture.tamper(
      `update tag set manifest_id = (select id from manifest where digest = ?) where name = 'across'`,
      digestToBytes(other.digest),
    )

    const { findings } = await runVerify(fixture)

    expect(findings.map(({ kind: found, repository: place, tag = '' }) => `${found} ${place}:${tag}`).sort()).toEqual([
      // What went into the trash was not subtracted.
      `sums-wrong ${repository}:`,
      `tag-dangling ${repository}:across`,
      `tag-dangling ${repository}:nothing`,
      `tag-dangling ${repository}:trash`,
    ])
  })

  it('reports what a living manifest names and its repository has not', async () => {
    const hidden = await pushImage(fixture, repository, 'hidden', '1')
    const lost = await pushImage(fixture, repository, 'lost', '2')
    const child = await pushImage(fixture, repository, 'child', '3')
    await putManifest(
      fixture,
      repository,
      'index',
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: mediaTypes.ociIndex,
          manifests: [{ mediaType: mediaTypes.ociManifest, digest: child.digest, size: 100 }],
        }),
      ),
    )
    const trashed = await pushImage(fixture, repository, 'trashed', '4')
    await fixture.registry.deleteImages(fixture.context, parseRepositoryName(repository), [{ tag: parseTag('trashed') }])
    const blobOf = `(select id from blob where digest = ?)`
    await fixture.tamper(`delete from repository_blob where blob_id = ${blobOf}`, digestToBytes(hidden.layer))
    for (const { layer } of [lost, trashed]) {
      await fixture.tamper(`update blob_location set state = 'deleting' where blob_id = ${blobOf}`, digestToBytes(layer))
    }
    await fixture.tamper(`update manifest set trashed_at = 1 where digest = ?`, digestToBytes(child.digest))

    const { findings } = await runVerify(fixture)

    const dangling = findings.filter((finding) => finding.kind === 'reference-dangling')
    expect(dangling.map((finding) => finding.reference)).toEqual([hidden.layer, lost.layer, child.digest])
    expect(dangling[0]?.digest).toBe(hidden.digest)
  })

  it('takes nothing for lost that is collected while it looks', async () => {
    await pushImage(fixture, repository, 'kept', 'kept')
    const collected = await fixture.upload(repository, bytesFrom('collected', 1000))
    const file = await fileOf(fixture, collected)
    const blobOf = '(select id from blob where digest = ?)'
    let turns = 0

    const { report, findings } = await runVerify(fixture, {
      bytesPerSecond: 1_000_000_000,
      // One at a time, and this one last: its row was read, its file was seen, and then both go.
      yieldTurn: async () => {
        turns += 1
        if (turns < 3) return
        await fixture.tamper(`delete from repository_blob where blob_id = ${blobOf}`, digestToBytes(collected))
        await fixture.tamper(`delete from blob_location where blob_id = ${blobOf}`, digestToBytes(collected))
        damages.remove(file)
      },
    })

    expect(turns).toBe(3)
    expect(findings).toEqual([])
    expect(report.counts).toMatchObject({ blobs: 3, quarantined: 0 })
  })

  it('reads only what was stored after a place, and compares the sizes of all', async () => {
    const old = await pushImage(fixture, repository, 'old', 'old')
    const before = await runVerify(fixture)
    const afterLocationId = before.report.position.phase === 'blobs' ? before.report.position.id : -1
    const fresh = await pushImage(fixture, repository, 'new', 'new')
    damages.flip(await fileOf(fixture, old.layer))
    damages.truncate(await fileOf(fixture, old.config))
    damages.flip(await fileOf(fixture, fresh.layer))

    const { report, findings } = await runVerify(fixture, { hash: { afterLocationId } })

    expect(findings.map(({ kind: found, digest }) => [found, digest])).toEqual([
      ['blob-wrong-size', old.config],
      ['blob-corrupt', fresh.layer],
    ])
    expect(report.counts).toMatchObject({ blobs: 4, hashedBlobs: 2 })
  })

  it('goes on where it was stopped, wherever that was, and counts everything once', async () => {
    for (let n = 0; n < 4; n += 1) await pushImage(fixture, repository, `t${n}`, `${n}`)
    const bad = await pushImage(fixture, repository, 'bad', 'bad')
    damages.flip(await fileOf(fixture, bad.layer))
    const whole = await runVerify(fixture, { repair: false })

    let resume: VerifyProgress | undefined
    let isComplete = false
    let runs = 0
    for (; !isComplete; runs += 1) {
      const stop = new AbortController()
      let steps = 0
      const { report } = await runVerify(fixture, {
        repair: false,
        resume,
        signal: stop.signal,
        // One step a run: it must get ahead all the same.
        onProgress: () => {
          steps += 1
          if (steps === 1) stop.abort()
        },
      })
      isComplete = report.isComplete
      // As it would come back from a file.
      resume = JSON.parse(JSON.stringify({ position: report.position, counts: report.counts })) as VerifyProgress
    }

    expect(runs).toBeGreaterThan(10)
    expect(resume).toEqual({ position: whole.report.position, counts: whole.report.counts })
    expect(whole.report.counts.findings).toEqual({ 'blob-corrupt': 1 })
  })

  it('counts once what a stopped run found and did not get past', async () => {
    await pushImage(fixture, repository, 'one', '1')
    await pushImage(fixture, repository, 'two', '2')
    await fixture.tamper('update manifest_payload set payload = ?', Buffer.from('{}'))
    const stop = new AbortController()

    const first = await runVerify(fixture, { signal: stop.signal, onFinding: () => stop.abort() })
    const { position, counts } = first.report
    const second = await runVerify(fixture, { resume: { position, counts } })

    expect(first.findings).toHaveLength(1)
    expect(first.report).toMatchObject({ isComplete: false, counts: { tags: 2, manifests: 0, findings: {} } })
    expect(second.report).toMatchObject({ isComplete: true, counts: { tags: 2, manifests: 2, findings: { 'manifest-corrupt': 2 } } })
  })

  it('never gives a blob two places, whoever was quicker', async () => {
    const image = await pushImage(fixture, repository, 'fine', 'fine')
    await fixture.tamper(`update blob_location set state = 'quarantined'`)
    const [seen] = (await walkLocations(fixture.database.reader, 0, 10)).filter(({ digest }) => digest === image.layer)
    await fixture.upload(repository, image.layerBytes)
    const { id, blobId, store, key } = seen!

    const reinstated = await fixture.database.execute(
      reinstateBlob,
      { id, blobId, store, key, checksums: Buffer.alloc(4) },
      commandContext(fixture.context),
    )

    expect(reinstated).toBe(false)
    expect(await statesOf(fixture, image.layer)).toEqual(['quarantined', 'active'])
  })

  it('checks 10,000 small blobs by pages, and finds the bad ones among them', async () => {
    const digests = await plantSmallBlobs(fixture, repository, 10_000)
    const bad = [digests[0], digests[5_000], digests[9_999]].map((digest) => digest!)
    damages.flip(await fileOf(fixture, bad[0]!))
    damages.remove(await fileOf(fixture, bad[1]!))
    damages.truncate(await fileOf(fixture, bad[2]!))
    const statementsBefore = fixture.database.counters.statements

    const { report, findings } = await runVerify(fixture)

    expect(findings.map(({ kind: found, digest }) => [found, digest])).toEqual([
      ['blob-corrupt', bad[0]],
      ['blob-missing', bad[1]],
      ['blob-wrong-size', bad[2]],
    ])
    expect(report.counts).toMatchObject({ blobs: 10_000, hashedBlobs: 9_998, quarantined: 3 })
    // Two hundred at a time, and a few for each finding.
    expect(fixture.database.counters.statements - statementsBefore).toBeLessThan(80)
  })

  it('reads no faster than it is told, over many small blobs and one big one', async () => {
    await plantSmallBlobs(fixture, repository, 2000)
    await fixture.upload(repository, bytesFrom('big', 50_000))
    const startedAtMs = performance.now()

    const { report } = await runVerify(fixture, { bytesPerSecond: 100_000 })

    expect(report.counts.bytesRead).toBe(250_000)
    expect(performance.now() - startedAtMs).toBeGreaterThan(2_350)
  })
})
