import { exitCodes, loadConfig } from '../config/index.ts'
import { findingCount, type Finding, type VerifyCounts } from '../integrity/index.ts'
import type { InstallationReport, VerifyStart } from '../platform-verify.ts'
import type { CommandIo } from './command-io.ts'
import { listenToSignals, ProgressText, secondsText, sizeText } from './long-work.ts'

export interface VerifyCommandOptions {
  readonly maxAgeDays: number
  readonly bytesPerSecond: number | undefined
  readonly restart: boolean
  readonly json: boolean
  readonly quiet: boolean
}

const dayMs = 24 * 60 * 60 * 1000

/** Checks the installation that the settings name, and answers with the process's exit code. */
export async function verifyCommand(io: CommandIo, options: VerifyCommandOptions): Promise<number> {
  const config = loadConfig()
  const { verifyInstallation } = await import('../platform-verify.ts')
  const progress = options.quiet ? undefined : new ProgressText(io)
  const tell = (text: string): void => {
    progress?.clear()
    io.stdout.write(`${text}\n`)
  }
  const signals = listenToSignals()
  try {
    const report = await verifyInstallation(config, {
      maxAgeMs: options.maxAgeDays * dayMs,
      restart: options.restart,
      bytesPerSecond: options.bytesPerSecond,
      signal: signals.signal,
      onStart: (start) => {
        if (!options.json) tell(startText(start))
      },
      onFinding: (finding) => {
        tell(options.json ? JSON.stringify({ type: 'finding', ...finding }) : findingText(finding))
      },
      onProgress: ({ counts }) => progress?.show(() => `${countsText(counts)} so far`),
    })
    tell(options.json ? JSON.stringify(summaryOf(report)) : summaryText(report))
    if (!report.isComplete) return signals.exitCode()
    return findingCount(report.counts) === 0 ? exitCodes.ok.code : exitCodes.findings.code
  } finally {
    progress?.clear()
    signals.close()
  }
}

function startText({ resumedFromMs, readsEverything, readSinceMs }: VerifyStart): string {
  const scope = readsEverything
    ? 'Reading every blob.'
    : `Reading the blobs that came after the last check; the others were read on ${dateText(readSinceMs)} or later.`
  return resumedFromMs === undefined ? scope : `Going on with the check that began ${timeText(resumedFromMs)}. ${scope}`
}

function findingText(finding: Finding): string {
  const { kind, repository, tag, digest, reference, key, usedBy, quarantined, detail, remedy } = finding
  const place = tag === undefined ? repository : `${repository}:${tag}`
  const name = [place, digest].filter((part) => part !== undefined).join('@')
  const facts = {
    found: detail,
    names: reference,
    file: key,
    'used by': usedBy === undefined ? undefined : usedBy.length === 0 ? 'no living image' : usedBy.join('\n           '),
    served: quarantined === undefined ? undefined : quarantined ? 'no longer: it is quarantined' : 'still, as far as its damage is not noticed',
    'to do': remedy,
  }
  const lines = Object.entries(facts).flatMap(([label, text]) => (text === undefined ? [] : [`  ${label.padEnd(9)}${text}`]))
  return [`${kind}  ${name}`, ...lines].join('\n')
}

function summaryText(report: InstallationReport): string {
  const { counts, isComplete, isLeftToServer, durationMs } = report
  const lines = [`${countsText(counts)} in ${durationText(durationMs)}.`]
  const found = findingCount(counts)
  const kinds = Object.entries(counts.findings).map(([kind, count]) => `${kind} ${count}`)
  if (found > 0) lines.push(`${numberText(found, 'finding')}: ${kinds.join(', ')}.`)
  else if (isComplete) lines.push('Everything is in order.')
  if (counts.quarantined > 0) lines.push(`${numberText(counts.quarantined, 'blob')} quarantined: not served any more, and not deleted.`)
  if (counts.reinstated > 0) lines.push(`${numberText(counts.reinstated, 'blob')} found whole again, and back in service.`)
  if (isLeftToServer) {
    lines.push('A server holds the data folder, so nothing was changed here: it takes bad blobs out of service when it reads them.')
  }
  if (!isComplete) lines.push('Stopped before the end. Run it again to go on from here.')
  return lines.join('\n')
}

function summaryOf({ isComplete, isLeftToServer, startedAtMs, durationMs, counts }: InstallationReport) {
  return {
    type: 'summary',
    isComplete,
    findingCount: findingCount(counts),
    ...counts,
    isLeftToServer,
    startedAt: new Date(startedAtMs).toISOString(),
    durationMs,
  }
}

function countsText({ tags, manifests, blobs, hashedBlobs, bytesRead }: VerifyCounts): string {
  const read = hashedBlobs === 0 ? 'none of them read' : `${grouped(hashedBlobs)} of them read (${sizeText(bytesRead)})`
  return `Checked ${numberText(tags, 'tag')}, ${numberText(manifests, 'manifest')}, ${numberText(blobs, 'blob')}, ${read}`
}

function numberText(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`
}

function grouped(count: number): string {
  return count.toLocaleString('en-US')
}

function durationText(durationMs: number): string {
  const seconds = durationMs / 1000
  if (seconds < 60) return secondsText(durationMs)
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

function dateText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}
