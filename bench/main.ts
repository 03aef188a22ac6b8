import { writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { LoadClientProcess } from './load-client-process.ts'
import { describeMachine, mountOf } from './machine.ts'
import { cpuSecondsOf, forgetPeakMemory, machineCpuSeconds, peakMemoryBytes } from './processes.ts'
import { renderProgress, renderReport, type Sample, type WorkloadResult } from './report.ts'
import { dockerRegistryKind, stowageKind, type BenchServer, type ServerKind } from './servers.ts'
import { workloads } from './workloads/index.ts'
import type { Scale, Workload } from './workloads/workload.ts'

const usage = `Measures Stowage beside Debian's docker-registry.

  node bench/main.ts [options]

  --rounds <n>         measured rounds of each workload on each server (7; 3 with --quick)
  --quick              few and short rounds: for orientation
  --only <texts>       only workloads whose names contain one of these, separated by commas
  --alone              Stowage only
  --cpu-profile <dir>  let Stowage write CPU profiles there, one of each thread and workload
  --output <file>      where the report goes (bench/results.md; with --quick, --only or --alone nowhere)
  --list               name the workloads
`

const fullScale: Scale = { durationMs: 5000, share: 1 }
const quickScale: Scale = { durationMs: 2000, share: 0.3 }

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      alone: { type: 'boolean', default: false },
      'cpu-profile': { type: 'string' },
      output: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const { quick, alone } = values
  if (values.help) return void process.stdout.write(usage)
  if (values.list) return void process.stdout.write(workloads.map(({ name, title }) => `${name.padEnd(26)} ${title}\n`).join(''))

  const rounds = values.rounds === undefined ? (quick ? 3 : 7) : Number(values.rounds)
  if (!Number.isSafeInteger(rounds) || rounds < 1) throw new Error('--rounds takes a number from 1')
  const wanted = values.only?.split(',')
  const chosen = workloads.filter(({ name }) => wanted?.some((text) => name.includes(text)) ?? true)
  if (chosen.length === 0) throw new Error('no workload has such a name; --list names them')
  if (mountOf(tmpdir()).type === 'tmpfs') throw new Error('the temporary folder is memory, where nothing costs what it does on a disk: set TMPDIR')

  const stowage = stowageKind({ cpuProfileDir: values['cpu-profile'] })
  const kinds = alone ? [stowage] : [stowage, dockerRegistryKind()]
  const scale = quick ? quickScale : fullScale
  const machine = describeMachine()
  const results: WorkloadResult[] = []
  for (const workload of chosen) {
    const result = await measureWorkload(workload, kinds, rounds, scale)
    process.stdout.write(`${renderProgress(result)}\n`)
    results.push(result)
  }
  const settings = kinds.map(({ name, setting }) => [name, setting] as const)
  const report = renderReport({ machine, settings, rounds, durationMs: scale.durationMs, quick }, results)
  const isWhole = !quick && wanted === undefined && kinds.length === 2
  const output = values.output ?? (isWhole ? join(import.meta.dirname, 'results.md') : undefined)
  if (output === undefined) process.stdout.write(`\n${report}`)
  else writeFileSync(output, report)
}

async function measureWorkload(workload: Workload, kinds: readonly ServerKind[], rounds: number, scale: Scale): Promise<WorkloadResult> {
  const servers: BenchServer[] = []
  const client = new LoadClientProcess()
  try {
    const rowsPerOperation: (number | undefined)[] = []
    for (const kind of kinds) {
      const server = await kind.start()
      servers.push(server)
      rowsPerOperation.push(await client.open(workload.name, server.target, scale))
    }
    const samples: Sample[][] = servers.map(() => [])
    // Round 0 warms up.
    for (let round = 0; round <= rounds; round += 1) {
      const order = [...servers.keys()]
      if (round % 2 === 1) order.reverse()
      const dropped: (() => void)[] = []
      for (const index of order) {
        const server = servers[index]!
        const sample = await measureRound(client, server, round)
        if (round > 0) samples[index]!.push(sample)
        dropped.push(() => {
          for (const digest of sample.disposable) server.dropBlob(digest)
        })
      }
      for (const drop of dropped) drop()
    }
    const [ours, peer] = samples.map((taken, index) => ({ rowsPerOperation: rowsPerOperation[index], samples: taken }))
    return { workload, ours: ours!, peer }
  } finally {
    await client.stop()
    for (const server of servers) await server.stop()
  }
}

async function measureRound(client: LoadClientProcess, { target, pid }: BenchServer, round: number): Promise<Sample> {
  await client.prepare(target.name, round)
  forgetPeakMemory(pid)
  const startedAt = performance.now()
  const before = { server: cpuSecondsOf(pid), machine: machineCpuSeconds(), own: process.cpuUsage() }
  const result = await client.run()
  const ownCpu = process.cpuUsage(before.own)
  const serverCpuSeconds = cpuSecondsOf(pid) - before.server
  const capacitySeconds = ((performance.now() - startedAt) / 1000) * availableParallelism()
  const knownSeconds = serverCpuSeconds + result.clientCpuSeconds + (ownCpu.user + ownCpu.system) / 1e6
  const othersSeconds = machineCpuSeconds() - before.machine - knownSeconds
  return {
    ...result,
    serverCpuSeconds,
    peakMemoryBytes: peakMemoryBytes(pid),
    othersShare: Math.max(0, othersSeconds / capacitySeconds),
  }
}

// Servers and data folders are ended and removed on the way out.
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
await main()
