import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { RetirementSteps } from '../../src/lifecycle/retirement-steps.ts'
import { putProtection } from '../../src/registry/commands/protections.ts'
import { commandContext, type NewRetirement } from '../../src/registry/index.ts'
import { digestOf, digestToBytes, parseReference, parseRepositoryName, parseTag, type RepositoryName } from '../../src/values/index.ts'
import { catalogueOf, withChildren, type KnownImage } from '../interleavings/images.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
const dayMs = 24 * 60 * 60 * 1000
const deprecated: NewRetirement = { state: 'deprecated', reason: 'has a hole', replacedBy: 'app:v2', steps: [] }
const blocked: NewRetirement = { ...deprecated, state: 'blocked' }

/** An index of its own around images that others list too. */
function indexOf(...children: KnownImage[]): KnownImage {
  const mediaType = 'application/vnd.oci.image.index.v1+json'
  const manifests = children.map(({ mediaType: type, digest, bytes }) => ({ mediaType: type, digest, size: bytes.length }))
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }))
  return { name: 'other-index', digest: digestOf(bytes), bytes, mediaType, blobs: [], children, subject: undefined }
}

describe.each(databases)('the retirement of images on %s', (kind) => {
  let fixture: RegistryFixture
  let name: RepositoryName
  let images: Record<string, KnownImage>
  let count = 0

  beforeAll(async () => {
    fixture = await startRegistry(kind)
  })
  afterAll(() => fixture.stop())
  beforeEach(async () => {
    count += 1
    images = Object.fromEntries(catalogueOf(`r${kind}${count}`).images.map((image) => [image.name, image]))
    name = parseRepositoryName(`retired/${kind}${count}`)
    await fixture.registry.createRepository(fixture.context, { name, ...settings })
  })

  async function push(image: KnownImage, tag?: string): Promise<void> {
    for (const each of withChildren(image).reverse()) {
      for (const { bytes } of each.blobs) await fixture.upload(name, bytes)
      const reference = each === image && tag !== undefined ? ({ kind: 'tag', tag: parseTag(tag) } as const) : undefined
      await fixture.registry.putManifest(fixture.context, name, { bytes: each.bytes, declaredMediaType: each.mediaType, reference, via: 'oci' })
    }
  }

  const retire = (tag: string, retirement: NewRetirement | undefined) =>
    fixture.registry.setImageRetirement(fixture.context, name, { tag: parseTag(tag) }, retirement)

  const pull = (reference: string, mayPullBlocked?: () => Promise<boolean>) =>
    fixture.registry.getManifest(fixture.context, name, parseReference(reference), { mayPullBlocked })

  async function refusalOf(reference: string): Promise<string | undefined> {
    try {
      await pull(reference)
    } catch (error) {
      if (isPlatformError(error, 'image-blocked')) return error.message
      throw error
    }
    return undefined
  }

  const state = (tag: string) => fixture.registry.describeImageState(fixture.context, name, { tag: parseTag(tag) })

  function rowOf(image: KnownImage) {
    return fixture.database.reader.builder
      .selectFrom('image_retirement')
      .innerJoin('manifest', 'manifest.id', 'image_retirement.manifest_id')
      .select('steps')
      .where('digest', '=', digestToBytes(image.digest))
  }

  function steps(errors?: unknown[]): RetirementSteps {
    return new RetirementSteps({
      database: fixture.database,
      ids: systemIds,
      trashRetentionMs: 7 * dayMs,
      systemContext: () => commandContext(fixture.context),
      onStep: () => undefined,
      onError: (error) => {
        if (errors === undefined) throw error
        errors.push(error)
      },
    })
  }

  const eventsOf = (type: string) => fixture.events(name, type)

  it('tells whoever pulls a deprecated image why, what to use instead and what comes next', async () => {
    await push(images.one!, 'v1')
    const at = fixture.clock.now() + 30 * dayMs

    await retire('v1', { ...deprecated, steps: [{ state: 'trashed', at }] })

    const notice = `this image is deprecated: has a hole; use app:v2 instead; it will be deleted at ${new Date(at).toISOString()}`
    expect((await pull('v1')).notice).toBe(notice)
    expect((await fixture.registry.headManifest(fixture.context, name, parseReference(images.one!.digest))).notice).toBe(notice)
    expect(await eventsOf('Stowage Image Retirement')).toEqual([
      {
        'repository-name': name,
        'image-digest': images.one!.digest,
        'image-tags': ['v1'],
        state: 'DEPRECATED',
        reason: 'has a hole',
        'replaced-by': 'app:v2',
        steps: [{ state: 'TRASHED', at: new Date(at).toISOString() }],
      },
    ])
  })

  it('retires what an index lists with it, but neither what has a tag of its own nor signatures', async () => {
    await push(images.one!, 'one')
    await push(images.index!, 'latest')
    await push(images['signature-of-index']!)

    await retire('latest', blocked)

    expect(await refusalOf(images.two!.digest)).toContain('has a hole')
    expect(await refusalOf('one')).toBeUndefined()
    expect(await refusalOf(images['signature-of-index']!.digest)).toBeUndefined()

    await retire('latest', undefined)
    expect((await pull(images.two!.digest)).notice).toBeUndefined()
    expect((await pull('latest')).notice).toBeUndefined()
  })

  it('gives a blocked image to whoever may pull it all the same, and to everybody while something runs it', async () => {
    await push(images.index!, 'latest')
    await retire('latest', blocked)
    expect(await refusalOf('latest')).toContain('stowage:PullBlockedImage')

    expect((await pull('latest', () => Promise.resolve(true))).notice).toContain('blocked for new deployments')
    await expect(pull('latest', () => Promise.resolve(false))).rejects.toMatchObject({ code: 'image-blocked' })

    await leased(images.one!, fixture.clock.now() + dayMs)
    expect((await pull('latest')).notice).toContain('blocked for new deployments')
    fixture.clock.advance(2 * dayMs)
    // Its reporter has been silent for longer than it promised: what it said last holds.
    expect(await refusalOf('latest')).toBeUndefined()
    await fixture.tamper(`update usage_source set believed_at = ${fixture.clock.now()} where name = ?`, `source-${name}`)
    expect(await refusalOf('latest')).toContain('Nothing is known to run it')
  })

  it('takes the steps when their time has come: blocks, then puts the unit into the trash, once', async () => {
    await push(images.index!, 'latest')
    await push(images['signature-of-index']!)
    const start = fixture.clock.now()
    await retire('latest', { ...deprecated, steps: [{ state: 'blocked', at: start + dayMs }, { state: 'trashed', at: start + 2 * dayMs }] })

    expect(await steps().look()).toBe(0)
    fixture.clock.advance(dayMs)
    await Promise.all([steps().look(), steps().look()])
    expect(await refusalOf('latest')).toContain('it will be deleted at')
    expect(await refusalOf(images.one!.digest)).toBeDefined()
    fixture.clock.advance(dayMs)
    await Promise.all([steps().look(), steps().look()])

    await expect(pull('latest')).rejects.toMatchObject({ code: 'manifest-unknown' })
    const { trash } = await fixture.registry.describeImageState(fixture.context, name, { digest: images.index!.digest })
    expect(trash).toMatchObject({ tags: ['latest'], cause: { action: 'ImageRetirement', reason: 'has a hole' } })
    expect((await eventsOf('Stowage Image Retirement')).map((event) => event.state)).toEqual(['DEPRECATED', 'BLOCKED', 'TRASHED'])
    const restored = await fixture.registry.restoreTrash(fixture.context, trash!.batch)
    expect(restored.images).toHaveLength(4)
    expect(await refusalOf('latest')).toBeDefined()
    expect(await steps().look()).toBe(0)
  })

  it('archives at its time, what was archived before then too, and goes on to the next step', async () => {
    await push(images.one!, 'v1')
    await push(images.two!, 'v2')
    const start = fixture.clock.now()
    const later = [{ state: 'archived', at: start + dayMs }, { state: 'trashed', at: start + 2 * dayMs }] as const
    for (const tag of ['v1', 'v2']) await retire(tag, { ...deprecated, steps: later })
    expect((await pull('v1')).notice).toContain(`it will be archived at ${new Date(start + dayMs).toISOString()}; it will be deleted at`)
    await fixture.registry.updateStorageClass(fixture.context, name, { tag: parseTag('v2') }, 'ARCHIVE')

    fixture.clock.advance(dayMs)
    await steps().look()

    for (const tag of ['v1', 'v2']) {
      expect((await state(tag)).image.status).toBe('ARCHIVED')
      expect((await state(tag)).retirement).toMatchObject({ state: 'deprecated', steps: [{ state: 'trashed' }] })
    }
    fixture.clock.advance(dayMs)
    await steps().look()
    expect((await state('v1')).trash?.tags).toEqual(['v1'])
  })

  it('neither blocks nor removes a part of an index that another index has come to need', async () => {
    await push(images.index!, 'latest')
    const start = fixture.clock.now()
    await retire('latest', { ...deprecated, steps: [{ state: 'blocked', at: start + dayMs }, { state: 'trashed', at: start + 2 * dayMs }] })
    await push(indexOf(images.one!), 'other')
    fixture.clock.advance(dayMs)
    await steps().look()

    expect(await refusalOf('latest')).toBeDefined()
    expect(await refusalOf(images.two!.digest)).toBeDefined()
    expect((await pull(images.one!.digest)).notice).toBeUndefined()
    expect((await fixture.registry.describeImageState(fixture.context, name, { digest: images.one!.digest })).retirement).toBeUndefined()
    fixture.clock.advance(dayMs)
    await steps().look()

    await expect(pull('latest')).rejects.toMatchObject({ code: 'manifest-unknown' })
    await expect(pull(images.two!.digest)).rejects.toMatchObject({ code: 'manifest-unknown' })
    await pull('other')
    expect((await pull(images.one!.digest)).notice).toBeUndefined()
  })

  it('opens a part of a blocked index that gets a tag of its own, and keeps it when the index goes', async () => {
    await push(images.index!, 'latest')
    const start = fixture.clock.now()
    await retire('latest', { ...blocked, steps: [{ state: 'trashed', at: start + dayMs }] })
    expect(await refusalOf(images.one!.digest)).toBeDefined()

    await push(images.one!, 'one')

    expect((await pull('one')).notice).toBeUndefined()
    expect((await state('one')).retirement).toBeUndefined()
    expect(await refusalOf(images.two!.digest)).toBeDefined()
    fixture.clock.advance(dayMs)
    await steps().look()
    expect((await pull('one')).notice).toBeUndefined()
    await expect(pull(images.two!.digest)).rejects.toMatchObject({ code: 'manifest-unknown' })
  })

  it('tries a step that fails again after an hour, so that others have their turn', async () => {
    await push(images.one!, 'one')
    await push(images.two!, 'two')
    const at = fixture.clock.now() + dayMs
    for (const tag of ['one', 'two']) await retire(tag, { ...deprecated, steps: [{ state: 'blocked', at }] })
    const { steps: told } = (await fixture.database.reader.query(rowOf(images.one!)))[0]!
    await fixture.tamper("update image_retirement set steps = 'unreadable' where manifest_id = (select manifest_id from tag where name = 'one' and repository_id = (select id from repository where name = ?))", name)
    const errors: unknown[] = []
    fixture.clock.advance(dayMs)

    expect(await steps(errors).look()).toBe(2)
    expect(errors).toHaveLength(1)
    expect(await refusalOf('two')).toBeDefined()
    expect(await steps(errors).look()).toBe(0)

    await fixture.tamper('update image_retirement set steps = ? where steps = ?', told, 'unreadable')
    expect((await state('one')).retirement?.postponed).toContain('failed')
    fixture.clock.advance(dayMs / 24)
    expect(await steps().look()).toBe(1)
    expect(await refusalOf('one')).toBeDefined()
  })

  it('does not block an image at its time while an index lists it', async () => {
    await push(images.one!, 'one')
    await retire('one', { ...deprecated, steps: [{ state: 'blocked', at: fixture.clock.now() + dayMs }] })
    const other = indexOf(images.one!)
    await push(other, 'other')
    fixture.clock.advance(dayMs)
    await steps().look()

    expect(await refusalOf('one')).toBeUndefined()
    expect((await state('one')).retirement?.postponed).toBe(`it is listed by ${other.digest}`)
  })

  it('waits with the trash while something forbids it, says why, and tries again', async () => {
    await push(images.one!, 'v1')
    await retire('v1', { ...deprecated, steps: [{ state: 'trashed', at: fixture.clock.now() + dayMs }] })
    const endsAt = fixture.clock.now() + dayMs + 90 * 60 * 1000
    await fixture.database.execute(
      putProtection,
      { name, target: { kind: 'tag', value: 'v1' }, reason: 'audit', owner: 'team-a', endsAt, mayLoosen: true },
      commandContext(fixture.context),
    )
    fixture.clock.advance(dayMs)

    await steps().look()

    expect((await state('v1')).retirement?.postponed).toContain('audit')
    expect((await state('v1')).vetoes).toMatchObject([{ kind: 'protection' }])
    expect(await steps().look()).toBe(0)
    fixture.clock.advance(2 * 60 * 60 * 1000)
    await steps().look()
    expect((await state('v1')).trash?.tags).toEqual(['v1'])
  })

  /** As a usage source would say it. */
  async function leased(image: KnownImage, until: number): Promise<void> {
    const { id: registryId } = fixture.context.registry
    await fixture.tamper(
      `insert into usage_source (registry_id, name, principal_arn, kind, environment, scope, interval_ms, shrink_percent, status, agreed_count, last_number, believed_at, created_at, created_by)
       values (${registryId}, ?, 'arn', 'kubernetes', 'prod', '["${name}"]', 3600000, 50, 'active', 0, 1, ${fixture.clock.now()}, 1, 'arn')`,
      `source-${name}`,
    )
    await fixture.tamper(
      `insert into usage_lease (source_id, snapshot, registry_id, repository, digest, workload, environment, first_seen_at, until)
       select id, 1, registry_id, '', ?, 'deployment/app', 'prod', 1, ${until} from usage_source where name = ?`,
      Buffer.concat([Buffer.from([1]), Buffer.from(image.digest.slice('sha256:'.length), 'hex')]),
      `source-${name}`,
    )
  }
})
