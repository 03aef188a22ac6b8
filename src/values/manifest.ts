import { isUtf8 } from 'node:buffer'
import {
  findCaseVariant,
  foldNames,
  isJsonObject,
  isPresent,
  parseDescriptor,
  parseStringMap,
  parseTypeName,
  type Descriptor,
} from './descriptor.ts'
import { quoted, valueError } from './errors.ts'
import { findStructuralProblem } from './json-structure.ts'
import { isIndexMediaType, isManifestMediaType, isMediaType, isSchema1MediaType, mediaTypes } from './media-type.ts'

/** What the registry reads from a manifest. The bytes that were pushed are kept beside it and never written anew. */
export interface ParsedManifest {
  /** Lower case for the types the registry knows, as declared for others; without parameters. */
  readonly mediaType: string
  /**
   * `image`: refers to blobs (artifact manifests do too); `index`: refers to manifests or blobs; `other`: a
   * type the registry does not know, of which only subject, artifact type and annotations are read, if they
   * are there in the usual form.
   */
  readonly kind: 'image' | 'index' | 'other'
  /** Its own, or else the config's media type of an image: what a list of referrers shows. OCI distribution-spec. */
  readonly artifactType: string | undefined
  /** Absent from indexes, artifact manifests and other types. */
  readonly config: Descriptor | undefined
  /** The layers of an image, or the blobs of an artifact manifest, in order; the same one may come twice. */
  readonly layers: Descriptor[]
  /** The entries of an index. Not all have to be manifests: a BuildKit cache lists layers. */
  readonly children: Descriptor[]
  /** What this refers to. It need not exist. */
  readonly subject: Descriptor | undefined
  readonly annotations: Record<string, string>
  /** Stated sizes of config and layers, one that comes twice counted twice. 0 for indexes and other types. */
  readonly contentSizeBytes: number
}

/** More than any image has; each costs the registry a look-up and a row. */
const maxDescriptors = 10_000

/** The two descriptors of a manifest outside its list: config and subject. */
const singleDescriptors = 2

const knownKeys = [
  'schemaVersion',
  'mediaType',
  'artifactType',
  'config',
  'layers',
  'manifests',
  'blobs',
  'subject',
  'annotations',
  'fsLayers',
] as const

type KnownKey = (typeof knownKeys)[number]

const fields = foldNames(knownKeys)

/** What senders declare that have no better idea; it says no more than nothing. */
const genericMediaTypes = new Set(['', 'application/json', 'application/octet-stream'])

/**
 * Reads and checks a manifest. The caller has limited its size.
 *
 * Known types (OCI image manifest and index, their Docker counterparts, OCI artifact manifest) are checked so
 * that no client can read other references from the same bytes than the registry does: no repeated or
 * case-varied keys, no lists of two types, no media type other than the declared one. Unknown types are
 * accepted, as JSON or not.
 *
 * @param declaredMediaType what it was sent as; parameters are dropped, and generic types count as undeclared
 * @throws `manifest-invalid`, with the place in `detail.at` where there is one
 */
export function parseManifest(bytes: Buffer, declaredMediaType: string | undefined): ParsedManifest {
  const declared = readDeclared(declaredMediaType)
  if (bytes.length === 0) throw invalid('It is empty.')
  const document = readDocument(bytes)
  if (document.root === undefined) {
    if (declared === undefined || isManifestMediaType(declared)) throw invalid(document.problem)
    return parseOther({}, declared)
  }
  const mediaType = chooseMediaType(document.root, declared)
  if (!isManifestMediaType(mediaType)) return parseOther(document.root, mediaType)
  checkKnown(document.root, mediaType)
  return isIndexMediaType(mediaType) ? parseIndex(document.root, mediaType) : parseImage(document.root, mediaType)
}

type Root = Readonly<Record<string, unknown> & { [key in KnownKey]?: unknown }>

function readDeclared(declaredMediaType: string | undefined): string | undefined {
  if (declaredMediaType === undefined) return undefined
  const semicolon = declaredMediaType.indexOf(';')
  const bare = (semicolon === -1 ? declaredMediaType : declaredMediaType.slice(0, semicolon)).trim()
  return genericMediaTypes.has(bare.toLowerCase()) ? undefined : readMediaType(bare)
}

function readMediaType(text: string): string {
  if (!isMediaType(text)) {
    throw invalid('Its media type is not a type and subtype as in RFC 6838.', { mediaType: quoted(text) })
  }
  const folded = text.toLowerCase()
  if (isSchema1MediaType(folded)) throw schema1()
  return isManifestMediaType(folded) ? folded : text
}

function readDocument(bytes: Buffer): { root: Root } | { root: undefined; problem: string } {
  // Decoders replace malformed sequences, which could make two keys one.
  if (!isUtf8(bytes)) return { root: undefined, problem: 'It is not UTF-8.' }
  const text = bytes.toString('utf8')
  const problem = findStructuralProblem(text)
  if (problem !== undefined) return { root: undefined, problem }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { root: undefined, problem: 'It is not valid JSON.' }
  }
  return isJsonObject(value) ? { root: value } : { root: undefined, problem: 'It is not a JSON object.' }
}

/** The declared type, else the one in the document, else what its fields show. */
function chooseMediaType(root: Root, declared: string | undefined): string {
  const stated = typeof root.mediaType === 'string' && root.mediaType !== '' ? root.mediaType : undefined
  if (declared !== undefined) {
    if (stated !== undefined && stated.toLowerCase() !== declared.toLowerCase()) {
      throw invalid('It was sent as another media type than it states.', {
        at: 'mediaType',
        declared: quoted(declared),
        stated: quoted(stated),
      })
    }
    return declared
  }
  if (stated !== undefined) return readMediaType(stated)
  if (isSchema1(root)) throw schema1()
  if (Object.hasOwn(root, 'manifests')) return mediaTypes.ociIndex
  if (Object.hasOwn(root, 'config') && Object.hasOwn(root, 'layers')) return mediaTypes.ociManifest
  throw invalid('It has no media type, and its fields do not show one.', { at: 'mediaType' })
}

function isSchema1(root: Root): boolean {
  return root.schemaVersion === 1 || Object.hasOwn(root, 'fsLayers')
}

function checkKnown(root: Root, mediaType: string): void {
  const variant = findCaseVariant(root, fields)
  if (variant !== undefined) throw invalid(`Its key ${JSON.stringify(variant)} is a field in another spelling.`)
  if (isSchema1(root)) throw schema1()
  if (isPresent(root.mediaType) && root.mediaType !== '' && root.mediaType !== mediaType) {
    throw invalid('The media type it states is not spelt as the type it was read as.', { at: 'mediaType' })
  }
  // The artifact manifest was defined without a schema version.
  if (mediaType !== mediaTypes.ociArtifact || isPresent(root.schemaVersion)) {
    if (root.schemaVersion !== 2) throw invalid('The schema version has to be 2.', { at: 'schemaVersion' })
  }
}

function parseImage(root: Root, mediaType: string): ParsedManifest {
  const isArtifact = mediaType === mediaTypes.ociArtifact
  refuseKeys(root, isArtifact ? ['config', 'layers', 'manifests'] : ['manifests'])
  const config = isArtifact ? undefined : parseDescriptor(root.config, 'config')
  const layers = isArtifact ? parseList(root, 'blobs', 'optional') : parseList(root, 'layers', 'required')
  let contentSizeBytes = config?.sizeBytes ?? 0
  for (const layer of layers) contentSizeBytes += layer.sizeBytes
  if (!Number.isSafeInteger(contentSizeBytes)) throw invalid('Its layers are larger than can be counted.')
  return {
    mediaType,
    kind: 'image',
    artifactType: parseTypeName(root.artifactType, 'artifactType') ?? config?.mediaType,
    config,
    layers,
    children: [],
    subject: parseSubject(root),
    annotations: parseStringMap(root.annotations, 'annotations') ?? {},
    contentSizeBytes,
  }
}

function parseIndex(root: Root, mediaType: string): ParsedManifest {
  refuseKeys(root, ['config', 'layers'])
  return {
    mediaType,
    kind: 'index',
    artifactType: parseTypeName(root.artifactType, 'artifactType'),
    config: undefined,
    layers: [],
    children: parseList(root, 'manifests', 'required'),
    subject: parseSubject(root),
    annotations: parseStringMap(root.annotations, 'annotations') ?? {},
    contentSizeBytes: 0,
  }
}

/** Fields of an unknown type may mean something else by these names: what has another form is passed over. */
function parseOther(root: Root, mediaType: string): ParsedManifest {
  return {
    mediaType,
    kind: 'other',
    artifactType: ifValid(() => parseTypeName(root.artifactType, 'artifactType')),
    config: undefined,
    layers: [],
    children: [],
    subject: ifValid(() => parseSubject(root)),
    annotations: ifValid(() => parseStringMap(root.annotations, 'annotations')) ?? {},
    contentSizeBytes: 0,
  }
}

function ifValid<Value>(parse: () => Value): Value | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}

function parseSubject(root: Root): Descriptor | undefined {
  return isPresent(root.subject) ? parseDescriptor(root.subject, 'subject') : undefined
}

function parseList(root: Root, key: KnownKey, presence: 'required' | 'optional'): Descriptor[] {
  if (presence === 'required' && !Object.hasOwn(root, key)) throw invalid(`It has no ${key}.`, { at: key })
  const list = root[key]
  if (!isPresent(list)) return []
  if (!Array.isArray(list)) throw invalid(`Its ${key} have to be an array.`, { at: key })
  if (list.length > maxDescriptors - singleDescriptors) {
    throw invalid(`It has more than ${maxDescriptors} descriptors.`, { at: key })
  }
  return list.map((entry, position) => parseDescriptor(entry, `${key}[${position}]`))
}

function refuseKeys(root: Root, keys: readonly KnownKey[]): void {
  const found = keys.find((key) => Object.hasOwn(root, key))
  if (found !== undefined) throw invalid(`A manifest of its media type has no ${found}.`, { at: found })
}

function schema1(): Error {
  return invalid('Docker image manifest version 2, schema 1 is not accepted: push it as schema 2 or as an OCI image.')
}

function invalid(message: string, detail?: Readonly<Record<string, unknown>>): Error {
  return valueError('manifest-invalid', `The manifest is invalid. ${message}`, detail)
}
