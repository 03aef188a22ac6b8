import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import pg from 'pg'
import { baseEnv } from './run.ts'
import { SecretSearch, type Leak, type Needle } from './secret-search.ts'
import { logsOfRun, registeredNeedles, reportedLeaks } from './secrets.ts'
import { ensureTool } from './tools.ts'

/** What no log may hold, whoever's it is. */
const credentialForms: readonly Needle[] = [
  { kind: 'a signature', bytes: Buffer.from('Signature='), followedBy: /^[0-9a-f]{64}/i },
  { kind: 'a signature', bytes: Buffer.from('signature":"'), followedBy: /^[0-9a-f]{64}/i },
  { kind: 'Basic credentials', bytes: Buffer.from('Basic '), followedBy: /^[A-Za-z0-9+/]{24}/ },
]

/** Dumps at a time: the cluster is on the same machine. */
const dumpsAtOnce = 2

/**
 * Looks for the secrets of a test run where they must not be: in every log its servers wrote, in the databases that are
 * still there, and among what was searched while it went on (data folders that are gone, answers that refused something).
 */
export async function findLeaks(runDir: string, postgresUrl: string | undefined): Promise<Leak[]> {
  const inLogs = new SecretSearch([...registeredNeedles('elsewhere', runDir), ...credentialForms])
  const leaks = reportedLeaks(runDir)
  const folder = logsOfRun(runDir)!
  for (const file of readdirSync(folder)) leaks.push(...(await inLogs.file(join(folder, file))))
  if (postgresUrl !== undefined) leaks.push(...(await searchDatabases(postgresUrl, runDir)))
  return leaks
}

/** @throws with what was found and where, and never the secret itself */
export async function requireNoLeak(runDir: string, postgresUrl: string | undefined): Promise<void> {
  const leaks = await findLeaks(runDir, postgresUrl)
  if (leaks.length === 0) return
  const shown = leaks.slice(0, 50).map(({ kind, file, offset }) => `  ${kind} in ${file} at byte ${offset}`)
  throw new Error(`secrets of this test run were found where they must not be (${leaks.length} times):\n${shown.join('\n')}`)
}

async function searchDatabases(url: string, runDir: string): Promise<Leak[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { rows } = await client.query<{ datname: string }>(`SELECT datname FROM pg_database WHERE datname LIKE 'stowage\\_%' ORDER BY datname`)
  await client.end()
  const names = rows.map(({ datname }) => datname)
  const search = new SecretSearch(registeredNeedles('database', runDir))
  const leaks: Leak[] = []
  const worker = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) leaks.push(...(await searchDump(url, name, search)))
  }
  await Promise.all(Array.from({ length: dumpsAtOnce }, worker))
  return leaks
}

async function searchDump(adminUrl: string, name: string, search: SecretSearch): Promise<Leak[]> {
  const url = new URL(adminUrl)
  const dump = spawn(ensureTool('pg_dump'), ['--data-only', '--no-sync', `--dbname=${name}`], {
    env: { ...baseEnv(), PGHOST: url.hostname, PGPORT: url.port, PGUSER: url.username, PGPASSWORD: decodeURIComponent(url.password) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(dump, 'close')
  const [leaks, complaint] = await Promise.all([search.stream(`a dump of database ${name}`, dump.stdout), text(dump.stderr)])
  const [exitCode] = (await closed) as [number | null]
  // A test that still runs may have dropped it since it was listed.
  if (exitCode !== 0 && complaint.includes(`database "${name}" does not exist`)) return []
  if (exitCode !== 0) throw new Error(`database ${name} could not be dumped: ${complaint}`)
  return leaks
}
