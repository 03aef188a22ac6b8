import type { RoundResult } from './load-client.ts'
import { medianOf, spreadOf, type Spread } from './statistics.ts'
import type { Workload } from './workloads/workload.ts'

/** One round on one server. */
export interface Sample extends RoundResult {
  readonly serverCpuSeconds: number
  readonly peakMemoryBytes: number
  /** What neither server, client nor this program used, as a share of all CPUs. */
  readonly othersShare: number
}

export interface WorkloadResult {
  readonly workload: Workload
  readonly ours: ServerResult
  /** Absent where only Stowage was measured. */
  readonly peer: ServerResult | undefined
}

export interface ServerResult {
  /** Of a listing; servers may answer more rows than they were asked for. */
  readonly rowsPerOperation: number | undefined
  /** In the order of the rounds: samples of one round stand at the same place. */
  readonly samples: readonly Sample[]
}

export interface RunDescription {
  readonly machine: readonly (readonly [string, string])[]
  readonly settings: readonly (readonly [string, string])[]
  readonly rounds: number
  readonly durationMs: number
  readonly quick: boolean
}

const mebibyte = 1024 * 1024

export function renderReport(run: RunDescription, results: readonly WorkloadResult[]): string {
  return [
    '# Benchmark results',
    '',
    'Written by `make bench`. Ratios are Stowage ÷ docker-registry, round by round: above 1, Stowage does more.',
    ...(run.quick ? ['', '**A quick run: few and short rounds. For orientation only.**'] : []),
    '',
    '## Machine',
    '',
    ...table(['', ''], run.machine),
    '',
    '## Method',
    '',
    ...run.settings.map(([name, setting]) => `- ${name}: ${setting}.`),
    `- One load client, a process of its own, for both servers, on the same machine: client and server share its CPUs. wrk where the title says so.`,
    `- Every workload starts both servers on empty data folders on the same disk. One round each warms up and does not count; then ${run.rounds} rounds each, in turns, and in turns who is first.`,
    `- A round repeats its operation for ${run.durationMs / 1000} s where it can be repeated; pushes are a fixed number. Content, digests, repositories and connections are made before the clock starts. Content is random; "unique" content differs in every push of the run.`,
    `- Both flush what they store to disk before they answer. No cache is dropped and nothing else is flushed. Pushed layers are removed from the disk after each round.`,
    `- Figures are medians of the rounds, with the least and the most where there are three.`,
    '',
    '## Throughput',
    '',
    ...table(
      ['Workload', 'clients', 'Stowage', 'docker-registry', 'ratio', 'ratio, least–most'],
      results.flatMap(throughputRows),
    ),
    '',
    '## Latency of one operation',
    '',
    ...table(
      ['Workload', 'clients', 'operation', 'Stowage p50', 'p99', 'docker-registry p50', 'p99'],
      results.map(({ workload, ours, peer }) => [
        workload.title,
        String(workload.concurrency),
        workload.operation,
        milliseconds(ours, ({ p50Ms }) => p50Ms),
        milliseconds(ours, ({ p99Ms }) => p99Ms),
        peer ? milliseconds(peer, ({ p50Ms }) => p50Ms) : '–',
        peer ? milliseconds(peer, ({ p99Ms }) => p99Ms) : '–',
      ]),
    ),
    '',
    '## What it costs',
    '',
    'CPU time of the server for one operation, all its threads; the most memory it held (resident set) in a round; the client’s CPU time as a share of one CPU; what other processes and the hypervisor took of the machine meanwhile (of all CPUs; where it is more than a few per cent, times say little, and CPU time more).',
    '',
    ...table(
      ['Workload', 'clients', 'Stowage CPU', 'docker-registry CPU', 'ratio', 'Stowage memory', 'docker-registry memory', 'client CPU', 'others'],
      results.map(({ workload, ours, peer }) => {
        const ratio = peer && ratioOf(ours, peer, cpuPerOperationMs)
        return [
          workload.title,
          String(workload.concurrency),
          `${figure(medianOf(ours.samples.map(cpuPerOperationMs)))} ms`,
          peer ? `${figure(medianOf(peer.samples.map(cpuPerOperationMs)))} ms` : '–',
          ratio ? figure(ratio.median) : '–',
          memory(ours),
          peer ? memory(peer) : '–',
          [ours, ...(peer ? [peer] : [])].map((server) => percent(medianOf(server.samples.map(clientShare)))).join(' / '),
          percent(medianOf([...ours.samples, ...(peer?.samples ?? [])].map(({ othersShare }) => othersShare))),
        ]
      }),
    ),
    '',
  ].join('\n')
}

function throughputRows({ workload, ours, peer }: WorkloadResult): string[][] {
  const perOperation = throughputRow(workload, workload.title, ours, peer, 1, 1)
  const { rowsPerOperation: ourRows } = ours
  if (ourRows === undefined) return [perOperation]
  const peerRows = peer?.rowsPerOperation ?? 0
  const title = `${workload.title}, counted in rows (${ourRows}${peer ? ` and ${peerRows}` : ''} in an answer)`
  return [perOperation, throughputRow(workload, title, ours, peer, ourRows, peerRows)]
}

function throughputRow(
  workload: Workload,
  title: string,
  ours: ServerResult,
  peer: ServerResult | undefined,
  ourFactor: number,
  peerFactor: number,
): string[] {
  const ratio = peer && ratioOf(ours, peer, throughputOf(workload))
  const factor = ourFactor / peerFactor
  return [
    title,
    String(workload.concurrency),
    throughputText(workload, ours, ourFactor),
    peer ? throughputText(workload, peer, peerFactor) : '–',
    ratio ? `**${figure(ratio.median * factor)}**` : '–',
    ratio ? `${figure(ratio.min * factor)}–${figure(ratio.max * factor)}` : '–',
  ]
}

/** A line about a workload for who watches the run. */
export function renderProgress({ workload, ours, peer }: WorkloadResult): string {
  const ratio = peer && ratioOf(ours, peer, throughputOf(workload))
  return [
    `${workload.title}, c=${workload.concurrency}:`,
    throughputText(workload, ours),
    ...(peer && ratio ? [`/ ${throughputText(workload, peer)} = ${figure(ratio.median)} (${figure(ratio.min)}–${figure(ratio.max)})`] : []),
    `CPU ${figure(medianOf(ours.samples.map(cpuPerOperationMs)))}${peer ? ` / ${figure(medianOf(peer.samples.map(cpuPerOperationMs)))}` : ''} ms,`,
    `client ${percent(medianOf(ours.samples.map(clientShare)))}, others ${percent(medianOf(ours.samples.map(({ othersShare }) => othersShare)))}`,
  ].join(' ')
}

/** Operations, or MiB where the workload moves bytes, per second. */
function throughputOf({ operationBytes }: Workload): (sample: Sample) => number {
  const amount = operationBytes === undefined ? 1 : operationBytes / mebibyte
  return ({ operations, elapsedMs }) => (operations * amount) / (elapsedMs / 1000)
}

function throughputText(workload: Workload, { samples }: ServerResult, factor = 1): string {
  const value = medianOf(samples.map(throughputOf(workload))) * factor
  return workload.operationBytes === undefined ? `${figure(value)} /s` : `${figure(value)} MiB/s`
}

function ratioOf(ours: ServerResult, peer: ServerResult, value: (sample: Sample) => number): Spread {
  return spreadOf(ours.samples.map((sample, round) => value(sample) / value(peer.samples[round]!)))
}

function cpuPerOperationMs({ serverCpuSeconds, operations }: Sample): number {
  return (serverCpuSeconds * 1000) / operations
}

function clientShare({ clientCpuSeconds, elapsedMs }: Sample): number {
  return clientCpuSeconds / (elapsedMs / 1000)
}

function memory({ samples }: ServerResult): string {
  return `${Math.round(Math.max(...samples.map(({ peakMemoryBytes }) => peakMemoryBytes)) / mebibyte)} MiB`
}

function milliseconds({ samples }: ServerResult, value: (sample: Sample) => number): string {
  return `${figure(medianOf(samples.map(value)))} ms`
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

/** Three digits say all that such measurements can. */
function figure(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en-US')
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)]
}
