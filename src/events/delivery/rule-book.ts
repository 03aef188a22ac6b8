import { setImmediate as nextTurn } from 'node:timers/promises'
import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import { rulesInForce, type RuleInForce } from '../../storage/metadata/stores/event-rule-store.ts'
import { parseEventPattern, type EventPattern } from '../pattern/index.ts'

/** What is compared in one turn of the event loop: other requests have theirs. */
const longestTurnMs = 5
/** How far apart the clocks of servers may be: what happened before there was a rule is not told by it. */
const clockSkewMs = 60_000

export interface RuleBookDependencies {
  readonly database: Pick<MetadataDatabase, 'reader'>
  /** A pattern in the database that is none any more; its rule takes nothing. */
  readonly onUnreadable: (rule: { readonly registryId: number; readonly rule: string }, error: unknown) => void
}

interface When {
  readonly registryId: number
  readonly createdAt: number
  /** What happened just before a rule was made is told later, and not to be told by it. */
  readonly isExact?: boolean
}

/** The rules in force as they were read last, and what they say of an event. */
export class RuleBook {
  readonly #deps: RuleBookDependencies
  /** By their text: a few hundred at most are in use. */
  #patterns = new Map<string, EventPattern | undefined>()
  #rules = new Map<number, readonly RuleInForce[]>()
  #turnEndsAt = 0

  constructor(deps: RuleBookDependencies) {
    this.#deps = deps
  }

  /** Reads them anew. False: there is none. */
  async read(): Promise<boolean> {
    const rules = new Map<number, RuleInForce[]>()
    const patterns = new Map<string, EventPattern | undefined>()
    for (const rule of await rulesInForce(this.#deps.database.reader)) {
      rules.set(rule.registryId, [...(rules.get(rule.registryId) ?? []), rule])
      if (!patterns.has(rule.pattern)) patterns.set(rule.pattern, this.#patterns.get(rule.pattern) ?? this.#parse(rule))
    }
    this.#patterns = patterns
    this.#rules = rules
    this.#turnEndsAt = performance.now() + longestTurnMs
    return rules.size > 0
  }

  /** All that were read. */
  all(): readonly RuleInForce[] {
    return [...this.#rules.values()].flat()
  }

  /** Whether a registry has any that was there when something happened. */
  isAnyOf(when: When): boolean {
    return this.#candidates(when).length > 0
  }

  /** The targets of the rules that take an event, of those whose pattern may ask for it. */
  async targetsOf(when: When, envelope: object, mayAsk: (pattern: string) => boolean = () => true): Promise<number[]> {
    // A rule's targets follow each other's pattern.
    const verdicts = new Map<string, boolean>()
    const targetIds: number[] = []
    for (const { pattern, targetId } of this.#candidates(when)) {
      const verdict = verdicts.get(pattern) ?? (mayAsk(pattern) && this.#patterns.get(pattern)?.matches(envelope) === true)
      verdicts.set(pattern, verdict)
      if (verdict) targetIds.push(targetId)
      if (performance.now() > this.#turnEndsAt) {
        await nextTurn()
        this.#turnEndsAt = performance.now() + longestTurnMs
      }
    }
    return targetIds
  }

  #candidates({ registryId, createdAt, isExact }: When): RuleInForce[] {
    const skewMs = isExact === true ? 0 : clockSkewMs
    return (this.#rules.get(registryId) ?? []).filter(({ ruleCreatedAt }) => createdAt >= ruleCreatedAt - skewMs)
  }

  #parse({ pattern, registryId, ruleName }: RuleInForce): EventPattern | undefined {
    try {
      return parseEventPattern(pattern)
    } catch (error) {
      this.#deps.onUnreadable({ registryId, rule: ruleName }, error)
      return undefined
    }
  }
}
