import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { PlatformError } from '../internal/platform-error.ts'
import { anyText } from './any-text.test-support.ts'
import { parseManifest } from './manifest.ts'
import { mediaTypes } from './media-type.ts'

const digestOf = (digit: string) => `sha256:${digit.repeat(64)}`
const config = { mediaType: mediaTypes.ociConfig, digest: digestOf('c'), size: 100 }
const layer = { mediaType: mediaTypes.ociLayerGzip, digest: digestOf('1'), size: 2000 }
const foreignLayer = { ...layer, mediaType: mediaTypes.ociNondistributableLayerGzip, urls: ['https://example.com/x'] }
const subject = { mediaType: mediaTypes.ociManifest, digest: digestOf('5'), size: 30 }
const child = {
  mediaType: mediaTypes.ociManifest,
  digest: digestOf('d'),
  size: 400,
  platform: { os: 'linux', architecture: 'amd64' },
}
const image = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] }
const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [child] }
const largeAnnotations = Object.fromEntries(Array.from({ length: 390 }, (_, n) => [`a${n}`, 'A'.repeat(10_000)]))
const artifact = { mediaType: mediaTypes.ociArtifact, artifactType: 'application/vnd.example', blobs: [layer], subject }

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const parse = (value: unknown, declared?: string) => parseManifest(json(value), declared)
const refused = (at?: string): unknown =>
  expect.objectContaining({
    code: 'manifest-invalid',
    ...(at === undefined ? {} : { detail: expect.objectContaining({ at }) }),
  })

describe('an image manifest', () => {
  it('gives its config, layers and their size', () => {
    expect(parse({ ...image, layers: [layer, layer], annotations: { a: 'b' } }, mediaTypes.ociManifest)).toEqual({
      mediaType: mediaTypes.ociManifest,
      kind: 'image',
      artifactType: mediaTypes.ociConfig,
      config: { mediaType: config.mediaType, digest: config.digest, sizeBytes: 100 },
      layers: [
        { mediaType: layer.mediaType, digest: layer.digest, sizeBytes: 2000 },
        { mediaType: layer.mediaType, digest: layer.digest, sizeBytes: 2000 },
      ],
      children: [],
      subject: undefined,
      annotations: { a: 'b' },
      contentSizeBytes: 4100,
    })
  })

  it.each<[string, Record<string, unknown>]>([
    ['no layers', { ...image, layers: [] }],
    ['layers that Go wrote as null', { ...image, layers: null }],
    ['no media type in the body', { ...image, mediaType: undefined }],
    ['an empty media type in the body', { ...image, mediaType: '' }],
    ['a custom field', { ...image, 'org.EXAMPLE': { Layers: 1, layers: [] } }],
    ['a data field', { ...image, config: { ...config, data: 'e30=' }, layers: [{ ...layer, data: 'AAECAw==' }] }],
    ['layers that are elsewhere', { ...image, layers: [foreignLayer] }],
    ['sha512 digests', { ...image, config: { ...config, digest: `sha512:${'c'.repeat(128)}` } }],
    ['annotations that look like fields', { ...image, annotations: { Layers: 'a', MEDIATYPE: 'b', __proto__x: 'c' } }],
    ['large annotations', { ...image, annotations: largeAnnotations }],
    ['nulls', { ...image, annotations: null, subject: null, artifactType: null }],
  ])('may have %s', (_, manifest) => {
    const parsed = parse(manifest, mediaTypes.ociManifest)
    expect(parsed).toMatchObject({
      mediaType: mediaTypes.ociManifest,
      kind: 'image',
      artifactType: mediaTypes.ociConfig,
    })
    expect(parsed.annotations).toEqual(manifest['annotations'] ?? {})
  })

  it('may have a subject', () => {
    expect(parse({ ...image, subject }).subject).toEqual({
      mediaType: subject.mediaType,
      digest: subject.digest,
      sizeBytes: 30,
    })
  })

  it("takes its own artifact type before the config's", () => {
    expect(parse({ ...image, artifactType: 'application/vnd.example' }).artifactType).toBe('application/vnd.example')
    expect(parse({ ...image, artifactType: '' }).artifactType).toBe(mediaTypes.ociConfig)
    const empty = { ...config, mediaType: mediaTypes.ociEmpty }
    expect(parse({ ...image, config: empty }).artifactType).toBe(mediaTypes.ociEmpty)
  })

  it('may be a Docker one', () => {
    const docker = {
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: { ...config, mediaType: mediaTypes.dockerConfig },
      layers: [{ ...layer, mediaType: mediaTypes.dockerLayer }],
    }
    expect(parse(docker, mediaTypes.dockerManifest)).toMatchObject({
      mediaType: mediaTypes.dockerManifest,
      kind: 'image',
      contentSizeBytes: 2100,
    })
  })

  it.each([
    ['schemaVersion', { ...image, schemaVersion: undefined }],
    ['schemaVersion', { ...image, schemaVersion: 3 }],
    ['schemaVersion', { ...image, schemaVersion: '2' }],
    ['mediaType', { ...image, mediaType: mediaTypes.ociIndex }],
    ['mediaType', { ...image, mediaType: mediaTypes.dockerManifest }],
    ['mediaType', { ...image, mediaType: 'application/vnd.oci.image.Manifest.v1+json' }],
    ['mediaType', { ...image, mediaType: 5 }],
    ['config', { ...image, config: undefined }],
    ['config', { ...image, config: null }],
    ['config.size', { ...image, config: { ...config, size: -1 } }],
    ['layers', { ...image, layers: undefined }],
    ['layers', { ...image, layers: {} }],
    ['layers[1].digest', { ...image, layers: [layer, { ...layer, digest: 'sha256:x' }] }],
    ['layers[0]', { ...image, layers: [null] }],
    ['layers[0]', { ...image, layers: [{ ...layer, Digest: digestOf('e') }] }],
    ['manifests', { ...image, manifests: [] }],
    ['manifests', { ...image, manifests: [child] }],
    ['manifests', { ...image, manifests: null }],
    ['subject', { ...image, subject: [] }],
    ['subject.digest', { ...image, subject: { ...subject, digest: 'x' } }],
    ['annotations', { ...image, annotations: { a: {} } }],
    ['artifactType', { ...image, artifactType: 'a\n' }],
    ['artifactType', { ...image, artifactType: 'é' }],
  ])('is refused at %s in case %#', (at, manifest) => {
    expect(() => parse(manifest, mediaTypes.ociManifest)).toThrow(refused(at))
  })

  it('may not have layers larger than can be counted', () => {
    const huge = { ...layer, size: Number.MAX_SAFE_INTEGER }
    expect(() => parse({ ...image, layers: [huge, huge] })).toThrow(refused())
  })

  it('has at most 10,000 descriptors', () => {
    expect(parse({ ...image, layers: Array(9_998).fill(layer) }).layers).toHaveLength(9_998)
    expect(() => parse({ ...image, layers: Array(9_999).fill(layer) })).toThrow(refused('layers'))
    expect(() => parse({ ...index, manifests: Array(9_999).fill(child) })).toThrow(refused('manifests'))
  })
})

describe('an index', () => {
  it('gives its entries, which may be indexes or blobs', () => {
    const nested = { mediaType: mediaTypes.ociIndex, digest: digestOf('e'), size: 9 }
    const cache = { mediaType: mediaTypes.buildkitCacheConfig, digest: digestOf('f'), size: 7 }
    const manifests = [child, nested, layer, cache]
    const parsed = parse({ ...index, manifests, subject, artifactType: 'application/vnd.example' })
    expect(parsed).toMatchObject({
      mediaType: mediaTypes.ociIndex,
      kind: 'index',
      artifactType: 'application/vnd.example',
      config: undefined,
      layers: [],
      contentSizeBytes: 0,
    })
    expect(parsed.children.map((entry) => entry.mediaType)).toEqual([
      child.mediaType,
      nested.mediaType,
      layer.mediaType,
      cache.mediaType,
    ])
    expect(parsed.children[0]?.platform).toEqual({ os: 'linux', architecture: 'amd64' })
    expect(parsed.subject?.digest).toBe(subject.digest)
  })

  it.each([
    ['no entries', mediaTypes.ociIndex, { ...index, manifests: [] }],
    ['entries that Go wrote as null', mediaTypes.ociIndex, { ...index, manifests: null }],
    ['no media type in the body', mediaTypes.ociIndex, { ...index, mediaType: undefined }],
    ["Docker's type", mediaTypes.dockerManifestList, { ...index, mediaType: mediaTypes.dockerManifestList }],
  ])('may have %s', (_, mediaType, manifest) => {
    expect(parse(manifest, mediaType)).toMatchObject({ mediaType, kind: 'index', artifactType: undefined })
  })

  it.each([
    ['manifests', { ...index, manifests: undefined }],
    ['manifests', { ...index, manifests: 'x' }],
    ['manifests[0].size', { ...index, manifests: [{ ...child, size: 2 ** 60 }] }],
    ['layers', { ...index, layers: [] }],
    ['config', { ...index, config }],
    ['schemaVersion', { ...index, schemaVersion: 2.5 }],
  ])('is refused at %s in case %#', (at, manifest) => {
    expect(() => parse(manifest, mediaTypes.ociIndex)).toThrow(refused(at))
  })
})

describe('an artifact manifest', () => {
  it('gives its blobs as layers', () => {
    expect(parse(artifact, mediaTypes.ociArtifact)).toMatchObject({
      mediaType: mediaTypes.ociArtifact,
      kind: 'image',
      artifactType: 'application/vnd.example',
      config: undefined,
      layers: [{ digest: layer.digest }],
      subject: { digest: subject.digest },
      contentSizeBytes: 2000,
    })
    expect(parse({ ...artifact, blobs: undefined }).layers).toEqual([])
  })

  it.each(['config', 'layers', 'manifests'])('has no %s', (key) => {
    expect(() => parse({ ...artifact, [key]: [] })).toThrow(refused(key))
  })
})

describe('an unknown media type', () => {
  const unknown = 'application/vnd.example.Manifest+json'

  it.each([
    ['text', Buffer.from('hello')],
    ['malformed UTF-8', Buffer.from([0xff, 0xfe, 0x00])],
    ['an array', Buffer.from('[]')],
    ['a repeated key', Buffer.from('{"subject":1,"subject":2}')],
    ['deep nesting', Buffer.from('['.repeat(100_000))],
    ['fields of other forms', json({ subject: 'x', artifactType: {}, annotations: [], config: 5, schemaVersion: 1 })],
  ])('may have %s', (_, bytes) => {
    expect(parseManifest(bytes, `${unknown}; charset=utf-8`)).toEqual({
      mediaType: unknown,
      kind: 'other',
      artifactType: undefined,
      config: undefined,
      layers: [],
      children: [],
      subject: undefined,
      annotations: {},
      contentSizeBytes: 0,
    })
  })

  it('gives subject, artifact type and annotations if they have the usual form', () => {
    const manifest = { mediaType: unknown, subject, artifactType: 'application/vnd.example', annotations: { a: 'b' } }
    const expected = {
      mediaType: unknown,
      kind: 'other',
      subject: { digest: subject.digest },
      artifactType: 'application/vnd.example',
      annotations: { a: 'b' },
    }
    expect(parse(manifest, unknown)).toMatchObject(expected)
    expect(parse(manifest)).toMatchObject(expected)
    expect(parse(manifest, 'application/json')).toMatchObject(expected)
  })

  it('has to be the one in the body', () => {
    expect(() => parse(image, unknown)).toThrow(refused('mediaType'))
  })
})

describe('the media type', () => {
  it.each([
    [mediaTypes.ociManifest],
    [`${mediaTypes.ociManifest}; charset=utf-8`],
    [` ${mediaTypes.ociManifest.toUpperCase()} ;x=y`],
    ['application/json'],
    ['Application/JSON; charset=utf-8'],
    ['application/octet-stream'],
    [''],
    [';'],
    [undefined],
  ])('of an image may be declared as %j', (declared) => {
    expect(parse(image, declared).mediaType).toBe(mediaTypes.ociManifest)
    expect(parse({ ...image, mediaType: undefined }, declared).mediaType).toBe(mediaTypes.ociManifest)
  })

  it('is inferred from the fields where nothing states it', () => {
    expect(parse({ ...index, mediaType: undefined }).mediaType).toBe(mediaTypes.ociIndex)
    expect(parse({ ...image, mediaType: undefined }, 'application/json').mediaType).toBe(mediaTypes.ociManifest)
    expect(() => parse({ ...index, ...image, mediaType: undefined })).toThrow(refused())
    expect(() => parse({})).toThrow(refused('mediaType'))
    expect(() => parse({ ...artifact, mediaType: undefined })).toThrow(refused('mediaType'))
    expect(() => parse({ ...image, mediaType: undefined, layers: undefined })).toThrow(refused('mediaType'))
  })

  it.each(['garbage', 'a/b\r\nx: y', '*/*', 'a/b/c', `a/${'b'.repeat(200)}`])('%j is refused', (mediaType) => {
    expect(() => parse(image, mediaType)).toThrow(refused())
    expect(() => parse({ ...image, mediaType })).toThrow(refused())
  })

  it('of the body has to be the declared one', () => {
    expect(() => parse(index, mediaTypes.ociManifest)).toThrow(refused('mediaType'))
    expect(() => parse(image, mediaTypes.dockerManifest)).toThrow(refused('mediaType'))
    expect(() => parse(image, 'text/plain')).toThrow(refused('mediaType'))
  })

  it.each([
    [{ schemaVersion: 1, fsLayers: [] }, mediaTypes.dockerSchema1],
    [{ schemaVersion: 1, fsLayers: [] }, mediaTypes.dockerSchema1Signed],
    [{ schemaVersion: 1, fsLayers: [] }, undefined],
    [{ schemaVersion: 1, fsLayers: [] }, mediaTypes.dockerManifest],
    [{ schemaVersion: 1, mediaType: mediaTypes.dockerSchema1 }, 'application/json'],
    [{ ...image, fsLayers: [] }, mediaTypes.ociManifest],
    [{ ...image, schemaVersion: 1 }, mediaTypes.ociManifest],
  ])('of Docker schema 1 is refused with a clear text (%#)', (manifest, declared) => {
    expect(() => parse(manifest, declared)).toThrow(
      expect.objectContaining({
        code: 'manifest-invalid',
        message: expect.stringContaining('schema 1 is not accepted'),
      }),
    )
  })
})

describe('a document that two readers could understand differently', () => {
  const text = JSON.stringify(image)
  const with_ = (member: string) => Buffer.from(`${text.slice(0, -1)},${member}}`)
  const before = (member: string) => Buffer.from(`{${member},${text.slice(1)}`)

  it.each([
    '"layers":[]',
    '"layer\\u0073":[]',
    '"\\u006cayers":[]',
    '"config":{}',
    '"mediaType":"application/vnd.oci.image.index.v1+json"',
    '"Layers":[]',
    '"LAYERS":[]',
    '"layerſ":[]',
    '"Config":{}',
    '"MEDIATYPE":"x"',
    '"Manifests":[]',
    '"manifeſts":[]',
    '"SchemaVersion":1',
    '"Subject":{}',
    '"FSLayers":[]',
    '"x":{"a":1,"a":2}',
  ])('with %s is refused', (member) => {
    for (const declared of [mediaTypes.ociManifest, undefined, 'application/json']) {
      expect(() => parseManifest(with_(member), declared)).toThrow(refused())
      expect(() => parseManifest(before(member), declared)).toThrow(refused())
    }
  })

  it.each([
    ['a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(text)])],
    ['UTF-16', Buffer.from(text, 'utf16le')],
    ['malformed UTF-8', Buffer.concat([Buffer.from('{"\xff":1,', 'latin1'), Buffer.from(text.slice(1))])],
    ['something behind it', Buffer.from(`${text}{}`)],
    ['a second document', Buffer.from(`${text}\n${text}`)],
    ['a comment', Buffer.from(`/**/${text}`)],
    ['an end too early', Buffer.from(text.slice(0, -1))],
    ['deep nesting', with_(`"x":${'['.repeat(64)}${']'.repeat(64)}`)],
    ['nothing', Buffer.alloc(0)],
    ['null', Buffer.from('null')],
    ['an array', Buffer.from(`[${text}]`)],
    ['a string', Buffer.from('"x"')],
  ])('by %s is refused', (_, bytes) => {
    expect(() => parseManifest(bytes, mediaTypes.ociManifest)).toThrow(refused())
    expect(() => parseManifest(bytes, undefined)).toThrow(refused())
  })
})

describe('any input', () => {
  const digests = fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((hash) => `sha256:${Buffer.from(hash).toString('hex')}`)
  const descriptors = fc.record(
    {
      mediaType: fc.constantFrom(...Object.values(mediaTypes)),
      digest: digests,
      size: fc.nat(),
      annotations: fc.dictionary(anyText, anyText),
      urls: fc.array(fc.webUrl()),
    },
    { requiredKeys: ['mediaType', 'digest', 'size'], noNullPrototype: true },
  )
  const images = fc.record(
    {
      schemaVersion: fc.constant(2),
      mediaType: fc.constantFrom(mediaTypes.ociManifest, mediaTypes.dockerManifest),
      config: descriptors,
      layers: fc.array(descriptors),
      subject: descriptors,
      annotations: fc.dictionary(fc.string(), fc.string()),
    },
    { requiredKeys: ['schemaVersion', 'mediaType', 'config', 'layers'], noNullPrototype: true },
  )

  test('a printed image is read as it was meant', () => {
    const read = ({ size, ...rest }: { size: number }) => ({ ...rest, sizeBytes: size })
    fc.assert(
      fc.property(images, (manifest) => {
        const printed = JSON.parse(JSON.stringify(manifest)) as typeof manifest
        const parsed = parse(manifest, manifest.mediaType)
        expect(parsed).toEqual({
          mediaType: manifest.mediaType,
          kind: 'image',
          artifactType: manifest.config.mediaType,
          config: read(printed.config),
          layers: printed.layers.map(read),
          children: [],
          subject: printed.subject === undefined ? undefined : read(printed.subject),
          annotations: printed.annotations ?? {},
          contentSizeBytes: manifest.layers.reduce((sum, { size }) => sum + size, manifest.config.size),
        })
        expect(parse(manifest)).toEqual(parsed)
      }),
    )
  })

  const declarations = fc.oneof(
    fc.constantFrom(undefined, '', 'application/json', 'application/vnd.unknown', ...Object.values(mediaTypes)),
    anyText,
  )
  const onlyPlatformErrors = (bytes: Uint8Array, declared: string | undefined) => {
    try {
      parseManifest(Buffer.from(bytes), declared)
    } catch (error) {
      expect(error).toBeInstanceOf(PlatformError)
      expect(error).toMatchObject({ code: 'manifest-invalid' })
    }
  }

  test('bytes are read or refused', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), declarations, onlyPlatformErrors), { numRuns: 500 })
  })

  test('JSON with the fields of manifests is read or refused', () => {
    const scalars = fc.constantFrom(1, 2, null)
    const anything = fc.oneof(fc.jsonValue({ maxDepth: 2 }), descriptors, fc.array(descriptors), scalars)
    const fields = ['schemaVersion', 'mediaType', 'config', 'layers', 'manifests', 'blobs', 'subject', 'annotations']
    const keys = fc.constantFrom(...fields, 'artifactType', 'Layers', '__proto__', 'constructor', 'toString')
    const documents = fc.dictionary(keys, anything).map((value) => Buffer.from(JSON.stringify(value)))
    fc.assert(fc.property(documents, declarations, onlyPlatformErrors), { numRuns: 500 })
  })

  test('a manifest with damaged bytes is read or refused', () => {
    const bytes = json({ ...image, subject, annotations: { a: 'b' } })
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (position, byte) => {
        const damaged = Buffer.from(bytes)
        damaged[position] = byte
        onlyPlatformErrors(damaged, mediaTypes.ociManifest)
      }),
      { numRuns: 2000 },
    )
  })

  const repeat = (piece: string, sizeBytes: number) => piece.repeat(Math.floor(sizeBytes / piece.length))
  const keyed = { ...layer, ...Object.fromEntries(Array.from({ length: 9_000 }, (_, n) => [`k${n}`, 0])) }
  const adversarial: [string, (sizeBytes: number) => string][] = [
    ['open brackets', (size) => repeat('[', size)],
    ['open objects', (size) => repeat('{"a":', size)],
    ['quotes', (size) => repeat('"', size)],
    ['backslashes in a string', (size) => `{"${repeat('\\', size)}`],
    ['escaped quotes in a string', (size) => `{"a":"${repeat('\\"', size)}"}`],
    ['spaces behind a key', (size) => `{"a"${repeat(' ', size)}:1}`],
    ['strings and spaces', (size) => `{${repeat('"a"   ', size)}`],
    ['empty objects', (size) => `{"layers":[${repeat('{},', size)}{}]}`],
    ['long keys', (size) => `{"${repeat('s', size)}":1,"${repeat('S', size)}":1}`],
    ['unknown keys', (size) => JSON.stringify({ ...image, layers: Array(size / 100_000).fill(keyed) })],
    ['many keys', (size) => `{${Array.from({ length: size / 12 }, (_, n) => `"k${n}":1`).join(',')}}`],
    ['a long number', (size) => `{"schemaVersion":${repeat('9', size)}}`],
    ['colons', (size) => `{"a"${repeat(':', size)}`],
    ['base64', (size) => JSON.stringify({ ...image, config: { ...config, data: repeat('AAAA', size) } })],
    ['padding', (size) => JSON.stringify({ ...image, config: { ...config, data: repeat('====', size) } })],
  ]

  /** A quadratic reader takes minutes for these inputs, a linear one some 50 ms: a busy machine changes neither. */
  const linearLimitMs = 15_000

  it.each(adversarial)('1 MB of %s takes no more than linear time', (_, make) => {
    const bytes = Buffer.from(make(1_000_000))
    const start = performance.now()
    for (const declared of [undefined, mediaTypes.ociManifest, 'application/vnd.unknown']) {
      onlyPlatformErrors(bytes, declared)
    }
    expect(performance.now() - start).toBeLessThan(linearLimitMs)
  })

  it('takes no more than linear time for a long media type', () => {
    const start = performance.now()
    for (const piece of [';', ' ', ' ;', 'a', 'a/']) onlyPlatformErrors(json(image), repeat(piece, 1_000_000))
    expect(performance.now() - start).toBeLessThan(linearLimitMs)
  })
})
