import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Readable } from 'node:stream'
import pg from 'pg'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { newKeyring, openKeyring, serializeKeyring } from '../../src/iam/index.ts'
import { systemClock } from '../../src/internal/clock.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { createDatabase } from './postgres.ts'
import { baseEnv } from './run.ts'
import { findLeaks, requireNoLeak } from './secret-check.ts'
import { SecretSearch } from './secret-search.ts'
import { beginCollecting, registerServer, runDirVariable, searchDataFolder, searchErrorBody } from './secrets.ts'
import { startServerProcess } from './server-process.ts'
import { createTempDir, type TempDir } from './temp-dir.ts'

/** A run of its own, since a leak planted here must not fail the one that this test is part of. */
let run: TempDir
let runOfThisTest: string | undefined

beforeEach(() => {
  runOfThisTest = process.env[runDirVariable]
  run = createTempDir('planted')
  beginCollecting(run.path)
})

afterEach(() => {
  run.remove()
  process.env[runDirVariable] = runOfThisTest ?? ''
})

const newSecret = (): string => randomBytes(30).toString('base64')

function serverWith(secretAccessKey: string): { env: Record<string, string>; dataDir: string } {
  const dataDir = join(run.path, 'data')
  mkdirSync(dataDir, { recursive: true })
  const env = { STOWAGE_ROOT_ACCESS_KEY_ID: 'AKIAPLANTED', STOWAGE_ROOT_SECRET_ACCESS_KEY: secretAccessKey }
  registerServer(env, dataDir)
  return { env, dataDir }
}

async function logged(text: string): Promise<void> {
  const server = await startServerProcess({
    name: 'a talkative server',
    command: 'sh',
    args: ['-c', 'printf "%s" "$SAID"; exec sleep 600'],
    env: { ...baseEnv(), SAID: text },
    ready: async () => true,
  })
  while (server.logs().length < text.length) await new Promise((resolve) => setTimeout(resolve, 5))
  await server.stop()
}

const found = async (): Promise<string[]> => (await findLeaks(run.path, undefined)).map(({ kind, offset }) => `${kind} at ${offset}`)

test('a search finds every text, also where pieces of a stream meet', async () => {
  const search = new SecretSearch([
    { kind: 'one', bytes: Buffer.from('needle-1') },
    { kind: 'two', bytes: Buffer.from('needle-two') },
    { kind: 'signed', bytes: Buffer.from('Signature='), followedBy: /^[0-9a-f]{64}/ },
  ])
  const bytes = Buffer.from(`needle-1 needle-needle-two Signature=${'a'.repeat(64)} Signature=REDACTED needle-1`)
  const expected = [
    { kind: 'one', offset: 0 },
    { kind: 'two', offset: 16 },
    { kind: 'signed', offset: 27 },
    { kind: 'one', offset: bytes.length - 8 },
  ]

  expect(search.bytes(bytes)).toEqual(expected)
  for (const pieceBytes of [1, 2, 7, 50]) {
    const pieces = Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, n) => bytes.subarray(n * pieceBytes, (n + 1) * pieceBytes))
    expect(await search.stream('f', Readable.from(pieces))).toEqual(expected.map((leak) => ({ ...leak, file: 'f' })))
  }
})

test('a run without leaks passes', async () => {
  serverWith(newSecret())
  await logged('nothing but REDACTED and Signature=REDACTED')

  await requireNoLeak(run.path, inject('postgresUrl'))
})

test('a secret access key in a log is found, plain, encoded, and as a client sends it', async () => {
  const secret = newSecret()
  serverWith(secret)
  await logged(`a ${secret} b ${Buffer.from(secret).toString('hex')} c`)
  await logged(`Authorization: Basic ${Buffer.from(`AKIAPLANTED:${secret}`).toString('base64')}`)

  expect((await found()).sort()).toEqual([
    'Basic credentials at 15',
    'Basic credentials at 21',
    'a secret access key at 2',
    'a secret access key in base64 at 37',
    'a secret access key in hexadecimal at 45',
  ])
  await expect(requireNoLeak(run.path, undefined)).rejects.toThrow(/a secret access key in \S*a-talkative-server-\S* at byte 2/)
  await expect(requireNoLeak(run.path, undefined)).rejects.toThrow(expect.objectContaining({ message: expect.not.stringContaining(secret) }))
})

test('a token, a link and a signature in a log are found without anybody having noted them', async () => {
  const { env, dataDir } = serverWith(newSecret())
  const text = serializeKeyring(newKeyring(systemClock, systemIds))
  registerServer({ ...env, STOWAGE_KEYRING: text }, dataDir)
  const keyring = await openKeyring({ dataDir, keyring: text, requireExisting: true, clock: systemClock, ids: systemIds })
  await logged(`${keyring.seal(Buffer.from('claims'), 'ecr-token')} ${Buffer.from(`AWS:${keyring.seal(Buffer.from('x'), 'y')}`).toString('base64')}`)
  await logged(`/?X-Amz-Signature=${'0'.repeat(64)}`)

  expect((await found()).map((leak) => leak.replace(/ at \d+$/, '')).sort()).toEqual([
    'a docker login with a token',
    'a signature',
    'a token, link or sealed secret',
  ])
})

test('a secret in a database is found; a sealed one belongs there', async () => {
  const secret = newSecret()
  const { env, dataDir } = serverWith(secret)
  const text = serializeKeyring(newKeyring(systemClock, systemIds))
  registerServer({ ...env, STOWAGE_KEYRING: text }, dataDir)
  const keyring = await openKeyring({ dataDir, keyring: text, requireExisting: true, clock: systemClock, ids: systemIds })
  const sealed = keyring.seal(Buffer.from(secret), 'access-key')

  const sqlite = new DatabaseSync(join(dataDir, 'stowage.db'))
  sqlite.exec(`PRAGMA journal_mode = WAL; CREATE TABLE t (v TEXT); INSERT INTO t VALUES ('${sealed}')`)
  await searchDataFolder(dataDir)
  expect(await found()).toEqual([])
  sqlite.exec(`INSERT INTO t VALUES ('${secret}')`)
  await searchDataFolder(dataDir)
  sqlite.close()
  expect(await found()).toEqual([expect.stringMatching(/^a secret access key at \d+$/)])

  const database = await createDatabase()
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  await client.query('CREATE TABLE t (v bytea)')
  await client.query('INSERT INTO t VALUES ($1)', [Buffer.from(secret)])
  await client.end()
  const leaks = await findLeaks(run.path, inject('postgresUrl'))
  await database.drop()
  expect(leaks.map(({ file }) => file)).toContain(`a dump of database ${new URL(database.url).pathname.slice(1)}`)
})

test('a secret in a refusal is found', async () => {
  const secret = newSecret()
  serverWith(secret)
  searchErrorBody('the answer to GET /v2/', Buffer.from('{"errors":[]}'))
  expect(await found()).toEqual([])
  searchErrorBody('the answer to GET /v2/', Buffer.from(`{"errors":["${secret}"]}`))

  await expect(requireNoLeak(run.path, undefined)).rejects.toThrow('a secret access key in the answer to GET /v2/ at byte 12')
})

test('a private key and a generated root credential count as secrets', async () => {
  const dataDir = join(run.path, 'data')
  mkdirSync(join(dataDir, 'tls'), { recursive: true })
  const line = randomBytes(48).toString('base64')
  const secretAccessKey = newSecret()
  writeFileSync(join(dataDir, 'tls/server.key'), `-----BEGIN PRIVATE KEY-----\n${line}\n-----END PRIVATE KEY-----\n`)
  writeFileSync(join(dataDir, 'root-credentials.json'), JSON.stringify({ accessKeyId: 'AKIAMADE', secretAccessKey }))
  registerServer({ STOWAGE_DATABASE_URL: 'postgres://u:p%40ssword-of-a-database@h/d' }, dataDir)
  await logged(`${line} ${secretAccessKey} p@ssword-of-a-database`)

  expect((await found()).map((leak) => leak.replace(/ at \d+$/, ''))).toEqual(['a private key', 'a secret access key', 'a database password'])
})
