import { spawnSync } from 'node:child_process'
import { closeSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { createTempDir } from '../support/temp-dir.ts'

export interface SmallDisk {
  readonly path: string
  freeBytes(): number
  /** Takes what is left, to the last page or the given remainder. */
  fill(leaveBytes?: number): void
  /** Gives back what `fill` took. */
  release(): void
  /** Takes every inode that is left. */
  takeInodes(): void
  releaseInodes(): void
  /** Unmounts and removes it. */
  remove(): void
}

/** Why a test cannot have a file system of its own here; undefined where it can. */
export const noSmallDisk: string | undefined =
  process.platform === 'linux' && process.getuid?.() === 0 ? undefined : 'mounting a small file system needs root on Linux'

/** A file system in memory that is easily filled, as a full disk is. */
export function mountSmallDisk(options: { readonly sizeBytes: number; readonly inodes?: number }): SmallDisk {
  const dir = createTempDir('small-disk')
  const limits = [`size=${options.sizeBytes}`, 'mode=0711', ...(options.inodes === undefined ? [] : [`nr_inodes=${options.inodes}`])]
  command('mount', ['-t', 'tmpfs', '-o', limits.join(','), 'tmpfs', dir.path])
  const filler = join(dir.path, 'filler')
  let inodeFillers: string[] = []
  const freeBytes = (): number => {
    const { bavail, bsize } = statfsSync(dir.path)
    return bavail * bsize
  }
  return {
    path: dir.path,
    freeBytes,
    fill(leaveBytes = 0) {
      const file = openSync(filler, 'a')
      const page = Buffer.alloc(4096)
      try {
        while (freeBytes() > leaveBytes) writeSync(file, page)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      } finally {
        closeSync(file)
      }
    },
    release: () => rmSync(filler, { force: true }),
    takeInodes() {
      try {
        for (;;) {
          const path = join(dir.path, `inode-${inodeFillers.length}`)
          closeSync(openSync(path, 'wx'))
          inodeFillers.push(path)
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      }
    },
    releaseInodes() {
      for (const path of inodeFillers) rmSync(path)
      inodeFillers = []
    },
    remove() {
      // Lazily: a server that a failed test left behind may still be on it.
      command('umount', ['-l', dir.path])
      dir.remove()
    },
  }
}

function command(name: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(name, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${name} ${args.join(' ')}: ${stderr}`)
}
