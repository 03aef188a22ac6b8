import * as fs from 'node:fs'

/** What the store needs to know about a file. */
export interface FileFacts {
  readonly sizeBytes: number
  /** Names the file has. An upload that was published has two. */
  readonly linkCount: number
  /** The same for two looks at one file or directory, and another for whatever is mounted over it. */
  readonly identity: string
  /** Changes with every write to it. */
  readonly version: string
  /** When it was last written to, given a name, or lost one. */
  readonly changedAtMs: number
}

/**
 * Every call the filesystem store makes to the operating system, and nothing else: whatever replaces one of these
 * functions decides what the store experiences, which is how failing and dying disks are tested. Functions fail with
 * Node's system errors. Descriptors are numbers, and whoever opens one closes it.
 */
export interface Disk {
  /** `r` to read, `r+` to read and write, `wx` to create what must not exist. Directories open with `r`. */
  open(path: string, flags: 'r' | 'r+' | 'wx'): Promise<number>
  close(descriptor: number): Promise<void>
  /** Fills `buffer` from `position` on as far as one call goes; 0 at the end of the file. */
  read(descriptor: number, buffer: Uint8Array, position: number): Promise<number>
  /** Writes the buffers one after the other as far as one call goes; the bytes written. */
  write(descriptor: number, buffers: readonly Uint8Array[], position: number): Promise<number>
  truncate(descriptor: number, sizeBytes: number): Promise<void>
  /** For a file its data and length, for a directory its entries. Never repeated after a failure. */
  fsync(descriptor: number): Promise<void>
  factsOf(descriptor: number): Promise<FileFacts>
  stat(path: string): Promise<FileFacts>
  /** Gives a file a second name, which must not exist. */
  link(existingPath: string, newPath: string): Promise<void>
  unlink(path: string): Promise<void>
  mkdir(path: string): Promise<void>
  readdir(path: string): Promise<string[]>
}

/** Blobs may be private images: only the server's own user reads them. */
const fileMode = 0o600
const directoryMode = 0o700

/** The real file system. Callback functions, since those of `fs.promises` take no descriptors; speed is the same. */
export const nodeDisk: Disk = {
  open: (path, flags) => settle((done) => fs.open(path, flags, fileMode, done)),
  close: (descriptor) => settle((done) => fs.close(descriptor, done)),
  read: (descriptor, buffer, position) =>
    settle((done) => fs.read(descriptor, buffer, 0, buffer.length, position, done)),
  write: (descriptor, buffers, position) => settle((done) => fs.writev(descriptor, buffers, position, done)),
  truncate: (descriptor, sizeBytes) => settle((done) => fs.ftruncate(descriptor, sizeBytes, done)),
  fsync: (descriptor) => settle((done) => fs.fsync(descriptor, done)),
  factsOf: async (descriptor) => factsFrom(await settle((done) => fs.fstat(descriptor, done))),
  stat: async (path) => factsFrom(await settle((done) => fs.stat(path, done))),
  link: (existingPath, newPath) => settle((done) => fs.link(existingPath, newPath, done)),
  unlink: (path) => settle((done) => fs.unlink(path, done)),
  mkdir: (path) => settle((done) => fs.mkdir(path, { mode: directoryMode }, done)),
  readdir: (path) => settle((done) => fs.readdir(path, done)),
}

type Done<Value> = (error: NodeJS.ErrnoException | null, value: Value) => void

function settle<Value = void>(start: (done: Done<Value>) => void): Promise<Value> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error === null || error === undefined) resolve(value)
      else reject(error)
    })
  })
}

function factsFrom(stats: fs.Stats): FileFacts {
  return { sizeBytes: stats.size, linkCount: stats.nlink, identity: `${stats.dev}:${stats.ino}`, version: `${stats.ctimeMs}:${stats.mtimeMs}`, changedAtMs: stats.ctimeMs }
}
