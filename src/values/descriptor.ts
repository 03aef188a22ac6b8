import { every, isAlphanumeric } from './characters.ts'
import { isDigest, type Digest } from './digest.ts'
import { quoted, valueError } from './errors.ts'

/** What an image runs on. OCI image-spec, image-index.md, `platform`. */
export interface Platform {
  readonly os?: string
  readonly architecture?: string
  readonly variant?: string
  readonly osVersion?: string
  readonly osFeatures?: readonly string[]
}

/** A reference to content by digest. OCI image-spec, descriptor.md. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** As the descriptor states it; whether the content has that size is the reader's to check. */
  readonly sizeBytes: number
  readonly artifactType?: string
  readonly annotations?: Record<string, string>
  /** Where else the content may be had. Written by whoever pushed the manifest: never to be fetched unasked. */
  readonly urls?: string[]
  readonly platform?: Platform
}

/** Two names of RFC 6838 §4.2 (127 characters each) and their slash. */
const maxTypeLength = 255

const fields = foldNames(['mediaType', 'digest', 'size', 'artifactType', 'annotations', 'urls', 'data', 'platform'])

/**
 * Checks one descriptor of a manifest; `at` is its place there, for the error. Unknown fields are passed over.
 *
 * @throws `manifest-invalid`
 */
export function parseDescriptor(value: unknown, at: string): Descriptor {
  if (!isJsonObject(value)) throw invalid(at, 'It has to be a descriptor: an object.')
  const variant = findCaseVariant(value, fields)
  if (variant !== undefined) throw invalid(at, `Its key ${JSON.stringify(variant)} is a field in another spelling.`)

  const { mediaType, digest, size, data } = value
  if (!isTypeName(mediaType)) throw invalid(`${at}.mediaType`, 'It has to be a media type.')
  if (typeof digest !== 'string' || !isDigest(digest)) {
    throw invalid(`${at}.digest`, 'It has to be a sha256 or sha512 digest in lower case.')
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`${at}.size`, 'It has to be a whole number of bytes.')
  }
  if (isPresent(data) && !isBase64(data)) throw invalid(`${at}.data`, 'It has to be base64.')

  const artifactType = parseTypeName(value['artifactType'], `${at}.artifactType`)
  const annotations = parseStringMap(value['annotations'], `${at}.annotations`)
  const urls = parseStrings(value['urls'], `${at}.urls`)
  const platform = parsePlatform(value['platform'], `${at}.platform`)
  return {
    mediaType,
    digest,
    // JSON has a negative zero, and it would stay one.
    sizeBytes: size === 0 ? 0 : size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(urls === undefined ? {} : { urls }),
    ...(platform === undefined ? {} : { platform }),
  }
}

function parsePlatform(value: unknown, at: string): Platform | undefined {
  if (!isPresent(value)) return undefined
  if (!isJsonObject(value)) throw invalid(at, 'It has to be an object.')
  const os = parseString(value['os'], `${at}.os`)
  const architecture = parseString(value['architecture'], `${at}.architecture`)
  const variant = parseString(value['variant'], `${at}.variant`)
  const osVersion = parseString(value['os.version'], `${at}["os.version"]`)
  const osFeatures = parseStrings(value['os.features'], `${at}["os.features"]`)
  return {
    ...(os === undefined ? {} : { os }),
    ...(architecture === undefined ? {} : { architecture }),
    ...(variant === undefined ? {} : { variant }),
    ...(osVersion === undefined ? {} : { osVersion }),
    ...(osFeatures === undefined ? {} : { osFeatures }),
  }
}

/**
 * The type of an artifact; the empty text counts as absent, as in OCI image-spec.
 *
 * @throws `manifest-invalid`
 */
export function parseTypeName(value: unknown, at: string): string | undefined {
  if (!isPresent(value) || value === '') return undefined
  if (!isTypeName(value)) throw invalid(at, 'It has to be a media type.')
  return value
}

/** @throws `manifest-invalid` */
export function parseStringMap(value: unknown, at: string): Record<string, string> | undefined {
  if (!isPresent(value)) return undefined
  if (!isJsonObject(value) || !Object.values(value).every((entry) => typeof entry === 'string')) {
    throw invalid(at, 'It has to be an object of strings.')
  }
  return value as Record<string, string>
}

function parseString(value: unknown, at: string): string | undefined {
  if (!isPresent(value)) return undefined
  if (typeof value !== 'string') throw invalid(at, 'It has to be a string.')
  return value
}

function parseStrings(value: unknown, at: string): string[] | undefined {
  if (!isPresent(value)) return undefined
  if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'string')) {
    throw invalid(at, 'It has to be an array of strings.')
  }
  return value
}

/** Programs in Go write an absent pointer, map or slice as null. */
export function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null
}

export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Field names by what they are once case is ignored. */
export interface FoldedNames {
  readonly byFolded: ReadonlyMap<string, string>
  readonly longest: number
}

export function foldNames(names: readonly string[]): FoldedNames {
  return {
    byFolded: new Map(names.map((name) => [foldCase(name), name])),
    longest: Math.max(...names.map((name) => name.length)),
  }
}

/**
 * A key that a reader which ignores case takes for one of `names`, though it isn't spelt like it. Go's JSON
 * decoder is such a reader, and most clients are written in Go; it also folds ſ to s and the Kelvin sign to k.
 */
export function findCaseVariant(value: Record<string, unknown>, names: FoldedNames): string | undefined {
  return Object.keys(value).find((key) => {
    // No text gets shorter when its case changes, and folding megabytes of them takes time.
    if (key.length > names.longest) return false
    const name = names.byFolded.get(foldCase(key))
    return name !== undefined && name !== key
  })
}

function foldCase(text: string): string {
  return text.toUpperCase().toLowerCase()
}

/**
 * Printable ASCII only, since types are put into headers and database columns; not the strict form of
 * RFC 6838, which clients break for layers and configs with types of their own.
 */
function isTypeName(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value.length > 0 &&
    value.length <= maxTypeLength &&
    every(value, (unit) => unit >= 0x20 && unit <= 0x7e)
  )
}

/** RFC 4648 §4, with its padding. */
function isBase64(value: unknown): boolean {
  if (typeof value !== 'string' || value.length % 4 !== 0) return false
  const padding = value.endsWith('==') ? 2 : value.endsWith('=') ? 1 : 0
  return every(value.slice(0, value.length - padding), isBase64Digit)
}

function isBase64Digit(unit: number): boolean {
  return isAlphanumeric(unit) || unit === 0x2b || unit === 0x2f
}

function invalid(at: string, message: string): Error {
  return valueError('manifest-invalid', `The manifest is invalid at ${quoted(at)}. ${message}`, { at })
}
