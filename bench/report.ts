import { mebibyte } from './content.ts'
import type { RoundResult } from './load-client.ts'
import type { StartUpResult } from './start-up.ts'
import { medianOf, spreadOf, type Spread } from './statistics.ts'
import type { Workload } from './workloads/workload.ts'

/** One round on one server. */
export interface Sample extends RoundResult {
  readonly serverCpuSeconds: number
  /** The most that was seen. */
  readonly peakProportionalBytes: number
  readonly peakResidentBytes: number
  readonly writtenBytes: number
  /** What neither server, client nor this program used, as a share of all CPUs. */
  readonly othersShare: number
}

export interface WorkloadResult {
  readonly workload: Workload
  /** Stowage first, then its peers; of a growth workload the small population, then the large one. */
  readonly servers: readonly ServerResult[]
}

export interface ServerResult {
  readonly name: string
  /** Of a listing; servers may answer more rows than they were asked for. */
  readonly rowsPerOperation: number | undefined
  /** In the order of the rounds: samples of one round stand at the same place. Empty where something failed. */
  readonly samples: readonly Sample[]
  readonly failure: string | undefined
}

export interface RunDescription {
  readonly machine: readonly (readonly [string, string])[]
  readonly settings: readonly (readonly [string, string])[]
  /** Peers that could not be had, and why. */
  readonly absences: readonly string[]
  readonly rounds: number
  readonly isQuick: boolean
  readonly minutes: number
  /** What the servers of listings and of growth hold. */
  readonly listingsText: string
  readonly growthText: string
}

export interface Results {
  readonly comparisons: readonly WorkloadResult[]
  readonly growth: readonly WorkloadResult[]
  /** The server whose caller has policies, then the one whose caller is the root. */
  readonly policies: readonly WorkloadResult[]
  readonly startUps: readonly StartUpResult[]
}

export function renderReport(run: RunDescription, { comparisons, growth, policies, startUps }: Results): string {
  const names = (comparisons[0] ?? growth[0])?.servers.map(({ name }) => name) ?? []
  const sections = [
    ['# Benchmark results', `Written by \`make bench\` in ${Math.round(run.minutes)} minutes. Ratios are Stowage ÷ peer, round by round: above 1, Stowage does more.`],
    run.isQuick ? ['**A quick run: few and short rounds. For orientation only.**'] : [],
    ['## Machine', table(['', ''], run.machine)],
    ['## Method', methodOf(run).map((line) => `- ${line}`).join('\n')],
    comparisons.length === 0 ? [] : [
      '## Throughput',
      table(['Workload', 'clients', ...names, ...names.slice(1).flatMap((peer) => [`÷ ${peer}`, 'least–most'])], comparisons.flatMap(throughputRows)),
      '## Latency of one operation',
      'Median and 99th percentile of a round, medians of the rounds.',
      table(
        ['Workload', 'clients', 'operation', ...names.flatMap((name) => [`${name} p50`, 'p99'])],
        comparisons.map(({ workload, servers }) => [
          ...headOf(workload),
          workload.operation,
          ...servers.flatMap((server) => [milliseconds(server, ({ p50Ms }) => p50Ms), milliseconds(server, ({ p99Ms }) => p99Ms)]),
        ]),
      ),
      '## CPU time',
      'Of the server for one operation, all its threads; the client’s as a share of one CPU; what other processes and the hypervisor took of the machine meanwhile (of all CPUs; where it is more than a few per cent, times say little, and CPU time more).',
      table(
        ['Workload', 'clients', ...names, ...names.slice(1).map((peer) => `÷ ${peer}`), 'client', 'others'],
        comparisons.map(({ workload, servers }) => [
          ...headOf(workload),
          ...servers.map((server) => milliseconds(server, cpuPerOperationMs)),
          ...ratiosOf(servers, cpuPerOperationMs).map((ratio) => (ratio === undefined ? '–' : figure(ratio.median))),
          servers.map((server) => (server.samples.length === 0 ? '–' : percent(medianOf(server.samples.map(clientShare))))).join(' / '),
          othersOf(servers),
        ]),
      ),
      '## Memory and disk',
      'The most a server held in a round: proportional set size, seen every 250 ms, and in brackets the peak of its resident set, which counts pages of files and of other processes in full. Written: what one operation makes the kernel write.',
      table(
        ['Workload', 'clients', ...names.map((name) => `${name} memory`), ...names.map((name) => `${name} written`)],
        [
          ...comparisons.map(({ workload, servers }) => [
            ...headOf(workload),
            ...servers.map(memory),
            ...servers.map((server) => (server.samples.length === 0 ? '–' : kibibytes(medianOf(server.samples.map(writtenPerOperation))))),
          ]),
          ['**Most of all**', '', ...names.map((_, index) => `**${memory(mergedOf(comparisons, index))}**`), ...names.map(() => '')],
        ],
      ),
    ],
    growth.length === 0 ? [] : [
      '## Growth',
      `The same request to two servers of Stowage that hold little and much, in turns. ${run.growthText} The ratio is large ÷ small in CPU time for one page: 1 means that the cost does not depend on size.`,
      table(
        ['Workload', 'clients', ...growth[0]!.servers.flatMap(({ name }) => [name, 'p99']), 'CPU time, large ÷ small', 'least–most', 'others'],
        growth.map(({ workload, servers }) => {
          const [ratio] = ratiosOf([...servers].reverse(), cpuPerOperationMs)
          return [
            ...headOf(workload),
            ...servers.flatMap((server) => [throughputText(workload, server), milliseconds(server, ({ p99Ms }) => p99Ms)]),
            ...ratioCells(ratio),
            othersOf(servers),
          ]
        }),
      ),
    ],
    policies.length === 0 ? [] : [
      '## Policies',
      'The same request to two servers of Stowage in turns: by a user with a policy of 20 statements, most of them with conditions, on a repository with a policy; and by the root. The ratio is user ÷ root.',
      table(
        ['Workload', 'clients', ...policies[0]!.servers.flatMap(({ name }) => [name, 'CPU time']), 'requests, user ÷ root', 'least–most', 'others'],
        policies.map(({ workload, servers }) => [
          ...headOf(workload),
          ...servers.flatMap((server) => [throughputText(workload, server), milliseconds(server, cpuPerOperationMs)]),
          ...ratioCells(ratiosOf(servers, throughputOf(workload))[0]),
          othersOf(servers),
        ]),
      ),
    ],
    startUps.length === 0 ? [] : [
      '## Start',
      'From the start of the process to its first 200 (`/readyz`, of peers `/v2/`); median, least–most. Warm: what it reads is in the page cache. Cold: the machine’s page cache was dropped just before, and with it the programs themselves.',
      table(
        ['Server', 'holds', 'warm', 'cold'],
        startUps.map(({ server, holds, warmMs, coldMs, failure }) => [server, holds, failure ?? startText(warmMs), startText(coldMs)]),
      ),
    ],
    failuresOf([...comparisons, ...growth, ...policies]),
  ]
  return `${sections.flat().join('\n\n')}\n`
}

function methodOf(run: RunDescription): string[] {
  return [
    ...run.settings.map(([name, setting]) => `${name}: ${setting}.`),
    ...run.absences,
    'One load client, a process of its own, for all servers, on the same machine: client and server share its CPUs. wrk where the title says so.',
    `Workloads of a group follow each other on the same servers, which are started for the group on empty data folders on the same disk (for listings, on folders that were filled before). In every workload one round on each server warms up and does not count; then ${run.rounds} rounds each, in turns, and in turns who is first.`,
    'A round repeats its operation for 1 s (manifests, listings) or 2 s where it can be repeated; pushes and mixed workloads are a fixed number. Content, digests, repositories and connections are made before the clock starts. Content is random; "unique" content differs in every push of the run. The 1, 10 and 100 MiB workloads are those of zb, with 10 clients, for 100 MiB with 4.',
    run.listingsText,
    'All flush what they store to disk before they answer. No cache is dropped (but for cold starts) and nothing else is flushed. Pushed layers are removed from the disk after each round.',
    'Figures are medians of the rounds. A ratio is the median of the rounds’ ratios, with the least and the most.',
  ]
}

function failuresOf(results: readonly WorkloadResult[]): string[] {
  const lines = results.flatMap(({ workload, servers }) =>
    servers.flatMap(({ name, failure }) => (failure === undefined ? [] : [`- ${workload.title}, ${workload.concurrency} clients, ${name}: ${failure}`])),
  )
  return lines.length === 0 ? [] : ['## What failed', lines.join('\n')]
}

function headOf({ title, concurrency }: Workload): string[] {
  return [title, String(concurrency)]
}

function throughputRows({ workload, servers }: WorkloadResult): string[][] {
  const rows = [throughputRow(workload, workload.title, servers, () => 1)]
  // Where a peer answers other than it was asked, requests alone compare nothing.
  const counts = servers.filter(({ samples }) => samples.length > 0).map(({ rowsPerOperation }) => rowsPerOperation ?? 1)
  if (new Set(counts).size > 1) {
    rows.push(throughputRow(workload, `${workload.title}, counted in rows (${counts.join(', ')} in an answer)`, servers, ({ rowsPerOperation }) => rowsPerOperation ?? 1))
  }
  return rows
}

function throughputRow(workload: Workload, title: string, servers: readonly ServerResult[], factorOf: (server: ServerResult) => number): string[] {
  const ratios = ratiosOf(servers, throughputOf(workload)).map((ratio, index) => {
    const factor = factorOf(servers[0]!) / factorOf(servers[index + 1]!)
    return ratio && { median: ratio.median * factor, min: ratio.min * factor, max: ratio.max * factor }
  })
  return [
    title,
    String(workload.concurrency),
    ...servers.map((server) => throughputText(workload, server, factorOf(server))),
    ...ratios.flatMap((ratio) => ratioCells(ratio)),
  ]
}

/** A line about a workload for who watches the run. */
export function renderProgress({ workload, servers }: WorkloadResult): string {
  const ratios = ratiosOf(servers, throughputOf(workload))
  return [
    `${workload.title}, c=${workload.concurrency}:`,
    servers.map((server) => `${server.name} ${throughputText(workload, server)}`).join(', '),
    ...(ratios.length === 0 ? [] : [`= ${ratios.map((ratio) => ratioCells(ratio).join(' (')).join('), ')});`]),
    `CPU ${servers.map((server) => milliseconds(server, cpuPerOperationMs)).join(' / ')};`,
    `memory ${servers.map(memory).join(' / ')};`,
    `others ${othersOf(servers)}`,
  ].join(' ')
}

/** Operations, or MiB where the workload moves bytes, per second. */
function throughputOf({ unit }: Workload): (sample: Sample) => number {
  return ({ operations, contentBytes, elapsedMs }) => (unit === 'bytes' ? contentBytes / mebibyte : operations) / (elapsedMs / 1000)
}

function throughputText(workload: Workload, { samples }: ServerResult, factor = 1): string {
  if (samples.length === 0) return 'failed'
  const value = medianOf(samples.map(throughputOf(workload))) * factor
  return workload.unit === 'bytes' ? `${figure(value)} MiB/s` : `${figure(value)} /s`
}

/** Of the first server to each of the others, round by round; undefined where one of them failed. */
function ratiosOf([first, ...others]: readonly ServerResult[], value: (sample: Sample) => number): (Spread | undefined)[] {
  return others.map(({ samples }) => {
    if (first === undefined || first.samples.length === 0 || samples.length === 0) return undefined
    return spreadOf(first.samples.map((sample, round) => value(sample) / value(samples[round]!)))
  })
}

function ratioCells(ratio: Spread | undefined): string[] {
  return ratio === undefined ? ['–', '–'] : [`**${figure(ratio.median)}**`, `${figure(ratio.min)}–${figure(ratio.max)}`]
}

function cpuPerOperationMs({ serverCpuSeconds, operations }: Sample): number {
  return (serverCpuSeconds * 1000) / operations
}

function writtenPerOperation({ writtenBytes, operations }: Sample): number {
  return writtenBytes / operations
}

function clientShare({ clientCpuSeconds, elapsedMs }: Sample): number {
  return clientCpuSeconds / (elapsedMs / 1000)
}

function othersOf(servers: readonly ServerResult[]): string {
  const shares = servers.flatMap(({ samples }) => samples.map(({ othersShare }) => othersShare))
  return shares.length === 0 ? '–' : percent(medianOf(shares))
}

function memory({ samples }: ServerResult): string {
  if (samples.length === 0) return '–'
  const mebibytes = (value: (sample: Sample) => number): number => Math.round(Math.max(...samples.map(value)) / mebibyte)
  return `${mebibytes((sample) => sample.peakProportionalBytes)} MiB (${mebibytes((sample) => sample.peakResidentBytes)})`
}

/** All that one server did, for what is asked of all workloads together. */
function mergedOf(results: readonly WorkloadResult[], index: number): ServerResult {
  const samples = results.flatMap(({ servers }) => servers[index]?.samples ?? [])
  return { name: '', rowsPerOperation: undefined, samples, failure: undefined }
}

function milliseconds({ samples }: ServerResult, value: (sample: Sample) => number): string {
  return samples.length === 0 ? '–' : `${figure(medianOf(samples.map(value)))} ms`
}

function startText(spread: Spread | undefined): string {
  return spread === undefined ? 'not measured' : `${figure(spread.median)} ms, ${figure(spread.min)}–${figure(spread.max)}`
}

function kibibytes(bytes: number): string {
  return `${figure(bytes / 1024)} KiB`
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

/** Three digits say all that such measurements can. */
function figure(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en-US')
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
