import { stat, statfs } from 'node:fs/promises'
import { RecurringWork } from '../internal/recurring-work.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findServerMark } from '../storage/metadata/stores/server-mark-store.ts'
import { diskMark, noteDisk } from './commands/disk-samples.ts'
import { forecastDisk, type DiskForecast, type DiskSample } from './disk-forecast.ts'

const intervalMs = 60 * 60 * 1000

export interface DiskWatchDependencies {
  readonly database: MetadataDatabase
  readonly systemContext: () => CommandContext
  /** Folders by what is in them. */
  readonly folders: { readonly blobs: string; readonly archive: string }
  readonly onError: (error: unknown) => void
}

export interface DiskStatus {
  readonly disk: 'blobs' | 'archive'
  readonly usedBytes: number
  /** For the server: what the file system keeps for root is not. */
  readonly freeBytes: number
  readonly forecast: DiskForecast | undefined
}

/** Notes every hour how full the disks of blobs and of the archive are, and tells when they will be full. */
export class DiskWatch {
  readonly #deps: DiskWatchDependencies
  readonly #work: RecurringWork
  #latest: readonly DiskStatus[] = []

  constructor(deps: DiskWatchDependencies) {
    this.#deps = deps
    this.#work = new RecurringWork(() => this.look(), deps.onError)
  }

  /** Resolves when it has looked for the first time. Never rejects. */
  start(): Promise<void> {
    this.#work.start(intervalMs)
    return this.#work.run()
  }

  stop(): Promise<void> {
    return this.#work.stop()
  }

  /** Notes how full the disks are now. */
  async look(): Promise<void> {
    const { database, systemContext } = this.#deps
    for (const { disk, usedBytes, freeBytes } of await this.sizes()) await database.execute(noteDisk, { disk, usedBytes, freeBytes }, systemContext())
    this.#latest = await this.status()
  }

  /** What was seen at the last look. */
  get latest(): readonly DiskStatus[] {
    return this.#latest
  }

  /** One where the archive is on the disk of the blobs. */
  async sizes(): Promise<Omit<DiskStatus, 'forecast'>[]> {
    const { blobs, archive } = this.#deps.folders
    const isOneDisk = (await stat(blobs)).dev === (await stat(archive)).dev
    const disks = isOneDisk ? ([['blobs', blobs]] as const) : ([['blobs', blobs], ['archive', archive]] as const)
    return Promise.all(
      disks.map(async ([disk, folder]) => {
        const { bsize, blocks, bfree, bavail } = await statfs(folder)
        return { disk, usedBytes: (blocks - bfree) * bsize, freeBytes: bavail * bsize }
      }),
    )
  }

  async status(): Promise<DiskStatus[]> {
    const { reader } = this.#deps.database
    return Promise.all(
      (await this.sizes()).map(async (size) => {
        const noted = await findServerMark(reader, diskMark(size.disk))
        return { ...size, forecast: noted === undefined ? undefined : forecastDisk(JSON.parse(noted) as DiskSample[]) }
      }),
    )
  }
}
