import { defineCommand } from '../../storage/metadata/command.ts'
import { findServerMark, putServerMark } from '../../storage/metadata/stores/server-mark-store.ts'
import type { DiskSample } from '../disk-forecast.ts'

/** Two weeks of hours: what was before says little of what comes. */
const maxSamples = 14 * 24
/** Of several servers that look at one disk, one is enough. */
const closestMs = 50 * 60 * 1000

export function diskMark(disk: string): string {
  return `disk-samples-${disk}`
}

/** Notes how full a disk is, unless that has just been noted. */
export const noteDisk = defineCommand({
  name: 'note-disk',
  durability: 'process',
  async run(tx, input: { disk: string; usedBytes: number; freeBytes: number }, context): Promise<void> {
    const { disk, usedBytes, freeBytes } = input
    const noted = await findServerMark(tx, diskMark(disk))
    const samples = noted === undefined ? [] : (JSON.parse(noted) as DiskSample[])
    // A clock that was set back makes later samples of none.
    const before = samples.filter(({ at }) => at <= context.nowMs)
    const last = before.at(-1)
    if (last !== undefined && context.nowMs - last.at < closestMs) return
    await putServerMark(tx, diskMark(disk), JSON.stringify([...before, { at: context.nowMs, usedBytes, freeBytes }].slice(-maxSamples)))
  },
})
