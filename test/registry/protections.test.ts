import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { commandContext } from '../../src/registry/index.ts'
import { deleteProtection, putProtection, type ProtectionTarget } from '../../src/registry/commands/protections.ts'
import { findRepositoryVetoes, findVetoes, openVetoes, vetoText } from '../../src/registry/protection/index.ts'
import { findManifestRow } from '../../src/storage/metadata/stores/manifest-store.ts'
import { findRepositoryRow, type RepositoryRow } from '../../src/storage/metadata/stores/repository-store.ts'
import { digestOf, mediaTypes, parseRepositoryName, parseTag, type Digest } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const name = parseRepositoryName('guarded/app')

describe.each(databases)('protections on %s', (kind) => {
  let fixture: RegistryFixture
  let repository: RepositoryRow
  let config: Digest
  beforeAll(async () => {
    fixture = await startRegistry(kind)
    await fixture.registry.createRepository(fixture.context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
    const row = await findRepositoryRow(fixture.database.reader, fixture.context.registry.id, name)
    if (row === undefined) throw new Error('the repository was just made')
    repository = row
    config = await fixture.upload(name, Buffer.from('{}'))
  })
  afterAll(() => fixture.stop())

  async function push(manifest: object, tag?: string): Promise<Digest> {
    const bytes = Buffer.from(JSON.stringify(manifest))
    const { mediaType } = manifest as { mediaType: string }
    const reference = tag === undefined ? { kind: 'digest' as const, digest: digestOf(bytes) } : { kind: 'tag' as const, tag: parseTag(tag) }
    return (await fixture.registry.putManifest(fixture.context, name, { bytes, declaredMediaType: mediaType, reference, via: 'oci' })).digest
  }
  const descriptor = (digest: Digest, size = 2) => ({ mediaType: mediaTypes.ociManifest, digest, size })
  let serial = 0
  const image = (extra: object = {}) => ({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: 2 },
    layers: [],
    annotations: { serial: String((serial += 1)) },
    ...extra,
  })
  const put = (target: ProtectionTarget, options: { endsAt?: number; mayLoosen?: boolean } = {}) =>
    fixture.database.execute(
      putProtection,
      { name, target, reason: 'the audit of 2026', owner: 'compliance', endsAt: options.endsAt ?? null, mayLoosen: options.mayLoosen ?? false },
      commandContext(fixture.context),
    )
  const drop = (target: ProtectionTarget) => fixture.database.execute(deleteProtection, { name, target }, commandContext(fixture.context))
  async function vetoesOf(digest: Digest): Promise<string> {
    const row = await findManifestRow(fixture.database.reader, repository.id, digest)
    if (row === undefined) throw new Error('no such manifest')
    const vetoes = await findVetoes(fixture.database.reader, repository, [row.id], fixture.clock.now(), { mode: 'by-hand' })
    return vetoText(vetoes.get(row.id) ?? [])
  }

  const tagVetoes = async (tag: string) => (await openVetoes(fixture.database.reader, repository, fixture.clock.now(), { mode: 'by-hand' })).ofTag(tag)

  it('hold an image by its digest until their end, and name who, why and until when', async () => {
    const digest = await push(image())
    const endsAt = fixture.clock.now() + 60_000
    await put({ kind: 'digest', value: digest }, { endsAt })
    expect(await vetoesOf(digest)).toBe(`${digest} is protected by compliance until ${new Date(endsAt).toISOString()}: the audit of 2026`)
    fixture.clock.advance(60_000)
    expect(await vetoesOf(digest)).toBe('')
  })

  it('hold the index of a protected child, its other referrers, and the signature of a protected index', async () => {
    const [child, sibling] = [await push(image()), await push(image())]
    const index = await push({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [descriptor(child), descriptor(sibling)] })
    const signature = await push(image({ subject: { ...descriptor(index), mediaType: mediaTypes.ociIndex } }))
    const stranger = await push(image())
    await put({ kind: 'digest', value: child })
    for (const held of [child, index, signature]) expect(await vetoesOf(held)).toContain('is protected by compliance')
    expect(await vetoesOf(sibling)).toBe('')
    expect(await vetoesOf(stranger)).toBe('')
    await drop({ kind: 'digest', value: child })
    for (const held of [child, index, signature]) expect(await vetoesOf(held)).toBe('')

    // What goes with an image when it goes holds it as well.
    await put({ kind: 'digest', value: signature })
    for (const held of [index, signature]) expect(await vetoesOf(held)).toContain(signature)
    expect(await vetoesOf(child)).toBe('')
    await drop({ kind: 'digest', value: signature })

    await put({ kind: 'digest', value: index })
    for (const held of [child, sibling, index, signature]) expect(await vetoesOf(held)).toContain(index)
    await drop({ kind: 'digest', value: index })
  })

  it('hold a tag and the image that it points to, and no longer the one that it has left', async () => {
    const before = await push(image(), 'prod')
    await put({ kind: 'tag', value: 'prod' })
    expect(await vetoesOf(before)).toContain("the tag 'prod' is protected")
    expect(await tagVetoes('prod')).toHaveLength(1)
    expect(await tagVetoes('other')).toHaveLength(0)
    const after = await push(image(), 'prod')
    expect(await vetoesOf(before)).toBe('')
    expect(await vetoesOf(after)).toContain("the tag 'prod' is protected")
    expect(vetoText(await findRepositoryVetoes(fixture.database.reader, repository, fixture.clock.now(), { mode: 'by-hand' }))).toContain("the tag 'prod'")
    await drop({ kind: 'tag', value: 'prod' })
  })

  it('of a repository hold everything in it', async () => {
    const digest = await push(image(), 'anything')
    await put({ kind: 'repository', value: '' })
    expect(await vetoesOf(digest)).toContain('the repository is protected by compliance')
    expect(await tagVetoes('anything')).toHaveLength(1)
    await drop({ kind: 'repository', value: '' })
    expect(await findRepositoryVetoes(fixture.database.reader, repository, fixture.clock.now(), { mode: 'automatic' })).toEqual([])
  })

  it('are not cut short by whoever may only make them', async () => {
    const target = { kind: 'tag', value: 'kept' } as const
    const endsAt = fixture.clock.now() + 60_000
    await put(target)
    await expect(put(target, { endsAt })).rejects.toMatchObject({ code: 'access-denied' })
    expect(await put(target, { endsAt, mayLoosen: true })).toMatchObject({ ends_at: endsAt })
    await put(target, { endsAt: endsAt + 1 })
    await drop(target)
    await expect(drop(target)).rejects.toMatchObject({ code: 'protection-unknown' })
  })

  it('are of what is there, and end in the future', async () => {
    await expect(put({ kind: 'digest', value: digestOf(Buffer.from('nothing')) })).rejects.toMatchObject({ code: 'manifest-unknown' })
    await expect(put({ kind: 'tag', value: 'x' }, { endsAt: fixture.clock.now() })).rejects.toMatchObject({ code: 'parameter-invalid' })
  })

  it('cost one statement where there is nothing of the kind', async () => {
    const digest = await push(image())
    const row = await findManifestRow(fixture.database.reader, repository.id, digest)
    const before = fixture.database.counters.statements
    await findVetoes(fixture.database.reader, repository, [row?.id ?? 0], fixture.clock.now(), { mode: 'by-hand' })
    expect(fixture.database.counters.statements - before).toBe(1)
  })
})
