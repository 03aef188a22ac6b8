import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SecretSearch, type Leak, type Needle } from './secret-search.ts'

/**
 * The secrets of a test run, and what its servers wrote: kept in the run's folder, searched at the end of the run
 * (secret-check.ts). Outside a test run nothing is kept and nothing is searched.
 */

/** Set for the whole run by global-setup.ts; workers inherit it. */
export const runDirVariable = 'STOWAGE_TEST_RUN_DIR'

const secretsFolder = 'secrets'
const leaksFolder = 'leaks'
const logsFolder = 'logs'

/** Makes the folders. The environment of this process, and of those it starts, then leads to them. */
export function beginCollecting(runDir: string): void {
  for (const folder of [secretsFolder, leaksFolder, logsFolder]) mkdirSync(join(runDir, folder), { mode: 0o700 })
  process.env[runDirVariable] = runDir
}

/** Where the logs of the run's servers are; undefined outside a run. */
export function logsOfRun(runDir = collectingDir()): string | undefined {
  return runDir === undefined ? undefined : join(runDir, logsFolder)
}

let logFiles = 0

/** A file for one server's log that outlives its folder; undefined outside a test run. */
export function newLogFile(name: string): string | undefined {
  const folder = logsOfRun()
  if (folder === undefined) return undefined
  logFiles += 1
  const path = join(folder, `${name.replace(/\W+/g, '-')}-${process.pid}-${logFiles}.log`)
  writeFileSync(path, '', { mode: 0o600 })
  return path
}

/** Remembers a secret in the forms in which it could show. What is too short to search for is passed over. */
export function registerSecret(kind: string, value: string | Uint8Array): void {
  const bytes = Buffer.from(value)
  if (bytes.length < shortestSecretBytes) return
  register([
    { kind, text: bytes.toString('latin1') },
    { kind: `${kind} in hexadecimal`, text: bytes.toString('hex') },
    { kind: `${kind} in base64`, text: wholeBase64(bytes) },
  ])
}

/** An access key: its secret, and the two together as a client sends them. */
export function registerAccessKey(keys: { readonly accessKeyId: string; readonly secretAccessKey: string }): void {
  registerSecret('a secret access key', keys.secretAccessKey)
  register([
    { kind: 'Basic credentials', text: wholeBase64(Buffer.from(`${keys.accessKeyId}:${keys.secretAccessKey}`)) },
  ])
}

/** A keyring as its file has it. Everything sealed or signed with its keys starts with the key's id. */
export function registerKeyring(text: string): void {
  const { keys } = JSON.parse(text) as { keys: { id: string; secret: string }[] }
  for (const { id, secret } of keys) {
    registerSecret('a key of a keyring', Buffer.from(secret, 'base64'))
    register([
      { kind: 'a key of a keyring', text: secret },
      { kind: 'a token, link or sealed secret', text: `v1.${id}.`, sealed: true },
      { kind: 'a docker login with a token', text: wholeBase64(Buffer.from(`AWS:v1.${id}.`)), sealed: true },
    ])
  }
}

/** Registers what a server's environment and data folder hold of secrets. May be repeated. */
export function registerServer(env: Readonly<Record<string, string | undefined>>, dataDir: string): void {
  if (collectingDir() === undefined) return
  const keyringFile = join(dataDir, 'keys/keyring.json')
  for (const text of [env['STOWAGE_KEYRING'], existsSync(keyringFile) ? readFileSync(keyringFile, 'utf8') : undefined]) {
    if (text?.startsWith('{') === true) registerKeyring(text)
  }
  const credentialFile = join(dataDir, 'root-credentials.json')
  if (existsSync(credentialFile)) {
    registerAccessKey(JSON.parse(readFileSync(credentialFile, 'utf8')) as Parameters<typeof registerAccessKey>[0])
  }
  if (env['STOWAGE_ROOT_SECRET_ACCESS_KEY'] !== undefined) {
    registerAccessKey({
      accessKeyId: env['STOWAGE_ROOT_ACCESS_KEY_ID'] ?? '',
      secretAccessKey: env['STOWAGE_ROOT_SECRET_ACCESS_KEY'],
    })
  }
  if (env['STOWAGE_METRICS_TOKEN'] !== undefined) registerSecret('the metrics token', env['STOWAGE_METRICS_TOKEN'])
  const password = URL.parse(env['STOWAGE_DATABASE_URL'] ?? '')?.password
  if (password !== undefined) registerSecret('a database password', decodeURIComponent(password))
  const tlsDir = join(dataDir, 'tls')
  for (const file of existsSync(tlsDir) ? readdirSync(tlsDir).filter((name) => name.endsWith('.key')) : []) {
    const [, line = ''] = readFileSync(join(tlsDir, file), 'utf8').split('\n')
    registerSecret('a private key', line)
  }
}

/** All secrets of the run so far. `sealed` ones are wanted in a database, and nowhere else. */
export function registeredNeedles(where: 'database' | 'elsewhere', runDir = collectingDir()): Needle[] {
  if (runDir === undefined) return []
  const folder = join(runDir, secretsFolder)
  const lines = readdirSync(folder).flatMap((file) => readFileSync(join(folder, file), 'utf8').trimEnd().split('\n'))
  return [...new Set(lines)]
    .map((line) => JSON.parse(line) as Entry)
    .filter(({ sealed }) => where === 'elsewhere' || sealed !== true)
    .map(needleOf)
}

/**
 * Searches what is about to be gone: the database files of a data folder, and the journal of its requests. The run fails at its end where one of them
 * holds a secret.
 */
export async function searchDataFolder(dataDir: string): Promise<void> {
  if (collectingDir() === undefined || !existsSync(dataDir)) return
  const files = readdirSync(dataDir).filter((name) => name.includes('.db'))
  const search = new SecretSearch(registeredNeedles('database'))
  for (const file of files) reportLeaks(await search.file(join(dataDir, file)))
  // The trail and its journal hold nothing that is sealed either.
  const journal = join(dataDir, 'audit/journal')
  const observed = [join(dataDir, 'observe.db'), ...(existsSync(journal) ? readdirSync(journal).map((name) => join(journal, name)) : [])].filter((file) => existsSync(file))
  const strict = new SecretSearch(registeredNeedles('elsewhere'))
  for (const file of observed) reportLeaks(await strict.file(file))
}

/** Searches an answer that refuses a request; as `searchDataFolder`. */
export function searchErrorBody(from: string, body: Uint8Array): void {
  if (collectingDir() === undefined || body.length === 0 || known.size === 0) return
  errorSearch ??= new SecretSearch([...known.values()])
  reportLeaks(errorSearch.bytes(body).map(({ kind, offset }) => ({ kind, offset, file: from })))
}

/** Leaks that were found while the run went on. */
export function reportedLeaks(runDir: string): Leak[] {
  const folder = join(runDir, leaksFolder)
  return readdirSync(folder).flatMap((file) =>
    readFileSync(join(folder, file), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Leak),
  )
}

interface Entry {
  readonly kind: string
  /** One character for each byte. */
  readonly text: string
  readonly sealed?: true
}

/** Shorter texts turn up by chance. */
const shortestSecretBytes = 12

/** What this process has registered, so that nothing is written twice. */
const known = new Map<string, Needle>()
let errorSearch: SecretSearch | undefined

function register(entries: readonly Entry[]): void {
  const runDir = collectingDir()
  if (runDir === undefined) return
  const fresh = entries.filter(({ text }) => !known.has(text))
  if (fresh.length === 0) return
  for (const entry of fresh) known.set(entry.text, needleOf(entry))
  errorSearch = undefined
  const lines = fresh.map((entry) => `${JSON.stringify(entry)}\n`).join('')
  appendFileSync(join(runDir, secretsFolder, `${process.pid}.jsonl`), lines, { mode: 0o600 })
}

/** Of what a keyring has made only the beginning is known; a whole one has at least a signature of 43 characters. */
function needleOf({ kind, text, sealed }: Entry): Needle {
  return { kind, bytes: Buffer.from(text, 'latin1'), ...(sealed === true ? { followedBy: /^[\w+/-]{43}/ } : {}) }
}

function reportLeaks(leaks: readonly Leak[]): void {
  const runDir = collectingDir()
  if (runDir === undefined || leaks.length === 0) return
  const lines = leaks.map((leak) => `${JSON.stringify(leak)}\n`).join('')
  appendFileSync(join(runDir, leaksFolder, `${process.pid}.jsonl`), lines)
}

function collectingDir(): string | undefined {
  const runDir = process.env[runDirVariable]
  return runDir === '' ? undefined : runDir
}

/** Of whole groups only, since the last characters depend on what follows. */
function wholeBase64(bytes: Buffer): string {
  return bytes.subarray(0, bytes.length - (bytes.length % 3)).toString('base64')
}
