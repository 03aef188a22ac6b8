import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Principal } from '../../src/iam/index.ts'
import type { RequestContext } from '../../src/registry/index.ts'
import { mediaTypes, parseAccountId, parseRepositoryName, parseTag } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const name = parseRepositoryName('pulled/app')
const accountId = parseAccountId('000000000000')

function session(role: string, sessionName: string): Principal {
  return {
    arn: `arn:aws:sts::${accountId}:assumed-role/${role}/${sessionName}`,
    accountId,
    kind: 'assumed-role',
    userId: `AROAEXAMPLE:${sessionName}`,
    accessKeyId: 'ASIAEXAMPLE',
  }
}

describe.each(databases)('pull times on %s', (kind) => {
  let fixture: RegistryFixture

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    const { registry, context } = fixture
    const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
    await registry.createRepository(context, { name, ...settings })
  })
  afterAll(() => fixture.stop())

  let serial = 0
  async function newImage(): Promise<ReturnType<typeof parseTag>> {
    const tag = parseTag(`v${(serial += 1)}`)
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], annotations: { tag } }))
    const reference = { kind: 'tag', tag } as const
    await fixture.registry.putManifest(fixture.context, name, { bytes, declaredMediaType: mediaTypes.ociIndex, reference, via: 'oci' })
    return tag
  }

  async function lastPulledAt(tag: ReturnType<typeof parseTag>, ...pullers: Principal[]): Promise<number | undefined> {
    const { registry, context, pullClock } = fixture
    for (const actor of pullers) {
      const pulling: RequestContext = { ...context, actor }
      await registry.getManifest(pulling, name, { kind: 'tag', tag })
    }
    await pullClock.flush()
    const [detail] = await registry.describeImagesById(context, name, [{ tag }])
    return detail?.lastPulledAt
  }

  it('stay as they are while an excluded role pulls, by any of its sessions', async () => {
    const { registry, context, clock } = fixture
    const tag = await newImage()
    const principalArn = `arn:aws:iam::${accountId}:role/tools/Scanner`
    await registry.registerPullTimeExclusion(context, principalArn)

    expect(await lastPulledAt(tag, session('Scanner', 'monday'), session('Scanner', 'tuesday'))).toBeUndefined()
    const pulledAt = clock.now()
    expect(await lastPulledAt(tag, session('Deployer', 'monday'))).toBe(pulledAt)
    clock.advance(5000)
    expect(await lastPulledAt(tag, session('Scanner', 'wednesday'))).toBe(pulledAt)

    await registry.deregisterPullTimeExclusion(context, principalArn)
    expect(await lastPulledAt(tag, session('Scanner', 'thursday'))).toBe(clock.now())
  })

  it('move by the pulls of everybody else in the same moment', async () => {
    const { registry, context, clock } = fixture
    const [seen, unseen] = [await newImage(), await newImage()]
    await registry.registerPullTimeExclusion(context, `arn:aws:iam::${accountId}:role/Crawler`)
    clock.advance(1000)

    await registry.getManifest({ ...context, actor: session('Crawler', 'a') }, name, { kind: 'tag', tag: unseen })
    expect(await lastPulledAt(seen, session('Crawler', 'a'), session('Node', 'a'))).toBe(clock.now())
    expect(await lastPulledAt(unseen)).toBeUndefined()
    // A root is no principal that an exclusion names.
    expect(await lastPulledAt(unseen, context.actor)).toBe(clock.now())
  })

  it('move by kinds of client that use images, and not by what scans or copies them', async () => {
    const { registry, context, clock, pullClock } = fixture
    const tag = await newImage()
    for (const userAgent of ['trivy/0.65.0', 'harbor-registry-client']) await registry.getManifest({ ...context, userAgent }, name, { kind: 'tag', tag })
    expect(await lastPulledAt(tag)).toBeUndefined()
    await registry.getManifest({ ...context, userAgent: 'containerd/v2.1.0' }, name, { kind: 'tag', tag })
    await pullClock.flush()
    expect(await lastPulledAt(tag)).toBe(clock.now())
  })
})
