import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { awsProperties } from './aws-properties.ts'
import { fuzzBudget, saveFailure } from './budget.ts'
import { distributionProperties } from './distribution-properties.ts'
import { edgeProperties } from './edge-properties.ts'
import { identityTokenProperties } from './identity-token-properties.ts'
import { policyProperties } from './policy-properties.ts'
import { valueProperties } from './value-properties.ts'

const { seed, parserCases, isLong } = fuzzBudget()
const properties = [...valueProperties, ...distributionProperties, ...awsProperties, ...edgeProperties, ...policyProperties, ...identityTokenProperties]
const casesEach = Math.ceil(parserCases / properties.length)

/** A hundred times what a case takes, and what is needed to shrink a failure. */
const timeoutMs = 60_000 + casesEach * 20

let tried = 0

describe(`parsers in the process, seed ${seed}`, () => {
  test.each(properties)('$name', { timeout: timeoutMs }, async ({ name, property }) => {
    const details = await fc.check(property, { seed, numRuns: casesEach })
    tried += details.numRuns
    if (isLong) console.log(`${tried} of ${parserCases} cases in the process: ${name}`)
    if (details.failed) {
      const { counterexample, counterexamplePath, numShrinks, errorInstance } = details
      const saved = saveFailure(name, { name, seed, path: counterexamplePath, numShrinks, counterexample, error: String(errorInstance) })
      throw new Error(`${fc.defaultReportMessage(details) ?? 'failed'}\nkept in ${saved}`)
    }
    expect(details.numRuns).toBe(casesEach)
  })

  afterAll(() => {
    expect(tried).toBeGreaterThanOrEqual(parserCases)
  })
})
