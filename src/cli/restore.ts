import type { RestoreReport } from '../backup/index.ts'
import { exitCodes, loadConfig } from '../config/index.ts'
import type { Finding } from '../integrity/index.ts'
import type { CommandIo } from './command-io.ts'
import { listenToSignals, ProgressText, secondsText, sizeText } from './long-work.ts'

export interface RestoreCommandOptions {
  readonly folder: string
  readonly point: string | undefined
  readonly replace: boolean
  readonly withoutKeys: boolean
  readonly bytesPerSecond: number | undefined
  readonly json: boolean
  readonly quiet: boolean
}

/** Enough to see what it is about; `--json` has all. */
const shownItems = 20
/** Of a restore whose blobs are all missing there would be as many as blobs. */
const maxKeptFindings = 10_000

/** Restores to where the settings say, and answers with the process's exit code. */
export async function restoreCommand(io: CommandIo, options: RestoreCommandOptions): Promise<number> {
  const config = loadConfig()
  const { restoreInstallation } = await import('../platform-backup.ts')
  const signals = listenToSignals()
  const progress = options.quiet ? undefined : new ProgressText(io)
  const findings: Finding[] = []
  try {
    const { folder, point, replace, withoutKeys, bytesPerSecond } = options
    const report = await restoreInstallation(config, {
      ...{ folder, point, replace, withoutKeys, bytesPerSecond },
      signal: signals.signal,
      onProgress: ({ blobs, totalBlobs, copiedBytes }) =>
        progress?.show(() => `${blobs} of ${totalBlobs} blobs, ${sizeText(copiedBytes)} copied`),
      onFinding: (finding) => {
        if (findings.length < maxKeptFindings) findings.push(finding)
      },
    })
    progress?.clear()
    io.stdout.write(options.json ? `${JSON.stringify(summaryOf(report, findings))}\n` : textOf(report, findings))
    return report.missing.length === 0 && report.findings === 0 ? exitCodes.ok.code : exitCodes.findings.code
  } catch (error) {
    progress?.clear()
    if (!signals.signal.aborted || error !== signals.signal.reason) throw error
    io.stderr.write('stowage: stopped; run the same command again to go on\n')
    return signals.exitCode()
  } finally {
    signals.close()
  }
}

function summaryOf({ point, findings: findingCount, durationMs, ...rest }: RestoreReport, findings: readonly Finding[]) {
  return {
    ...{ point: point.id, takenAt: point.takenAt, blobs: point.blobs.rows },
    ...rest,
    ...{ findingCount, findings },
    durationMs: Math.round(durationMs),
  }
}

function textOf(report: RestoreReport, findings: readonly Finding[]): string {
  const { point, missing, newerImages, unnamedBlobs, droppedAccessKeys } = report
  const lines = [
    `Restored the point ${point.id}, taken at ${point.takenAt}: ${point.blobs.rows} blobs, of which ${report.copiedBlobs} (${sizeText(report.copiedBytes)}) were copied and ${report.presentBlobs} were there; ${secondsText(report.durationMs)}.`,
  ]
  if (report.replaced !== undefined) lines.push(`What was there before is kept as ${report.replaced}: remove it when you are sure.`)
  if (droppedAccessKeys.length > 0) lines.push(`Left out, since their keyring is lost: the access keys ${droppedAccessKeys.join(', ')}.`)
  if (report.trail !== undefined) lines.push(trailText(report.trail))
  if (missing.length > 0) {
    lines.push(`${missing.length} blobs are in the backup neither whole nor here; images that use them cannot be pulled until they are pushed again:`)
    lines.push(...shown(missing.map(({ digest, reason }) => `${digest} ${reason}`)))
  }
  if (report.replaced !== undefined && newerImages === undefined) lines.push('The database that was replaced could not be read: what it had beyond the point is not known.')
  if (newerImages !== undefined) {
    lines.push(newerImages.length === 0 ? 'The database that was replaced had no image or tag that is not here.' : `The database that was replaced had ${newerImages.length} images and tags, mostly newer than the point, that are not here as they were:`)
    lines.push(...shown(newerImages.map(({ repository, tag, digest, at }) => `${repository}${tag === undefined ? '' : `:${tag}`} ${digest} ${new Date(at).toISOString()}`)))
  }
  if (unnamedBlobs.count > 0) {
    lines.push(`The data folder has ${unnamedBlobs.count} blob files (${sizeText(unnamedBlobs.bytes)}) that the restored metadata does not name:`)
    lines.push(...shown(unnamedBlobs.keys, unnamedBlobs.count))
  }
  lines.push(report.findings === 0 ? 'Verified: everything the metadata promises is there.' : `Verification found ${report.findings} things wrong:`)
  lines.push(...shown(findings.map(({ kind, repository, tag, digest, detail }) => [kind, repository, tag, digest, detail].filter((part) => part !== undefined).join(' ')), report.findings))
  return `${lines.join('\n')}\n`
}

function trailText(trail: NonNullable<RestoreReport['trail']>): string {
  switch (trail.kind) {
    case 'put-back':
      return `The audit trail was brought back: ${trail.records} records.`
    case 'kept':
      return trail.goesOn ? 'The audit trail that is here goes on from the one of the backup, and stays as it is.' : 'The audit trail that is here is not the one of the backup; it stays as it is.'
    case 'anew':
      return 'The records of the audit trail are not in this backup: the trail begins anew.'
  }
}

function shown(items: readonly string[], count = items.length): string[] {
  const lines = items.slice(0, shownItems).map((item) => `  ${item}`)
  return count > lines.length ? [...lines, `  … and ${count - lines.length} more (--json lists them)`] : lines
}
