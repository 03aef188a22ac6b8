import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase } from '../support/postgres.ts'
import { databases } from '../support/registry.ts'
import { searchErrorBody } from '../support/secrets.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { brokenRule } from './answer-rules.ts'
import { fuzzBudget, saveFailure } from './budget.ts'
import { databaseContents } from './database-contents.ts'
import { prepareWorld, requireServing, type FuzzWorld } from './fuzz-world.ts'
import { Random } from './random.ts'
import { exchangeRaw } from './raw-exchange.ts'
import { damage, written, type WireRequest } from './request-damage.ts'
import { goodRequest } from './request-templates.ts'

const { seed, requestCases, isLong } = fuzzBudget()
const casesOfDatabase = Math.ceil(requestCases / databases.length)
/** Every fifth comes from somebody without credentials, in a run of its own that must change nothing. */
const strangerCases = Math.ceil(casesOfDatabase / 5)
const memberCases = casesOfDatabase - strangerCases

const connectionsAtOnce = 16
/** Requests delete what others need; so often it is made again. */
const casesPerWorld = 500

/** A hundred times what a request takes on an idle machine. */
const timeoutMs = 60_000 + casesOfDatabase * 100

/** What a heap and the allocator's slack may differ by between two moments of rest. */
const allowedGrowthBytes = 64 * 1024 * 1024

interface Tally {
  readonly byStatus: Map<number, number>
  readonly failures: string[]
}

function addressOf(random: Random): string {
  // Each another client: wrong credentials of one are not to slow down the next.
  return `127.${1 + random.integer(254)}.${random.integer(256)}.${1 + random.integer(254)}`
}

function requestOf(index: number, world: FuzzWorld, strangersOnly: boolean): { request: WireRequest; localAddress: string } {
  const random = Random.ofCase(seed, index)
  const localAddress = addressOf(random)
  const good = goodRequest(random, world)
  damage(good, random)
  return { request: written(good, random, world, { strangersOnly }), localAddress }
}

async function tryCase(index: number, stowage: Stowage, world: FuzzWorld, strangersOnly: boolean, tally: Tally): Promise<void> {
  const { request, localAddress } = requestOf(index, world, strangersOnly)
  const { port } = stowage
  const outcome = await exchangeRaw(request.bytes, { port, localAddress, method: request.method, isIncomplete: request.isIncomplete })
  for (const { status, body } of outcome.answers) {
    tally.byStatus.set(status, (tally.byStatus.get(status) ?? 0) + 1)
    if (status >= 400) searchErrorBody(`the answer to fuzzed request ${index}`, body)
  }
  const broken = brokenRule(request, outcome)
  if (broken === undefined) return
  const answers = outcome.answers.map(({ status, headers, body }) => ({ status, headers: [...headers], body: body.toString().slice(0, 2000) }))
  const sent = request.bytes.toString('latin1').replace(/(Authorization: \S+ )\S+/gi, '$1…')
  const saved = saveFailure(`request-${seed}-${index}`, { seed, index, broken, sent: sent.slice(0, 20_000), answers })
  tally.failures.push(`case ${index}: ${broken}; kept in ${saved}`)
}

async function tryCases(first: number, count: number, stowage: Stowage, strangersOnly: boolean): Promise<Tally> {
  const tally: Tally = { byStatus: new Map(), failures: [] }
  for (let from = first; from < first + count && tally.failures.length < 5; from += casesPerWorld) {
    const world = await prepareWorld(stowage)
    const end = Math.min(from + casesPerWorld, first + count)
    let next = from
    const connection = async (): Promise<void> => {
      while (next < end) await tryCase(next++, stowage, world, strangersOnly, tally)
    }
    await Promise.all(Array.from({ length: connectionsAtOnce }, connection))
    if (isLong && from % 10_000 < casesPerWorld) console.log(`${end} of ${requestCases} requests, ${Math.round(residentBytes(stowage) / 2 ** 20)} MiB held`)
  }
  return tally
}

function residentBytes(stowage: Stowage): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${stowage.pid}/status`, 'utf8'))?.[1]) * 1024
}

/** The least that is held in a while without requests: the collector and the allocator give back late. */
async function residentAtRest(stowage: Stowage, looks: number, below = 0): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let look = 0; look < looks && least > below; look++) {
    await sleep(500)
    // Some work, so that the collector has a reason to run.
    await prepareWorld(stowage)
    least = Math.min(least, residentBytes(stowage))
  }
  return least
}

describe.each(databases)(`whole requests on %s, seed ${seed}`, (database) => {
  // Each database sees requests of its own.
  const firstCase = databases.indexOf(database) * casesOfDatabase
  let stowage: Stowage
  let source: Parameters<typeof databaseContents>[0]
  let drop: () => Promise<void> = async () => undefined

  beforeAll(async () => {
    if (database === 'postgres') {
      const { url, drop: dropDatabase } = await createDatabase()
      drop = dropDatabase
      source = { url }
      stowage = await startStowage({ databaseUrl: url })
    } else {
      stowage = await startStowage()
      source = { dataDir: stowage.dataDir }
    }
  })

  afterAll(async () => {
    await stowage.stop()
    await drop()
  })

  test('without credentials are refused and change nothing', { timeout: timeoutMs }, async () => {
    await requireServing(stowage, `before ${database}`)
    // What pulls have noted is written behind them.
    await sleep(2_000)
    const world = await prepareWorld(stowage)
    await sleep(2_000)
    const before = await databaseContents(source)
    const tally: Tally = { byStatus: new Map(), failures: [] }
    let next = firstCase
    const connection = async (): Promise<void> => {
      while (next < firstCase + strangerCases) await tryCase(next++, stowage, world, true, tally)
    }
    await Promise.all(Array.from({ length: connectionsAtOnce }, connection))

    expect(tally.failures).toEqual([])
    expect(await databaseContents(source)).toEqual(before)
  })

  test('are answered in the form of their protocol, never with a fault, and cost no memory', { timeout: timeoutMs }, async () => {
    // Long enough that tables of a bounded size are full: the throttle remembers 20,000 clients, and each case is another.
    const warmUp = Math.ceil(memberCases / 2)
    const first = await tryCases(firstCase + strangerCases, warmUp, stowage, false)
    const atRest = await residentAtRest(stowage, 4)
    const rest = await tryCases(firstCase + strangerCases + warmUp, memberCases - warmUp, stowage, false)

    expect([...first.failures, ...rest.failures]).toEqual([])
    expect(await residentAtRest(stowage, 40, atRest + allowedGrowthBytes)).toBeLessThan(atRest + allowedGrowthBytes)
    // They came as far as the registry, and further than any parser.
    const statuses = new Set([...first.byStatus.keys(), ...rest.byStatus.keys()])
    for (const status of [200, 201, 202, 204, 206, 400, 401, 404]) expect(statuses).toContain(status)
    if (isLong) console.log(JSON.stringify([...rest.byStatus].sort(([a], [b]) => a - b)))

    await requireServing(stowage, `after ${database}`)
    const faults = stowage.logs().split('\n').filter((line) => /"level":"(error|fatal)"/.test(line))
    expect(faults).toEqual([])
  })
})
