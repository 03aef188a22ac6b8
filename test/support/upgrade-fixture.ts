import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { DatabaseSync } from 'node:sqlite'
import { createDatabase } from './postgres.ts'
import type { DatabaseKind } from './registry.ts'
import { loadSqlite } from './sqlite-dump.ts'
import { projectDir } from './tools.ts'

/** What clients saw of an installation when it was made (scripts/make-upgrade-fixture.ts). */
export interface InstallationContents {
  /** Those that are alive. */
  readonly repositories: readonly string[]
  readonly ecr: readonly EcrView[]
  readonly http: readonly HttpView[]
  /** An image in the trash, as it is pushed again, with the tags it had. */
  readonly trashed: { readonly repository: string; readonly manifest: string; readonly mediaType: string; readonly tags: readonly string[] }
  /** A tag that may not move. */
  readonly immutable: { readonly repository: string; readonly tag: string }
  readonly upload: OpenUpload
}

/** What one ECR call answered, without the envelope; `<host>` stands for the server's address. */
export interface EcrView {
  readonly operation: 'DescribeRepositories' | 'DescribeImages' | 'ListTagsForResource'
  readonly input: Readonly<Record<string, unknown>>
  readonly output: unknown
}

export interface HttpView {
  readonly path: string
  readonly status: number
  readonly contentType: string
  readonly body: string
}

export interface OpenUpload {
  readonly location: string
  /** How many bytes it has. */
  readonly offset: number
  readonly rest: string
  /** Of the whole blob. */
  readonly digest: string
}

export interface LoadedFixture {
  readonly contents: InstallationContents
  readonly databaseUrl: string | undefined
}

const fixturesDir = join(projectDir, 'test/upgrade/fixtures')

/** The versions that an installation is kept of, the oldest first. */
export const upgradeFixtures: readonly string[] = readdirSync(fixturesDir, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort()

/**
 * Puts an installation of an earlier version into an empty folder, and into a new database of its own for PostgreSQL.
 * What would have ended since it was made ends in a year.
 */
export async function loadFixture(name: string, kind: DatabaseKind, dataDir: string): Promise<LoadedFixture> {
  const source = join(fixturesDir, name, kind === 'sqlite' ? 'embedded' : 'postgres')
  cpSync(join(source, 'data'), dataDir, { recursive: true })
  // Git keeps no modes.
  chmodSync(dataDir, 0o700)
  for (const path of ['keys/keyring.json', 'root-credentials.json']) {
    if (existsSync(join(dataDir, path))) chmodSync(join(dataDir, path), 0o600)
  }
  // Nor empty folders.
  mkdirSync(join(dataDir, 'blobs'), { recursive: true })
  const contents = JSON.parse(readFileSync(join(source, 'contents.json'), 'utf8')) as InstallationContents
  const dump = join(source, 'metadata.sql')
  const inAYear = Date.now() + 365 * 24 * 60 * 60 * 1000
  const postpone = [
    `update upload_session set expires_at = ${inAYear}`,
    `update manifest set purge_after = ${inAYear} where purge_after is not null`,
    `update repository set purge_after = ${inAYear} where purge_after is not null`,
  ]
  if (kind === 'sqlite') {
    const file = join(dataDir, 'stowage.db')
    loadSqlite(dump, file)
    const database = new DatabaseSync(file)
    for (const statement of postpone) database.exec(statement)
    database.close()
    return { contents, databaseUrl: undefined }
  }
  const { url } = await createDatabase()
  await withClient(url, (client) => client.query(readFileSync(dump, 'utf8')))
  // The dump has emptied its connection's search path.
  await withClient(url, (client) => client.query(postpone.join(';')))
  return { contents, databaseUrl: url }
}

async function withClient(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
