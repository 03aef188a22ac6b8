import { resolve } from 'node:path'
import { filesOfTime, isOwnCheckpoint, makeCheckpoint, parseCheckpoint, putInFolder, verifyTrail, type Checkpoint, type TrailVerification } from '../audit/index.ts'
import { exitCodes, loadConfig, type Config } from '../config/index.ts'
import { openKeyring, type Keyring } from '../iam/keyring.ts'
import { systemClock } from '../internal/clock.ts'
import { systemIds } from '../internal/ids.ts'
import type { CommandIo } from './command-io.ts'
import { readGivenFile } from './given-file.ts'

/** Checks the trail of the installation that the settings name, and answers with the process's exit code. */
export async function verifyAudit(io: CommandIo, options: { readonly checkpointFile: string | undefined; readonly json: boolean }): Promise<number> {
  const config = loadConfig()
  const kept = options.checkpointFile === undefined ? undefined : await readCheckpoint(config, options.checkpointFile)
  if (kept === 'not-own') {
    io.stderr.write(`${options.checkpointFile}: this is no checkpoint that a key of this installation's keyring has signed as it stands\n`)
    return exitCodes.failed.code
  }
  const { withAuditStore } = await import('../platform-verify.ts')
  const verification = await withAuditStore(config, (session) => verifyTrail(session, { kept: kept && { seq: kept.record, hash: kept.hash } }))
  io.stdout.write(options.json ? `${JSON.stringify(verification)}\n` : textOf(verification, kept))
  return verification.findings.length === 0 ? exitCodes.ok.code : exitCodes.findings.code
}

/** Writes the records of a time below a folder. The same records make the same files, which replace those that are there. */
export async function exportTrail(io: CommandIo, options: { readonly folder: string; readonly from: Date | undefined; readonly to: Date | undefined; readonly json: boolean }): Promise<number> {
  const { from, to, json } = options
  const { withAuditStore } = await import('../platform-verify.ts')
  const put = putInFolder(resolve(options.folder))
  const ended = new AbortController().signal
  const done = await withAuditStore(loadConfig(), async (session) => {
    let records = 0
    let files = 0
    for await (const file of filesOfTime(session, { from: from?.getTime() ?? 0, to: to?.getTime() ?? Number.MAX_SAFE_INTEGER })) {
      await put(file, ended)
      records += file.records
      files += 1
    }
    return { records, files }
  })
  io.stdout.write(json ? `${JSON.stringify(done)}\n` : `${done.records} records in ${done.files} files\n`)
  return exitCodes.ok.code
}

/** Prints a checkpoint of the trail as it is. */
export async function printCheckpoint(io: CommandIo): Promise<number> {
  const config = loadConfig()
  const keyring = await ownKeyring(config)
  const { withAuditStore } = await import('../platform-verify.ts')
  // Not of a chain that is not whole: a later comparison would find it right.
  const { end, findings } = await withAuditStore(config, (session) => verifyTrail(session))
  if (findings.length > 0) {
    io.stderr.write('The trail is not whole, so no checkpoint was made of it: see stowage audit verify.\n')
    return exitCodes.findings.code
  }
  io.stdout.write(`${JSON.stringify(makeCheckpoint(keyring, end, systemClock.now()))}\n`)
  return exitCodes.ok.code
}

async function readCheckpoint(config: Config, file: string): Promise<Checkpoint | 'not-own'> {
  const checkpoint = parseCheckpoint(await readGivenFile(file))
  return checkpoint !== undefined && isOwnCheckpoint(await ownKeyring(config), checkpoint) ? checkpoint : 'not-own'
}

function ownKeyring({ dataDir, keyring }: Config): Promise<Keyring> {
  return openKeyring({ dataDir, keyring, requireExisting: true, clock: systemClock, ids: systemIds })
}

function textOf({ records, cutSeq, end, findings, more }: TrailVerification, kept: Checkpoint | undefined): string {
  const found = findings.map(({ seq, kind, text }) => `${kind}  record ${seq}: ${text}`)
  if (more > 0) found.push(`… and ${more} more`)
  const range = records === 0 ? 'no records' : `${records} records, ${cutSeq + 1} to ${end.seq}`
  const summary = findings.length === 0 ? `Checked ${range}: the chain is whole${kept === undefined ? '' : `, and goes on from the checkpoint of ${kept.madeAt}`}.` : `Checked ${range}: it is not the trail that was sealed.`
  return [...found, summary, ''].join('\n')
}
