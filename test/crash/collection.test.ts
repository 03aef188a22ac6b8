import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildImage, digestOf, pushImage, randomContent, tar, type Image } from '../support/images.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { freePort } from '../support/server-process.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

/*
 * Servers that collect garbage are killed in the middle of it, again and again, each time at another moment. What is needed stays;
 * what is not goes in the end, to the last file.
 */

const repository = 'gc/app'
const rounds = 4
const perRound = 14
const keptPerRound = 4

let servers: Stowage[] = []
let dir: TempDir
let database: TestDatabase | undefined

afterEach(async () => {
  await Promise.all(servers.map((server) => server.stop()))
  servers = []
  dir.remove()
  await database?.drop()
  database = undefined
})

describe.each([
  { what: 'one server on SQLite', count: 1 },
  { what: 'two servers on one PostgreSQL', count: 2 },
])('$what', ({ count }) => {
  it('killed while it collects, loses nothing that is needed and leaves nothing that is not', { timeout: 300_000 }, async () => {
    dir = createTempDir('gc-crash')
    database = count > 1 ? await createDatabase() : undefined
    const keys = { accessKeyId: 'AKIACOLLECTCOLLECT01', secretAccessKey: 'collect-collect-collect' }
    const ports = await Promise.all(Array.from({ length: count }, () => freePort()))
    const start = (index: number): Promise<Stowage> =>
      startStowage({
        port: ports[index]!,
        dataDir: dir.path,
        keys,
        env: { STOWAGE_GC_INTERVAL_MS: '50', STOWAGE_TRASH_RETENTION_DAYS: '0', STOWAGE_SCRUB_INTERVAL_DAYS: '0' },
        ...(database === undefined ? {} : { databaseUrl: database.url }),
      })
    for (let index = 0; index < count; index += 1) servers.push(await start(index))
    await createRepository(servers[0]!)

    const kept: Image[] = []
    const collectedBy = new Set<number>()
    for (let round = 0; round < rounds; round += 1) {
      const images = imagesOf(round)
      const target = { url: servers[round % count]!.url, repository, auth: servers[0]!.credentials }
      for (const image of images) await pushImage(target, image)
      kept.push(...images.slice(0, keptPerRound))
      const client = createDistributionClient(target.url, target.auth)
      for (const { manifest } of images.slice(keptPerRound)) expect((await client.request('DELETE', `/v2/${repository}/manifests/${manifest.digest}`)).status).toBe(202)
      client.close()

      const victim = round % count
      const killAt = round * 15
      const killed = delay(killAt).then(async () => {
        servers[victim]!.kill('SIGKILL')
        await servers[victim]!.exited
      })
      // Every moment that passes here is a day of theirs: the servers find work all the time.
      for (let passed = 0; passed < killAt + 50; passed += 10) {
        await timePasses()
        await delay(10)
      }
      await killed
      servers[victim] = await start(victim)
      for (const [index, server] of servers.entries()) if (index !== victim && (await collected(server)) > 0) collectedBy.add(index)
    }

    const needed = new Set(kept.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)))
    // What a hundred days have not taken away stays for ever.
    let left: string[] = []
    for (let day = 0; day < 100; day += 1) {
      await timePasses()
      await delay(100)
      left = files()
      if (left.length === needed.size) break
    }
    for (const [index, server] of servers.entries()) if ((await collected(server)) > 0) collectedBy.add(index)

    expect(left.map((name) => `sha256:${name.split('.')[0] ?? ''}`).sort()).toEqual([...needed].sort())
    if (count > 1) expect(collectedBy.size).toBe(count)
    for (const server of servers) {
      const client = createDistributionClient(server.url, server.credentials)
      for (const { manifest, blobs } of kept) {
        expect((await client.request('GET', `/v2/${repository}/manifests/${manifest.digest}`)).status).toBe(200)
        for (const { digest } of blobs) expect(digestOf((await client.request('GET', `/v2/${repository}/blobs/${digest}`)).body)).toBe(digest)
      }
      client.close()
    }
    expect(await rowsLeft()).toEqual({ blobs: needed.size, locations: needed.size, reviews: 0 })
  })
})

/** Each with a layer of its own, and one that stays shared with those that go. */
function imagesOf(round: number): Image[] {
  const layer = (name: string): Buffer => tar([{ path: name, content: randomContent(3000, name) }])
  return Array.from({ length: perRound }, (_, n) => {
    const shared = layer(`shared ${round} ${n % 5}`)
    return buildImage({ layers: [shared, layer(`own ${round} ${n}`)], seed: `${round} ${n}` })
  })
}

/** All that waits for its time has waited long enough, also for a server that will not come back. Nobody pushes meanwhile. */
async function timePasses(): Promise<void> {
  const longAgo = 'update manifest set trashed_at = 1 where trashed_at is not null'
  await execute(database === undefined ? longAgo : `begin; lock table manifest in exclusive mode; ${longAgo}; commit`)
  // The whole table first: rows one by one would be waited for crosswise with a server.
  if (database !== undefined) await execute('begin; lock table review in exclusive mode; update review set due_at = 1, leased_until = 1; commit')
  else await execute('update review set due_at = 1, leased_until = 1')
}

async function rowsLeft(): Promise<Record<string, number>> {
  const [row] = await execute('select (select count(*) from blob) as blobs, (select count(*) from blob_location) as locations, (select count(*) from review) as reviews')
  return Object.fromEntries(Object.entries(row ?? {}).map(([name, value]) => [name, Number(value)]))
}

async function execute(statement: string): Promise<Record<string, unknown>[]> {
  if (database === undefined) {
    const file = new DatabaseSync(join(dir.path, 'stowage.db'), { timeout: 10_000 })
    try {
      return file.prepare(statement).all()
    } finally {
      file.close()
    }
  }
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    return (await client.query(statement)).rows as Record<string, unknown>[]
  } finally {
    await client.end()
  }
}

function files(): string[] {
  return readdirSync(join(dir.path, 'blobs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
}

async function collected(server: Stowage): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(/^stowage_gc_blobs_total (\d+)$/m.exec(text)?.[1] ?? 0)
}

async function createRepository(stowage: Stowage): Promise<void> {
  const client = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await client.send(new CreateRepositoryCommand({ repositoryName: repository }))
  client.destroy()
}
