import { availableParallelism } from 'node:os'
import { LoadClientProcess } from './load-client-process.ts'
import {
  cpuSecondsOf,
  forgetPeakMemory,
  machineCpuSeconds,
  peakMemoryBytes,
  proportionalMemoryBytes,
  writtenBytes,
} from './processes.ts'
import type { Sample, ServerResult, WorkloadResult } from './report.ts'
import type { Population } from './seeds/population.ts'
import { startServer, type BenchServer, type ServerKind } from './servers.ts'
import type { Scale, Workload } from './workloads/workload.ts'

/** A server to be measured, in one of its states. */
export interface Participant {
  readonly name: string
  readonly kind: ServerKind
  readonly population: Population | undefined
}

export interface Effort {
  readonly rounds: number
  readonly scale: Scale
}

/** Seldom enough to cost the server nothing: the kernel walks its pages for an answer. */
const memorySampleMs = 250

/**
 * Runs workloads one after the other on the same servers. What fails on one server is part of the result, and neither
 * ends the others' rounds nor the next workload.
 */
export class GroupRun {
  readonly #participants: readonly Participant[]
  readonly #effort: Effort
  readonly #servers = new Map<Participant, BenchServer>()
  /** A server that did not start once is not waited for in every workload. */
  readonly #unstartable = new Map<Participant, unknown>()
  #client = new LoadClientProcess()

  constructor(participants: readonly Participant[], effort: Effort) {
    this.#participants = participants
    this.#effort = effort
  }

  async measure(workload: Workload): Promise<WorkloadResult> {
    const lanes = this.#participants.map((participant) => new Lane(participant))
    for (const lane of lanes) await lane.attempt(() => this.#open(lane, workload))
    // Round 0 warms up.
    for (let round = 0; round <= this.#effort.rounds; round += 1) {
      const disposals: (() => void)[] = []
      for (const lane of inTurns(lanes, round)) {
        if (lane.failure !== undefined) continue
        await lane.attempt(async () => {
          const server = this.#servers.get(lane.participant)!
          const sample = await measureRound(this.#client, server, round)
          if (round > 0) lane.samples.push(sample)
          disposals.push(() => {
            for (const blob of sample.disposable) server.dropBlob(blob)
          })
        })
        if (this.#client.hasEnded) await this.#replaceClient(lanes, workload)
      }
      for (const dispose of disposals) {
        try {
          dispose()
        } catch (error) {
          // The disk holds more than it need; nothing that was measured is wrong.
          process.stderr.write(`${textOf(error)}\n`)
        }
      }
    }
    return { workload, servers: lanes.map((lane) => lane.result()) }
  }

  async stop(): Promise<void> {
    await this.#client.stop()
    for (const server of this.#servers.values()) {
      await server.stop().catch((error: unknown) => {
        process.stderr.write(`${server.target.name}: ${textOf(error)}\n`)
      })
    }
    this.#servers.clear()
  }

  /** Starts the server where it is not running (any more), and sets the workload up on it. */
  async #open(lane: Lane, workload: Workload): Promise<void> {
    if (this.#client.hasEnded) this.#client = new LoadClientProcess()
    const { participant } = lane
    let server = this.#servers.get(participant)
    if (server?.hasEnded() === true) {
      this.#servers.delete(participant)
      await server.stop()
      server = undefined
    }
    server ??= await this.#start(participant)
    lane.rowsPerOperation = await this.#client.open(workload.name, server.target, this.#effort.scale)
  }

  async #start(participant: Participant): Promise<BenchServer> {
    if (this.#unstartable.has(participant)) throw this.#unstartable.get(participant)
    try {
      const server = await startServer(participant.kind, participant.name, participant.population)
      this.#servers.set(participant, server)
      return server
    } catch (error) {
      this.#unstartable.set(participant, error)
      throw error
    }
  }

  /** A client that hung was ended, and has taken what it knew of all servers with it. */
  async #replaceClient(lanes: readonly Lane[], workload: Workload): Promise<void> {
    for (const lane of lanes) {
      if (lane.failure === undefined) await lane.attempt(() => this.#open(lane, workload))
    }
  }
}

/** What one server does in a workload, round by round, until something fails. */
class Lane {
  readonly participant: Participant
  readonly samples: Sample[] = []
  rowsPerOperation: number | undefined
  failure: string | undefined

  constructor(participant: Participant) {
    this.participant = participant
  }

  async attempt(act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.failure = textOf(error)
      process.stderr.write(`${this.participant.name}: ${error instanceof Error ? error.stack : String(error)}\n`)
    }
  }

  result(): ServerResult {
    const { participant, rowsPerOperation, samples, failure } = this
    return { name: participant.name, rowsPerOperation, samples: failure === undefined ? samples : [], failure }
  }
}

/** Everybody is first, second and last equally often, and follows each of the others. */
function inTurns<T>(items: readonly T[], round: number): T[] {
  const start = round % items.length
  const turned = [...items.slice(start), ...items.slice(0, start)]
  return Math.floor(round / items.length) % 2 === 0 ? turned : turned.reverse()
}

async function measureRound(client: LoadClientProcess, server: BenchServer, round: number): Promise<Sample> {
  const { target, pid } = server
  await client.prepare(target.name, round)
  forgetPeakMemory(pid)
  let heldBytes = proportionalMemoryBytes(pid)
  const sampling = setInterval(() => {
    // A server that has ended is told of by its client.
    if (!server.hasEnded()) heldBytes = Math.max(heldBytes, proportionalMemoryBytes(pid))
  }, memorySampleMs)
  const startedAt = performance.now()
  const before = { server: cpuSecondsOf(pid), written: writtenBytes(pid), machine: machineCpuSeconds(), own: process.cpuUsage() }
  const result = await client.run().finally(() => {
    clearInterval(sampling)
  })
  const ownCpu = process.cpuUsage(before.own)
  const serverCpuSeconds = cpuSecondsOf(pid) - before.server
  const capacitySeconds = ((performance.now() - startedAt) / 1000) * availableParallelism()
  const knownSeconds = serverCpuSeconds + result.clientCpuSeconds + (ownCpu.user + ownCpu.system) / 1e6
  const othersSeconds = machineCpuSeconds() - before.machine - knownSeconds
  return {
    ...result,
    serverCpuSeconds,
    peakProportionalBytes: Math.max(heldBytes, proportionalMemoryBytes(pid)),
    peakResidentBytes: peakMemoryBytes(pid),
    writtenBytes: writtenBytes(pid) - before.written,
    othersShare: Math.max(0, othersSeconds / capacitySeconds),
  }
}

/** The first line says what; the rest is for who debugs it. */
function textOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]!.replace(/^Error: /u, '').replaceAll('|', '/').slice(0, 200)
}
