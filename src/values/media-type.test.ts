import { describe, expect, it } from 'vitest'
import {
  isForeignLayerMediaType,
  isIndexMediaType,
  isManifestMediaType,
  isMediaType,
  isSchema1MediaType,
  mediaTypes,
} from './media-type.ts'

describe('the kinds of media types', () => {
  it.each(Object.entries(mediaTypes))('%s is a media type', (_, mediaType) => {
    expect(isMediaType(mediaType)).toBe(true)
  })

  it('tell what the registry reads', () => {
    const named = Object.values(mediaTypes)
    expect(named.filter(isIndexMediaType)).toEqual([mediaTypes.ociIndex, mediaTypes.dockerManifestList])
    expect(named.filter(isManifestMediaType)).toEqual([
      mediaTypes.ociManifest,
      mediaTypes.ociIndex,
      mediaTypes.ociArtifact,
      mediaTypes.dockerManifest,
      mediaTypes.dockerManifestList,
    ])
    expect(named.filter(isSchema1MediaType)).toEqual([mediaTypes.dockerSchema1, mediaTypes.dockerSchema1Signed])
    expect(named.filter(isForeignLayerMediaType)).toEqual([
      mediaTypes.ociNondistributableLayer,
      mediaTypes.ociNondistributableLayerGzip,
      mediaTypes.ociNondistributableLayerZstd,
      mediaTypes.dockerForeignLayer,
    ])
  })
})

describe('isMediaType', () => {
  it.each(['a/b', 'application/vnd.cncf.helm.config.v1+json', 'Text/PLAIN', `${'a'.repeat(127)}/${'b'.repeat(127)}`])(
    'accepts %j',
    (text) => {
      expect(isMediaType(text)).toBe(true)
    },
  )

  it.each([
    '',
    '/',
    'a',
    'a/',
    '/b',
    'a/b/c',
    'a/b; c=d',
    'a b/c',
    '*/*',
    '.a/b',
    'a/b\r\nSet-Cookie: c',
    'a/ä',
    `${'a'.repeat(128)}/b`,
    `a/${'b'.repeat(1_000_000)}`,
  ])('refuses %.40j', (text) => {
    expect(isMediaType(text)).toBe(false)
  })
})
