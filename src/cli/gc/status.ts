import { exitCodes } from '../../config/exit-codes.ts'
import { connectToStowage, isoTime, jsonText, tableText } from '../aws/stowage-calls.ts'
import type { CommandIo } from '../command-io.ts'
import { ProgressText, sizeText } from '../long-work.ts'
import { pauseForPeople, type GcOptions, type Pause } from './pause.ts'
import { rateForPeople, type Rate } from './rate.ts'

interface Space {
  readonly manifests: number
  readonly blobs: number
  readonly bytes: number
}

interface Queue {
  readonly kind: string
  readonly waiting: number
  readonly due: number
  readonly overdue: number
  readonly leased: number
  readonly nextDueAt?: number
}

/** As the service answers it. */
interface Status {
  readonly status: 'RUNNING' | 'IDLE' | 'ON_HOLD' | 'PAUSED' | 'OFF'
  readonly pause?: Pause
  readonly rate?: Rate
  readonly holds: readonly { readonly holdId: number; readonly cause: string; readonly reason: string; readonly raisedAt: number }[]
  readonly queues: readonly Queue[]
  readonly reclaimed: { readonly serverStartedAt: number; readonly sinceStart: Space; readonly lastHour: Space; readonly lastDay: Space }
  readonly secondsSpent: number
  readonly failures: number
  readonly intervalSeconds: number
}

/** What is counted no further. */
const countLimit = 100_000

const kinds: Readonly<Record<string, string>> = {
  repository: 'deleted repositories',
  manifest: 'images',
  'repository-blob': 'layers of repositories',
  blob: 'blobs',
  location: 'files',
}

export async function showStatus(io: CommandIo, options: GcOptions): Promise<number> {
  const call = await connectToStowage(options)
  const status = await call<Status>('DescribeGarbageCollection', {})
  io.stdout.write(options.json ? jsonText(forPeople(status)) : statusText(status))
  return exitCodes.ok.code
}

/** Asks until it is done. Ends with 1 where collection is paused. */
export async function runCollection(io: CommandIo, options: GcOptions): Promise<number> {
  const call = await connectToStowage(options)
  const progress = new ProgressText(io)
  let before: Space | undefined
  for (;;) {
    const { isDone, ...status } = await call<Status & { readonly isDone: boolean }>('RunGarbageCollection', { waitSeconds: before === undefined ? 0 : waitSeconds })
    const { sinceStart } = status.reclaimed
    const first = (before ??= sinceStart)
    if (status.status === 'PAUSED') {
      progress.clear()
      io.stderr.write(`error: nothing was done: ${stopText(status)}\n`)
      return exitCodes.failed.code
    }
    if (isDone) {
      progress.clear()
      io.stdout.write(options.json ? jsonText(forPeople(status)) : statusText(status))
      return exitCodes.ok.code
    }
    const due = status.queues.reduce((sum, queue) => sum + queue.due, 0)
    progress.show(() => `collecting: ${spaceText(difference(sinceStart, first))}; ${due} reviews are due`)
  }
}

/** Often enough for whoever watches. */
const waitSeconds = 2

function difference(after: Space, before: Space): Space {
  return { manifests: after.manifests - before.manifests, blobs: after.blobs - before.blobs, bytes: after.bytes - before.bytes }
}

function spaceText({ manifests, blobs, bytes }: Space): string {
  return `${manifests} images, ${blobs} blobs, ${sizeText(bytes)}`
}

function stopText({ pause, holds }: Pick<Status, 'pause' | 'holds'>): string {
  if (pause !== undefined) {
    const end = pause.endsAt === undefined ? 'until `stowage gc resume`' : `until ${isoTime(pause.endsAt)}`
    return `${pause.pausedBy} paused collection at ${isoTime(pause.pausedAt)}, ${end}: ${pause.reason}`
  }
  return holds.map(({ holdId, cause, raisedAt, reason }) => `hold ${holdId} (${cause}) since ${isoTime(raisedAt)}: ${reason}`).join('\n  ')
}

const stateTexts = {
  RUNNING: 'at work',
  IDLE: 'done with what was due',
  ON_HOLD: 'on hold: blobs that nothing names keep their bytes until it is released (stowage hold release)',
  PAUSED: 'paused: nothing is collected',
  OFF: 'off on this server (STOWAGE_GC_INTERVAL_MS=0): it collects only when it is asked to',
} as const

function statusText(status: Status): string {
  const { reclaimed, queues, secondsSpent, failures, rate } = status
  const stops = stopText(status)
  const lines = [
    `Collection is ${stateTexts[status.status]}.`,
    ...(stops === '' ? [] : [`  ${stops}`]),
    ...(rate === undefined ? [] : [`Each server does ${rate.reviewsPerSecond} reviews a second: ${rate.setBy} has set that at ${isoTime(rate.setAt)}.`]),
    '',
    `Given back by this server since its start at ${isoTime(reclaimed.serverStartedAt)}: ${spaceText(reclaimed.sinceStart)}`,
    `  in the last day: ${spaceText(reclaimed.lastDay)}; in the last hour: ${spaceText(reclaimed.lastHour)}`,
    `  in ${secondsSpent.toFixed(1)} s of work, with ${failures} failures`,
    '',
  ]
  const rows = queues.map(({ kind, waiting, due, overdue, leased, nextDueAt }) => [
    kinds[kind] ?? kind,
    countText(waiting),
    countText(due),
    countText(overdue),
    countText(leased),
    nextDueAt === undefined ? '' : isoTime(nextDueAt).slice(0, 19).replace('T', ' '),
  ])
  return `${lines.join('\n')}\n${tableText(['to be looked at', 'later', 'due', 'overdue', 'at work', 'first due'], rows)}`
}

function countText(count: number): string {
  return count >= countLimit ? `${count}+` : String(count)
}

function forPeople({ pause, rate, holds, queues, reclaimed, ...status }: Status) {
  const { serverStartedAt, ...spaces } = reclaimed
  return {
    ...status,
    ...(pause && { pause: pauseForPeople(pause) }),
    ...(rate && { rate: rateForPeople(rate) }),
    holds: holds.map(({ raisedAt, ...hold }) => ({ ...hold, raisedAt: isoTime(raisedAt) })),
    queues: queues.map(({ nextDueAt, ...queue }) => ({ ...queue, ...(nextDueAt !== undefined && { nextDueAt: isoTime(nextDueAt) }) })),
    reclaimed: { serverStartedAt: isoTime(serverStartedAt), ...spaces },
  }
}
