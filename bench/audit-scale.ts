// What an audit trail of very many records costs (`make audit-scale`): to seal, to keep, and to look something up in.
//   scripts/with-node.sh node bench/audit-scale.ts [records] [sqlite|postgres …]
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AuditTrail, type JournalRecord } from '../src/audit/index.ts'
import { encodeLine } from '../src/audit/journal-record.ts'
import type { TrailQuery } from '../src/audit/trail.ts'
import { Sealer } from '../src/audit/sealer.ts'
import { systemClock } from '../src/internal/clock.ts'
import { systemIds, timeOrderedUuid } from '../src/internal/ids.ts'
import { migrateMetadata, type MetadataTarget } from '../src/storage/metadata/migrate.ts'
import { observeTarget, openObserveStore, prepareObserveStore, type ObserveStore } from '../src/storage/metadata/observe/store.ts'
import { openMetadataReader } from '../src/storage/metadata/open.ts'
import { startPostgres, type PostgresCluster } from '../test/support/postgres.ts'
import { medianOf } from './statistics.ts'

const count = Number(process.argv[2] ?? 10_000_000)
const kinds = process.argv.length > 3 ? process.argv.slice(3) : ['sqlite', 'postgres']
const recordsPerSegment = 20_000
const pageSize = 50
const timesAsked = 9

const account = '000000000000'
const region = 'us-east-1'
const spanMs = 90 * 24 * 60 * 60 * 1000
const lastAt = Date.UTC(2026, 9, 1)
const repositories = Array.from({ length: 2_000 }, (_, n) => `team-${n % 40}/service-${n}`)
const users = Array.from({ length: 300 }, (_, n) => `user-${n}`)
/** Of what a registry is asked, out of a hundred; the rest are pushes. */
const names: readonly (readonly [share: number, name: string, reads: boolean])[] = [
  [60, 'BatchGetImage', true],
  [30, 'GetDownloadUrlForLayer', true],
  [5, 'BatchCheckLayerAvailability', true],
  [4, 'DescribeImages', true],
]

for (const kind of kinds) {
  const home = await mkdtemp(join(tmpdir(), 'stowage-audit-scale-'))
  const cluster = kind === 'postgres' ? await startPostgres() : undefined
  try {
    await measure(kind, home, cluster)
  } finally {
    await cluster?.stop()
    await rm(home, { recursive: true, force: true })
  }
}

async function measure(kind: string, home: string, cluster: PostgresCluster | undefined): Promise<void> {
  const metadataTarget: MetadataTarget = cluster === undefined ? { file: join(home, 'stowage.db') } : { url: cluster.url }
  await migrateMetadata(metadataTarget, { check: false })
  const metadata = await openMetadataReader(metadataTarget, { onConnectionLost: () => undefined })
  const target = observeTarget(home, metadataTarget)
  await prepareObserveStore(target)
  const store = openObserveStore(target, { connections: 1, readOnly: false })
  const reading = openObserveStore(target, { connections: 1, readOnly: true })
  try {
    const sealer = new Sealer({
      store,
      metadata: metadata.reader,
      folder: home,
      serverId: 'none',
      leftBehind: new Set(),
      now: () => systemClock.now(),
      forget: () => Promise.resolve(),
      onDamage: (damage) => console.error(damage),
    })
    await fill(kind, home, sealer)
    if (cluster !== undefined) await store.reader.query({ compile: () => ({ sql: 'vacuum analyze', parameters: [] }), execute: () => Promise.resolve([]) })
    console.log(`${kind}: ${Math.round((await sizeOf(home, store)) / count)} bytes a record`)
    await lookUp(kind, new AuditTrail(reading.reader))
  } finally {
    await Promise.all([store.close(), reading.close(), metadata.close()])
  }
}

/** Through the sealer, segment by segment, as from a journal. */
async function fill(kind: string, folder: string, sealer: Sealer): Promise<void> {
  let sealingMs = 0
  let cpuMs = 0
  for (let first = 0; first < count; first += recordsPerSegment) {
    const lines: string[] = []
    for (let n = first; n < Math.min(count, first + recordsPerSegment); n += 1) lines.push(encodeLine(recordOf(n)))
    await writeFile(join(folder, `${String(first).padStart(12, '0')}.lines`), lines.join(''))
    const before = process.cpuUsage()
    const startedAt = performance.now()
    await sealer.sealSegments()
    sealingMs += performance.now() - startedAt
    const { user, system } = process.cpuUsage(before)
    cpuMs += (user + system) / 1000
    if (first + recordsPerSegment >= count || (first / recordsPerSegment) % 50 === 49) {
      const done = Math.min(count, first + recordsPerSegment)
      console.log(`${kind}: ${done} records sealed, ${((1000 * sealingMs) / done).toFixed(1)} µs each, ${((1000 * cpuMs) / done).toFixed(1)} µs of this process`)
    }
  }
}

function recordOf(n: number): JournalRecord {
  // Scattered, and the same each time.
  const any = (n * 2_654_435_761) % 4_294_967_296
  let share = any % 100
  const [, name, reads] = names.find(([part]) => (share -= part) < 0) ?? [0, 'PutImage', false]
  const user = users[(any >>> 3) % users.length]!
  return {
    id: timeOrderedUuid(systemIds, Date.now()),
    at: Math.floor(lastAt - spanMs + (spanMs * n) / count),
    account,
    region,
    protocol: 'oci',
    source: 'ecr.amazonaws.com',
    name,
    ...(reads ? { reads } : {}),
    actor: { arn: `arn:aws:iam::${account}:user/${user}`, account, kind: 'user', userId: `AIDA${user}`, keyId: `AKIA${user}` },
    ip: `10.0.${(any >>> 5) % 250}.${(any >>> 9) % 250}`,
    agent: 'containerd/2.1.4',
    status: 200,
    ms: 2,
    repository: repositories[(any >>> 7) % repositories.length]!,
    parameters: { imageIds: [{ imageTag: 'v1.0.0' }] },
    answered: { imageDigest: `sha256:${'ab'.repeat(32)}` },
  }
}

async function lookUp(kind: string, trail: AuditTrail): Promise<void> {
  const middle = lastAt - spanMs / 2
  const queries: Readonly<Record<string, Partial<TrailQuery>>> = {
    'newest of all': {},
    'all in the middle': { until: middle },
    'by name': { attribute: { key: 'EventName', value: 'BatchGetImage' } },
    'by a rare name': { attribute: { key: 'EventName', value: 'PutImage' }, until: middle },
    'by user': { attribute: { key: 'Username', value: users[17]! }, until: middle },
    'by key': { attribute: { key: 'AccessKeyId', value: `AKIA${users[17]}` }, until: middle },
    'by repository': { attribute: { key: 'ResourceName', value: repositories[123]! }, until: middle },
    'by type of resource': { attribute: { key: 'ResourceType', value: 'AWS::ECR::Repository' }, until: middle },
    'by source': { attribute: { key: 'EventSource', value: 'ecr.amazonaws.com' }, until: middle },
    'by source, none': { attribute: { key: 'EventSource', value: 'iam.amazonaws.com' } },
    'changes only': { attribute: { key: 'ReadOnly', value: 'false' }, until: middle },
    'by id, none': { attribute: { key: 'EventId', value: systemIds.uuid() } },
  }
  for (const [what, query] of Object.entries(queries)) {
    const times: number[] = []
    let after: string | undefined
    for (let n = 0; n < timesAsked; n += 1) {
      const startedAt = performance.now()
      const page = await trail.lookUp({ account, region, limit: pageSize, after, ...query })
      times.push(performance.now() - startedAt)
      after = page.next
    }
    console.log(`${kind}: a page of ${pageSize}, ${what}: median ${medianOf(times).toFixed(1)} ms, slowest ${Math.max(...times).toFixed(1)} ms`)
  }
}

async function sizeOf(home: string, store: ObserveStore): Promise<number> {
  if (store.reader.dialect === 'postgres') {
    const [row] = await store.reader.query<{ size: string }>({
      compile: () => ({ sql: "select sum(pg_total_relation_size(c.oid)) as size from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'stowage_observe' and c.relkind = 'r'", parameters: [] }),
      execute: () => Promise.resolve([]),
    })
    return Number(row?.size)
  }
  // What is in the log is written into the file some time.
  await delay(100)
  let size = 0
  for (const name of await readdir(home)) if (name.startsWith('observe.db')) size += (await stat(join(home, name))).size
  return size
}
