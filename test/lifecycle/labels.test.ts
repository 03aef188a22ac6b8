import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf, digestToBytes, type Digest } from '../../src/values/index.ts'
import type { KnownImage } from '../interleavings/images.ts'
import { databases } from '../support/registry.ts'
import { dayMs, startLifecycle, type LifecycleWorld } from './lifecycle-world.ts'

const hourMs = 60 * 60 * 1000
const types = {
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
}

function descriptorOf(mediaType: string, bytes: Buffer) {
  return { mediaType, digest: digestOf(bytes), size: bytes.length }
}

/** An image whose config is these bytes. */
function imageOf(name: string, configText: string, annotations: object = {}): KnownImage {
  const config = Buffer.from(configText)
  const layer = Buffer.from(`layer of ${name}`)
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: types.manifest, config: descriptorOf(types.config, config), layers: [descriptorOf(types.layer, layer)], annotations }),
  )
  return { name, bytes, digest: digestOf(bytes), mediaType: types.manifest, blobs: [config, layer].map((blob) => ({ bytes: blob, digest: digestOf(blob) })), children: [], subject: undefined }
}

function indexOf(name: string, child: KnownImage): KnownImage {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: types.index, manifests: [descriptorOf(types.manifest, child.bytes)] }))
  return { name, bytes, digest: digestOf(bytes), mediaType: types.index, blobs: [], children: [child], subject: undefined }
}

const labelled = (name: string, labels: object): KnownImage => imageOf(name, JSON.stringify({ name, config: { Labels: labels } }))
const policyOf = (...rules: object[]): string => JSON.stringify({ rules: rules.map((rule, index) => ({ name: `rule-${index + 1}`, ...rule })) })
const deleteAged = { action: 'delete', olderThan: '1d' }

describe.each(databases)('rules about labels and annotations, on %s', (kind) => {
  let world: LifecycleWorld
  beforeAll(async () => {
    world = await startLifecycle(kind)
  })
  afterAll(() => world.stop())

  type Name = Parameters<LifecycleWorld['listed']>[0]
  const leftOf = async (images: readonly KnownImage[], ...rules: object[]): Promise<{ name: Name; left: Digest[] }> => {
    const { name } = await world.newRepository('labels')
    for (const [index, image] of images.entries()) await world.push(name, image, `tag-${index}`)
    world.fixture.clock.advance(2 * dayMs)
    await world.retention.put(world.fixture.context, { scope: 'repository', name }, policyOf(...rules))
    world.fixture.clock.advance(hourMs)
    await world.runner.sweep()
    return { name, left: [...(await world.listed(name)).keys()] }
  }

  it('see the labels of the config', async () => {
    const kept = labelled('kept', { 'com.example.team': 'shop-eu', other: '1' })
    const [wrong, none, noText, noJson] = [labelled('wrong', { 'com.example.team': 'bank' }), imageOf('none', '{}'), labelled('no-text', { 'com.example.team': 7 }), imageOf('no-json', 'shop')]
    const { left } = await leftOf([kept, wrong, none, noText, noJson], deleteAged, { action: 'keep', labels: { 'com.example.team': 'shop-*' } })
    expect(left).toEqual([kept.digest])
  })

  it('see the annotations of the manifest', async () => {
    const gone = imageOf('gone', '{"a":1}', { 'org.example.stage': 'dev' })
    const stays = imageOf('stays', '{"a":2}', { 'org.example.stage': 'prod' })
    const { left } = await leftOf([gone, stays], { ...deleteAged, annotations: { 'org.example.stage': 'dev' } })
    expect(left).toEqual([stays.digest])
  })

  it('see of an index what its children have', async () => {
    const index = indexOf('index', labelled('child', { keep: 'yes' }))
    const other = indexOf('other', labelled('other-child', { keep: 'no' }))
    const { left } = await leftOf([index, other], deleteAged, { action: 'keep', labels: { keep: 'yes' } })
    expect(left).toContain(index.digest)
    expect(left).not.toContain(other.digest)
  })

  const lose = (image: KnownImage) =>
    world.fixture.tamper(`update blob_location set key = ? where blob_id in (select id from blob where digest = ?)`, `nowhere/${image.name}`, digestToBytes(image.blobs[0]!.digest))

  it('keep what cannot be read, where they keep by it, beside what they keep by number, and remove the others', async () => {
    const { name } = await world.newRepository('labels')
    const [kept, unreadable, gone] = [labelled('kept-beside', { keep: 'yes' }), labelled('unreadable', { keep: 'yes' }), labelled('gone', { keep: 'no' })]
    const child = labelled('unreadable-child', { keep: 'yes' })
    const index = indexOf('index-of-unreadable', child)
    for (const image of [kept, gone, unreadable, index]) await world.push(name, image, image.name)
    world.fixture.clock.advance(2 * dayMs)
    for (const image of [unreadable, child]) await lose(image)
    const policy = policyOf(deleteAged, { action: 'keep', labels: { keep: 'yes' }, newest: 1 })
    await world.retention.put(world.fixture.context, { scope: 'repository', name }, policy)
    world.fixture.clock.advance(hourMs)
    await world.runner.sweep()
    const left = await world.listed(name)
    expect([kept, unreadable, index, gone].filter(({ digest }) => left.has(digest))).toEqual([kept, unreadable, index])
    expect((await world.explain(name, unreadable.digest)).text).toContain('its labels could not be read')
  })

  it('remove nothing by what cannot be read', async () => {
    const unreadable = labelled('stage-unreadable', { stage: 'dev' })
    const gone = labelled('stage-gone', { stage: 'dev' })
    const { name } = await world.newRepository('labels')
    for (const image of [unreadable, gone]) await world.push(name, image, image.name)
    world.fixture.clock.advance(2 * dayMs)
    await lose(unreadable)
    await world.retention.put(world.fixture.context, { scope: 'repository', name }, policyOf({ ...deleteAged, labels: { stage: 'dev' } }))
    world.fixture.clock.advance(hourMs)
    await world.runner.sweep()
    const left = await world.listed(name)
    expect([unreadable, gone].map(({ digest }) => left.has(digest))).toEqual([true, false])
  })

  it('take labels that are too many to be kept for unknown', async () => {
    const many = labelled('many', Object.fromEntries(Array.from({ length: 700 }, (_, index) => [`label-${index}`, 'x'.repeat(100)])))
    const { left } = await leftOf([many, labelled('few', {})], deleteAged, { action: 'keep', labels: { keep: 'yes' } })
    expect(left).toEqual([many.digest])
  })
})
