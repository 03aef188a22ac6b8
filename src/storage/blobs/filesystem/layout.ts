import { join } from 'node:path'
import { digestAlgorithm, digestHex, isDigest, type Digest } from '../../../values/digest.ts'
import type { BlobEncoding } from '../blob-store.ts'

const uploadIdPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** One path segment that cannot be `.` or `..`: what a configuration or a key id may choose. */
const domainPattern = /^[a-z0-9][a-z0-9._-]{0,127}$/
const generationPattern = /^[0-9a-f]{32}$/
const zstdSuffix = '.zst'

/** Where a published blob lies: the directory to make durable, and the file in it. */
export interface BlobPlace {
  readonly key: string
  readonly domain: string
  readonly digest: Digest
  readonly generation: string
  readonly encoding: BlobEncoding
  readonly path: string
  /** From the outermost that may have to be made to the one that holds the file. */
  readonly directories: readonly string[]
}

export function isUploadId(text: string): boolean {
  return uploadIdPattern.test(text)
}

export function isDomain(text: string): boolean {
  return domainPattern.test(text)
}

/** The generation of what an upload publishes: its id, without what a file name need not carry. */
export function generationOf(uploadId: string): string {
  return uploadId.replaceAll('-', '')
}

/** The upload whose publication has that generation. */
export function uploadOf(generation: string): string {
  return generation.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/**
 * The paths of the store, and the only place that builds one.
 *
 *     <data>/
 *       uploads/
 *         0b8a5e0e-6a1c-4c3e-9a0f-3f0f4b1f7c55      a growing upload, named by its id
 *       blobs/
 *         default/                                  domain
 *           sha256/
 *             ab/                                   first two digits, so that no directory grows huge
 *               abcd…ef.0b8a5e0e6a1c4c3e9a0f3f0f4b1f7c55    digest.generation
 *               abcd…ef.0b8a5e0e6a1c4c3e9a0f3f0f4b1f7c55.zst    the same, compressed: any zstd program reads it
 *       holds/
 *         5f4e…c2.1767225600000                     somebody's id, and until when nothing is deleted
 *
 * A key is the part below `blobs/`. It names digest and generation, so a store can be read without its metadata.
 */
export class Layout {
  readonly dataDir: string
  readonly uploadsDir: string
  readonly blobsDir: string
  readonly holdsDir: string

  constructor(dataDir: string) {
    this.dataDir = dataDir
    this.uploadsDir = join(dataDir, 'uploads')
    this.blobsDir = join(dataDir, 'blobs')
    this.holdsDir = join(dataDir, 'holds')
  }

  /** Undefined for what is not an upload id, so that no other text ever becomes a path. */
  uploadPath(uploadId: string): string | undefined {
    return isUploadId(uploadId) ? join(this.uploadsDir, uploadId) : undefined
  }

  /** Throws for a domain that is no path segment: domains come from the configuration, never from a request. */
  blobPlace(domain: string, digest: Digest, generation: string, encoding: BlobEncoding = 'identity'): BlobPlace {
    if (!isDomain(domain)) throw new Error('a blob domain must be one plain lower-case path segment')
    const algorithm = digestAlgorithm(digest)
    const hex = digestHex(digest)
    const shard = hex.slice(0, 2)
    const domainDir = join(this.blobsDir, domain)
    const algorithmDir = join(domainDir, algorithm)
    const shardDir = join(algorithmDir, shard)
    const fileName = `${hex}.${generation}${encoding === 'zstd' ? zstdSuffix : ''}`
    return {
      key: `${domain}/${algorithm}/${shard}/${fileName}`,
      domain,
      digest,
      generation,
      encoding,
      path: join(shardDir, fileName),
      directories: [domainDir, algorithmDir, shardDir],
    }
  }

  /** Where a key lies, or undefined when this store cannot have issued it. */
  placeOfKey(key: string): BlobPlace | undefined {
    const [domain, algorithm, , fileName, ...more] = key.split('/')
    if (domain === undefined || algorithm === undefined || fileName === undefined || more.length > 0) return undefined
    const encoding = fileName.endsWith(zstdSuffix) ? 'zstd' : 'identity'
    const [hex, generation] = fileName.split('.')
    const digest = `${algorithm}:${hex ?? ''}`
    if (!isDomain(domain) || !generationPattern.test(generation ?? '') || !isDigest(digest)) return undefined
    const place = this.blobPlace(domain, digest, generation ?? '', encoding)
    return place.key === key ? place : undefined
  }
}
