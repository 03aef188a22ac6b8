import { exitCodes } from '../../config/exit-codes.ts'
import { systemClock } from '../../internal/clock.ts'
import { systemIds } from '../../internal/ids.ts'
import { connectToStowage, jsonText } from '../aws/stowage-calls.ts'
import type { CommandIo } from '../command-io.ts'
import { readGivenFileOrInput, shownPath } from '../given-file.ts'
import type { UsageOptions } from './sources.ts'
import { readWhatRuns } from './what-runs.ts'

export interface ReportOptions extends UsageOptions {
  readonly name: string
  /** A file, or `-`. */
  readonly from: string
  readonly number: number | undefined
  readonly nothingRuns: boolean
}

interface Outcome {
  readonly status: 'believed' | 'doubted'
  readonly leases: number
  readonly previousLeases?: number
  readonly problem?: string
}

/** Most leases that one call takes. */
const batchSize = 1000

/** Reports all that runs as one snapshot. Nothing is sent of a report that cannot be read whole. */
export async function reportUsage(io: CommandIo, options: ReportOptions): Promise<number> {
  const found = readWhatRuns(await readGivenFileOrInput(options.from))
  if ('problem' in found) return refuse(io, `nothing was reported: of ${shownPath(options.from)}, ${found.problem}`)
  const { leases } = found
  // The usual cause is a command before this one that failed.
  if (leases.length === 0 && !options.nothingRuns) return refuse(io, `nothing was reported: ${shownPath(options.from)} names nothing that runs. If that is right, say --nothing-runs`)

  const call = await connectToStowage(options)
  const snapshot = { sourceName: options.name, snapshotNumber: options.number ?? Math.floor(systemClock.now() / 1000), writer: systemIds.uuid() }
  await call('BeginUsageSnapshot', snapshot)
  for (let start = 0; start < leases.length; start += batchSize) {
    await call('PutUsageLeases', { ...snapshot, leases: leases.slice(start, start + batchSize) })
  }
  const outcome = await call<Outcome>('CompleteUsageSnapshot', { ...snapshot, expectedCount: leases.length })
  if (options.json) io.stdout.write(jsonText(outcome))
  else if (outcome.status === 'believed') io.stdout.write(`${options.name} reported ${outcome.leases} ${outcome.leases === 1 ? 'lease' : 'leases'}.\n`)
  if (outcome.status === 'believed') return exitCodes.ok.code
  io.stderr.write(
    `stowage: the report was kept and is doubted: ${outcome.problem ?? ''}. Until it is believed everything in the scope of ${options.name} is kept.\n` +
      `  If it is right: stowage usage accept ${options.name} ${snapshot.snapshotNumber}\n`,
  )
  return exitCodes.failed.code
}

function refuse(io: CommandIo, message: string): number {
  io.stderr.write(`stowage: ${message}.\n`)
  return exitCodes.usage.code
}
