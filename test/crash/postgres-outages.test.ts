import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { createDistributionClient } from '../support/distribution-client.ts'
import { digestOf, randomContent, withDigest } from '../support/images.ts'
import { createDatabase, startPostgres, type PostgresCluster } from '../support/postgres.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { projectDir, programScript } from '../support/tools.ts'
import { expectAllThere, PushLoad } from './push-load.ts'

const pushers = 4
const repository = 'outage/app'

let releases: (() => Promise<unknown>)[]
beforeEach(() => {
  releases = []
})
afterEach(async () => {
  for (const release of releases.splice(0).reverse()) await release()
})

async function newCluster(): Promise<PostgresCluster> {
  const cluster = await startPostgres()
  releases.push(() => cluster.stop())
  return cluster
}

async function serve(databaseUrl: string): Promise<Stowage> {
  const stowage = await startStowage({ databaseUrl })
  releases.push(() => stowage.stop())
  return stowage
}

async function createRepository(stowage: Stowage): Promise<void> {
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
  ecr.destroy()
}

function startLoad(stowage: Stowage, seed: string): PushLoad {
  const load = new PushLoad({ urlOf: () => stowage.url, repository, auth: stowage.credentials, pushers, seed })
  releases.push(() => load.stop())
  return load
}

/** Everything that was promised is there, and nothing is there by half. */
async function expectSound(stowage: Stowage, load: PushLoad, databaseUrl: string): Promise<void> {
  expect(load.refusals).toEqual([])
  expect(load.cutOff).toEqual([])
  await expectAllThere(stowage.url, stowage.credentials, repository, load.acknowledged)
  const env = { STOWAGE_DATA_DIR: stowage.dataDir, STOWAGE_DATABASE_URL: databaseUrl }
  const verified = await run(process.execPath, [programScript(), 'verify', '--full', '--json', '--quiet'], { cwd: projectDir, env, mayFail: true })
  expect([verified.exitCode, verified.stderr]).toEqual([0, ''])
}

async function withClient<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

describe('a PostgreSQL server that is restarted under load', () => {
  it.each([
    ['fast', 'SIGINT'],
    ['immediately', 'SIGQUIT'],
    ['after kill -9', 'SIGKILL'],
  ] as const)('%s: clients are told to try again and get through, and nothing is lost', async (_, signal) => {
    const cluster = await newCluster()
    const { url } = await createDatabase(cluster.url)
    const stowage = await serve(url)
    await createRepository(stowage)
    const load = startLoad(stowage, signal)

    for (let round = 0; round < 2; round += 1) {
      await load.progress(pushers * 2)
      await cluster.restart(signal)
      await load.progress(pushers * 2)
    }
    await load.stop()

    expect(load.retried.length).toBeGreaterThan(0)
    // Polite shutdowns flush the log of what was committed lightly too.
    if (signal === 'SIGINT') expect(load.lostSessions).toEqual([])
    await expectSound(stowage, load, url)
  })
})

describe('a failover to a standby that has every commit', () => {
  it('loses nothing acknowledged; a server that only reads is told apart from a broken one', async () => {
    const primary = await newCluster()
    const { url } = await createDatabase(primary.url)
    const standby = await primary.startStandby()
    releases.push(() => standby.stop())
    await withClient(primary.url, async (client) => {
      await client.query(`alter system set synchronous_standby_names = 'standby'`)
      await client.query('select pg_reload_conf()')
      const isSynchronous = async (): Promise<unknown> =>
        (await client.query<{ sync_state: string }>('select sync_state from pg_stat_replication')).rows[0]?.sync_state
      await expect.poll(isSynchronous, { timeout: 30_000 }).toBe('sync')
    })
    const proxy = await startTcpProxy(primary.port)
    releases.push(() => proxy.close())
    const virtualUrl = new URL(url)
    virtualUrl.port = String(proxy.port)
    const stowage = await serve(virtualUrl.toString())
    await createRepository(stowage)
    const load = startLoad(stowage, 'failover')
    await load.progress(pushers * 3)

    primary.kill('SIGKILL')
    proxy.pointTo(standby.port)
    const isReadOnly = (): boolean => load.retried.some((what) => what.includes('only reads'))
    await expect.poll(isReadOnly, { timeout: 30_000 }).toBe(true)
    const client = createDistributionClient(stowage.url, stowage.credentials)
    const read = await client.request('GET', `/v2/${repository}/tags/list`)
    client.close()
    expect(read.status).toBe(200)

    await withClient(standby.url, (connection) => connection.query('select pg_promote()'))
    await load.progress(pushers * 3)
    await load.stop()
    await expectSound(stowage, load, virtualUrl.toString())
  })
})

describe('a PostgreSQL server that takes no more connections', () => {
  it('is an outage for as long as it lasts', async () => {
    const cluster = await newCluster()
    const { url } = await createDatabase(cluster.url)
    const name = new URL(url).pathname.slice(1)
    const admin = (sql: string): Promise<unknown> => withClient(cluster.url, (client) => client.query(sql))
    await admin(`create role limited login password 'a-password-of-a-test'`)
    await admin(`alter database ${name} owner to limited`)
    const limitedUrl = new URL(url)
    limitedUrl.username = 'limited'
    limitedUrl.password = 'a-password-of-a-test'
    const stowage = await serve(limitedUrl.toString())
    await createRepository(stowage)
    const load = startLoad(stowage, 'limit')
    await load.progress(pushers)

    await admin('alter role limited connection limit 0')
    await admin(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'limited'`)
    const isFull = (): boolean => load.retried.some((what) => what.includes('too many connections'))
    await expect.poll(isFull, { timeout: 30_000 }).toBe(true)
    await admin('alter role limited connection limit -1')
    await load.progress(pushers)
    await load.stop()

    await expectSound(stowage, load, limitedUrl.toString())
  })
})

describe('two servers on one PostgreSQL and one folder', () => {
  it('share the work; when one is killed the other goes on, with its uploads too', async () => {
    const database = await createDatabase()
    releases.push(() => database.drop())
    const first = await serve(database.url)
    const second = await startStowage({ databaseUrl: database.url, dataDir: first.dataDir, keys: first.keys })
    releases.push(() => second.stop())
    await createRepository(first)

    const alive = [first, second]
    const urlOf = (pusher: number): string => alive[pusher % alive.length]?.url ?? ''
    const load = new PushLoad({ urlOf, repository, auth: first.credentials, pushers, seed: 'two servers' })
    releases.push(() => load.stop())
    await load.progress(pushers * 3)

    // An upload whose first half went to the one that dies.
    const bytes = randomContent(200_000, 'half here, half there')
    const onSecond = createDistributionClient(second.url, second.credentials)
    const begun = await onSecond.request('POST', `/v2/${repository}/blobs/uploads/`)
    const patched = await onSecond.request('PATCH', begun.headers.location ?? '', { body: bytes.subarray(0, 100_000) })
    expect(patched.status).toBe(202)
    // And one that is being written when it does.
    const flowing = await onSecond.request('POST', `/v2/${repository}/blobs/uploads/`)
    const endless = onSecond.request('PATCH', flowing.headers.location ?? '', { body: slowly(bytes) }).catch(() => undefined)
    await load.progress(pushers)

    alive.pop()
    second.kill('SIGKILL')
    await second.exited
    await endless
    onSecond.close()
    await load.progress(pushers * 3)

    const onFirst = createDistributionClient(first.url, first.credentials)
    const location = new URL(patched.headers.location ?? '', first.url)
    const status = await onFirst.request('GET', location.pathname)
    expect([status.status, status.headers.range]).toEqual([204, '0-99999'])
    const rest = await onFirst.request('PUT', withDigest(status.headers.location ?? '', digestOf(bytes)), { body: bytes.subarray(100_000) })
    expect(rest.status).toBe(201)
    expect((await onFirst.request('GET', `/v2/${repository}/blobs/${digestOf(bytes)}`)).body).toEqual(bytes)
    const begunAnew = await onFirst.request('PUT', withDigest(new URL(flowing.headers.location ?? '', first.url).pathname, digestOf(bytes)), { body: bytes })
    expect(begunAnew.status).toBe(201)
    onFirst.close()

    await load.stop()
    // Requests that the killed one had in hand were cut; everybody else got through.
    load.cutOff.splice(0, pushers)
    await expectSound(first, load, database.url)
  })
})

/** A body that never ends by itself. */
async function* slowly(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let n = 0; ; n += 1) {
    yield bytes.subarray(n, n + 1000)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
