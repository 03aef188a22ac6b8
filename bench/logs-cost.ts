// What putting lines of logs takes, and what a line takes on the disk (`make logs-cost`): PutLogEvents of eight clients at a time with
// a line each, with a hundred, and with full batches, on SQLite and on PostgreSQL.
//   scripts/with-node.sh node bench/logs-cost.ts [SQLite|PostgreSQL …]
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { CloudWatchLogs } from '@aws-sdk/client-cloudwatch-logs'
import pg from 'pg'
import { startPostgres } from '../test/support/postgres.ts'
import { startStowage } from '../test/support/start-stowage.ts'

const concurrency = 8
const windowMs = 4_000
const lineBytes = 120
const linesOfCall = [1, 100, 7_000]
/** The file gets smaller with the log's next way into it. */
const smallBytes = 16 * 2 ** 20

for (const kind of process.argv.length > 2 ? process.argv.slice(2) : ['SQLite', 'PostgreSQL']) {
  const database = kind === 'PostgreSQL' ? await startPostgres() : undefined
  const stowage = await startStowage(database === undefined ? {} : { databaseUrl: database.url })
  const logs = new CloudWatchLogs({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  try {
    await logs.createLogGroup({ logGroupName: 'bench' })
    let stored = 0
    for (const count of linesOfCall) {
      const names = Array.from({ length: concurrency }, (_, n) => `${count}-${n}`)
      for (const logStreamName of names) await logs.createLogStream({ logGroupName: 'bench', logStreamName })
      const endsAt = performance.now() + windowMs
      const began = performance.now()
      const times: number[] = []
      await Promise.all(
        names.map(async (logStreamName) => {
          while (performance.now() < endsAt) {
            const now = Date.now()
            const logEvents = Array.from({ length: count }, (_, n) => ({ timestamp: now, message: `${n} ${'x'.repeat(lineBytes)}`.slice(0, lineBytes) }))
            const before = performance.now()
            await logs.putLogEvents({ logGroupName: 'bench', logStreamName, logEvents })
            times.push(performance.now() - before)
          }
        }),
      )
      const seconds = (performance.now() - began) / 1000
      stored += times.length * count
      const median = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]!
      console.log(`${kind}, ${count} lines a call: ${(times.length / seconds).toFixed(0)} calls/s, ${((times.length * count) / seconds).toFixed(0)} lines/s, median ${median.toFixed(1)} ms`)
    }
    const bytes = database === undefined ? fileBytes(stowage.dataDir) : await schemaBytes(database.url)
    console.log(`${kind}: ${stored} lines of ${lineBytes} bytes, ${(bytes / stored - lineBytes).toFixed(0)} bytes more for each`)
    // As PostgreSQL does by itself within a minute.
    if (database !== undefined) await onDatabase(database.url, 'analyze')
    const before = performance.now()
    let found = 0
    let nextToken: string | undefined
    do {
      const page = await logs.filterLogEvents({ logGroupName: 'bench', filterPattern: '"6999 x"', nextToken })
      found += page.events!.length
      nextToken = page.nextToken
    } while (nextToken !== undefined)
    console.log(`${kind}: a search of all of them finds ${found} in ${((performance.now() - before) / 1000).toFixed(1)} s; the most memory ${(stowage.peakMemoryBytes() / 2 ** 20).toFixed(0)} MiB`)
    const deleted = performance.now()
    await logs.deleteLogGroup({ logGroupName: 'bench' })
    console.log(`${kind}: deleting the group answers after ${(performance.now() - deleted).toFixed(0)} ms`)
    if (database === undefined) {
      while (fileBytes(stowage.dataDir) > smallBytes && performance.now() - deleted < 120_000) await new Promise((resolve) => setTimeout(resolve, 50))
      console.log(`${kind}: the file has ${(fileBytes(stowage.dataDir) / 2 ** 20).toFixed(1)} MiB after ${((performance.now() - deleted) / 1000).toFixed(1)} s`)
    }
  } finally {
    logs.destroy()
    await stowage.stop()
    await database?.stop()
  }
}

function fileBytes(dataDir: string): number {
  return statSync(join(dataDir, 'logs.db')).size
}

async function schemaBytes(connectionString: string): Promise<number> {
  const sizes = "select sum(pg_total_relation_size(c.oid)) as bytes from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'stowage_logs' and c.relkind = 'r'"
  return Number((await onDatabase(connectionString, sizes))[0]?.['bytes'])
}

async function onDatabase(connectionString: string, sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  const { rows } = await client.query<Record<string, unknown>>(sql)
  await client.end()
  return rows
}
