import { setTimeout as sleep } from 'node:timers/promises'
import { exitCodes } from '../../config/exit-codes.ts'
import { connectToStowage, jsonText, tableText } from '../aws/stowage-calls.ts'
import type { AwsOptions } from '../aws/settings.ts'
import type { CommandIo } from '../command-io.ts'
import { listenToSignals, sizeText } from '../long-work.ts'
import { activityBetween, type Activity } from './activity.ts'
import { Samples } from './samples.ts'

export interface TopOptions extends AwsOptions {
  readonly json: boolean
  readonly once: boolean
  readonly intervalMs: number
}

/** Of the operations: as many as fit under the rest on a small terminal. */
const shownOperations = 12

/** Shows what the server does, again and again until a signal. With `once` one time, over one interval. */
export async function showTop(io: CommandIo, { json, once, intervalMs, ...options }: TopOptions): Promise<number> {
  const call = await connectToStowage(options)
  const read = async (): Promise<Samples> => {
    const { answeredAt, metricsText } = await call<{ readonly answeredAt: number; readonly metricsText: string }>('DescribeMetrics', {})
    return new Samples(answeredAt * 1000, metricsText)
  }
  const stop = listenToSignals()
  try {
    for (let before = await read(); ; ) {
      await sleep(intervalMs, undefined, { signal: stop.signal }).catch(() => undefined)
      if (stop.signal.aborted) return stop.exitCode()
      const after = await read()
      const activity = activityBetween(before, after)
      before = after
      // Behind a balancer each question may reach another server.
      if (activity === undefined) io.stderr.write('another server answered, or it was started anew: to watch one, name its own address by --endpoint-url\n')
      else io.stdout.write(json ? (once ? jsonText(activity) : `${JSON.stringify(activity)}\n`) : `${io.stdout.isTTY === true && !once ? '\x1b[H\x1b[J' : ''}${activityText(activity)}`)
      if (once) return activity === undefined ? exitCodes.failed.code : exitCodes.ok.code
    }
  } finally {
    stop.close()
  }
}

export function activityText(activity: Activity): string {
  const { requests, images, process, commands, collection, lifecycle, archive, holds, disks, operations } = activity
  const lines = [
    ['server', `Stowage ${activity.version} on ${activity.database}, since ${activity.startedAt}`],
    ['requests', `${rate(requests.perSecond)}, ${requests.inFlight} under way, ${rate(requests.failedPerSecond)} fail; ${sizeText(requests.receivedBytesPerSecond)}/s in, ${sizeText(requests.sentBytesPerSecond)}/s out`],
    ['images', `${rate(images.pullsPerSecond)} pulled, ${rate(images.pushesPerSecond)} pushed, ${rate(images.uploadsPerSecond)} blobs uploaded, ${images.openUploads} uploads open`],
    ['', `${images.images} in ${images.repositories} repositories, ${sizeText(images.imageBytes)}`],
    ['process', `${process.cpus.toFixed(2)} processors, ${sizeText(process.residentBytes)}, main thread ${time(process.lagP99Seconds)} late (99 %)`],
    ['changes', `${rate(commands.perSecond)}, ${commands.waiting} waiting, ${time(commands.p99Seconds)} (99 %), ${rate(commands.failedPerSecond)} fail`],
    ['collection', `${collection.paused ? 'paused; ' : ''}${collection.due} reviews due, ${collection.waiting} waiting${collection.overdueSeconds > 0 ? `, the first due for ${time(collection.overdueSeconds)}` : ''}; ${sizeText(collection.reclaimedBytes)} given back, ${collection.failures} failures`],
    ['lifecycle', `runs: ${Object.entries(lifecycle).filter(([, count]) => count > 0).map(([outcome, count]) => `${count} ${outcome}`).join(', ') || 'none'}${holds > 0 ? `; ${holds} holds` : ''}`],
    ['archive', `${archive.blobs} blobs, ${sizeText(archive.storedBytes)}, ${archive.activatingImages} images coming back`],
    ...disks.map(({ disk, usedBytes, freeBytes, fullAt }) => ['disk', `${disk}: ${sizeText(usedBytes)} used, ${sizeText(freeBytes)} free${fullAt === undefined ? '' : `, full on ${fullAt.slice(0, 10)}`}`]),
  ]
  const head = lines.map(([name = '', text = '']) => `${name.padEnd(11)} ${text}\n`).join('')
  if (operations.length === 0) return `${head}\n`
  const rows = operations
    .slice(0, shownOperations)
    .map(({ protocol, operation, perSecond, refusedPerSecond, medianSeconds, p99Seconds }) => [protocol, operation, perSecond.toFixed(1), refusedPerSecond.toFixed(1), time(medianSeconds), time(p99Seconds)])
  return `${head}\n${tableText(['protocol', 'operation', 'a second', 'refused', 'median', '99 %'], rows)}`
}

function rate(perSecond: number): string {
  return `${perSecond.toFixed(1)}/s`
}

function time(seconds: number | undefined): string {
  if (seconds === undefined) return '-'
  if (seconds < 1) return `${(seconds * 1000).toFixed(1)} ms`
  return seconds < 7200 ? `${seconds.toFixed(1)} s` : `${(seconds / 3600).toFixed(1)} h`
}
