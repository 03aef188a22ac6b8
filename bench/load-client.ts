// The process that loads the servers: its event loop, memory and CPU time are nobody else's.
import { performance } from 'node:perf_hooks'
import type { HttpConnection } from './http-connection.ts'
import { endedChildrenCpuSeconds } from './processes.ts'
import { call, openRegistry, type RegistryClient, type Target } from './registry-client.ts'
import { percentileOf } from './statistics.ts'
import { workloads } from './workloads/index.ts'
import type { BlobName, OpenWorkload, RoundPlan, Scale, Workload } from './workloads/workload.ts'
import { runWrk } from './wrk.ts'

export type Order =
  | { readonly do: 'open'; readonly workload: string; readonly target: Target; readonly scale: Scale }
  | { readonly do: 'prepare'; readonly target: string; readonly round: number }
  | { readonly do: 'run' }

export type Report =
  | { readonly did: 'open'; readonly rowsPerOperation: number | undefined }
  | { readonly did: 'prepare' }
  | ({ readonly did: 'run' } & RoundResult)
  | { readonly did: 'fail'; readonly reason: string }

export interface RoundResult {
  readonly operations: number
  readonly elapsedMs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly clientCpuSeconds: number
  /** Content that the operations moved; 0 where nobody counted. */
  readonly contentBytes: number
  readonly disposable: readonly BlobName[]
}

interface Opened {
  readonly workload: Workload
  readonly registry: RegistryClient
  readonly state: OpenWorkload
  readonly scale: Scale
}

interface PreparedRound {
  readonly opened: Opened
  readonly plan: RoundPlan
  readonly connections: readonly HttpConnection[]
}

/** Kept from one workload to the next: what a group shares is set up once. A server that came back is another one. */
const registries = new Map<string, RegistryClient>()
const targets = new Map<string, Opened>()
let prepared: PreparedRound | undefined

async function obey(order: Order): Promise<Report> {
  switch (order.do) {
    case 'open': {
      const workload = workloads.find(({ name }) => name === order.workload)
      if (workload === undefined) throw new Error(`there is no workload ${order.workload}`)
      const address = `${order.target.name} ${order.target.port}`
      const registry = registries.get(address) ?? (await openRegistry(order.target))
      registries.set(address, registry)
      const state = await workload.open(registry, order.scale)
      targets.set(order.target.name, { workload, registry, state, scale: order.scale })
      return { did: 'open', rowsPerOperation: state.rowsPerOperation }
    }
    case 'prepare': {
      const opened = targets.get(order.target)!
      const plan = await opened.state.prepareRound(order.round)
      prepared = { opened, plan, connections: plan.kind === 'wrk' ? [] : await connect(opened) }
      return { did: 'prepare' }
    }
    case 'run': {
      const round = prepared!
      prepared = undefined
      try {
        return { did: 'run', ...(await measure(round)) }
      } finally {
        for (const connection of round.connections) connection.close()
      }
    }
  }
}

/** Connecting is not what is measured. */
async function connect({ workload, registry }: Opened): Promise<HttpConnection[]> {
  const connections = Array.from({ length: workload.concurrency }, () => registry.connect())
  await Promise.all(connections.map((connection) => call(connection, 200, { method: 'GET', path: '/v2/' })))
  return connections
}

async function measure({ opened, plan, connections }: PreparedRound): Promise<RoundResult> {
  const cpuBefore = process.cpuUsage()
  const childrenBefore = endedChildrenCpuSeconds()
  const timed =
    plan.kind === 'wrk'
      ? await timeWrk(opened, plan)
      : await timeOperations(plan, connections, durationOf(opened))
  const { user, system } = process.cpuUsage(cpuBefore)
  return {
    ...timed,
    clientCpuSeconds: (user + system) / 1e6 + endedChildrenCpuSeconds() - childrenBefore,
    disposable: plan.kind === 'once' ? plan.disposable : [],
  }
}

type Timed = Pick<RoundResult, 'operations' | 'elapsedMs' | 'p50Ms' | 'p99Ms' | 'contentBytes'>

function durationOf({ workload, scale }: Opened): number {
  return Math.max(minRoundMs, workload.roundMs * scale.share)
}

/** wrk counts in seconds. */
const minRoundMs = 1000

async function timeWrk(opened: Opened, plan: RoundPlan & { kind: 'wrk' }): Promise<Timed> {
  const { requests, ...times } = await runWrk(opened.registry.origin, {
    ...plan,
    concurrency: opened.workload.concurrency,
    durationMs: durationOf(opened),
  })
  return { operations: requests, contentBytes: 0, ...times }
}

async function timeOperations(
  plan: RoundPlan & { kind: 'once' | 'repeat' },
  connections: readonly HttpConnection[],
  durationMs: number,
): Promise<Timed> {
  const latenciesMs: number[] = []
  const failures: unknown[] = []
  let contentBytes = 0
  const startedAt = performance.now()
  let started = 0
  const next = () => {
    if (failures.length > 0) return undefined
    if (plan.kind === 'once') return plan.operations[started++]
    return performance.now() - startedAt < durationMs ? plan.operation : undefined
  }
  const work = async (connection: HttpConnection): Promise<void> => {
    try {
      for (let operation = next(); operation !== undefined; operation = next()) {
        const begunAt = performance.now()
        const movedBytes = await operation(connection)
        contentBytes += movedBytes
        latenciesMs.push(performance.now() - begunAt)
      }
    } catch (error) {
      failures.push(error)
    }
  }
  // To the end of all of them: what is still under way would disturb the next round.
  await Promise.all(connections.map(work))
  const elapsedMs = performance.now() - startedAt
  if (failures.length > 0) throw failures[0]
  return {
    operations: latenciesMs.length,
    elapsedMs,
    p50Ms: percentileOf(latenciesMs, 0.5),
    p99Ms: percentileOf(latenciesMs, 0.99),
    contentBytes,
  }
}

process.on('message', (order: Order) => {
  obey(order)
    .catch((error: unknown): Report => ({ did: 'fail', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) }))
    .then((report) => process.send!(report))
    .catch(() => process.exit(1))
})
process.on('disconnect', () => process.exit())
