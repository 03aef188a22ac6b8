// What an hour of receivers that fail costs the registry (`make webhook-hour`): four webhooks that answer 500, never answer, are away or
// redirect to a private address, each for an hour, and a healthy one, on a server with its defaults, beside a server without rules. Ends
// with 1 when an event is missing, out of its order or given up without a reason.
//   scripts/with-node.sh node bench/webhook-hour.ts [minutes of failing] [pushes a minute, of each server]
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { signedBy } from '../test/authorization/control-plane.ts'
import { Exchange } from '../test/authorization/exchange.ts'
import { run } from '../test/support/run.ts'
import { startStowage, type Stowage } from '../test/support/start-stowage.ts'
import { createTempDir } from '../test/support/temp-dir.ts'
import { programScript, projectDir } from '../test/support/tools.ts'
import { startWebhookReceiver, type WebhookReceiver } from '../test/support/webhook-receiver.ts'
import { ContentSource } from './content.ts'
import { cpuSecondsOf, proportionalMemoryBytes } from './processes.ts'
import { imageOf, openRegistry, pullImage, pushImage, type Image, type RegistryClient } from './registry-client.ts'
import { percentileOf } from './statistics.ts'

const failingMinutes = Number(process.argv[2] ?? 60)
const pushesAMinute = Number(process.argv[3] ?? 60)
const minuteMs = 60_000
const failingMs = failingMinutes * minuteMs
/** Enough pushes for a percentile, where it is an hour. */
const beforeMs = Math.max(minuteMs / 2, Math.min(4 * minuteMs, failingMs / 12))
/** The longest wait is ten minutes: then everything is tried again. */
const recoveryMs = 20 * minuteMs
const repositories = Array.from({ length: 8 }, (_, index) => `hour/app-${index}`)

/** What each receiver does while it fails, and what is to become of what happens then. */
const ways = ['healthy', 'error', 'silent', 'away', 'redirect', 'impatient'] as const
type Way = (typeof ways)[number]
const whatItDoes: Readonly<Record<Way, string>> = {
  healthy: 'works all the time',
  error: 'answers 500',
  silent: 'takes it and never answers',
  away: 'refuses connections, and closes them, a minute each by turns',
  redirect: 'redirects to a loopback address',
  impatient: 'answers 500, and the target gives up after a minute',
}
/** By which events become dead letters in that hour; null: none may. */
const reasons: Readonly<Record<Way, string | null>> = {
  healthy: null,
  error: null,
  silent: null,
  away: null,
  redirect: 'status 302: redirects are not followed',
  impatient: 'status 500',
}

interface Event {
  readonly id: string
  readonly time: string
  readonly detail: { readonly 'repository-name': string; readonly 'image-tag': string }
}

interface DeadLetter {
  readonly deadLetterId: number
  readonly ruleName: string
  readonly reason: string
  readonly eventId: string
}

interface Pushed {
  readonly repository: string
  readonly tag: string
  readonly image: Image
}

/** A server under the same load as the other. */
interface Side {
  readonly name: string
  readonly stowage: Stowage
  readonly registry: RegistryClient
  readonly exchange: Exchange
  readonly pushed: Pushed[]
  readonly pushMs: number[]
  readonly pullMs: number[]
  readonly memoryMiB: number[]
}

const receivers = Object.fromEntries(await Promise.all(ways.map(async (way) => [way, await startWebhookReceiver()] as const))) as Record<Way, WebhookReceiver>
/** Inside of what no user may reach: whoever comes here has followed the redirect. */
const inside = createServer((socket) => {
  insideConnections += 1
  socket.destroy()
})
let insideConnections = 0
inside.listen(0, '127.0.0.1')
await once(inside, 'listening')
const door = await startDoor(receivers.away.port)

const failures = new Set<string>()
const authorities = createTempDir('webhook-authorities')
const caFile = join(authorities.path, 'ca.pem')
writeFileSync(caFile, ways.map((way) => readFileSync(receivers[way].caFile, 'utf8')).join(''))
const sides: Side[] = []
try {
  const withRules = await startSide('with rules', { STOWAGE_EVENTS_PRIVATE_HOSTS: ways.map(hostOf).join(','), STOWAGE_EVENTS_CA_FILE: caFile })
  await startSide('without rules', {})
  for (const way of ways) await tell(withRules, way)
  // Code is compiled meanwhile.
  await load(20_000)
  for (const side of sides) forgetTimes(side)

  await load(beforeMs)
  tellTimes(`${beforeMs / minuteMs} minutes with every receiver at work`)
  const before = sides.map(forgetTimes)
  const firstFailing = withRules.pushed.length
  const cpuBefore = sides.map(({ stowage }) => cpuSecondsOf(stowage.pid))
  fail(true)
  await load(failingMs)
  tellTimes(`${failingMinutes} minutes of failing`)
  for (const [index, { name, stowage, pushMs }] of sides.entries()) {
    const times = (share: number): string => (percentileOf(pushMs, share) / percentileOf(before[index]!, share)).toFixed(2)
    const cpu = (cpuSecondsOf(stowage.pid) - cpuBefore[index]!) / (failingMs / 1000)
    log(`${name}: median of pushes ${times(0.5)} times, p99 ${times(0.99)} times that of before; ${(cpu * 100).toFixed(2)} % of a processor`)
  }
  for (const way of ways) log(`${way} (${whatItDoes[way]}): ${receivers[way].attempts.length} attempts came to it, ${receivers[way].accepted.length} of ${withRules.pushed.length} accepted`)

  log(`waiting: ${/^stowage_events_waiting (\d+)$/mu.exec(await (await fetch(`${withRules.stowage.url}/metrics`)).text())?.[1]}`)

  fail(false)
  const endedAt = Date.now()
  // What happens from now on is to come behind what waits.
  await load(Math.min(failingMs, 2 * minuteMs))
  await recover(withRules, endedAt, firstFailing)
  for (const way of ways) checkOrder(way, withRules)
  if (insideConnections > 0) failures.add(`${insideConnections} connections followed the redirect`)
  for (const { name, memoryMiB } of sides) log(`${name}: memory ${memoryMiB[0]!.toFixed(0)} MiB at first, ${memoryMiB.at(-1)!.toFixed(0)} at the end, at most ${Math.max(...memoryMiB).toFixed(0)} (PSS, looked at each minute)`)
} finally {
  for (const { stowage, registry, exchange } of sides) {
    registry.close()
    exchange.close()
    await stowage.stop()
  }
  await door.close()
  inside.close()
  for (const way of ways) await receivers[way].stop()
  authorities.remove()
}
for (const failure of failures) console.log(`FAILED: ${failure}`)
if (failures.size === 0) console.log('every event was delivered, in the order of its repository, or given up with its reason and delivered by a replay')
process.exitCode = failures.size === 0 ? 0 : 1

function hostOf(way: Way): string {
  return way === 'away' ? `localhost:${door.port}` : receivers[way].host
}

async function startSide(name: string, env: Readonly<Record<string, string>>): Promise<Side> {
  const stowage = await startStowage({
    // As it is by default, where tests have it look every second.
    env: { STOWAGE_GC_INTERVAL_MS: '60000', ...env },
  })
  const registry = await openRegistry({ name, host: '127.0.0.1', port: stowage.port, ecr: { region: stowage.region, ...stowage.keys }, population: null })
  await registry.createRepositories(repositories)
  const side: Side = { name, stowage, registry, exchange: new Exchange(stowage.url), pushed: [], pushMs: [], pullMs: [], memoryMiB: [] }
  sides.push(side)
  return side
}

async function call(side: Side, service: 'events' | 'stowage', operation: string, input: object): Promise<Record<string, unknown>> {
  const target = `${service === 'events' ? 'AWSEvents' : 'Stowage_V1'}.${operation}`
  const { status, body } = await side.exchange.send({ protocol: 'json', service, target, input }, signedBy(side.stowage.keys))
  if (status !== 200) throw new Error(`${operation}: ${body}`)
  return JSON.parse(body) as Record<string, unknown>
}

async function tell(side: Side, way: Way): Promise<void> {
  const { destinationArn: Arn } = await call(side, 'stowage', 'CreateEventDestination', { destinationName: way, url: `https://${hostOf(way)}/hook` })
  await call(side, 'events', 'PutRule', { Name: way, EventPattern: JSON.stringify({ source: ['aws.ecr'], detail: { 'action-type': ['PUSH'] } }) })
  const RetryPolicy = way === 'impatient' ? { RetryPolicy: { MaximumEventAgeInSeconds: 60 } } : {}
  await call(side, 'events', 'PutTargets', { Rule: way, Targets: [{ Id: 'hook', Arn, ...RetryPolicy }] })
}

function fail(isFailing: boolean): void {
  door.set(!isFailing)
  for (const way of ways) receivers[way].intercept = undefined
  if (!isFailing) return
  for (const way of ['error', 'impatient'] as const) {
    receivers[way].intercept = (_, response) => {
      response.writeHead(500).end()
      return true
    }
  }
  receivers.silent.intercept = () => true
  const { port } = inside.address() as AddressInfo
  receivers.redirect.intercept = (_, response) => {
    response.writeHead(302, { location: `https://127.0.0.1:${port}/inside` }).end()
    return true
  }
}

/** Both servers get the same, half a period apart, begun at fixed times. */
async function load(durationMs: number): Promise<void> {
  const endsAt = Date.now() + durationMs
  const periodMs = minuteMs / pushesAMinute
  const layers = new ContentSource(20_000)
  const configs = new ContentSource(1000)
  const clients = sides.flatMap((side, index) => {
    const [pusher, puller] = [side.registry.connect(), side.registry.connect()]
    const offsetMs = (index * periodMs) / 2
    const push = every(periodMs, offsetMs, endsAt, async (number) => {
      const one = { repository: repositories[number % repositories.length]!, tag: `v${side.pushed.length}`, image: imageOf(configs.next(), layers.next()) }
      await timed(side, 'pushMs', () => pushImage(pusher, one.repository, one.tag, one.image))
      side.pushed.push(one)
    })
    const pull = every(periodMs, offsetMs + periodMs / 4, endsAt, async () => {
      const last = side.pushed.at(-1)
      if (last !== undefined) await timed(side, 'pullMs', () => pullImage(puller, last.repository, last.tag, last.image))
    })
    const memory = every(minuteMs, 0, endsAt, () => {
      side.memoryMiB.push(proportionalMemoryBytes(side.stowage.pid) / 2 ** 20)
      return Promise.resolve()
    })
    return Promise.all([push, pull, memory]).finally(() => {
      pusher.close()
      puller.close()
    })
  })
  await Promise.all(clients)
}

/** What comes too late is done at once, and what was missed is left out. */
async function every(periodMs: number, offsetMs: number, endsAt: number, act: (number: number) => Promise<void>): Promise<void> {
  let at = Date.now() + offsetMs
  for (let number = 0; at < endsAt; number += 1) {
    await delay(Math.max(0, at - Date.now()))
    await act(number)
    at = Math.max(at + periodMs, Date.now())
  }
}

/** A push or a pull that fails breaks the promise, and ends nothing. */
async function timed(side: Side, into: 'pushMs' | 'pullMs', act: () => Promise<void>): Promise<void> {
  const startedAt = performance.now()
  await act().catch((error: unknown) => failures.add(`${side.name}: ${String(error)}`))
  side[into].push(performance.now() - startedAt)
}

/** Answers how long pushes took. */
function forgetTimes({ pushMs, pullMs }: Side): number[] {
  pullMs.length = 0
  return pushMs.splice(0)
}

function tellTimes(phase: string): void {
  log(phase)
  for (const { name, pushMs, pullMs } of sides) {
    for (const [what, times] of [['pushes', pushMs], ['pulls', pullMs]] as const) {
      const at = (share: number): string => percentileOf(times, share).toFixed(1)
      log(`  ${name}: ${times.length} ${what}, median ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`)
    }
  }
}

/** Waits until everything arrived or is a dead letter with its reason, sends those again, and waits for them. */
async function recover(side: Side, endedAt: number, firstFailing: number): Promise<void> {
  const all = side.pushed.length
  const lastOf = (way: Way): string => `the last ${(((receivers[way].accepted.at(-1)?.receivedAt ?? endedAt) - endedAt) / 1000).toFixed(0)} s after all worked again`
  const letters = async (): Promise<DeadLetter[]> => {
    const { stdout } = await run(process.execPath, [programScript(), 'events', 'dead-letters', 'list', '--json'], { cwd: projectDir, env: side.stowage.awsEnv })
    return JSON.parse(stdout) as DeadLetter[]
  }
  const complete = new Set<Way>()
  let dead: DeadLetter[] = []
  while (complete.size < ways.length && Date.now() < endedAt + recoveryMs) {
    await delay(2000)
    if (ways.some((way) => reasons[way] !== null && !complete.has(way))) dead = await letters()
    for (const way of ways) {
      const given = dead.filter(({ ruleName }) => ruleName === way).length
      if (complete.has(way) || receivers[way].accepted.length + given < all) continue
      complete.add(way)
      log(`${way}: ${receivers[way].accepted.length} delivered and ${given} given up, ${lastOf(way)}; of those of that time ${lateness(receivers[way], side, firstFailing)}`)
    }
  }
  dead = await letters()
  for (const way of ways) {
    const own = dead.filter(({ ruleName }) => ruleName === way)
    if (!complete.has(way)) failures.add(`${way}: ${receivers[way].accepted.length} delivered and ${own.length} given up of ${all}`)
    const wanted = reasons[way]
    if (wanted === null && own.length > 0) failures.add(`${way}: ${own.length} were given up: ${own[0]!.reason}`)
    if (wanted !== null && own.length === 0) failures.add(`${way}: nothing was given up`)
    for (const { reason } of own) if (reason !== wanted) failures.add(`${way}: given up for another reason: ${reason}`)
    if (own.length === 0) continue
    const startedAt = Date.now()
    const { stdout } = await run(process.execPath, [programScript(), 'events', 'dead-letters', 'replay', '--rule', way], { cwd: projectDir, env: side.stowage.awsEnv })
    while (receivers[way].accepted.length < all && Date.now() < startedAt + recoveryMs) await delay(500)
    log(`${way}: ${stdout.trim()} ${receivers[way].accepted.length} of ${all} delivered, ${((Date.now() - startedAt) / 1000).toFixed(0)} s later`)
  }
  if ((await letters()).length > 0) failures.add('dead letters are left after the replay')
}

/** How late those came that happened while others failed: times of events are in whole seconds. */
function lateness({ accepted }: WebhookReceiver, side: Side, firstFailing: number): string {
  const failing = new Set(side.pushed.slice(firstFailing).map(({ tag }) => tag))
  const lateMs = accepted.filter(({ body }) => failing.has(eventOf(body).detail['image-tag'])).map(({ body, receivedAt }) => receivedAt - Date.parse(eventOf(body).time))
  return lateMs.length === 0 ? 'none came' : `median ${(percentileOf(lateMs, 0.5) / 1000).toFixed(0)} s, at most ${(percentileOf(lateMs, 1) / 1000).toFixed(0)} s late`
}

/** Everything once or more often under one id; what was given up and replayed comes behind the rest, in its order again. */
function checkOrder(way: Way, side: Side): void {
  const got = receivers[way].accepted.map(({ body }) => eventOf(body))
  let turns = 0
  for (const repository of repositories) {
    const tags = got.filter(({ detail }) => detail['repository-name'] === repository).map(({ detail }) => detail['image-tag'])
    const numbers = tags.filter((tag, index) => tag !== tags[index - 1]).map((tag) => Number(tag.slice(1)))
    const wanted = side.pushed.filter((one) => one.repository === repository).map(({ tag }) => Number(tag.slice(1)))
    if (numbers.length !== wanted.length || numbers.toSorted((a, b) => a - b).some((number, index) => number !== wanted[index])) {
      failures.add(`${way}: ${repository} got ${numbers.length} of ${wanted.length}`)
    }
    // How often it goes back: once where there was a replay.
    const back = numbers.filter((number, index) => index > 0 && number < numbers[index - 1]!).length
    turns = Math.max(turns, back)
  }
  if (turns > (reasons[way] === null ? 0 : 1)) failures.add(`${way}: events of a repository came out of their order`)
  log(`${way}: ${got.length} accepted, ${new Set(got.map(({ id }) => id)).size} different; order kept${turns === 0 ? '' : ', what was replayed behind the rest'}`)
}

function eventOf(body: string): Event {
  return JSON.parse(body) as Event
}

interface Door {
  readonly port: number
  /** Lets connections through, or nobody in. */
  set(isOpen: boolean): void
  close(): Promise<void>
}

/** A port in front of a receiver that is away for a while: not listened at for a minute, then one where every connection is closed at once. */
async function startDoor(toPort: number): Promise<Door> {
  let isOpen = true
  let shutAt = 0
  const server = createServer((socket) => {
    if (!isOpen) {
      socket.destroy()
      return
    }
    const upstream = connect(toPort, '127.0.0.1')
    for (const [each, other] of [[socket, upstream], [upstream, socket]] as const) {
      each.on('error', () => undefined)
      each.once('close', () => other.destroy())
    }
    socket.pipe(upstream).pipe(socket)
  })
  const listen = async (port: number): Promise<void> => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }
  await listen(0)
  const { port } = server.address() as AddressInfo
  const turns = setInterval(() => {
    const isThere = isOpen || Math.floor((Date.now() - shutAt) / minuteMs) % 2 === 1
    if (isThere && !server.listening) void listen(port)
    else if (!isThere && server.listening) server.close()
  }, 100)
  return {
    port,
    set(open) {
      isOpen = open
      shutAt = Date.now()
    },
    async close() {
      clearInterval(turns)
      if (server.listening) server.close()
      await Promise.resolve()
    },
  }
}

function log(text: string): void {
  console.log(`${new Date().toISOString().slice(11, 19)} ${text}`)
}
