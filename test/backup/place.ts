import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { expect } from 'vitest'
import type { PointDocument } from '../../src/backup/index.ts'
import { runCommand } from '../../src/cli/program.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildRandomImage, digestOf, pushImage, type Image } from '../support/images.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import type { DatabaseKind } from '../support/registry.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { projectDir, programScript } from '../support/tools.ts'

export const keys = { accessKeyId: 'AKIABACKUPBACKUPBACK', secretAccessKey: 'backup-backup-backup-backup' }

/** Where an installation is or will be: a data folder, and for PostgreSQL a database. */
export class Place {
  readonly kind: DatabaseKind
  readonly dir: TempDir
  readonly database: TestDatabase | undefined

  private constructor(kind: DatabaseKind, dir: TempDir, database: TestDatabase | undefined) {
    this.kind = kind
    this.dir = dir
    this.database = database
  }

  static async create(kind: DatabaseKind): Promise<Place> {
    return new Place(kind, createTempDir('place'), kind === 'postgres' ? await createDatabase() : undefined)
  }

  get dataDir(): string {
    return join(this.dir.path, 'data')
  }

  get env(): Record<string, string> {
    return {
      STOWAGE_DATA_DIR: this.dataDir,
      ...(this.database === undefined ? {} : { STOWAGE_DATABASE_URL: this.database.url }),
    }
  }

  start(): Promise<Stowage> {
    return startStowage({
      dataDir: this.dataDir,
      keys,
      ...(this.database === undefined ? {} : { databaseUrl: this.database.url }),
    })
  }

  /** Runs a `stowage` command with this place's settings: in this process, which saves its start. One at a time. */
  async stowage(...words: string[]): Promise<RunResult> {
    if (words[0] === 'serve') return run(process.execPath, [programScript(), ...words], { cwd: projectDir, env: this.env, mayFail: true })
    const before = { ...process.env }
    Object.assign(process.env, this.env)
    const result = { stdout: '', stderr: '', output: '' }
    const stream = (name: 'stdout' | 'stderr') => ({
      write(text: string) {
        result[name] += text
        result.output += text
      },
    })
    try {
      const io = { stdout: stream('stdout'), stderr: stream('stderr'), invocation: { execPath: process.execPath, script: 'stowage' } }
      const exitCode = await runCommand(words, io)
      return { exitCode, ...result }
    } finally {
      process.env = before
    }
  }

  async backup(folder: string, ...words: string[]): Promise<BackupSummary> {
    const result = await this.stowage('backup', folder, '--json', ...words)
    expect(result.exitCode, result.output).toBe(0)
    return JSON.parse(result.stdout) as BackupSummary
  }

  /** Takes the keyring of another place along, as an operator does, and restores. */
  async restore(from: Place, folder: string, ...words: string[]): Promise<RestoreSummary> {
    this.takeKeyring(from)
    const result = await this.stowage('restore', folder, '--json', ...words)
    expect(result.exitCode, result.output).toBe(0)
    return JSON.parse(result.stdout) as RestoreSummary
  }

  takeKeyring(from: Place): void {
    const path = join(this.dataDir, 'keys/keyring.json')
    if (existsSync(path)) return
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeFileSync(path, readFileSync(join(from.dataDir, 'keys/keyring.json')), { mode: 0o600 })
  }

  /** The files of the blobs of a digest. */
  blobFiles(digest: string): string[] {
    const hex = digest.slice('sha256:'.length)
    const shard = join(this.dataDir, 'blobs/default/sha256', hex.slice(0, 2))
    return readdirSync(shard)
      .filter((name) => name.startsWith(hex))
      .map((name) => join(shard, name))
  }

  async remove(): Promise<void> {
    this.dir.remove()
    await this.database?.drop()
  }
}

export interface BackupSummary {
  readonly point: string
  readonly blobs: number
  readonly copiedBlobs: number
  readonly copiedBytes: number
  readonly removed: { readonly points: string[]; readonly blobs: number }
  readonly missing: PointDocument['missing']
  readonly audit: { readonly record: number; readonly recordsIncluded: boolean } | null
}

export interface RestoreSummary {
  readonly point: string
  readonly blobs: number
  readonly copiedBlobs: number
  readonly presentBlobs: number
  readonly missing: PointDocument['missing']
  readonly replaced?: string
  readonly newerImages?: { readonly repository: string; readonly tag?: string; readonly digest: string }[]
  readonly unnamedBlobs: { readonly count: number; readonly keys: string[] }
  readonly droppedAccessKeys: string[]
  readonly findingCount: number
}

export async function createRepository(stowage: Stowage, repositoryName: string): Promise<void> {
  const client = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await client.send(new CreateRepositoryCommand({ repositoryName }))
  client.destroy()
}

export async function push(stowage: Stowage, repository: string, tag: string, seed: string, layerBytes = 20_000): Promise<Image> {
  const image = buildRandomImage([layerBytes], seed)
  await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, tag)
  return image
}

/** Pulls an image as a client does, and compares every byte with its digest. */
export async function expectWhole(stowage: Stowage, repository: string, image: Image): Promise<void> {
  const client = createDistributionClient(stowage.url, stowage.credentials)
  try {
    const answer = await client.request('GET', `/v2/${repository}/manifests/${image.manifest.digest}`)
    expect([answer.status, digestOf(answer.body)]).toEqual([200, image.manifest.digest])
    for (const blob of image.blobs) {
      const { body } = await client.request('GET', `/v2/${repository}/blobs/${blob.digest}`)
      expect(digestOf(body)).toBe(blob.digest)
    }
  } finally {
    client.close()
  }
}

/** Follows every tag of a repository to the last byte; answers the tags with their digests. */
export async function followTags(stowage: Stowage, repository: string): Promise<Map<string, string>> {
  const client = createDistributionClient(stowage.url, stowage.credentials)
  const tags = new Map<string, string>()
  try {
    const listed = (await client.request('GET', `/v2/${repository}/tags/list?n=1000`)).json() as { tags: string[] }
    for (const tag of listed.tags) {
      const answer = await client.request('GET', `/v2/${repository}/manifests/${tag}`)
      expect(answer.status).toBe(200)
      const manifest = answer.json() as { config: { digest: string }; layers: { digest: string }[] }
      for (const { digest } of [manifest.config, ...manifest.layers]) {
        const { body } = await client.request('GET', `/v2/${repository}/blobs/${digest}`)
        expect(digestOf(body)).toBe(digest)
      }
      tags.set(tag, digestOf(answer.body))
    }
  } finally {
    client.close()
  }
  return tags
}

/** Files below a folder, without the SQLite locks. */
export function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(folder, path)).isFile())
    .sort()
}
