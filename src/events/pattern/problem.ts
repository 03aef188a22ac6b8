import { eventsError } from '../errors.ts'

/** A pattern that cannot be used, as EventBridge words it. `path` is where in the pattern, without what stands for the root. */
export function patternProblem(reason: string, path: readonly string[] = []): Error {
  const place = path.length === 0 ? '' : ` at ${path.join('.').slice(0, 200)}`
  return eventsError('event-pattern-invalid', `Event pattern is not valid. Reason: ${reason}${place}`)
}
