import { describe, expect, it } from 'vitest'
import { findCaseVariant, foldNames, parseDescriptor } from './descriptor.ts'

const digest = `sha256:${'a'.repeat(64)}`
const plain = { mediaType: 'application/octet-stream', digest, size: 5 }

describe('parseDescriptor', () => {
  it('keeps what the registry uses and passes over the rest', () => {
    const full = {
      ...plain,
      artifactType: 'application/vnd.example',
      annotations: { Size: 'not a field here', '': '' },
      urls: ['https://example.com/blob'],
      data: 'aGVsbG8=',
      platform: {
        os: 'windows',
        architecture: 'arm',
        variant: 'v7',
        'os.version': '10.0',
        'os.features': ['win32k'],
        features: ['sse4'],
      },
      'org.example': [1],
    }
    expect(parseDescriptor(full, 'config')).toEqual({
      mediaType: plain.mediaType,
      digest,
      sizeBytes: 5,
      artifactType: 'application/vnd.example',
      annotations: { Size: 'not a field here', '': '' },
      urls: ['https://example.com/blob'],
      platform: { os: 'windows', architecture: 'arm', variant: 'v7', osVersion: '10.0', osFeatures: ['win32k'] },
    })
  })

  it.each([
    ['nulls where Go writes them', { annotations: null, urls: null, platform: null, data: null, artifactType: '' }],
    ['sha512', { digest: `sha512:${'b'.repeat(128)}` }],
    ['no bytes', { size: 0 }],
    ['the largest size', { size: Number.MAX_SAFE_INTEGER }],
    ['a media type with a parameter', { mediaType: 'text/plain; charset=utf-8' }],
    ['empty data', { data: '' }],
    ['data of another size', { data: 'AAAA' }],
  ])('accepts %s', (_, fields) => {
    expect(parseDescriptor({ ...plain, ...fields }, 'config')).toMatchObject({
      digest: 'digest' in fields ? fields.digest : digest,
      sizeBytes: 'size' in fields ? fields.size : 5,
    })
  })

  it('has no negative zero', () => {
    expect(parseDescriptor({ ...plain, size: -0 }, 'config').sizeBytes).toBe(0)
  })

  it.each([
    ['', null],
    ['', []],
    ['', 'text'],
    ['.mediaType', { ...plain, mediaType: undefined }],
    ['.mediaType', { ...plain, mediaType: '' }],
    ['.mediaType', { ...plain, mediaType: 1 }],
    ['.mediaType', { ...plain, mediaType: 'a/b\n' }],
    ['.mediaType', { ...plain, mediaType: 'a/\0' }],
    ['.mediaType', { ...plain, mediaType: 'a'.repeat(256) }],
    ['.digest', { ...plain, digest: undefined }],
    ['.digest', { ...plain, digest: `sha256:${'A'.repeat(64)}` }],
    ['.digest', { ...plain, digest: [digest] }],
    ['.digest', { ...plain, digest: '../../etc/passwd' }],
    ['.size', { ...plain, size: undefined }],
    ['.size', { ...plain, size: null }],
    ['.size', { ...plain, size: '5' }],
    ['.size', { ...plain, size: -1 }],
    ['.size', { ...plain, size: 0.5 }],
    ['.size', { ...plain, size: 2 ** 53 }],
    ['.size', { ...plain, size: Infinity }],
    ['.data', { ...plain, data: 'aGVsbG8' }],
    ['.data', { ...plain, data: 'aGVs====' }],
    ['.data', { ...plain, data: '_-==' }],
    ['.data', { ...plain, data: 1 }],
    ['.artifactType', { ...plain, artifactType: {} }],
    ['.annotations', { ...plain, annotations: { a: 1 } }],
    ['.annotations', { ...plain, annotations: ['a'] }],
    ['.urls', { ...plain, urls: 'https://example.com' }],
    ['.urls', { ...plain, urls: [1] }],
    ['.platform', { ...plain, platform: 'linux' }],
    ['.platform.os', { ...plain, platform: { os: 1 } }],
    ['.platform["os.features"]', { ...plain, platform: { 'os.features': [1] } }],
    ['', { ...plain, Digest: `sha256:${'b'.repeat(64)}` }],
    ['', { ...plain, SIZE: 6 }],
    ['', { ...plain, 'ſize': 6 }],
  ])('refuses layers[3]%s of %j', (at, value) => {
    expect(() => parseDescriptor(value, 'layers[3]')).toThrow(
      expect.objectContaining({ code: 'manifest-invalid', detail: { at: `layers[3]${at}` } }),
    )
  })
})

describe('findCaseVariant', () => {
  const names = foldNames(['layers', 'token'])

  it.each(['LAYERS', 'Layers', 'layerS', 'layerſ', 'toKen', 'to\u212aen', 'TOKEN'])('finds %j', (key) => {
    expect(findCaseVariant({ [key]: 1 }, names)).toBe(key)
  })

  it.each(['layers', 'token', 'layer', 'layers ', 'org.example.Layers', '', '__proto__', 'x'.repeat(1_000_000)])(
    'passes over %.40j',
    (key) => {
      expect(findCaseVariant(Object.fromEntries([[key, 1]]), names)).toBeUndefined()
    },
  )
})
