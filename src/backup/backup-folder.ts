import { constants } from 'node:fs'
import { access, mkdir, open, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { tryLockFolder, type FolderLock } from '../storage/metadata/folder-lock.ts'
import type { NamedBlob } from '../storage/metadata/transfer/index.ts'
import { digestAlgorithm, digestHex, type Digest } from '../values/index.ts'
import { flushFolder, folderMode, writeDurably } from '../internal/durable-files.ts'
import { backupError } from './errors.ts'
import { isPointId, parsePoint, type PointDocument } from './point.ts'
import { readTable } from './table-files.ts'

/**
 * Where backups are kept: several points in time, which share the blobs.
 *
 *     <folder>/
 *       backup.lock                                  the one who works here
 *       incoming/                                    copies under way; nothing that counts
 *       blobs/default/sha256/ab/abcd…ef              one copy of each digest in a domain, never changed
 *       points/20260101T020000000Z-3f0f4b/
 *         point.json                                 its being there makes the point valid; written last
 *         tag.ndjson.gz …                            the metadata, a file for each table
 *         blob-list.ndjson.gz                        the blobs that this point needs
 *         keyring.json, root-credentials.json        only if asked for
 *
 * A copy has its final name only when its bytes were hashed and are flushed: what has a name is whole. Copies are
 * named by digest and not by the store's key, so that a blob that was deleted and pushed again is copied once, and a good
 * copy stands in for a file that has decayed since.
 */
export class BackupFolder {
  readonly path: string
  readonly #pointsDir: string
  readonly #blobsDir: string
  readonly incomingDir: string

  constructor(path: string) {
    this.path = path
    this.#pointsDir = join(path, 'points')
    this.#blobsDir = join(path, 'blobs')
    this.incomingDir = join(path, 'incoming')
  }

  /** Makes the folder where it is not there yet. */
  async create(): Promise<void> {
    for (const dir of [this.path, this.#pointsDir, this.#blobsDir, this.incomingDir]) await mkdir(dir, { recursive: true, mode: folderMode })
    await flushFolder(this.path)
    await flushFolder(dirname(this.path)).catch(ignoreDenied)
  }

  /** Throws `backup-folder-busy`. A folder that cannot be written to, such as a mounted copy, needs no lock to be read. */
  async lock(): Promise<FolderLock> {
    try {
      await access(this.path, constants.W_OK)
    } catch {
      return { release: () => undefined }
    }
    const lock = tryLockFolder(this.path, 'backup.lock')
    if (lock === undefined) throw backupError('backup-folder-busy', `another backup or restore is working in ${this.path}: try again when it has ended`)
    return lock
  }

  pointDir(id: string): string {
    return join(this.#pointsDir, id)
  }

  /** The ids of everything that began to be a point, the oldest first. */
  async pointIds(): Promise<string[]> {
    return (await namesIn(this.#pointsDir)).filter(isPointId)
  }

  /** The valid points, the oldest first. One that a newer program wrote is known by its id only. */
  async points(): Promise<(PointDocument | { readonly format: number; readonly id: string })[]> {
    const points = []
    for (const id of await this.pointIds()) {
      const point = await this.readPoint(id)
      if (point !== undefined) points.push(point)
    }
    return points
  }

  /** Undefined for a point that was never completed. Throws `backup-broken`. */
  async readPoint(id: string): Promise<PointDocument | { readonly format: number; readonly id: string } | undefined> {
    let text: string
    try {
      text = await readFile(join(this.pointDir(id), 'point.json'), 'utf8')
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
    const point = parsePoint(text)
    if (point?.id !== id) throw backupError('backup-broken', `${join(this.pointDir(id), 'point.json')} is not what was written`)
    return point
  }

  async beginPoint(id: string): Promise<string> {
    const dir = this.pointDir(id)
    await mkdir(dir, { mode: folderMode })
    return dir
  }

  /** From here on the point is valid. Everything it names must have been flushed. */
  async completePoint(point: PointDocument): Promise<void> {
    await flushFolder(this.pointDir(point.id))
    await flushFolder(this.#pointsDir)
    await writeDurably(join(this.pointDir(point.id), 'point.json'), `${JSON.stringify(point, undefined, 2)}\n`)
  }

  /** Invalid first, and durably: a point that is half removed must not look whole. */
  async removePoint(id: string): Promise<void> {
    const dir = this.pointDir(id)
    await unlink(join(dir, 'point.json')).catch(ignoreAbsent)
    await flushFolder(dir)
    await rm(dir, { recursive: true, force: true })
  }

  /** What runs that ended early have left. */
  async removeLeftovers(): Promise<void> {
    for (const name of await namesIn(this.incomingDir)) await rm(join(this.incomingDir, name), { force: true })
    for (const id of await this.pointIds()) {
      if (!(await exists(join(this.pointDir(id), 'point.json')))) await rm(this.pointDir(id), { recursive: true, force: true })
    }
  }

  /** The blobs that a point needs, in the order of their copies' names. */
  async *blobsOf(point: PointDocument): AsyncGenerator<NamedBlob, void, undefined> {
    const { batches } = await readTable(this.pointDir(point.id), point.blobs)
    for await (const batch of batches) {
      for (const [key, domain, digest, sizeBytes] of batch) {
        yield { key: String(key), domain: String(domain), digest: digest as Digest, sizeBytes: Number(sizeBytes) }
      }
    }
  }

  copyPath(blob: Pick<NamedBlob, 'domain' | 'digest'>): string {
    return join(this.#blobsDir, copyName(blob))
  }

  async hasCopy(blob: NamedBlob): Promise<boolean> {
    try {
      return (await stat(this.copyPath(blob))).size === blob.sizeBytes
    } catch (error) {
      if (isAbsent(error)) return false
      throw error
    }
  }

  /** Gives a flushed file its name. The folder is flushed later, once for all: see `flushCopies`. */
  async keepCopy(draft: string, blob: NamedBlob): Promise<void> {
    const path = this.copyPath(blob)
    await mkdir(dirname(path), { recursive: true, mode: folderMode })
    await rename(draft, path)
  }

  /** Makes the names of all copies survive power loss: an earlier run may have died before it did. */
  async flushCopies(): Promise<void> {
    for await (const { path } of this.#shards()) await flushFolder(path)
    for (const domain of await namesIn(this.#blobsDir)) {
      for (const algorithm of await namesIn(join(this.#blobsDir, domain))) await flushFolder(join(this.#blobsDir, domain, algorithm))
      await flushFolder(join(this.#blobsDir, domain))
    }
    await flushFolder(this.#blobsDir)
  }

  /** Removes copies that none of the points needs. Holds the names of one folder in memory at a time. */
  async sweep(points: readonly PointDocument[]): Promise<{ count: number; bytes: number }> {
    const needed = points.map((point) => new NamesInOrder(this.blobsOf(point)))
    const removed = { count: 0, bytes: 0 }
    for await (const { path, prefix } of this.#shards()) {
      const inUse = new Set<string>()
      for (const names of needed) await names.takeThrough(prefix, inUse)
      for (const name of await namesIn(path)) {
        if (inUse.has(`${prefix}${name}`)) continue
        removed.bytes += (await stat(join(path, name))).size
        removed.count += 1
        await unlink(join(path, name))
      }
    }
    return removed
  }

  /** The folders that hold copies, in the order of their names. */
  async *#shards(): AsyncGenerator<{ path: string; prefix: string }, void, undefined> {
    for (const domain of await namesIn(this.#blobsDir)) {
      for (const algorithm of await namesIn(join(this.#blobsDir, domain))) {
        for (const shard of await namesIn(join(this.#blobsDir, domain, algorithm))) {
          const prefix = `${domain}/${algorithm}/${shard}/`
          yield { path: join(this.#blobsDir, prefix), prefix }
        }
      }
    }
  }
}

/** The names that a sorted list has below a prefix, given out as the prefixes come, in order too. */
class NamesInOrder {
  readonly #blobs: AsyncIterator<NamedBlob>
  #next: string | undefined
  #hasBegun = false

  constructor(blobs: AsyncIterable<NamedBlob>) {
    this.#blobs = blobs[Symbol.asyncIterator]()
  }

  /** Adds the names below `prefix`; those before it are of folders that are not there. */
  async takeThrough(prefix: string, into: Set<string>): Promise<void> {
    if (!this.#hasBegun) await this.#advance()
    while (this.#next !== undefined && (this.#next < prefix || this.#next.startsWith(prefix))) {
      if (this.#next.startsWith(prefix)) into.add(this.#next)
      await this.#advance()
    }
  }

  async #advance(): Promise<void> {
    this.#hasBegun = true
    const next: IteratorResult<NamedBlob, unknown> = await this.#blobs.next()
    this.#next = next.done === true ? undefined : copyName(next.value)
  }
}

function copyName({ domain, digest }: Pick<NamedBlob, 'domain' | 'digest'>): string {
  const hex = digestHex(digest)
  return `${domain}/${digestAlgorithm(digest)}/${hex.slice(0, 2)}/${hex}`
}

/** Sorted by code units, as the lists of blobs are. */
async function namesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort()
  } catch (error) {
    if (isAbsent(error)) return []
    throw error
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (isAbsent(error)) return false
    throw error
  }
}

function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOENT' || code === 'ENOTDIR'
}

function ignoreAbsent(error: unknown): void {
  if (!isAbsent(error)) throw error
}

/** A folder above ours may be somebody else's; then its entry for ours was there before. */
function ignoreDenied(error: unknown): void {
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'EACCES' && code !== 'EPERM') throw error
}

/** Opens a draft for a copy. */
export function openDraft(folder: BackupFolder, name: string) {
  return open(join(folder.incomingDir, name), 'wx', 0o600)
}
