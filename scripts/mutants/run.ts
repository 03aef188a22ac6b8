import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { mutants, type Mutant } from './mutants.ts'

// Takes each guard of mutants.ts out of a copy of the project, one after the other, and runs the test that has to fail then. Names
// on the command line choose some. Exits with 1 when a mutant survives, or when it cannot be told.

const root = join(import.meta.dirname, '../..')
/** A mutant may let a test wait for what never comes. */
const testTimeoutMs = 5 * 60_000

interface Outcome {
  /** `broken`: the run says nothing, since the test did not run. */
  readonly verdict: 'failed' | 'passed' | 'broken'
  readonly detail: string
}

interface Report {
  readonly testResults: readonly {
    readonly message: string
    readonly assertionResults: readonly { readonly title: string; readonly status: string; readonly failureMessages: readonly string[] | null }[]
  }[]
}

const wanted = process.argv.slice(2)
const chosen = mutants.filter(({ name }) => wanted.length === 0 || wanted.includes(name))
const unknown = wanted.filter((name) => !mutants.some((mutant) => mutant.name === name))
if (unknown.length > 0) throw new Error(`there is no mutant ${unknown.join(', ')}: see scripts/mutants/mutants.ts`)

const copy = mkdtempSync(join(tmpdir(), 'stowage-mutants-'))
try {
  copyProject()
  process.exitCode = tryAll() ? 0 : 1
} finally {
  rmSync(copy, { recursive: true, force: true })
}

/** What git knows or would take, as it is on the disk; what is installed is shared. */
function copyProject(): void {
  const listed = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8', maxBuffer: 100_000_000 })
  if (listed.status !== 0) throw new Error(`git cannot list the files: ${listed.stderr}`)
  for (const path of new Set(listed.stdout.split('\0').filter((name) => name !== ''))) {
    mkdirSync(join(copy, dirname(path)), { recursive: true })
    cpSync(join(root, path), join(copy, path), { force: true })
  }
  for (const shared of ['node_modules', '.tools']) symlinkSync(join(root, shared), join(copy, shared))
}

function tryAll(): boolean {
  const sound = soundTitles()
  const verdicts = { killed: 0, survived: 0, 'not told': 0 }
  for (const mutant of chosen) {
    const { file, title } = mutant.test
    const { verdict, detail } = sound.has(`${file} ${title}`) ? mutated(mutant) : { verdict: 'broken', detail: 'the test does not pass without any change' }
    const said = verdict === 'failed' ? 'killed' : verdict === 'passed' ? 'survived' : 'not told'
    verdicts[said] += 1
    console.log(`${said.padEnd(10)} ${mutant.name}: ${file} "${title}"${detail === '' ? '' : `\n           ${detail}`}`)
  }
  console.log(Object.entries(verdicts).map(([what, count]) => `${count} ${what}`).join(', '))
  return verdicts.killed === chosen.length
}

/** The tests that pass as long as nothing is taken out: only those can tell. */
function soundTitles(): Set<string> {
  const sound = new Set<string>()
  for (const [file, ofFile] of Map.groupBy(chosen, ({ test }) => test.file)) {
    const titles = [...new Set(ofFile.map(({ test }) => test.title))]
    const report = run(file, titles)
    for (const title of titles) if (report !== undefined && outcomeOf(report, title).verdict === 'passed') sound.add(`${file} ${title}`)
  }
  return sound
}

function mutated(mutant: Mutant): Outcome {
  const path = join(copy, mutant.file)
  const text = readFileSync(path, 'utf8')
  if (text.split(mutant.from).length !== 2) return { verdict: 'broken', detail: `its text does not stand once in ${mutant.file}` }
  writeFileSync(path, text.replace(mutant.from, () => mutant.to))
  try {
    return runTest(mutant)
  } finally {
    writeFileSync(path, text)
  }
}

function runTest({ test: { file, title } }: Mutant): Outcome {
  const report = run(file, [title])
  return report === undefined ? { verdict: 'broken', detail: 'the run has left no report' } : outcomeOf(report, title)
}

/** Runs tests of one file; undefined where that ended in nothing, as when it took too long. */
function run(file: string, titles: readonly string[]): Report | undefined {
  const output = join(copy, '.cache/mutant.json')
  rmSync(output, { force: true })
  const pattern = `(${titles.map((title) => title.replaceAll(/[$()*+.?[\\\]^{|}]/gu, '\\$&')).join('|')})$`
  spawnSync(process.execPath, [join(copy, 'node_modules/vitest/vitest.mjs'), 'run', '--project', 'protocol', '--reporter', 'json', '--outputFile', output, file, '-t', pattern], {
    cwd: copy,
    timeout: testTimeoutMs,
    stdio: 'ignore',
  })
  try {
    return JSON.parse(readFileSync(output, 'utf8')) as Report
  } catch {
    return undefined
  }
}

function outcomeOf(report: Report, wanted: string): Outcome {
  const results = report.testResults.flatMap(({ assertionResults }) => assertionResults.filter(({ title }) => title === wanted))
  const failure = results.find(({ status }) => status === 'failed')
  if (failure !== undefined) return { verdict: 'failed', detail: (failure.failureMessages?.[0] ?? '').split('\n')[0]!.slice(0, 200) }
  if (results.some(({ status }) => status === 'passed')) return { verdict: 'passed', detail: '' }
  return { verdict: 'broken', detail: report.testResults.map(({ message }) => message.split('\n')[0]).join(' ').slice(0, 200) || 'no test has that title' }
}
