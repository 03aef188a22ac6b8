// What very many points of metrics cost (`make metric-points`): to write, to keep, and to draw a graph of; and what counting costs a record.
//   scripts/with-node.sh node bench/metric-points.ts [points] [sqlite|postgres …]
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CloudWatchClient, GetMetricDataCommand, GetMetricStatisticsCommand, ListMetricsCommand } from '@aws-sdk/client-cloudwatch'
import type { JournalRecord } from '../src/audit/index.ts'
import { RollUp } from '../src/audit/roll-up.ts'
import { systemIds } from '../src/internal/ids.ts'
import { addPoints, dimensionsText, rememberSeries, type Addition } from '../src/storage/metadata/observe/metric-store.ts'
import { openObserveStore, observeTarget, type ObserveStore } from '../src/storage/metadata/observe/store.ts'
import { startPostgres } from '../test/support/postgres.ts'
import { startStowage, type Stowage } from '../test/support/start-stowage.ts'
import { medianOf } from './statistics.ts'

const count = Number(process.argv[2] ?? 1_000_000)
const kinds = process.argv.length > 3 ? process.argv.slice(3) : ['sqlite', 'postgres']
const seriesCount = 50
const minuteMs = 60_000
const minutesAtOnce = 40
const timesAsked = 30
const recordsCounted = 100_000
const recordsAtOnce = 2_000

const registry = '000000000000/us-east-1'
const minutes = Math.ceil(count / seriesCount)
const lastMinute = Math.floor(Date.now() / minuteMs) * minuteMs
const limits = { perMetric: 10_000, total: 1_000_000 }

for (const kind of kinds) {
  const home = await mkdtemp(join(tmpdir(), 'stowage-metric-points-'))
  const cluster = kind === 'postgres' ? await startPostgres() : undefined
  let stowage: Stowage | undefined
  try {
    const common = { dataDir: home, keys: 'kept', ...(cluster === undefined ? {} : { databaseUrl: cluster.url }) } as const
    stowage = await startStowage(common)
    await stowage.stop()
    const target = observeTarget(home, cluster === undefined ? { file: '' } : { url: cluster.url })
    const store = openObserveStore(target, { connections: 1, readOnly: false })
    await fill(kind, store)
    await countRecords(kind, store)
    await store.close()
    stowage = await startStowage(common)
    await ask(kind, stowage)
  } finally {
    await stowage?.stop()
    await cluster?.stop()
    await rm(home, { recursive: true, force: true })
  }
}

async function fill(kind: string, store: ObserveStore): Promise<void> {
  const remembered = rememberSeries(limits)
  const before = await sizeOf(store)
  const startedAt = performance.now()
  for (let first = 0; first < minutes; first += minutesAtOnce) {
    const additions: Addition[] = []
    for (let minute = first; minute < Math.min(minutes, first + minutesAtOnce); minute += 1) {
      for (let series = 0; series < seriesCount; series += 1) {
        const value = (minute * 31 + series * 17) % 1000
        additions.push({ registry, namespace: 'Bench', name: 'Value', unit: 'Count', dimensions: dimensionsText([['Series', String(series)]]), at: lastMinute - (minutes - minute) * minuteMs, set: { samples: 10, total: value * 10, low: value / 2, high: value * 2 } })
      }
    }
    await store.transaction((tx) => addPoints(tx, remembered, additions, Date.now()))
  }
  const ms = performance.now() - startedAt
  if (kind === 'postgres') await run(store, 'vacuum analyze')
  const bytes = (await sizeOf(store)) - before
  console.log(`${kind}: ${minutes * seriesCount} points by the minute (with those by five minutes and by the hour) written in ${(ms / 1000).toFixed(1)} s, ${((1000 * ms) / count).toFixed(1)} µs each, and kept in ${(bytes / count).toFixed(0)} bytes each`)
}

/** What the sealer does beside sealing, for batches as it has them. */
async function countRecords(kind: string, store: ObserveStore): Promise<void> {
  const actor = (n: number) => ({ arn: `arn:aws:iam::000000000000:user/user-${n % 100}`, account: '000000000000', kind: 'user', userId: 'AIDA', keyId: 'AKIA' }) as const
  const records = Array.from({ length: recordsAtOnce }, (_, n): JournalRecord => ({
    id: systemIds.uuid(), at: lastMinute, account: '000000000000', region: 'us-east-1', protocol: 'oci', source: 'ecr.amazonaws.com', name: 'BatchGetImage', reads: true,
    actor: actor(n), ip: `10.0.${n % 50}.7`, status: 200, ms: 2, bytesOut: 1000, repository: `team/app-${n % 200}`, pulls: 1, client: 'workload',
  }))
  const rollUp = new RollUp({ account: '000000000000', region: 'us-east-1' }, () => Date.now())
  const startedAt = performance.now()
  for (let done = 0; done < recordsCounted; done += recordsAtOnce) {
    const count = rollUp.begin()
    for (const record of records) count.count(record)
    await store.transaction((tx) => rollUp.add(tx, count))
  }
  console.log(`${kind}: counting a record costs ${((1000 * (performance.now() - startedAt)) / recordsCounted).toFixed(1)} µs, in batches of ${recordsAtOnce} from 200 repositories, 100 users and 50 networks`)
}

async function ask(kind: string, stowage: Stowage): Promise<void> {
  const client = new CloudWatchClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  const metric = (series: number) => ({ Namespace: 'Bench', MetricName: 'Value', Dimensions: [{ Name: 'Series', Value: String(series) }] })
  const span = { StartTime: new Date(lastMinute - 24 * 60 * minuteMs), EndTime: new Date(lastMinute) }
  const query = (series: number) => ({ Id: `q${series}`, MetricStat: { Metric: metric(series), Period: 300, Stat: 'Average' } })
  const questions: Readonly<Record<string, () => Promise<number>>> = {
    'GetMetricStatistics, a day by 5 minutes': async () =>
      (await client.send(new GetMetricStatisticsCommand({ ...metric(7), ...span, Period: 300, Statistics: ['Average', 'Maximum'] }))).Datapoints?.length ?? 0,
    'GetMetricData, a day by 5 minutes': async () => valuesOf(await client.send(new GetMetricDataCommand({ ...span, MetricDataQueries: [query(7)] }))),
    [`GetMetricData, a day by 5 minutes of ${seriesCount} series`]: async () =>
      valuesOf(await client.send(new GetMetricDataCommand({ ...span, MetricDataQueries: Array.from({ length: seriesCount }, (_, n) => query(n)) }))),
    'ListMetrics': async () => (await client.send(new ListMetricsCommand({}))).Metrics?.length ?? 0,
  }
  for (const [name, question] of Object.entries(questions)) {
    const times: number[] = []
    let found = 0
    for (let n = 0; n <= timesAsked; n += 1) {
      const startedAt = performance.now()
      found = await question()
      // The first makes the connection.
      if (n > 0) times.push(performance.now() - startedAt)
    }
    console.log(`${kind}: ${name}: ${found} values in ${medianOf(times).toFixed(1)} ms (at most ${Math.max(...times).toFixed(1)} ms of ${timesAsked})`)
  }
  client.destroy()
}

function valuesOf({ MetricDataResults = [] }: { MetricDataResults?: readonly { Values?: readonly number[] | undefined }[] | undefined }): number {
  return MetricDataResults.reduce((sum, { Values = [] }) => sum + Values.length, 0)
}

async function sizeOf({ reader }: ObserveStore): Promise<number> {
  const tables = ['metric_series', 'metric_minute', 'metric_five_minutes', 'metric_hour']
  const [row] =
    reader.dialect === 'postgres'
      ? await run({ reader }, `select ${tables.map((table) => `pg_total_relation_size('stowage_observe.${table}')`).join(' + ')} as bytes`)
      : await run({ reader }, 'select page_count * page_size as bytes from pragma_page_count, pragma_page_size')
  return (row as { bytes: number }).bytes
}

function run({ reader }: Pick<ObserveStore, 'reader'>, text: string): Promise<unknown[]> {
  return reader.query({ compile: () => ({ sql: text, parameters: [] }), execute: () => Promise.resolve([]) })
}
