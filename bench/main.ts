import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { describeMachine, mountOf } from './machine.ts'
import { GroupRun, type Effort, type Participant } from './measure.ts'
import { renderProgress, renderReport, type WorkloadResult } from './report.ts'
import { manifestCount, type Population } from './seeds/population.ts'
import { dockerRegistryKind, findZot, stowageKind, zotKind, type ServerKind } from './servers.ts'
import { measureStartUp, type StartUpResult } from './start-up.ts'
import { groups, growthGroup, listingGroup, policyGroup } from './workloads/index.ts'
import { underPolicies } from './workloads/policies.ts'
import type { Scale, WorkloadGroup } from './workloads/workload.ts'

const usage = `Measures Stowage beside Debian's docker-registry and, where there is one, zot.

  node bench/main.ts [options]

  --zot <program>      zot's server; default: the one on PATH, else zot is left out
  --rounds <n>         measured rounds of each workload on each server (7; 3 with --quick)
  --quick              few and short rounds: for orientation
  --only <texts>       only what has a name that contains one of these, separated by commas
  --alone              Stowage only
  --cpu-profile <dir>  let Stowage write CPU profiles there, one of each thread and group of workloads
  --output <file>      where the report goes (bench/results.md; with --quick, --only or --alone nowhere)
  --list               name the workloads
`

const fullScale: Scale = { share: 1 }
const quickScale: Scale = { share: 0.3 }

/** Beside peers: more would only show that they take longer still. */
const peerPopulation: Population = { repositories: 10_000, tags: 10_000, referrers: 1 }
/** No page is the whole listing. */
const smallPopulation: Population = { repositories: 1000, tags: 1000, referrers: 1000 }
const largePopulation: Population = { repositories: 100_000, tags: 1_000_000, referrers: 10_000 }
const quickLargePopulation: Population = { repositories: 10_000, tags: 100_000, referrers: 5000 }

const startUpName = 'start-up'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      zot: { type: 'string' },
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
  const { quick: isQuick, alone, only } = values
  if (values.help) return void process.stdout.write(usage)
  if (values.list) return void process.stdout.write(listing())

  const rounds = values.rounds === undefined ? (isQuick ? 3 : 7) : Number(values.rounds)
  if (!Number.isSafeInteger(rounds) || rounds < 1) throw new Error('--rounds takes a number from 1')
  const wanted = only?.split(',')
  const isWanted = (name: string): boolean => wanted?.some((text) => name.includes(text)) ?? true
  if (mountOf(tmpdir()).type === 'tmpfs') throw new Error('the temporary folder is memory, where nothing costs what it does on a disk: set TMPDIR')

  const startedAt = performance.now()
  const machine = describeMachine()
  const stowage = stowageKind({ cpuProfileDir: values['cpu-profile'] })
  const { peers, absences } = alone ? { peers: [], absences: [] } : findPeers(values.zot)
  for (const absence of absences) process.stdout.write(`${absence}\n`)
  const kinds = [stowage, ...peers]
  const effort = { rounds, scale: isQuick ? quickScale : fullScale }
  const measure = (group: WorkloadGroup, participants: readonly Participant[]): Promise<WorkloadResult[]> =>
    measureGroup({ ...group, workloads: group.workloads.filter(({ name }) => isWanted(`${group.name}/${name}`)) }, participants, effort)

  const comparisons: WorkloadResult[] = []
  for (const group of groups) comparisons.push(...(await measure(group, kinds.map((kind) => participant(kind)))))
  comparisons.push(...(await measure(listingGroup, kinds.map((kind) => participant(kind, peerPopulation)))))

  const large = isQuick ? quickLargePopulation : largePopulation
  const growth = await measure(growthGroup, [
    { name: 'small', kind: stowage, population: smallPopulation },
    { name: 'large', kind: stowage, population: large },
  ])

  const policies = await measure(policyGroup, [
    { name: underPolicies, kind: stowage, population: undefined },
    { name: 'root', kind: stowage, population: undefined },
  ])

  const startUps: StartUpResult[] = []
  if (isWanted(startUpName)) {
    startUps.push(await measureStartUp(stowage, large, `${manifestCount(large).toLocaleString('en-US')} manifests`, rounds))
    for (const kind of kinds) startUps.push(await measureStartUp(kind, undefined, 'nothing', rounds))
  }
  if (comparisons.length + growth.length + policies.length + startUps.length === 0) throw new Error('nothing has such a name; --list names everything')

  const report = renderReport(
    {
      machine,
      settings: kinds.map(({ name, setting }) => [name, setting] as const),
      absences,
      rounds,
      isQuick,
      minutes: (performance.now() - startedAt) / 60_000,
      growthText: `Small: ${sizeText(smallPopulation)}. Large: ${sizeText(large)}.`,
      listingsText: `Listings are of ${sizeText(peerPopulation)}, which stand in the servers’ data folders before they start: in Stowage’s as copies of rows that it wrote, in the peers’ as files laid out as theirs are. A server begins when it has come to rest.`,
    },
    { comparisons, growth, policies, startUps },
  )
  const isWhole = !isQuick && wanted === undefined && !alone
  const output = values.output ?? (isWhole ? join(import.meta.dirname, 'results.md') : undefined)
  if (output === undefined) process.stdout.write(`\n${report}`)
  else writeFileSync(output, report)
}

function listing(): string {
  const lines = [...groups, listingGroup, growthGroup, policyGroup].flatMap(({ name: group, workloads }) =>
    workloads.map(({ name, title, concurrency }) => `${`${group}/${name}`.padEnd(48)} ${title}, ${concurrency} clients\n`),
  )
  return [...lines, `${startUpName.padEnd(48)} Start, warm and cold\n`].join('')
}

/** The peers that can be had; where one cannot, a line for the report says why. */
function findPeers(givenZot: string | undefined): { peers: ServerKind[]; absences: string[] } {
  const peers: ServerKind[] = []
  const absences: string[] = []
  try {
    peers.push(dockerRegistryKind())
  } catch (error) {
    absences.push(`docker-registry was not measured: ${error instanceof Error ? error.message : String(error)}.`)
  }
  const zot = givenZot ?? findZot()
  if (zot === undefined) absences.push('zot was not measured: this machine has no zot on PATH, and none was given.')
  else peers.push(zotKind(zot))
  return { peers, absences }
}

function participant(kind: ServerKind, population?: Population): Participant {
  return { name: kind.name, kind, population }
}

async function measureGroup(group: WorkloadGroup, participants: readonly Participant[], effort: Effort): Promise<WorkloadResult[]> {
  const results: WorkloadResult[] = []
  if (group.workloads.length === 0) return results
  const run = new GroupRun(participants, effort)
  try {
    for (const workload of group.workloads) {
      const result = await run.measure(workload)
      process.stdout.write(`${renderProgress(result)}\n`)
      results.push(result)
    }
  } finally {
    await run.stop()
  }
  return results
}

function sizeText({ repositories, tags, referrers }: Population): string {
  const number = (value: number): string => value.toLocaleString('en-US')
  const referrersText = referrers > 1 ? `, ${number(referrers)} referrers of one` : ''
  return `${number(repositories)} repositories, ${number(tags)} tags of one repository${referrersText}`
}

// Servers and data folders are ended and removed on the way out.
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
await main()
