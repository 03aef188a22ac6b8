import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf, mediaTypes, parseRepositoryName, parseTag, type Digest } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

/** Five blocks and a little, so that damage can lie in the middle. */
const sizeBytes = 5 * 64 * 1024 + 321
const name = parseRepositoryName('damage/app')
const other = parseRepositoryName('damage/other')

function flip(file: string, at: number): void {
  const bytes = readFileSync(file)
  bytes[at]! ^= 1
  writeFileSync(file, bytes)
}

const damages = [
  { damage: 'corrupt', make: (file: string) => flip(file, 200_000) },
  { damage: 'corrupt', make: (file: string) => writeFileSync(file, Buffer.alloc(sizeBytes)) },
  { damage: 'corrupt', make: (file: string) => truncateSync(file, sizeBytes - 1) },
  { damage: 'missing', make: (file: string) => rmSync(file) },
] as const

describe.each(databases)('damaged bytes on %s', (kind) => {
  let fixture: RegistryFixture

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
    for (const repository of [name, other]) await fixture.registry.createRepository(fixture.context, { name: repository, ...settings })
  })
  afterAll(() => fixture.stop())

  function filesOf(digest: Digest): string[] {
    const blobs = join(fixture.dataDir, 'blobs')
    return readdirSync(blobs, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.includes(digest.slice(7)))
      .map((path) => join(blobs, path))
  }

  async function read(digest: Digest, range?: { start: number; endExclusive: number }): Promise<Buffer> {
    const { content } = await fixture.registry.openBlob(fixture.context, name, digest)
    const parts: Buffer[] = []
    try {
      for await (const part of content.read(range)) parts.push(part)
    } finally {
      await content.close()
    }
    return Buffer.concat(parts)
  }

  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(() => 'done', (error: unknown) => (error as { code?: string }).code ?? String(error))

  it.each(damages)('($damage) fail the read, are set aside, and come back with the next push', async ({ damage, make }) => {
    const { registry, context } = fixture
    const bytes = randomBytes(sizeBytes)
    const digest = await fixture.upload(name, bytes)
    const [file = ''] = filesOf(digest)
    make(file)
    const noticed = fixture.damage.length

    expect(await codeOf(read(digest))).toBe(`blob-${damage}`)

    expect(fixture.damage.slice(noticed)).toMatchObject([{ digest, damage }])
    expect(await registry.statBlob(context, name, digest)).toBeUndefined()
    expect(await registry.mountBlob(context, other, digest, { from: name })).toBe(false)
    await expect(registry.openBlob(context, name, digest)).rejects.toMatchObject({
      code: 'blob-unknown',
      message: expect.stringContaining('Push the image again') as string,
    })
    // What was set aside is there for whoever wants to look, and a copy of its own came.
    await fixture.upload(name, bytes)
    expect((await read(digest)).equals(bytes)).toBe(true)
    expect(filesOf(digest)).toHaveLength(damage === 'missing' ? 1 : 2)
  })

  it.each([
    { what: 'a file that is gone', damage: 'missing', make: (file: string) => rmSync(file) },
    { what: 'a file of another size', damage: 'wrong-size', make: (file: string) => truncateSync(file, 5) },
  ])('are not promised by a mere question: $what', async ({ damage, make }) => {
    const { registry, context } = fixture
    const digests = [await fixture.upload(name, randomBytes(sizeBytes)), await fixture.upload(name, randomBytes(sizeBytes))] as const
    for (const digest of digests) make(filesOf(digest)[0]!)
    const noticed = fixture.damage.length

    expect(await registry.statBlob(context, name, digests[0])).toBeUndefined()
    expect(await registry.mountBlob(context, other, digests[1], { from: name })).toBe(false)

    expect(fixture.damage.slice(noticed)).toMatchObject(digests.map((digest) => ({ digest, damage })))
  })

  it('fail a range only where they are', async () => {
    const bytes = randomBytes(sizeBytes)
    const digest = await fixture.upload(name, bytes)
    flip(filesOf(digest)[0]!, 200_000)

    const sound = { start: 10, endExclusive: 60_000 }
    expect((await read(digest, sound)).equals(bytes.subarray(10, 60_000))).toBe(true)
    // In the block of the damage, beside it.
    expect(await codeOf(read(digest, { start: 200_010, endExclusive: 200_020 }))).toBe('blob-corrupt')
  })

  it('of an upload that was resumed, or has a sha512 digest, are known too', async () => {
    const { registry, context } = fixture
    const bytes = randomBytes(sizeBytes)
    const chunks = [bytes.subarray(0, 100_000), bytes.subarray(100_000)]
    const { id } = await registry.beginUpload(context, name)
    for (const body of chunks) await registry.appendUpload(context, name, id, { body: bodyOf(body) })
    const digest = digestOf(bytes, 'sha512')
    await registry.completeUpload(context, name, id, { digest })
    flip(filesOf(digest)[0]!, 3)

    expect(await codeOf(read(digest))).toBe('blob-corrupt')
  })

  it('of before there were checksums are found by the first read, which also learns them', async () => {
    const bytes = [randomBytes(sizeBytes), randomBytes(sizeBytes)]
    const [sound, damaged] = await Promise.all(bytes.map((each) => fixture.upload(name, each)))
    await fixture.tamper('delete from blob_checksum')
    flip(filesOf(damaged!)[0]!, sizeBytes - 1)

    expect(await codeOf(read(damaged!, { start: 0, endExclusive: 10 }))).toBe('blob-corrupt')
    expect((await read(sound!)).equals(bytes[0]!)).toBe(true)
    // The file's own digest is not looked at again: now a range tells by itself.
    flip(filesOf(sound!)[0]!, sizeBytes - 1)
    expect((await read(sound!, { start: 0, endExclusive: 10 })).equals(bytes[0]!.subarray(0, 10))).toBe(true)
    expect(await codeOf(read(sound!))).toBe('blob-corrupt')
  })

  it('of a manifest are never answered, and a push puts them right', async () => {
    const { registry, context } = fixture
    const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], annotations: { kind } }))
    const put = () =>
      registry.putManifest(context, name, {
        bytes: manifest,
        declaredMediaType: undefined,
        reference: { kind: 'tag', tag: parseTag('v1') },
        via: 'oci',
      })
    const { digest } = await put()
    await fixture.tamper('update manifest_payload set payload = ?', Buffer.from('{}'))

    expect(await codeOf(registry.getManifest(context, name, { kind: 'tag', tag: parseTag('v1') }))).toBe('manifest-corrupt')
    expect(await codeOf(registry.getManifest(context, name, { kind: 'digest', digest }))).toBe('manifest-corrupt')
    await put()

    expect((await registry.getManifest(context, name, { kind: 'digest', digest })).bytes.equals(manifest)).toBe(true)
  })
})

async function* bodyOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}
