import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { RetirementSteps } from '../../src/lifecycle/retirement-steps.ts'
import { putProtection } from '../../src/registry/commands/protections.ts'
import { commandContext } from '../../src/registry/index.ts'
import { parseReference, parseTag } from '../../src/values/index.ts'
import type { KnownImage } from '../interleavings/images.ts'
import { databases } from '../support/registry.ts'
import { dayMs, startLifecycle, type LifecycleWorld } from './lifecycle-world.ts'

const hourMs = 60 * 60 * 1000

describe.each(databases)('a rule that gives notice on %s', (kind) => {
  let world: LifecycleWorld
  let name: Parameters<LifecycleWorld['listed']>[0]
  let images: Record<string, KnownImage>
  let fixture: LifecycleWorld['fixture']

  beforeAll(async () => {
    world = await startLifecycle(kind)
    fixture = world.fixture
  })
  afterAll(() => world.stop())
  beforeEach(async () => {
    ;({ name, images } = await world.newRepository('noticed'))
  })

  const put = (...rules: object[]) =>
    world.retention.put(fixture.context, { scope: 'repository', name }, JSON.stringify({ rules }))
  const after = async (ms: number): Promise<void> => {
    fixture.clock.advance(ms)
    await world.sweep()
  }
  const old = { name: 'old', action: 'delete', olderThan: '10d', notice: '30d' }
  const pull = (reference: string) => fixture.registry.getManifest(fixture.context, name, parseReference(reference), {})
  const noticeOf = async (reference: string): Promise<string | undefined> => (await pull(reference)).notice
  const steps = () =>
    new RetirementSteps({
      database: fixture.database,
      ids: systemIds,
      trashRetentionMs: 7 * dayMs,
      systemContext: () => commandContext(fixture.context),
      onStep: () => undefined,
      onError: (error) => {
        throw error
      },
    })
  const isThere = async (image: KnownImage): Promise<boolean> => (await world.listed(name)).has(image.digest)
  const iso = (ms: number): string => new Date(ms).toISOString()

  async function isRefused(reference: string): Promise<boolean> {
    try {
      await pull(reference)
    } catch (error) {
      if (isPlatformError(error, 'image-blocked')) return true
      throw error
    }
    return false
  }

  const eventsOf = (type: string) => fixture.events(name, type)

  it('tells when the image will go, blocks it in time, and removes it then, not before', async () => {
    await world.push(name, images.one!, 'v1')
    await put({ ...old, blockFor: '7d', reason: 'too old to run' })
    fixture.clock.advance(10 * dayMs)
    await world.sweep()
    expect(await noticeOf('v1')).toBeUndefined()

    await after(hourMs)
    const told = fixture.clock.now()
    expect(await noticeOf('v1')).toBe(
      `this image is deprecated: too old to run; it will be blocked at ${iso(told + 23 * dayMs)}; it will be deleted at ${iso(told + 30 * dayMs)}`,
    )
    expect(await eventsOf('Stowage Image Retirement')).toMatchObject([{ state: 'DEPRECATED', 'image-tags': ['v1'] }])
    const { retirement } = await fixture.registry.describeImageState(fixture.context, name, { tag: parseTag('v1') })
    expect(retirement).toMatchObject({ rule: `rule 1 of the policy of the repository '${name}'` })
    const explained = await world.explain(name, images.one!.digest)
    expect(explained.state).toBe('kept')
    expect(explained.text).toMatch(/^Old will delete it after .* UTC, as whoever pulls it is told: it was pushed on /)

    fixture.clock.advance(23 * dayMs)
    await steps().look()
    expect(await isRefused('v1')).toBe(true)

    fixture.clock.advance(7 * dayMs - 2)
    await world.sweep()
    await steps().look()
    expect(await isThere(images.one!)).toBe(true)

    await after(2)
    expect(await isThere(images.one!)).toBe(false)
    // No word of the notice's end: what became of it is told by the run.
    expect((await eventsOf('Stowage Image Retirement')).map(({ state }) => state)).toEqual(['DEPRECATED', 'BLOCKED'])
  })

  it('gives it anew to what was brought back', async () => {
    await world.push(name, images.one!, 'v1')
    await put(old)
    await after(11 * dayMs)
    await after(30 * dayMs)
    expect(await isThere(images.one!)).toBe(false)
    const [run] = (await world.runner.list(fixture.context, name, { limit: 1 })).items

    await fixture.registry.restoreTrash(fixture.context, run!.trashBatch!)
    await after(2 * hourMs)
    expect(await isThere(images.one!)).toBe(true)
    expect(await noticeOf('v1')).toContain(`it will be deleted at ${iso(fixture.clock.now() + 30 * dayMs)}`)
  })

  it.each([
    ['another rule keeps the image', () => put(old, { name: 'kept', action: 'keep', tags: ['v1'] })],
    ['the policy is taken away', () => world.retention.delete(fixture.context, { scope: 'repository', name })],
    ['the image is no longer what the rule is about', () => world.push(name, images.one!, 'keep-me')],
  ])('takes it back when %s', async (_, change) => {
    await world.push(name, images.one!, 'v1')
    await put({ ...old, tags: ['v*'], blockFor: '30d' })
    await after(11 * dayMs)
    expect(await isRefused('v1')).toBe(true)

    await change()
    await after(2 * hourMs)
    expect(await noticeOf('v1')).toBeUndefined()
    await after(31 * dayMs)
    await after(dayMs)
    expect(await isThere(images.one!)).toBe(true)
    expect((await eventsOf('Stowage Image Retirement')).at(-1)).toMatchObject({ state: 'NONE' })
  })

  it('leaves alone what somebody has retired by hand, and counts from there', async () => {
    await world.push(name, images.one!, 'v1')
    await fixture.registry.setImageRetirement(fixture.context, name, { tag: parseTag('v1') }, { state: 'deprecated', reason: 'by hand', replacedBy: undefined, steps: [] })
    fixture.clock.advance(20 * dayMs)
    await put(old)
    await after(2 * hourMs)
    expect(await noticeOf('v1')).toBe('this image is deprecated: by hand')

    await after(9 * dayMs)
    expect(await isThere(images.one!)).toBe(true)
    await after(2 * dayMs)
    expect(await isThere(images.one!)).toBe(false)
  })

  it('does not act before the end that somebody has told by hand', async () => {
    await world.push(name, images.one!, 'v1')
    const at = fixture.clock.now() + 60 * dayMs
    const steps = [{ state: 'blocked', at: fixture.clock.now() + 50 * dayMs }, { state: 'archived', at }] as const
    await fixture.registry.setImageRetirement(fixture.context, name, { tag: parseTag('v1') }, { state: 'deprecated', reason: 'by hand', replacedBy: undefined, steps })
    await put(old)
    await after(35 * dayMs)
    expect(await isThere(images.one!)).toBe(true)
    expect((await world.explain(name, images.one!.digest)).verdicts[0]).toMatchObject({ outcome: 'announces', atMs: at, text: expect.stringContaining('a notice that counts from its retirement by hand') as string })
    await after(24 * dayMs)
    expect(await isThere(images.one!)).toBe(true)
    await after(2 * dayMs)
    expect(await isThere(images.one!)).toBe(false)
  })

  it('goes on with what was told when it gives longer notice, and keeps to what was told when it gives shorter', async () => {
    await world.push(name, images.one!, 'v1')
    await put({ ...old, notice: '5d' })
    await after(11 * dayMs)
    const told = fixture.clock.now()
    expect(await noticeOf('v1')).toContain(`deleted at ${iso(told + 5 * dayMs)}`)

    await put({ ...old, notice: '20d' })
    await after(2 * hourMs)
    expect(await noticeOf('v1')).toContain(`deleted at ${iso(told + 20 * dayMs)}`)

    await put({ ...old, notice: '1d' })
    await after(10 * dayMs)
    await after(hourMs)
    expect(await noticeOf('v1')).toContain(`deleted at ${iso(told + 20 * dayMs)}`)
    await after(10 * dayMs)
    expect(await isThere(images.one!)).toBe(false)
  })

  it('tells nothing of what is protected, until it is not', async () => {
    await world.push(name, images.one!, 'v1')
    const pin = { name, target: { kind: 'tag', value: 'v1' }, reason: 'needed', owner: 'somebody', endsAt: fixture.clock.now() + 20 * dayMs, mayLoosen: false } as const
    await fixture.database.execute(putProtection, pin, commandContext(fixture.context))
    await put(old)
    await after(11 * dayMs)
    expect(await noticeOf('v1')).toBeUndefined()

    await after(10 * dayMs)
    expect(await noticeOf('v1')).toContain('deprecated')
  })

  it('does not act when the notice was taken back between its evaluation and its turn', async () => {
    await world.push(name, images.one!, 'v1')
    await put(old)
    await after(11 * dayMs)
    fixture.clock.advance(30 * dayMs)
    world.meanwhile(name, () => fixture.registry.setImageRetirement(fixture.context, name, { tag: parseTag('v1') }, undefined))
    await world.sweep()
    expect(await isThere(images.one!)).toBe(true)
    await after(2 * hourMs)
    expect(await noticeOf('v1')).toContain(`deleted at ${iso(fixture.clock.now() + 30 * dayMs)}`)
  })

  it('archives with notice, and what an index lists is told of with it', async () => {
    await world.push(name, images.index!, 'multi')
    await put({ name: 'cold', action: 'archive', olderThan: '10d', notice: '14d' })
    await after(11 * dayMs)
    const child = images.index!.children[0]!
    expect(await noticeOf('multi')).toContain(`it will be archived at ${iso(fixture.clock.now() + 14 * dayMs)}`)
    expect(await noticeOf(child.digest)).toContain('it falls under the rule 1 of the policy of')

    await after(14 * dayMs)
    const { image, retirement } = await fixture.registry.describeImageState(fixture.context, name, { tag: parseTag('multi') })
    expect([image.status, retirement]).toEqual(['ARCHIVED', undefined])
  })
})
