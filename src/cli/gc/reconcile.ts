import { setTimeout as sleep } from 'node:timers/promises'
import { exitCodes } from '../../config/exit-codes.ts'
import { connectToStowage, isoTime, jsonText, tableText } from '../aws/stowage-calls.ts'
import type { CommandIo } from '../command-io.ts'
import { ProgressText, sizeText } from '../long-work.ts'
import type { GcOptions } from './pause.ts'

interface Finding {
  readonly kind: string
  readonly key: string
  readonly digest?: string
  readonly sizeBytes: number
  readonly repaired: 'deleted' | 'set-aside' | 'no' | 'held' | 'failed'
}

/** As the service answers it. */
interface Reconciliation {
  readonly startedAt: number
  readonly finishedAt?: number
  readonly repair: boolean
  readonly requestedBy?: string
  readonly phase?: string
  readonly counts: Readonly<Record<'files' | 'youngFiles' | 'orphanFiles' | 'orphanBytes' | 'orphanUploads' | 'orphanUploadBytes' | 'deletedOrphans' | 'locations' | 'missingFiles' | 'wrongSizes' | 'setAside' | 'rows' | 'forgotten', number>>
  readonly findings: readonly Finding[]
}

interface Status {
  readonly isRunning: boolean
  readonly isRequested: boolean
  readonly current?: Reconciliation
  readonly last?: Reconciliation
  readonly nextAt?: number
}

/** Often enough for whoever watches. */
const askEveryMs = 500

/** Starts a comparison and waits for it, or shows the last one. Ends with 8 where store and database do not agree, and nothing mended it. */
export async function reconcile(io: CommandIo, options: GcOptions & { readonly repair: boolean; readonly last: boolean }): Promise<number> {
  const call = await connectToStowage(options)
  if (options.last) {
    const status = await call<Status>('DescribeReconciliation', {})
    io.stdout.write(options.json ? jsonText(statusForPeople(status)) : statusText(status))
    return exitCodeOf(status.last)
  }
  const { last: before } = await call<Status>('DescribeReconciliation', {})
  await call('StartReconciliation', { repair: options.repair })
  const progress = new ProgressText(io)
  for (;;) {
    const { last, current, isRequested } = await call<Status>('DescribeReconciliation', {})
    if (last !== undefined && !isRequested && last.startedAt !== before?.startedAt) {
      progress.clear()
      io.stdout.write(options.json ? jsonText(forPeople(last)) : textOf(last))
      return exitCodeOf(last)
    }
    const { pause } = await call<{ pause?: { reason: string } }>('DescribeGarbageCollection', {})
    if (pause !== undefined) {
      progress.clear()
      io.stderr.write(`error: collection is paused (${pause.reason}): the comparison begins when it is resumed (stowage gc resume)\n`)
      return exitCodes.failed.code
    }
    progress.show(() => (current === undefined ? 'waiting for a server to begin' : progressText(current)))
    await sleep(askEveryMs)
  }
}

function exitCodeOf(last: Reconciliation | undefined): number {
  if (last === undefined) return exitCodes.ok.code
  const { orphanFiles, orphanUploads, deletedOrphans, missingFiles, wrongSizes } = last.counts
  // What is set aside is missing all the same.
  const isLeft = orphanFiles + orphanUploads > deletedOrphans || missingFiles + wrongSizes > 0
  return isLeft ? exitCodes.findings.code : exitCodes.ok.code
}

function progressText({ phase = '', counts }: Reconciliation): string {
  return `comparing (${phase}): ${counts.files} files, ${counts.locations} places of blobs and ${counts.rows} other rows`
}

const repairTexts = {
  deleted: 'deleted',
  'set-aside': 'set aside: push an image that has it again',
  no: '',
  held: 'not now: a backup reads, or the installation is on hold',
  failed: 'could not be deleted: see the log',
} as const

function textOf(reconciliation: Reconciliation): string {
  const { counts, findings, startedAt, finishedAt = startedAt, repair } = reconciliation
  const lines = [
    `Compared ${counts.files} files with ${counts.locations} places of blobs in the database, from ${isoTime(startedAt)} to ${isoTime(finishedAt)}.`,
    `  files that nothing names: ${counts.orphanFiles} (${sizeText(counts.orphanBytes)}); uploads without a session: ${counts.orphanUploads} (${sizeText(counts.orphanUploadBytes)}); deleted: ${counts.deletedOrphans}`,
    `  files that are not there: ${counts.missingFiles}; of another size: ${counts.wrongSizes}; set aside: ${counts.setAside}`,
    `  may be garbage and would not have been looked at, and is now: ${counts.forgotten}`,
    ...(counts.youngFiles === 0 ? [] : [`  files younger than a day that nothing names yet: ${counts.youngFiles}`]),
  ]
  const found = counts.orphanFiles + counts.orphanUploads + counts.missingFiles + counts.wrongSizes
  if (found === 0) return `${lines.join('\n')}\n`
  const rows = findings.map(({ kind, sizeBytes, key, repaired }) => [kind, sizeText(sizeBytes), key, repairTexts[repaired]])
  const more = found > findings.length ? `and ${found - findings.length} more, which the log of the server has\n` : ''
  const hint = repair ? '' : '\nNothing of it was changed: `stowage gc reconcile --repair` does that.\n'
  return `${lines.join('\n')}\n\n${tableText(['found', 'size', 'key', ''], rows)}${more}${hint}`
}

function statusText({ current, last, nextAt, isRunning }: Status): string {
  const now = current === undefined ? '' : `${isRunning ? 'Under way' : 'Stopped, and goes on'}: ${progressText(current)}\n`
  const next = nextAt === undefined ? '' : `The next one begins at ${isoTime(nextAt)}.\n`
  return `${now}${last === undefined ? 'Store and database have not been compared yet.\n' : textOf(last)}${next}`
}

function forPeople({ startedAt, finishedAt, ...rest }: Reconciliation) {
  return { startedAt: isoTime(startedAt), ...(finishedAt !== undefined && { finishedAt: isoTime(finishedAt) }), ...rest }
}

function statusForPeople({ current, last, nextAt, ...rest }: Status) {
  return {
    ...rest,
    ...(current && { current: forPeople(current) }),
    ...(last && { last: forPeople(last) }),
    ...(nextAt !== undefined && { nextAt: isoTime(nextAt) }),
  }
}
