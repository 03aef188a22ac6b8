// What garbage collection costs where there is very much of everything (`make gc-scale`): nothing is due among a million images; then
// the trash of many is over, as after a week's pause, while others push and pull.
//   scripts/with-node.sh node bench/gc-scale.ts [images going] [images staying]
import { mkdirSync, readdirSync, statfsSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { basicAuth } from '../test/support/distribution-client.ts'
import { buildRandomImage, pushImage } from '../test/support/images.ts'
import { run } from '../test/support/run.ts'
import { startStowage, type Stowage } from '../test/support/start-stowage.ts'
import { projectDir } from '../test/support/tools.ts'
import { percentileOf } from './statistics.ts'

const goingCount = Number(process.argv[2] ?? 100_000)
const stayingCount = Number(process.argv[3] ?? 900_000)
/** Between pushes: what a busy team does beside the collection. */
const pushEveryMs = 50
const quietMs = 10_000
/** Beside clients it is paused and goes on by turns, so that whatever else the machine does meets both; the rest it does alone. */
const rounds = 6
const windowMs = 5000
/** Rows and indexes of an image that stays take about two kilobytes, a small file a block. */
const neededBytes = 2500 * stayingCount + 16_000 * goingCount

const home = await mkdtemp(join(tmpdir(), 'stowage-gc-scale-'))
try {
  const { bavail, bsize } = statfsSync(home)
  if (bavail * bsize < neededBytes) throw new Error(`${home} has not the ${Math.ceil(neededBytes / 1e9)} GB that are needed`)
  const dataDir = join(home, 'data')
  await prepare(dataDir)
  fill(dataDir)
  const idle = await startStowage({ dataDir, keys: 'kept', env: { STOWAGE_GC_INTERVAL_MS: '1000', STOWAGE_SCRUB_INTERVAL_DAYS: '0' } })
  await measureIdle(idle)
  await idle.stop()
  makeDue(join(dataDir, 'stowage.db'))
  const stowage = await startStowage({ dataDir, keys: 'kept', env: { STOWAGE_GC_INTERVAL_MS: '1000', STOWAGE_SCRUB_INTERVAL_DAYS: '0' } })
  await measureReclaim(stowage)
  await stowage.stop()
  tellLeft(dataDir)
} finally {
  await rm(home, { recursive: true, force: true })
}

async function prepare(dataDir: string): Promise<void> {
  const stowage = await startStowage({ dataDir, keys: 'kept' })
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  for (const repositoryName of ['scale/large', 'scale/hot']) await ecr.send(new CreateRepositoryCommand({ repositoryName }))
  ecr.destroy()
  await pushImage({ url: stowage.url, repository: 'scale/hot', auth: stowage.credentials }, buildRandomImage([1000], 'hot'), 'latest')
  await stowage.stop()
}

/**
 * Images as pushes make them, with a config and a layer of their own and a layer that ten share. Half of those that go are in the
 * trash; of the others only the blobs are left, as an hour after their trash was over. Only what goes has its bytes: nobody reads the others.
 */
function fill(dataDir: string): void {
  const database = new DatabaseSync(join(dataDir, 'stowage.db'))
  const startedAt = performance.now()
  const far = Number.MAX_SAFE_INTEGER
  const now = Date.now()
  /** Beyond the hour for which a push may count on what it was told is there. */
  const longAgo = now - 2 * 60 * 60 * 1000
  const reference = (position: number, digest: string, role: string): string =>
    `insert into manifest_reference (manifest_id, position, repository_id, digest, kind, role, media_type, size_bytes)
       select m.id, ${position}, m.repository_id, ${digest}, 'blob', '${role}', 'application/vnd.oci.image.layer.v1.tar+gzip', 100 from manifest m
       where m.repository_id = (select id from large);`
  const own = (letter: string): string => `unhex('01' || printf('%02x', (m.id * 7) % 256) || printf('%060x', m.id) || '${letter}')`
  database.exec(`
    pragma synchronous = off; pragma foreign_keys = off; pragma cache_size = -262144;
    begin;
    create temp table large as select id, registry_id from repository where name = 'scale/large';
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${goingCount + stayingCount})
      insert into manifest (repository_id, digest, media_type, kind, size_bytes, image_size_bytes, pushed_at, pushed_by, storage_class)
      select (select id from large), unhex('01' || hex(randomblob(32))), 'application/vnd.oci.image.manifest.v1+json', 'image', 500, 1000000,
        ${now}, 'arn:aws:iam::000000000000:root', 'active' from n;
    create temp table going as select id from manifest where repository_id = (select id from large) order by id limit ${goingCount};
    ${reference(0, own('c0'), 'config')}
    ${reference(1, own('a0'), 'layer')}
    ${reference(2, own('b0').replaceAll('m.id', 'm.id / 10'), 'layer')}
    insert into blob (domain_id, digest, size_bytes, created_at) select distinct 1, digest, 100, ${now} from manifest_reference
      where repository_id = (select id from large);
    create temp table own_blob as select b.id, m.id as manifest_id, lower(hex(substr(b.digest, 2))) as hex from going m
      join manifest_reference r on r.manifest_id = m.id and r.position < 2 join blob b on b.digest = r.digest and b.domain_id = 1;
    insert into blob_location (blob_id, store, key, generation, state, created_at)
      select id, 'filesystem', 'default/sha256/' || substr(hex, 1, 2) || '/' || hex || '.' || printf('%032x', id), printf('%032x', id), 'active', ${now}
      from own_blob;
    insert into repository_blob (repository_id, blob_id, added_at)
      select distinct r.repository_id, b.id, ${now} from manifest_reference r join blob b on b.digest = r.digest and b.domain_id = 1
      where r.repository_id = (select id from large) and r.manifest_id > (select max(id) from going);
    create temp table left_over as select id from going order by id limit ${Math.floor(goingCount / 2)};
    delete from manifest_reference where manifest_id in (select id from left_over);
    delete from manifest where id in (select id from left_over);
    update manifest set trashed_at = ${longAgo}, purge_after = ${longAgo}, trashed_by = 'arn:aws:iam::000000000000:root'
      where id in (select id from going);
    insert into review (kind, repository_id, subject_id, due_at, reason, attempt_count)
      select 'manifest', repository_id, id, ${far}, 'trashed', 0 from manifest where id in (select id from going);
    insert into review (kind, repository_id, subject_id, due_at, reason, attempt_count)
      select 'blob', 0, id, ${far}, 'image purged', 0 from own_blob where manifest_id in (select id from left_over);
    commit;
    analyze;`)
  const keys = database.prepare(`select l.key from blob_location l join blob b on b.id = l.blob_id where l.key like '%.0000000000%'`).all() as { key: string }[]
  database.close()
  const folders = new Set<string>()
  for (const { key } of keys) {
    const path = join(dataDir, 'blobs', key)
    if (!folders.has(dirname(path))) mkdirSync(dirname(path), { recursive: true })
    folders.add(dirname(path))
    writeFileSync(path, 'a layer')
  }
  console.log(`made ${stayingCount} images that stay, ${goingCount} that go and ${keys.length} files in ${seconds(startedAt)}`)
}

function makeDue(file: string): void {
  const database = new DatabaseSync(file)
  database.exec(`update review set due_at = 1 where due_at = ${Number.MAX_SAFE_INTEGER}`)
  database.close()
}

interface Beside {
  readonly pulls: number[]
  readonly pushes: number[]
}

async function measureIdle(stowage: Stowage): Promise<void> {
  await beside(stowage, delay(3000))
  const statements = await metric(stowage, 'stowage_database_statements_total')
  const commits = await metric(stowage, 'stowage_database_commits_total')
  await delay(quietMs)
  const each = (name: number): string => (name / (quietMs / 1000)).toFixed(1)
  console.log(
    `nothing due, looked for every second: ${each((await metric(stowage, 'stowage_database_statements_total')) - statements)} statements and ` +
      `${each((await metric(stowage, 'stowage_database_commits_total')) - commits)} commits a second`,
  )
}

async function measureReclaim(stowage: Stowage): Promise<void> {
  const paused: Beside = { pulls: [], pushes: [] }
  const collecting: Beside = { pulls: [], pushes: [] }
  let images = 0
  for (let round = 0; round < rounds; round += 1) {
    for (const mode of ['pause', 'resume'] as const) {
      await control(stowage, mode)
      const before = await wholeImages(stowage)
      const times = await beside(stowage, delay(windowMs))
      const into = mode === 'pause' ? paused : collecting
      into.pulls.push(...times.pulls)
      into.pushes.push(...times.pushes)
      if (mode === 'resume') images += (await wholeImages(stowage)) - before
    }
  }
  console.log(`beside clients: ${((images / (rounds * windowMs)) * 1000).toFixed(0)} whole images/s`)
  for (const what of ['pulls', 'pushes'] as const) {
    tell(`${what} while it is paused`, paused[what])
    tell(`${what} while it works`, collecting[what])
    console.log(`p99 of ${what}: ${(percentileOf(collecting[what], 0.99) / percentileOf(paused[what], 0.99)).toFixed(2)} times`)
  }
  const startedAt = performance.now()
  const besideClients = await wholeImages(stowage)
  while ((await wholeImages(stowage)) < Math.floor(goingCount / 2)) await delay(200)
  const elapsedMs = performance.now() - startedAt
  images = (await wholeImages(stowage)) - besideClients
  console.log(`alone: ${images} whole images in ${(elapsedMs / 1000).toFixed(1)} s, ${(images / (elapsedMs / 1000)).toFixed(0)} a second`)
}

async function control(stowage: Stowage, mode: 'pause' | 'resume'): Promise<void> {
  const words = mode === 'pause' ? [mode, '--reason', 'a measurement'] : [mode]
  await run(process.execPath, ['src/cli.ts', 'gc', ...words], { cwd: projectDir, env: stowage.awsEnv })
}

/** Half of those that go give a manifest, half two blobs: an image counts when both are gone, on average. */
async function wholeImages(stowage: Stowage): Promise<number> {
  return Math.floor(((await metric(stowage, 'stowage_gc_manifests_total')) + (await metric(stowage, 'stowage_gc_blobs_total')) / 2) / 2)
}

function tellLeft(dataDir: string): void {
  const database = new DatabaseSync(join(dataDir, 'stowage.db'), { readOnly: true })
  const { trashed } = database.prepare('select count(*) as trashed from manifest where trashed_at is not null').get() as { trashed: number }
  const { staying } = database.prepare('select count(*) as staying from manifest where trashed_at is null').get() as { staying: number }
  database.close()
  const files = readdirSync(join(dataDir, 'blobs'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length
  console.log(`left: ${staying} images, ${trashed} in the trash, ${files} files (those of images in the trash an hour ago are to go in an hour)`)
}

async function metric(stowage: Stowage, name: string): Promise<number> {
  const text = await (await fetch(`${stowage.url}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
}

/** Four pull one manifest over and over, and one pushes a small image now and then, until the end; how long each took, in milliseconds. */
async function beside(stowage: Stowage, end: Promise<unknown>): Promise<Beside> {
  let isOver = false
  void end.finally(() => (isOver = true))
  const agent = new Agent({ keepAlive: true })
  const headers = { authorization: basicAuth(stowage.credentials) }
  const pulls: number[] = []
  const pushes: number[] = []
  const puller = async (): Promise<void> => {
    while (!isOver) {
      const startedAt = performance.now()
      await new Promise<void>((resolve, reject) => {
        request(`${stowage.url}/v2/scale/hot/manifests/latest`, { agent, headers }, (response) => {
          if (response.statusCode !== 200) reject(new Error(`a manifest was answered with ${response.statusCode}`))
          response.resume().once('end', resolve)
        })
          .once('error', reject)
          .end()
      })
      pulls.push(performance.now() - startedAt)
      await delay(1)
    }
  }
  const pusher = async (): Promise<void> => {
    while (!isOver) {
      const image = buildRandomImage([10_000], `${Math.random()}`)
      const startedAt = performance.now()
      await pushImage({ url: stowage.url, repository: 'scale/hot', auth: stowage.credentials }, image, 'newest')
      pushes.push(performance.now() - startedAt)
      await delay(pushEveryMs)
    }
  }
  await Promise.all([puller(), puller(), puller(), puller(), pusher()])
  agent.destroy()
  await end
  return { pulls, pushes }
}

function tell(what: string, times: readonly number[]): void {
  const at = (share: number): string => percentileOf(times, share).toFixed(1)
  console.log(`${what}: ${times.length}, median ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`)
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(2)} s`
}
