import { parseEventPattern } from './event-pattern.ts'

/** What the audit trail is asked for by a pattern. */
export interface TrailInterest {
  /** Pulls, which are many: only those who name them are told. */
  readonly pulls: boolean
  /** Anything else that the trail tells. */
  readonly others: boolean
}

/** Whether a pattern could take what the audit trail tells, of these types; the first is that of pulls. */
export function trailInterest(pattern: string, [pull, ...others]: readonly string[]): TrailInterest {
  const written = JSON.parse(pattern) as Readonly<Record<string, unknown>>
  // As far as an event's head says; what the rest of the pattern asks is found out with the event.
  const head = Object.fromEntries(Object.entries(written).filter(([name]) => name === 'source' || name === 'detail-type'))
  const takesHead = (type: string): boolean => Object.keys(head).length === 0 || parseEventPattern(JSON.stringify(head)).matches({ source: 'stowage', 'detail-type': type })
  return { pulls: namesOne(written, [pull, 'PULL']) && takesHead(pull!), others: others.some(takesHead) }
}

function namesOne(value: unknown, names: readonly unknown[]): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).some((member) => namesOne(member, names))
  return names.includes(value)
}
