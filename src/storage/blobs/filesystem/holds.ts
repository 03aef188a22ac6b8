import { join } from 'node:path'
import type { BlobHold } from '../blob-store.ts'
import type { Disk } from './disk.ts'
import { fromDisk, systemCode } from './disk-error.ts'
import { isUploadId } from './layout.ts'

/** Whoever renews a hold is never this late: what is older has no owner any more, and its file goes. */
const forgottenAfterMs = 24 * 60 * 60 * 1000

interface StandingHold {
  readonly id: string
  readonly untilMs: number
  readonly path: string
}

/**
 * Holds are files, since those who hold are other processes than those who delete. The name says everything,
 * `<id>.<until>`: it appears at once and whole, and one look at the folder answers whether anything is held.
 */
export class Holds {
  readonly #disk: Disk
  readonly #folder: string

  constructor(disk: Disk, folder: string) {
    this.#disk = disk
    this.#folder = folder
  }

  async isHeld(nowMs: number): Promise<boolean> {
    return (await this.#standing()).some(({ untilMs }) => untilMs > nowMs)
  }

  /** The longer one is there before the shorter one goes. */
  async take({ id, owner, untilMs }: BlobHold): Promise<void> {
    if (!isUploadId(id)) throw new Error('the id of a hold must be a UUID')
    const earlier = await this.#standing()
    const path = join(this.#folder, `${id}.${untilMs}`)
    try {
      if (!earlier.some((standing) => standing.path === path)) await this.#write(path, owner)
    } catch (error) {
      throw fromDisk(error, 'hold')
    }
    for (const standing of earlier) {
      const isSuperseded = standing.id === id && standing.path !== path
      if (isSuperseded || standing.untilMs < untilMs - forgottenAfterMs) await this.#remove(standing.path)
    }
  }

  async release(id: string): Promise<void> {
    for (const standing of await this.#standing()) if (standing.id === id) await this.#remove(standing.path)
  }

  async #standing(): Promise<StandingHold[]> {
    let names: string[]
    try {
      names = await this.#disk.readdir(this.#folder)
    } catch (error) {
      throw fromDisk(error, 'look for holds')
    }
    return names.flatMap((name) => {
      const [id = '', until = ''] = name.split('.')
      return isUploadId(id) && /^\d{1,16}$/.test(until) ? [{ id, untilMs: Number(until), path: join(this.#folder, name) }] : []
    })
  }

  async #write(path: string, owner: string): Promise<void> {
    const descriptor = await this.#disk.open(path, 'wx')
    try {
      await this.#disk.write(descriptor, [Buffer.from(`${owner}\n`)], 0)
    } finally {
      await this.#disk.close(descriptor)
    }
  }

  async #remove(path: string): Promise<void> {
    try {
      await this.#disk.unlink(path)
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw fromDisk(error, 'end a hold')
    }
  }
}
