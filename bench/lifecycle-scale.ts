// What lifecycle policies cost where there is very much of everything (`make lifecycle-scale`): one repository with a million
// images is evaluated, for a preview and for a run, while another is pulled from, and 100,000 repositories with policies are looked
// through for what is due.
//   scripts/with-node.sh node bench/lifecycle-scale.ts [images] [repositories] [sqlite|postgres]
import { spawn } from 'node:child_process'
import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { CreateRepositoryCommand, ECRClient, GetLifecyclePolicyPreviewCommand, PutLifecyclePolicyCommand, StartLifecyclePolicyPreviewCommand } from '@aws-sdk/client-ecr'
import { buildProgram } from '../scripts/build-program.ts'
import { openMetadataReader } from '../src/storage/metadata/open.ts'
import { dueRepositories } from '../src/storage/metadata/stores/lifecycle-policy-store.ts'
import { signedBy } from '../test/authorization/control-plane.ts'
import { Exchange } from '../test/authorization/exchange.ts'
import { basicAuth } from '../test/support/distribution-client.ts'
import { buildRandomImage, pushImage } from '../test/support/images.ts'
import { startStowage, type Stowage } from '../test/support/start-stowage.ts'
import { programVariable } from '../test/support/tools.ts'
import { childrenOf, forgetPeakMemory, ownMemoryBytes, peakMemoryBytes, stolenSeconds } from './processes.ts'
import { postgresDatabase, sqliteDatabase, type ScaleDatabase } from './scale-database.ts'
import { percentileOf } from './statistics.ts'
import { SteadyPullsProcess } from './steady-pulls-process.ts'

const imageCount = Number(process.argv[2] ?? 1_000_000)
const repositoryCount = Number(process.argv[3] ?? 100_000)
const kind = process.argv[4] ?? 'sqlite'
if (kind !== 'sqlite' && kind !== 'postgres') throw new Error(`there is no database ${kind}: sqlite or postgres`)
/**
 * Pulls begun in a second, whether or not those before have been answered: a fifth of what the machine that this was written on
 * serves. One that was driven to its limit would only show that a thread more takes a share of the processors.
 */
const pullsPerSecond = 300
/** Single windows differ by half on a shared machine: the median of some is told. */
const rounds = 7
/** Unmeasured, before: the server compiles what it does often, which takes the same processors. */
const warmUps = 2
/** An image takes about a kilobyte with its indexes. */
const neededBytes = 1500 * imageCount + 1000 * repositoryCount

const policy = JSON.stringify({
  rules: [
    rule(1, { tagStatus: 'tagged', tagPatternList: ['dev-*'], countType: 'sinceImagePushed', countUnit: 'days', countNumber: 30 }),
    rule(2, { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 7 }),
    rule(3, { tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: Math.floor(imageCount / 2) }),
  ],
})

function rule(rulePriority: number, selection: object): object {
  return { rulePriority, selection, action: { type: 'expire' } }
}

/** Rows of the repository with very many images. */
const ofLarge = "repository_id = (select id from repository where name = 'scale/large')"

// As an installation has it: few files, compiled.
process.env[programVariable] = join(await buildProgram(), 'cli.js')
const home = await mkdtemp(join(tmpdir(), 'stowage-lifecycle-scale-'))
const database = kind === 'postgres' ? await postgresDatabase() : sqliteDatabase(join(home, 'data/stowage.db'))
try {
  const { bavail, bsize } = await statfs(home)
  if (bavail * bsize < neededBytes) throw new Error(`${home} has not the ${Math.ceil(neededBytes / 1e9)} GB that are needed`)
  const dataDir = join(home, 'data')
  const hot = await prepare(dataDir, database)
  await fill(database)
  // Collection as an installation has it, not every second as in tests; a scrub would report every image, whose bytes are missing.
  const stowage = await startStowage({ dataDir, ...placeOf(database), keys: 'kept', launcher: loggingTo(join(home, 'log')), env: { STOWAGE_GC_INTERVAL_MS: '60000', STOWAGE_SCRUB_INTERVAL_DAYS: '0' } })
  try {
    await measure(stowage, hot, database)
  } finally {
    await stowage.stop()
  }
  await lookThrough(database)
} finally {
  await database.close()
  await rm(home, { recursive: true, force: true })
}

/** A server whose log nobody reads meanwhile: a program that did would have to share the two processors. */
function loggingTo(file: string): string[] {
  return ['sh', '-c', 'exec "$@" >"$0" 2>&1', file]
}

function placeOf({ databaseUrl }: ScaleDatabase): { databaseUrl?: string } {
  return databaseUrl === undefined ? {} : { databaseUrl }
}

/** The path of a manifest that is pulled meanwhile, in a repository of its own. */
async function prepare(dataDir: string, database: ScaleDatabase): Promise<string> {
  const stowage = await startStowage({ dataDir, ...placeOf(database), keys: 'kept' })
  const ecr = clientOf(stowage)
  for (const repositoryName of ['scale/large', 'scale/hot']) await ecr.send(new CreateRepositoryCommand({ repositoryName }))
  ecr.destroy()
  await pushImage({ url: stowage.url, repository: 'scale/hot', auth: stowage.credentials }, buildRandomImage([1000], 'hot'), 'latest')
  await stowage.stop()
  return '/v2/scale/hot/manifests/latest'
}

/** Rows as pushes make them, without their bytes: the evaluation reads none. */
async function fill(database: ScaleDatabase): Promise<void> {
  const startedAt = performance.now()
  await database.fill(`
    create temp table large as select id, registry_id from repository where name = 'scale/large';
    with recursive n(i) as (select cast(1 as bigint) union all select i + 1 from n where i < ${imageCount})
      insert into manifest (repository_id, digest, media_type, kind, size_bytes, image_size_bytes, pushed_at, pushed_by, storage_class)
      select (select id from large), ${database.anyDigest}, 'application/vnd.oci.image.manifest.v1+json', 'image', 500, 1000000,
        ${Date.now()} - (i % 365) * 86400000, 'arn:aws:iam::000000000000:root', 'active' from n;
    insert into tag (repository_id, name, manifest_id, tagged_at)
      select repository_id, case when id % 2 = 0 then 'dev-' else 'v1.' end || id, id, pushed_at from manifest
      where repository_id = (select id from large) and id % 3 > 0;
    with recursive n(i) as (select cast(1 as bigint) union all select i + 1 from n where i < ${repositoryCount})
      insert into repository (registry_id, domain_id, name, created_at, created_by, tag_mutability, mutability_filters, scan_on_push, encryption_type, event_seq)
      select (select registry_id from large), 1, 'many/r' || i, 1, 'arn', 'MUTABLE', '[]', 0, 'AES256', 0 from n;
    insert into lifecycle_policy (registry_id, grammar, scope, scope_key, repository_id, document, version, updated_at, updated_by)
      select registry_id, 'ecr', 'repository', cast(id as text), id, '${policy}', 1, 1, 'arn' from repository where name like 'many/%';
    insert into lifecycle_state (repository_id, evaluated_at, evaluated_seq, policies_seen, due_at)
      select id, 1, event_seq, '[]', ${Number.MAX_SAFE_INTEGER} from repository where name like 'many/%'`)
  console.log(`made ${imageCount} images and ${repositoryCount} repositories with policies in ${seconds(startedAt)}`)
}

async function measure(stowage: Stowage, path: string, database: ScaleDatabase): Promise<void> {
  const ecr = clientOf(stowage)
  const exchange = new Exchange(stowage.url)
  const call = async (operation: string, input: object): Promise<void> => {
    const { status, body } = await exchange.send({ protocol: 'json', service: 'stowage', target: `Stowage_V1.${operation}`, input }, signedBy(stowage.keys))
    if (status !== 200) throw new Error(`${operation}: ${body}`)
  }
  const origin = { host: '127.0.0.1', port: stowage.port, authorization: basicAuth(stowage.credentials) }
  const puller = new SteadyPullsProcess({ origin, path, perSecond: pullsPerSecond })
  // Four of five images would go at once: the run waits for somebody to confirm it.
  await ecr.send(new PutLifecyclePolicyCommand({ repositoryName: 'scale/large', lifecyclePolicyText: policy }))
  await pull(puller, delay(8000))
  const alone: Pulls[] = []
  const beside: Pulls[] = []
  const previewing: Pulls[] = []
  const running: Pulls[] = []
  for (let round = 1 - warmUps; round <= rounds; round += 1) {
    console.log(round > 0 ? `round ${round}` : 'to warm up')
    const keep = (all: Pulls[], what: string, pulls: Pulls): void => {
      if (round > 0) all.push(pulls)
      tell(what, pulls)
    }
    keep(alone, '  GET of a manifest alone', await pull(puller, delay(10_000)))
    keep(beside, '  beside a process that only counts', await pullBesideBusyProcess(puller))
    forgetPeakMemory(stowage.pid)
    const memoryBefore = peakMemoryBytes(stowage.pid)

    const startedAt = performance.now()
    await ecr.send(new StartLifecyclePolicyPreviewCommand({ repositoryName: 'scale/large', lifecyclePolicyText: policy }))
    const evaluating = peakOfChildren(stowage.pid)
    keep(previewing, '  during a preview', await pull(puller, previewed(database)))
    console.log(`  it was complete after ${seconds(startedAt)}`)
    const pageAt = performance.now()
    const { previewResults = [], summary } = await ecr.send(new GetLifecyclePolicyPreviewCommand({ repositoryName: 'scale/large', maxResults: 100 }))
    console.log(`  its first page: ${previewResults.length} of ${summary?.expiringImageTotalCount} after ${seconds(pageAt)}`)
    const ofChild = evaluating.stop()
    const ofServer = peakMemoryBytes(stowage.pid) - memoryBefore
    console.log(`  memory: ${megabytes(ofServer + ofChild)} more than before, ${megabytes(ofChild)} of it the process that evaluates`)

    const runAt = performance.now()
    await call('StartLifecycleRun', { repositoryName: 'scale/large' })
    const evaluated = runEvaluated(database, Date.now())
    keep(running, '  during the evaluation of a run', await pull(puller, evaluated))
    console.log(`  it waited for confirmation after ${seconds(runAt)}`)
    await call('CancelLifecycleRun', { runId: await evaluated })
  }
  for (const [what, those] of [['a preview', previewing], ['the evaluation of a run', running]] as const) {
    console.log(`p99 during ${what}, median of ${rounds}: ${ratio(those, alone)} times that alone, ${ratio(those, beside)} times that beside a process that only counts`)
  }
  puller.stop()
  ecr.destroy()
}

/**
 * What a pull costs while something that has nothing to do with the server keeps a processor busy for as long: how much of a
 * difference is the machine's own. On two processors, one of them shared with the client, this is most of it.
 */
async function pullBesideBusyProcess(puller: SteadyPullsProcess): Promise<Pulls> {
  const busy = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' })
  try {
    return await pull(puller, delay(10_000))
  } finally {
    busy.kill('SIGKILL')
  }
}

/** The most memory that a child of a process holds, from now until it is asked, but for files that others have as well. */
function peakOfChildren(parent: number): { stop(): number } {
  let peakBytes = 0
  const look = setInterval(() => {
    for (const pid of childrenOf(parent)) peakBytes = Math.max(peakBytes, ownMemoryBytes(pid))
  }, 250)
  return {
    stop() {
      clearInterval(look)
      return peakBytes
    },
  }
}

/** What a server does once a minute where nothing is due. */
async function lookThrough({ target }: ScaleDatabase): Promise<void> {
  const database = await openMetadataReader(target, { onConnectionLost: () => undefined })
  const startedAt = performance.now()
  const now = Date.now()
  const due = await dueRepositories(database.reader, { now, quietSince: now, after: 0, limit: 500 })
  console.log(`${repositoryCount} repositories looked through for what is due, which ${due.length} are: ${seconds(startedAt)}`)
  await database.close()
}

/** Asks the database itself: a call of the SDK takes ten milliseconds of a processor, which pulls would wait for. */
async function previewed(database: ScaleDatabase): Promise<void> {
  await found(database, `select status from lifecycle_preview where ${ofLarge}`, ({ status }) => {
    if (status === 'FAILED') throw new Error('the preview failed')
    return status === 'COMPLETE'
  })
}

/** The run that was begun since, when it has decided what to do. */
async function runEvaluated(database: ScaleDatabase, sinceMs: number): Promise<string> {
  const select = `select id, status, started_at from lifecycle_run where ${ofLarge} order by started_at desc limit 1`
  const { id, status } = await found(database, select, (run) => Number(run['started_at']) >= sinceMs - 1000 && run['status'] !== 'evaluating')
  if (status !== 'unconfirmed') throw new Error(`the run is ${String(status)}`)
  return String(id)
}

async function found(database: ScaleDatabase, select: string, isIt: (row: Readonly<Record<string, unknown>>) => boolean): Promise<Readonly<Record<string, unknown>>> {
  for (;;) {
    const row = await database.first(select)
    if (row !== undefined && isIt(row)) return row
    await delay(100)
  }
}

interface Pulls {
  /** In milliseconds, from when each was due to begin. */
  readonly times: readonly number[]
  /** What the hypervisor kept from the machine meanwhile, as a share of one processor: a stall that no program here caused. */
  readonly stolenShare: number
}

/** Pulls one manifest over and over until then. */
async function pull(puller: SteadyPullsProcess, end: Promise<unknown>): Promise<Pulls> {
  const stolenBefore = stolenSeconds()
  const startedAt = performance.now()
  const times = await puller.until(end)
  return { times, stolenShare: (stolenSeconds() - stolenBefore) / ((performance.now() - startedAt) / 1000) }
}

function clientOf(stowage: Stowage): ECRClient {
  return new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
}

function tell(what: string, { times, stolenShare }: Pulls): void {
  const at = (share: number): string => percentileOf(times, share).toFixed(1)
  const stolen = `${(100 * stolenShare).toFixed(1)} % of a processor kept by the hypervisor`
  console.log(`${what}: ${times.length} requests, median ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms; ${stolen}`)
}

function ratio(those: readonly Pulls[], others: readonly Pulls[]): string {
  const p99s = (all: readonly Pulls[]): number[] => all.map(({ times }) => percentileOf(times, 0.99))
  return (percentileOf(p99s(those), 0.5) / percentileOf(p99s(others), 0.5)).toFixed(2)
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(2)} s`
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`
}
