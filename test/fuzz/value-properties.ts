import fc from 'fast-check'
import { digestFromBytes, digestToBytes, isDigest, parseDigest } from '../../src/values/digest.ts'
import { findStructuralProblem } from '../../src/values/json-structure.ts'
import { parseManifest, type ParsedManifest } from '../../src/values/manifest.ts'
import { isManifestMediaType, isMediaType, mediaTypes } from '../../src/values/media-type.ts'
import { parseReference } from '../../src/values/reference.ts'
import { parseRepositoryName } from '../../src/values/repository-name.ts'
import { mutated } from './mutation.ts'
import { parsedOrRefused, parserProperty, require, requireEqual, type ParserProperty } from './parser-property.ts'

const digest = `sha256:${'ab'.repeat(32)}`
const descriptor = { mediaType: mediaTypes.ociLayerGzip, digest, size: 7, annotations: { a: 'b' }, urls: ['https://example.com/x'] }
const subject = { mediaType: mediaTypes.ociManifest, digest: `sha512:${'0c'.repeat(64)}`, size: 30, data: 'e30=' }
const image = {
  schemaVersion: 2,
  mediaType: mediaTypes.ociManifest,
  artifactType: 'application/vnd.example',
  config: { ...descriptor, mediaType: mediaTypes.ociConfig },
  layers: [descriptor, descriptor],
  subject,
  annotations: { title: 'x' },
}
const platform = { os: 'linux', architecture: 'arm64', variant: 'v8', 'os.version': '1', 'os.features': ['a'] }
const documents = [
  image,
  { ...image, mediaType: undefined, subject: null },
  { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [{ ...subject, platform }, descriptor] },
  { schemaVersion: 2, mediaType: mediaTypes.dockerManifestList, manifests: [] },
  { mediaType: mediaTypes.ociArtifact, blobs: [descriptor], subject },
  { mediaType: 'application/vnd.unknown+json', subject, extra: [{ deep: { er: [1, null, true, 1.5e-7] } }] },
  { schemaVersion: 1, fsLayers: [] },
].map((document) => JSON.stringify(document))

const declarations = fc.oneof(
  fc.constantFrom(undefined, '', 'application/json', 'text/html', ...Object.values(mediaTypes)),
  mutated(Object.values(mediaTypes)),
)

/** Both readings of a manifest: a repeated key would make them differ. */
function keyCounts(text: string): [written: number, read: number] {
  const written = [...text.matchAll(/"(?:[^"\\]|\\.)*"\s*(:?)/g)].filter(([, colon]) => colon === ':').length
  let read = 0
  JSON.parse(text, function (this: unknown, key, value: unknown) {
    if (!Array.isArray(this) && key !== '') read += 1
    return value
  })
  return [written, read]
}

function requireSound(parsed: ParsedManifest): void {
  require(isMediaType(parsed.mediaType), 'its media type may go into a header')
  const { config, subject: referred, layers, children } = parsed
  for (const each of [config, referred, ...layers, ...children]) {
    if (each === undefined) continue
    require(isDigest(each.digest), 'every digest is one')
    require(Number.isSafeInteger(each.sizeBytes) && each.sizeBytes >= 0, 'every size is a whole number')
    require(/^[\x20-\x7e]{1,255}$/.test(each.mediaType), 'every media type is printable')
  }
  require(Number.isSafeInteger(parsed.contentSizeBytes), 'the sum of sizes is exact')
  require(parsed.kind !== 'index' || layers.length === 0, 'an index has no layers')
  require(parsed.kind !== 'image' || children.length === 0, 'an image has no children')
}

export const valueProperties: readonly ParserProperty[] = [
  parserProperty('a digest', mutated([digest, subject.digest, 'sha256:', digest.toUpperCase(), 'md5:0']), (text) => {
    const parsed = parsedOrRefused(['digest-invalid'], () => parseDigest(text))
    requireEqual(isDigest(text), parsed !== undefined, 'the two ways of checking agree')
    if (parsed === undefined) return
    require(/^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(parsed), 'it has the form of a digest')
    requireEqual(parsed, text, 'it is the text itself')
    requireEqual(digestFromBytes(digestToBytes(parsed)), parsed, 'it is stored and read')
  }),

  parserProperty('a reference', mutated(['latest', 'v1.2.3', digest, `sha256-${'a'.repeat(64)}.sig`, 'a'.repeat(128)]), (text) => {
    const parsed = parsedOrRefused(['digest-invalid', 'tag-invalid'], () => parseReference(text))
    if (parsed === undefined) return
    requireEqual(parsed.kind === 'tag' ? parsed.tag : parsed.digest, text, 'it is the text itself')
    if (parsed.kind === 'tag') require(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(text), 'a tag has the form of one')
  }),

  parserProperty('a repository name', mutated(['app', 'team/app', 'a/b/c/d-e__f.g', 'blobs/uploads', 'a'.repeat(256)]), (text) => {
    const parsed = parsedOrRefused(['repository-name-invalid'], () => parseRepositoryName(text))
    if (parsed === undefined) return
    require(/^[a-z0-9._/-]{2,256}$/.test(parsed), 'it has no character that means something elsewhere')
    require(!/(^|\/)\.|\.(\/|$)|\/\/|^\/|\/$/.test(parsed), 'no part of it is a dot segment or empty')
  }),

  parserProperty('a media type', mutated([...Object.values(mediaTypes), 'text/plain; charset=utf-8']), (text) => {
    if (isMediaType(text)) require(/^[!#$&\-^_.+A-Za-z0-9]+\/[!#$&\-^_.+A-Za-z0-9]+$/.test(text), 'it can be sent as a header')
  }),

  parserProperty('the structure of JSON', mutated(documents), (text) => {
    const problem = findStructuralProblem(text)
    requireEqual(findStructuralProblem(text), problem, 'the answer is always the same')
    if (problem !== undefined) return
    try {
      JSON.parse(text)
    } catch {
      return
    }
    const [written, read] = keyCounts(text)
    require(read <= written, 'no key is read that is not written')
  }),

  parserProperty('a manifest', fc.tuple(mutated(documents), declarations), ([text, declared]) => {
    const bytes = Buffer.from(text)
    const parsed = parsedOrRefused(['manifest-invalid'], () => parseManifest(bytes, declared))
    const again = parsedOrRefused(['manifest-invalid'], () => parseManifest(bytes, declared))
    requireEqual(again, parsed, 'it is read the same way twice')
    if (parsed === undefined) return
    requireSound(parsed)
    if (!isManifestMediaType(parsed.mediaType)) return
    const root = JSON.parse(bytes.toString()) as Record<string, unknown>
    require(!(Object.hasOwn(root, 'layers') && Object.hasOwn(root, 'manifests')), 'it is not image and index at once')
    const withDeclared = parsedOrRefused(['manifest-invalid'], () => parseManifest(bytes, parsed.mediaType))
    requireEqual(withDeclared, parsed, 'served as what it was taken for, it is read the same')
  }),

  parserProperty('a manifest of any bytes', fc.tuple(fc.uint8Array({ maxLength: 300 }), declarations), ([bytes, declared]) => {
    const parsed = parsedOrRefused(['manifest-invalid'], () => parseManifest(Buffer.from(bytes), declared))
    if (parsed !== undefined) requireSound(parsed)
  }),
]
