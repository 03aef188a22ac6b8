// The process that loads the servers: its event loop, memory and CPU time are nobody else's.
import { performance } from 'node:perf_hooks'
import type { HttpConnection } from './http-connection.ts'
import { endedChildrenCpuSeconds } from './processes.ts'
import { call, openRegistry, type RegistryClient, type Target } from './registry-client.ts'
import { percentileOf } from './statistics.ts'
import { workloads } from './workloads/index.ts'
import type { OpenWorkload, RoundPlan, Scale, Workload } from './workloads/workload.ts'
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
  /** Digests of blobs that nobody needs any more. */
  readonly disposable: readonly string[]
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

const targets = new Map<string, Opened>()
let prepared: PreparedRound | undefined

async function obey(order: Order): Promise<Report> {
  switch (order.do) {
    case 'open': {
      const workload = workloads.find(({ name }) => name === order.workload)
      if (workload === undefined) throw new Error(`there is no workload ${order.workload}`)
      const registry = await openRegistry(order.target)
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
      : await timeOperations(plan, connections, opened.scale.durationMs)
  const { user, system } = process.cpuUsage(cpuBefore)
  return {
    ...timed,
    clientCpuSeconds: (user + system) / 1e6 + endedChildrenCpuSeconds() - childrenBefore,
    disposable: plan.kind === 'once' ? plan.disposable : [],
  }
}

type Timed = Pick<RoundResult, 'operations' | 'elapsedMs' | 'p50Ms' | 'p99Ms'>

async function timeWrk({ workload, registry, scale }: Opened, plan: RoundPlan & { kind: 'wrk' }): Promise<Timed> {
  const { requests, ...times } = await runWrk(registry.origin, {
    ...plan,
    concurrency: workload.concurrency,
    durationMs: scale.durationMs,
  })
  return { operations: requests, ...times }
}

async function timeOperations(
  plan: RoundPlan & { kind: 'once' | 'repeat' },
  connections: readonly HttpConnection[],
  durationMs: number,
): Promise<Timed> {
  const latenciesMs: number[] = []
  const startedAt = performance.now()
  let started = 0
  const next = () => {
    if (plan.kind === 'once') return plan.operations[started++]
    return performance.now() - startedAt < durationMs ? plan.operation : undefined
  }
  const work = async (connection: HttpConnection): Promise<void> => {
    for (let operation = next(); operation !== undefined; operation = next()) {
      const begunAt = performance.now()
      await operation(connection)
      latenciesMs.push(performance.now() - begunAt)
    }
  }
  await Promise.all(connections.map(work))
  const elapsedMs = performance.now() - startedAt
  return {
    operations: latenciesMs.length,
    elapsedMs,
    p50Ms: percentileOf(latenciesMs, 0.5),
    p99Ms: percentileOf(latenciesMs, 0.99),
  }
}

process.on('message', (order: Order) => {
  obey(order)
    .catch((error: unknown): Report => ({ did: 'fail', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) }))
    .then((report) => process.send!(report))
    .catch(() => process.exit(1))
})
process.on('disconnect', () => process.exit())
