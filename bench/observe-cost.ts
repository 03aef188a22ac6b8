// What it costs a pull to be observed (`make observe-cost`): the same server without audit trail and request log, with the trail,
// and with both as they are by default, side by side and by turns. What counts requests for the metrics is on in all of them.
//   scripts/with-node.sh node bench/observe-cost.ts [rounds]
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { basicAuth } from '../test/support/distribution-client.ts'
import { buildRandomImage, pushImage } from '../test/support/images.ts'
import { startStowage, type Stowage } from '../test/support/start-stowage.ts'
import { cpuSecondsOf } from './processes.ts'
import { medianOf as median, spreadOf } from './statistics.ts'
import { runWrk } from './wrk.ts'

const rounds = Number(process.argv[2] ?? 9)
const windowMs = 2000
const concurrency = 32
const repository = 'bench/app'

const settings: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'all off': { STOWAGE_AUDIT: 'off', STOWAGE_REQUEST_LOG: 'off' },
  'audit on': { STOWAGE_REQUEST_LOG: 'off' },
  'audit and log on': {},
}

interface Windows {
  readonly perSecond: number[]
  /** Of all the server's threads, in microseconds. */
  readonly cpuPerRequest: number[]
  readonly p99: number[]
}

const servers = new Map<string, Stowage>()
const windows = new Map<string, Windows>()
try {
  for (const [name, env] of Object.entries(settings)) {
    const stowage = await startStowage({ env: { STOWAGE_GC_INTERVAL_MS: '60000', ...env } })
    servers.set(name, stowage)
    windows.set(name, { perSecond: [], cpuPerRequest: [], p99: [] })
    const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
    await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
    ecr.destroy()
    await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, buildRandomImage([1000, 1000, 1000], 'observed'), 'v1')
  }
  // The first is thrown away: code is compiled then.
  for (let round = 0; round <= rounds; round += 1) {
    const order = [...servers.entries()]
    if (round % 2 === 1) order.reverse()
    for (const [name, stowage] of order) {
      const cpuBefore = cpuSecondsOf(stowage.pid)
      const { requests, elapsedMs, p99Ms } = await runWrk(
        { host: '127.0.0.1', port: stowage.port, authorization: basicAuth(stowage.credentials) },
        { path: `/v2/${repository}/manifests/v1`, headers: {}, concurrency, durationMs: windowMs },
      )
      if (round === 0) continue
      const { perSecond, cpuPerRequest, p99 } = windows.get(name)!
      perSecond.push(requests / (elapsedMs / 1000))
      cpuPerRequest.push((1e6 * (cpuSecondsOf(stowage.pid) - cpuBefore)) / requests)
      p99.push(p99Ms)
    }
  }
} finally {
  for (const stowage of servers.values()) await stowage.stop()
}

const off = windows.get('all off')!
for (const [name, { perSecond, cpuPerRequest, p99 }] of windows) {
  const ratios = perSecond.map((count, round) => count / off.perSecond[round]!)
  const { median: middle, min, max } = spreadOf(ratios)
  console.log(
    `${name}: ${median(perSecond).toFixed(0)} requests/s, ${median(cpuPerRequest).toFixed(0)} µs of processor each, p99 ${median(p99).toFixed(1)} ms; ${percent(middle)} of all off (${percent(min)} to ${percent(max)})`,
  )
}

function percent(ratio: number): string {
  return `${(100 * ratio).toFixed(0)} %`
}
