import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { freePort } from '../../support/server-process.ts'
import { createDatabase } from '../../support/postgres.ts'
import type { DatabaseKind } from '../../support/registry.ts'
import { startStowage, type Stowage } from '../../support/start-stowage.ts'
import { createTempDir } from '../../support/temp-dir.ts'
import { checkContent, checkStorage } from './checks.ts'
import { Ledger } from './ledger.ts'
import { createRandom } from './random.ts'
import { openStorageView } from './storage-view.ts'
import { StormApi } from './storm-api.ts'
import { repositories, StormClient } from './storm-client.ts'

export interface StormOptions {
  readonly database: DatabaseKind
  readonly rounds: number
  readonly seed: number
  onProgress?(line: string): void
}

export interface StormReport {
  readonly rounds: number
  readonly violations: readonly string[]
  readonly counts: Readonly<Ledger['counts']>
  readonly images: number
}

const clientCount = 8
/** After the round's first acknowledgements: from the middle of the first requests to well into a checkpoint. */
const killAfterMs = { min: 5, max: 500 }
const progressTimeoutMs = 60_000
const progressEveryRounds = 10
/** A storm that has found this much need not go on. */
const enoughViolations = 20

/**
 * Kills a real server again and again with SIGKILL while clients push, delete, mount, read and move tags, and looks
 * after each start for what was promised. Ends early once something was found.
 */
export async function runStorm({ database, rounds, seed, onProgress }: StormOptions): Promise<StormReport> {
  const random = createRandom(seed)
  const ledger = new Ledger()
  const clients = Array.from({ length: clientCount }, (_, index) => new StormClient(index, createRandom(random.between(0, 2 ** 31)), ledger))
  const external = database === 'postgres' ? await createDatabase() : undefined
  const dir = createTempDir('storm')
  const fixed = {
    port: await freePort(),
    dataDir: dir.path,
    keys: { accessKeyId: 'AKIASTORMSTORMSTORM1', secretAccessKey: 'storm-storm-storm-storm-storm' },
    // A log line for each request would only be thrown away.
    env: { STOWAGE_LOG_LEVEL: 'warn' },
    ...(external === undefined ? {} : { databaseUrl: external.url }),
  }
  let stowage: Stowage = await startStowage(fixed)
  const view = await openStorageView(dir.path, external?.url)
  try {
    for (const repository of repositories) await createRepository(stowage, repository)
    for (ledger.round = 1; ledger.round <= rounds && ledger.violations.length === 0; ledger.round += 1) {
      await round(stowage, clients, ledger, random.between(killAfterMs.min, killAfterMs.max))
      stowage = await startStowage(fixed)
      await checkStorage(view, ledger)
      await checkContent(stowage, repositories, ledger, { full: ledger.round === rounds })
      if (ledger.round % progressEveryRounds === 0) onProgress?.(`round ${ledger.round} of ${rounds}: ${JSON.stringify(ledger.counts)}`)
    }
  } finally {
    await view.close()
    await stowage.stop()
    await external?.drop()
    dir.remove()
  }
  return {
    rounds: Math.min(ledger.round, rounds),
    violations: ledger.violations.slice(0, enoughViolations),
    counts: ledger.counts,
    images: ledger.images.length,
  }
}

async function round(stowage: Stowage, clients: readonly StormClient[], ledger: Ledger, killAfter: number): Promise<void> {
  let killed = false
  const apis = clients.map(() => new StormApi(stowage, ledger, () => killed))
  const before = ledger.counts.acknowledged
  const working = Promise.all(clients.map((client, index) => client.run(apis[index]!)))
  const deadline = performance.now() + progressTimeoutMs
  while (ledger.counts.acknowledged < before + 2 * clients.length && performance.now() < deadline) await sleep(2)
  if (ledger.counts.acknowledged < before + 2 * clients.length) ledger.violation('nothing was acknowledged for a minute')
  await sleep(killAfter)
  killed = true
  stowage.kill('SIGKILL')
  await stowage.exited
  await working
  for (const api of apis) api.close()
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

async function createRepository(stowage: Stowage, repositoryName: string): Promise<void> {
  const client = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await client.send(new CreateRepositoryCommand({ repositoryName }))
  client.destroy()
}
