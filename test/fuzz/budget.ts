import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectDir } from '../support/tools.ts'

/**
 * How much is fuzzed. `make test` tries 20,000 cases with a seed that never changes, so that a failure is somebody's
 * change and not luck; `make fuzz` tries a million with a new seed each time. A whole request costs some hundred times
 * what a call of a parser does, so that nearly three cases in four stay in the process.
 */
export interface FuzzBudget {
  readonly seed: number
  readonly parserCases: number
  readonly requestCases: number
  /** Policies that are set, each with some requests under it. */
  readonly policyCases: number
  readonly isLong: boolean
}

const casesInTests = 20_000
const requestShare = 0.2
const policyShare = 0.075

export function fuzzBudget(env: NodeJS.ProcessEnv = process.env): FuzzBudget {
  const cases = Number(env['STOWAGE_FUZZ_CASES'] ?? casesInTests)
  const seed = Number(env['STOWAGE_FUZZ_SEED'] ?? 1)
  if (!Number.isSafeInteger(cases) || cases < 1000 || !Number.isSafeInteger(seed)) {
    throw new Error('STOWAGE_FUZZ_CASES is a number from 1000 on, STOWAGE_FUZZ_SEED a whole number')
  }
  const requestCases = Math.round(cases * requestShare)
  const policyCases = Math.round(cases * policyShare)
  return { seed, parserCases: cases - requestCases - policyCases, requestCases, policyCases, isLong: cases > casesInTests }
}

/** Keeps what is needed to see a failure again. Answers the file's path. */
export function saveFailure(name: string, failure: Readonly<Record<string, unknown>>): string {
  const folder = join(projectDir, '.cache/fuzz')
  mkdirSync(folder, { recursive: true })
  const path = join(folder, `${name.replace(/\W+/g, '-')}.json`)
  writeFileSync(path, `${JSON.stringify(failure, undefined, 2)}\n`)
  return path
}
