import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { CrashModel, type CrashState, type Kept } from '../support/fault-disk/crash-model.ts'
import type { DiskEvent } from '../support/fault-disk/recording.ts'
import { openAfterCrash, type Findings } from './facts.ts'
import type { Step, Story } from './scenario.ts'

export interface CrashCheck {
  readonly events: readonly DiskEvent[]
  readonly stories: readonly Story[]
  /** What a crash keeps, at every moment. */
  readonly kept: (moment: number) => readonly Kept[]
  /** Crashes begin after so many events; default: with the first. */
  readonly from?: number
  /** Where states are written: best in memory. */
  readonly scratchDir: string
  /** The data folder within the recorded one. */
  readonly dataDir: string
  /** Ends the check when a promise was broken in this way. */
  readonly until?: RegExp
}

export interface CrashReport {
  readonly moments: number
  readonly states: number
  /** Of the states, those that differ. */
  readonly distinctStates: number
  /** Empty when every promise is kept in every state. */
  readonly broken: readonly string[]
}

/**
 * Crashes at every moment of a recording, opens what each crash may have left, and compares it with what the clients had
 * been answered: each of them finds what it had after its last answer, or after the request that was under way, whole.
 */
export async function checkCrashes(check: CrashCheck): Promise<CrashReport> {
  const model = new CrashModel()
  const broken: string[] = []
  const known = new Map<string, Findings>()
  let moments = 0
  let states = 0
  const answered = new Set<string>()
  for (const [index, event] of check.events.entries()) {
    model.apply(event)
    if (event.operation === 'answer') answered.add(event.requestId)
    if (index < (check.from ?? 0) || !isMoment(event, check.events[index + 1])) continue
    moments += 1
    for (const kept of model.isSettled ? (['everything'] as const) : check.kept(index)) {
      states += 1
      const state = model.crash(kept)
      const findings = await findingsOf(state, known, check)
      const problems = [...findings.violations, ...check.stories.flatMap((story) => broke(story, answered, findings, kept === 'everything'))]
      const where = `after event ${index} (${event.operation} ${event.path}), keeping ${JSON.stringify(kept)}`
      broken.push(...problems.map((problem) => `${where}: ${problem}`))
      if (problems.some((problem) => check.until?.test(problem) === true)) return { moments, states, distinctStates: known.size, broken }
    }
  }
  return { moments, states, distinctStates: known.size, broken }
}

/** Between two writes to one file there is nothing that a loss of the second would not show. */
function isMoment(event: DiskEvent, next: DiskEvent | undefined): boolean {
  return next === undefined || !(event.operation === 'write' && next.operation === 'write' && event.path === next.path)
}

async function findingsOf(state: CrashState, known: Map<string, Findings>, check: CrashCheck): Promise<Findings> {
  const { fingerprint } = state
  let findings = known.get(fingerprint)
  if (findings === undefined) {
    const dir = join(check.scratchDir, 'state')
    mkdirSync(dir)
    try {
      state.writeTo(dir)
      findings = await openAfterCrash(join(dir, check.dataDir)).catch(
        (error: unknown): Findings => ({ facts: new Set(), uploads: new Set(), violations: [`cannot be opened: ${String(error)}`] }),
      )
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
    known.set(fingerprint, findings)
  }
  return findings
}

/** @param withUploads sessions count too: they outlive the process, and may go with the power. */
function broke(story: Story, answered: ReadonlySet<string>, findings: Findings, withUploads: boolean): string[] {
  const count = story.steps.findIndex(({ requestId }) => !answered.has(requestId))
  const steps = count === -1 ? story.steps.length : count
  const before = story.steps[steps - 1]
  const underWay = story.steps[steps]
  const isOf = (sentence: string): boolean => sentence.startsWith(`${story.client}/`)
  const found = [...findings.facts, ...(withUploads ? findings.uploads : [])].filter(isOf)
  const expected = (underWay === undefined ? [before] : [before, underWay]).map((step) => sentencesOf(step, withUploads))
  if (expected.some((sentences) => isSame(sentences, found))) return []
  const [wanted = new Set<string>()] = expected
  const missing = [...wanted].filter((sentence) => !found.includes(sentence))
  const extra = found.filter((sentence) => !wanted.has(sentence))
  return [
    `${story.client}, answered ${steps} requests, the last of them "${before?.name ?? 'none'}", and waiting for "${underWay?.name ?? 'nothing'}": ` +
      `lost ${JSON.stringify(missing)}, found ${JSON.stringify(extra)}`,
  ]
}

function sentencesOf(step: Step | undefined, withUploads: boolean): ReadonlySet<string> {
  return new Set(step === undefined ? [] : [...step.facts, ...(withUploads ? step.uploads : [])])
}

function isSame(a: ReadonlySet<string>, b: readonly string[]): boolean {
  return a.size === b.length && b.every((sentence) => a.has(sentence))
}
