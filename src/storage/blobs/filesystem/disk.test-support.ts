import { nodeDisk, type Disk } from './disk.ts'

/** One call to the disk. The path is that of the descriptor where the call has none of its own. */
export interface DiskCall {
  readonly operation: keyof Disk
  readonly path: string
}

/** Decides before each call what becomes of it: a system error code makes it fail without having any effect. */
export type Fate = (call: DiskCall, index: number) => string | undefined

/** The real disk, which records what is asked of it and fails on demand. */
export class TestDisk {
  readonly calls: DiskCall[] = []
  readonly #paths = new Map<number, string>()
  fate: Fate = () => undefined
  /** The most bytes that one write accepts. */
  writeLimitBytes = Number.POSITIVE_INFINITY

  /** Descriptors that were opened and not closed. */
  get openDescriptors(): number {
    return this.#paths.size
  }

  /** The calls as text, without those that only look. */
  changes(): string[] {
    const looks = new Set<keyof Disk>(['open', 'close', 'read', 'factsOf', 'stat', 'readdir'])
    return this.calls.filter(({ operation }) => !looks.has(operation)).map(({ operation, path }) => `${operation} ${path}`)
  }

  readonly disk: Disk = {
    open: async (path, flags) => {
      this.#meet('open', path)
      const descriptor = await nodeDisk.open(path, flags)
      this.#paths.set(descriptor, path)
      return descriptor
    },
    close: async (descriptor) => {
      const path = this.#pathOf(descriptor)
      this.#paths.delete(descriptor)
      await nodeDisk.close(descriptor)
      this.#meet('close', path)
    },
    read: async (descriptor, buffer, position) => {
      this.#meet('read', this.#pathOf(descriptor))
      return nodeDisk.read(descriptor, buffer, position)
    },
    write: async (descriptor, buffers, position) => {
      this.#meet('write', this.#pathOf(descriptor))
      return nodeDisk.write(descriptor, firstBytes(buffers, this.writeLimitBytes), position)
    },
    truncate: async (descriptor, sizeBytes) => {
      this.#meet('truncate', this.#pathOf(descriptor))
      await nodeDisk.truncate(descriptor, sizeBytes)
    },
    fsync: async (descriptor) => {
      this.#meet('fsync', this.#pathOf(descriptor))
      await nodeDisk.fsync(descriptor)
    },
    factsOf: async (descriptor) => {
      this.#meet('factsOf', this.#pathOf(descriptor))
      return nodeDisk.factsOf(descriptor)
    },
    stat: async (path) => {
      this.#meet('stat', path)
      return nodeDisk.stat(path)
    },
    link: async (existingPath, newPath) => {
      this.#meet('link', newPath)
      await nodeDisk.link(existingPath, newPath)
    },
    unlink: async (path) => {
      this.#meet('unlink', path)
      await nodeDisk.unlink(path)
    },
    mkdir: async (path) => {
      this.#meet('mkdir', path)
      await nodeDisk.mkdir(path)
    },
    readdir: async (path) => {
      this.#meet('readdir', path)
      return nodeDisk.readdir(path)
    },
  }

  #meet(operation: keyof Disk, path: string): void {
    const call = { operation, path }
    const code = this.fate(call, this.calls.length)
    this.calls.push(call)
    if (code !== undefined) throw Object.assign(new Error(`${code}: injected`), { code, syscall: operation, path })
  }

  #pathOf(descriptor: number): string {
    const path = this.#paths.get(descriptor)
    if (path === undefined) throw new Error('a closed descriptor was used')
    return path
  }
}

function firstBytes(buffers: readonly Uint8Array[], limitBytes: number): Uint8Array[] {
  let leftBytes = limitBytes
  const first: Uint8Array[] = []
  for (const buffer of buffers) {
    if (leftBytes <= 0) break
    first.push(buffer.subarray(0, leftBytes))
    leftBytes -= buffer.length
  }
  return first
}
