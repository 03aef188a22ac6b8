import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Command, CommandContext } from '../../src/storage/metadata/command.ts'
import type { FatalHandler, MetadataDatabase } from '../../src/storage/metadata/database.ts'
import type { MetadataTarget } from '../../src/storage/metadata/migrate.ts'
import { openMetadata } from '../../src/storage/metadata/open.ts'
import type { Compilable } from '../../src/storage/metadata/statement.ts'
import { createDatabase } from '../support/postgres.ts'
import type { DatabaseKind } from '../support/registry.ts'
import { projectDir } from '../support/tools.ts'

/*
 * The catalogue that the SQLite writer's thread loads is a module; these tests bring one of their own, so that a
 * command can fail at will. PostgreSQL runs the same commands in this thread.
 */
const catalogue = `
import { defineCommand } from '${pathToFileURL(join(projectDir, 'src/storage/metadata/command.ts')).href}'
import { PlatformError } from '${pathToFileURL(join(projectDir, 'src/internal/platform-error.ts')).href}'
const insert = (tx, name) => tx.query(tx.builder.insertInto('setting').values({ name, value: '1' }))
export const commands = [
  defineCommand({ name: 'put', durability: 'durable', async run(tx, { name, fail }) {
    await insert(tx, name)
    if (fail) throw new PlatformError('refused', 'as asked', { detail: { name } })
    return name
  } }),
  defineCommand({ name: 'put-lightly', durability: 'process', run: (tx, { name }) => insert(tx, name) }),
  defineCommand({ name: 'trip', durability: 'durable', async run() { throw new TypeError('a fault of the program') } }),
  defineCommand({ name: 'run-sql', durability: 'durable', run: (tx, { sql }) =>
    tx.query({ compile: () => ({ sql, parameters: [] }) }) }),
  defineCommand({ name: 'lose-disk', durability: 'durable', async run() {
    throw new PlatformError('storage-unavailable', 'the disk is gone')
  } }),
]
`

export interface PutInput {
  readonly name: string
  readonly fail: boolean
}

export interface TestCommands {
  readonly put: Command<PutInput, string>
  readonly putLightly: Command<{ name: string }, unknown>
  readonly trip: Command<object, never>
  readonly runSql: Command<{ sql: string }, unknown[]>
  /** Fails as a statement does when the disk does. */
  readonly loseDisk: Command<object, never>
}

export const context: CommandContext = {
  nowMs: 0,
  actorArn: '',
  registryId: 0,
  accountId: '',
  region: '',
  requestId: '',
  sourceIp: '',
  userAgent: '',
  protocol: 'system',
}

export interface MetadataFixture {
  readonly dir: string
  readonly catalogueUrl: string
  readonly commands: TestCommands
  /** A new database's place: nothing is in it yet. */
  newTarget(kind: DatabaseKind): Promise<MetadataTarget>
  /** Default for `onFatal`: the test fails. */
  open(target: MetadataTarget, onFatal?: FatalHandler): Promise<MetadataDatabase>
  stop(): Promise<void>
}

export async function startMetadata(): Promise<MetadataFixture> {
  const dir = await mkdtemp(join(tmpdir(), 'stowage-metadata-'))
  const file = join(dir, 'catalogue.mjs')
  writeFileSync(file, catalogue)
  const catalogueUrl = pathToFileURL(file).href
  const module = (await import(/* @vite-ignore */ catalogueUrl)) as { commands: Command<never, never>[] }
  const [put, putLightly, trip, runSql, loseDisk] = module.commands

  return {
    dir,
    catalogueUrl,
    commands: { put, putLightly, trip, runSql, loseDisk } as unknown as TestCommands,
    async newTarget(kind) {
      return kind === 'sqlite' ? { file: join(dir, 'stowage.db') } : { url: (await createDatabase()).url }
    },
    open: (target, onFatal = fail) => openMetadata(target, { catalogueUrl, onFatal, onConnectionLost: () => undefined }),
    stop: () => rm(dir, { recursive: true, force: true }),
  }
}

function fail(error: Error): never {
  throw error
}

/** The names that `put` has written, as readers see them. */
export async function names(database: MetadataDatabase): Promise<string[]> {
  const { reader } = database
  const rows = await reader.query(reader.builder.selectFrom('setting').select('name').orderBy('name'))
  return rows.map(({ name }) => name)
}

/** A statement as it is written, for a session's `query`. */
export function raw<Row = unknown>(sql: string): Compilable<Row> {
  return {
    compile: () => ({ sql, parameters: [] }),
    execute: () => Promise.reject(new Error('sessions run statements')),
  }
}
