import type { BackUpReport } from '../backup/index.ts'
import { exitCodes, loadConfig } from '../config/index.ts'
import { ownVersion } from '../internal/own-version.ts'
import type { CommandIo } from './command-io.ts'
import { listenToSignals, ProgressText, secondsText, sizeText } from './long-work.ts'

export interface BackupCommandOptions {
  readonly folder: string
  readonly keep: number | undefined
  readonly bytesPerSecond: number | undefined
  readonly includeKeyring: boolean
  readonly withAudit: boolean
  readonly json: boolean
  readonly quiet: boolean
}

/** Enough to see what is wrong; `--json` and point.json have all. */
const shownMissing = 20

/** Makes a backup of the installation that the settings name, and answers with the process's exit code. */
export async function backupCommand(io: CommandIo, options: BackupCommandOptions): Promise<number> {
  const config = loadConfig()
  const { backUpInstallation } = await import('../platform-backup.ts')
  const signals = listenToSignals()
  const progress = options.quiet ? undefined : new ProgressText(io)
  try {
    const { folder, keep, bytesPerSecond, includeKeyring, withAudit } = options
    const report = await backUpInstallation(config, {
      ...{ folder, keep, bytesPerSecond, includeKeyring, withAudit },
      version: ownVersion(),
      signal: signals.signal,
      onProgress: ({ blobs, totalBlobs, copiedBytes }) =>
        progress?.show(() => `${blobs} of ${totalBlobs} blobs, ${sizeText(copiedBytes)} copied`),
    })
    progress?.clear()
    io.stdout.write(options.json ? `${JSON.stringify(summaryOf(report))}\n` : textOf(report))
    return report.point.missing.length === 0 ? exitCodes.ok.code : exitCodes.findings.code
  } catch (error) {
    progress?.clear()
    if (!signals.signal.aborted || error !== signals.signal.reason) throw error
    io.stderr.write('stowage: stopped; there is no new point, and the next run goes on with what was copied\n')
    return signals.exitCode()
  } finally {
    signals.close()
  }
}

function summaryOf({ point, copied, removed, durationMs }: BackUpReport) {
  const { id, takenAt, blobs, missing, keyIds, includesKeyring, audit } = point
  return {
    ...{ point: id, takenAt, blobs: blobs.rows, blobBytes: blobs.contentBytes },
    metadataBytes: metadataBytes(point),
    ...{ copiedBlobs: copied.copiedBlobs, copiedBytes: copied.copiedBytes, removed, missing, keyIds, includesKeyring },
    audit: audit === undefined ? null : { record: audit.record, hash: audit.hash, recordsIncluded: audit.records !== undefined },
    durationMs: Math.round(durationMs),
  }
}

function metadataBytes({ tables, blobs }: BackUpReport['point']): number {
  return tables.reduce((sum, { sizeBytes }) => sum + sizeBytes, blobs.sizeBytes)
}

function textOf({ point, copied, removed, durationMs }: BackUpReport): string {
  const lines = [
    `Point ${point.id}: ${point.blobs.rows} blobs, ${sizeText(point.blobs.contentBytes)}, of which ${copied.copiedBlobs} (${sizeText(copied.copiedBytes)}) were copied now; metadata ${sizeText(metadataBytes(point))}; ${secondsText(durationMs)}.`,
  ]
  if (removed.points.length > 0 || removed.blobs > 0) {
    lines.push(`Removed ${removed.points.length} older points and ${removed.blobs} blobs (${sizeText(removed.bytes)}) that no other point needs.`)
  }
  lines.push(
    point.includesKeyring
      ? 'The keyring is in the backup: whoever can read it can open every secret.'
      : `The keyring is not in the backup, and without it no secret can be opened: keep it apart (it holds ${point.keyIds.length === 0 ? 'no key that is needed' : `the key ${point.keyIds.join(', ')}`}).`,
  )
  if (point.audit !== undefined) {
    lines.push(
      point.audit.records === undefined
        ? `The audit trail is not in the backup, only its end: record ${point.audit.record}, ${point.audit.hash} (--with-audit puts its records in).`
        : `The audit trail is in the backup: ${point.audit.records.rows} records up to ${point.audit.record}.`,
    )
  }
  if (point.missing.length > 0) {
    lines.push(`${point.missing.length} blobs are damaged or missing, and no earlier backup has them:`)
    for (const { digest, reason } of point.missing.slice(0, shownMissing)) lines.push(`  ${digest} ${reason}`)
    if (point.missing.length > shownMissing) lines.push(`  … and ${point.missing.length - shownMissing} more, see point.json`)
    lines.push('Push the images that use them again: `stowage verify` names them.')
  }
  return `${lines.join('\n')}\n`
}

/** Shows the points of a folder. */
export async function listCommand(io: CommandIo, options: { readonly folder: string; readonly json: boolean }): Promise<number> {
  const { listBackups } = await import('../platform-backup.ts')
  const points = await listBackups(options.folder)
  if (options.json) {
    io.stdout.write(`${JSON.stringify(points)}\n`)
    return exitCodes.ok.code
  }
  if (points.length === 0) io.stdout.write(`There is no backup in ${options.folder}.\n`)
  for (const point of points) {
    if (!('tables' in point)) {
      io.stdout.write(`${point.id}  written by a newer version\n`)
      continue
    }
    const missing = point.missing.length > 0 ? `, ${point.missing.length} missing` : ''
    io.stdout.write(`${point.id}  ${point.takenAt}  ${point.blobs.rows} blobs, ${sizeText(point.blobs.contentBytes)}${missing}  ${point.database}, ${point.source}\n`)
  }
  return exitCodes.ok.code
}
