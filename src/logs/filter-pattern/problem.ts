import { logsError } from '../errors.ts'

/** What is said of a pattern that is none. */
export function patternProblem(reason: string): Error {
  return logsError('log-input-invalid', `Invalid filter pattern: ${reason}`)
}
