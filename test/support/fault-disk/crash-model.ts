import { createHash } from 'node:crypto'
import { linkSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { DiskEvent } from './recording.ts'

/**
 * What a crash left of what was not flushed:
 *
 * - `everything`: the process died, the kernel did not.
 * - `nothing`: only what was flushed: of a file its bytes, of a directory its entries.
 * - `names`, `data`: all new entries and no bytes; all bytes and no new entries.
 * - `{ seed }`: some of it, as the kernel happened to write it back: entries independently of each other and of the
 *   bytes, writes in any order, some torn between two sectors or full of rubbish. The same for the same seed.
 */
export type Kept = 'everything' | 'nothing' | 'names' | 'data' | { readonly seed: string }

const sectorBytes = 512

interface PendingWrite {
  readonly sequence: number
  readonly offset: number
  /** Undefined: the file was made this long. */
  readonly data: Buffer | undefined
}

interface FileNode {
  readonly kind: 'file'
  durable: Buffer
  durableBytes: number
  pending: PendingWrite[]
}

interface DirectoryNode {
  readonly kind: 'directory'
  readonly durable: Map<string, Node>
  pending: PendingName[]
}

type Node = FileNode | DirectoryNode

interface PendingName {
  readonly sequence: number
  readonly name: string
  /** Undefined: the name went away. */
  readonly node: Node | undefined
}

/**
 * A folder as the events of a recording made it, and at any moment everything a crash may leave of it.
 *
 * It promises no more than POSIX does: a file's flush makes its bytes durable and not its name, a directory's flush its
 * names and not their bytes, and of the rest any part may be there. Real file systems keep more; what survives here
 * survives on all of them. A rename is one step. What SQLite shares through memory (`-shm`) is gone after every crash.
 */
export class CrashModel {
  readonly #root: DirectoryNode
  #sequence = 0
  readonly #byInode = new Map<number, FileNode>()

  /** @param baseline a folder whose present content is durable; default: an empty one. */
  constructor(baseline?: string) {
    this.#root = baseline === undefined ? newDirectory() : this.#load(baseline, new Map())
  }

  apply(event: DiskEvent): void {
    const sequence = (this.#sequence += 1)
    switch (event.operation) {
      case 'create': {
        const node = newFile()
        this.#byInode.set(event.inode, node)
        this.#name(event.path, node, sequence)
        break
      }
      case 'write':
        this.#file(event.inode, event.path).pending.push({ sequence, offset: event.offset, data: event.data })
        break
      case 'truncate':
        this.#file(event.inode, event.path).pending.push({ sequence, offset: event.sizeBytes, data: undefined })
        break
      case 'fsync':
        if (event.isDirectory) flushDirectory(this.#directory(event.path))
        else flushFile(this.#file(event.inode, event.path))
        break
      case 'link':
        this.#name(event.newPath, this.#find(event.path), sequence)
        break
      case 'rename': {
        const node = this.#find(event.path)
        this.#name(event.newPath, node, sequence)
        this.#name(event.path, undefined, sequence)
        break
      }
      case 'mkdir':
        this.#name(event.path, newDirectory(), sequence)
        break
      case 'unlink':
      case 'rmdir':
        this.#name(event.path, undefined, sequence)
        break
      case 'answer':
      case 'fault':
        break
    }
  }

  /** The folder as a crash at this moment leaves it. */
  crash(kept: Kept): CrashState {
    return new CrashState(this.#root, chooser(kept))
  }

  /** Whether anything is not yet durable: else every crash leaves the same. */
  get isSettled(): boolean {
    return isSettled(this.#root)
  }

  #load(dir: string, seen: Map<number, FileNode>): DirectoryNode {
    const directory = newDirectory()
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      const path = join(dir, entry.name)
      if (entry.isDirectory()) {
        directory.durable.set(entry.name, this.#load(path, seen))
        continue
      }
      const inode = lstatSync(path).ino
      let node = seen.get(inode)
      if (node === undefined) {
        node = newFile(readFileSync(path))
        seen.set(inode, node)
        this.#byInode.set(inode, node)
      }
      directory.durable.set(entry.name, node)
    }
    return directory
  }

  #file(inode: number, path: string): FileNode {
    const file = this.#byInode.get(inode)
    if (file === undefined) throw new Error(`a file was written that the recording did not see being made: ${path}`)
    return file
  }

  #find(path: string): Node {
    if (path === '') return this.#root
    let node: Node | undefined = this.#root
    for (const name of path.split('/')) {
      if (node?.kind !== 'directory') throw new Error(`the recording has no directory for ${path}`)
      node = entriesOf(node).get(name)
    }
    if (node === undefined) throw new Error(`the recording has no ${path}`)
    return node
  }

  #directory(path: string): DirectoryNode {
    const node = this.#find(path)
    if (node.kind !== 'directory') throw new Error(`the recording has a file where a directory should be: ${path}`)
    return node
  }

  #name(path: string, node: Node | undefined, sequence: number): void {
    const parent = dirname(path)
    const name = path.slice(path.lastIndexOf('/') + 1)
    this.#directory(parent === '.' ? '' : parent).pending.push({ sequence, name, node })
  }
}

function newFile(content: Buffer = Buffer.alloc(0)): FileNode {
  return { kind: 'file', durable: content, durableBytes: content.length, pending: [] }
}

function newDirectory(): DirectoryNode {
  return { kind: 'directory', durable: new Map(), pending: [] }
}

function entriesOf(directory: DirectoryNode): Map<string, Node> {
  if (directory.pending.length === 0) return directory.durable
  const entries = new Map(directory.durable)
  for (const { name, node } of directory.pending) setEntry(entries, name, node)
  return entries
}

function setEntry(entries: Map<string, Node>, name: string, node: Node | undefined): void {
  if (node === undefined) entries.delete(name)
  else entries.set(name, node)
}

function flushDirectory(directory: DirectoryNode): void {
  for (const { name, node } of directory.pending) setEntry(directory.durable, name, node)
  directory.pending = []
}

function flushFile(file: FileNode): void {
  for (const write of file.pending) applyWrite(file, write.offset, write.data)
  file.pending = []
}

function applyWrite(file: { durable: Buffer; durableBytes: number }, offset: number, data: Buffer | undefined): void {
  const end = data === undefined ? offset : Math.max(file.durableBytes, offset + data.length)
  if (end > file.durable.length) {
    const grown = Buffer.alloc(Math.max(end, file.durable.length * 2))
    file.durable.copy(grown, 0, 0, file.durableBytes)
    file.durable = grown
  }
  // What is cut off does not come back when the file grows again.
  if (end < file.durableBytes) file.durable.fill(0, end, file.durableBytes)
  data?.copy(file.durable, offset)
  file.durableBytes = end
}

function isSettled(directory: DirectoryNode): boolean {
  if (directory.pending.length > 0) return false
  return [...directory.durable.values()].every((node) =>
    node.kind === 'directory' ? isSettled(node) : node.pending.length === 0,
  )
}

interface Chooser {
  keepsName(change: PendingName): boolean
  /** What of a write is on the disk; undefined: nothing. */
  kept(write: PendingWrite): Buffer | undefined | 'truncation'
}

const keepAll: Chooser = { keepsName: () => true, kept: (write) => write.data ?? 'truncation' }
const keepNone: Chooser = { keepsName: () => false, kept: () => undefined }

function chooser(kept: Kept): Chooser {
  switch (kept) {
    case 'everything':
      return keepAll
    case 'nothing':
      return keepNone
    case 'names':
      return { ...keepNone, keepsName: keepAll.keepsName }
    case 'data':
      return { ...keepAll, keepsName: keepNone.keepsName }
    default:
      return randomChooser(kept.seed)
  }
}

/** Each crash leans another way: nearly all is kept, nearly nothing, or half of it. */
function randomChooser(seed: string): Chooser {
  const random = randomNumbers(seed)
  const nameChance = [0.1, 0.5, 0.9][Math.floor(random() * 3)] ?? 0.5
  const writeChance = [0.1, 0.5, 0.9, 1][Math.floor(random() * 4)] ?? 0.5
  const damageChance = [0, 0.3][Math.floor(random() * 2)] ?? 0
  const fates = new Map<number, boolean>()
  return {
    keepsName({ sequence }) {
      // A rename is two changes and happens once.
      const fate = fates.get(sequence) ?? random() < nameChance
      fates.set(sequence, fate)
      return fate
    },
    kept({ offset, data }) {
      if (random() >= writeChance) return undefined
      if (data === undefined) return 'truncation'
      return random() < damageChance ? damaged(data, offset, random) : data
    },
  }
}

/** A write cut between two sectors, or with sectors in it that hold what was never written. */
function damaged(data: Buffer, offset: number, random: () => number): Buffer {
  const firstBoundary = (sectorBytes - (offset % sectorBytes)) % sectorBytes
  if (random() < 0.5) {
    const boundaries = Math.floor(Math.max(0, data.length - firstBoundary) / sectorBytes) + 1
    const end = firstBoundary + Math.floor(random() * boundaries) * sectorBytes
    return data.subarray(0, Math.min(end, data.length))
  }
  const rubbish = Buffer.from(data)
  for (let start = 0, end = firstBoundary || sectorBytes; start < data.length; start = end, end += sectorBytes) {
    if (random() < 0.5) rubbish.fill(Math.floor(random() * 256), start, Math.min(end, data.length))
  }
  return rubbish
}

function randomNumbers(seed: string): () => number {
  let state = createHash('sha256').update(seed).digest().readUInt32LE(0)
  // Mulberry32.
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** A folder that a crash left. */
export class CrashState {
  readonly #directories: string[] = []
  /** Names of the same file are in one list. */
  readonly #files: { readonly paths: string[]; readonly content: Buffer }[] = []

  constructor(root: DirectoryNode, choose: Chooser) {
    this.#collect(root, '', choose, new Map())
  }

  /** The same for folders with the same content. */
  get fingerprint(): string {
    const hash = createHash('sha1').update(this.#directories.toSorted().join('\n'))
    const files = this.#files.map(({ paths, content }) => ({ name: paths.toSorted().join('\n'), content }))
    for (const { name, content } of files.sort((a, b) => (a.name < b.name ? -1 : 1))) hash.update(`\n${name}\n`).update(content)
    return hash.digest('hex')
  }

  /** @param dir an empty folder. */
  writeTo(dir: string): void {
    for (const path of this.#directories) mkdirSync(join(dir, path), { mode: 0o700 })
    for (const { paths, content } of this.#files) {
      const [first = '', ...others] = paths.map((path) => join(dir, path))
      writeFileSync(first, content, { mode: 0o600 })
      for (const other of others) linkSync(first, other)
    }
  }

  #collect(directory: DirectoryNode, dir: string, choose: Chooser, seen: Map<FileNode, string[]>): void {
    for (const [name, node] of keptEntries(directory, choose)) {
      const path = join(dir, name)
      if (name.endsWith('-shm')) continue
      if (node.kind === 'directory') {
        this.#directories.push(path)
        this.#collect(node, path, choose, seen)
        continue
      }
      const paths = seen.get(node)
      if (paths === undefined) {
        const own = [path]
        seen.set(node, own)
        this.#files.push({ paths: own, content: keptContent(node, choose) })
      } else {
        paths.push(path)
      }
    }
  }
}

function keptEntries(directory: DirectoryNode, choose: Chooser): Map<string, Node> {
  const entries = new Map(directory.durable)
  // A change of a name that came after one that was lost would be a history that never was.
  const lost = new Set<string>()
  for (const change of directory.pending) {
    if (!lost.has(change.name) && choose.keepsName(change)) setEntry(entries, change.name, change.node)
    else lost.add(change.name)
  }
  return entries
}

function keptContent(node: FileNode, choose: Chooser): Buffer {
  const kept = node.pending.map((write) => [write, choose.kept(write)] as const).filter(([, what]) => what !== undefined)
  const copy = { durable: Buffer.from(node.durable.subarray(0, node.durableBytes)), durableBytes: node.durableBytes }
  for (const [{ offset }, what] of kept) applyWrite(copy, offset, what === 'truncation' ? undefined : what)
  return copy.durable.subarray(0, copy.durableBytes)
}
