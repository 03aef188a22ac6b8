import type { RetirementRow } from '../storage/metadata/stores/retirement-store.ts'

/**
 * How far an image's retirement has come: `deprecated` warns whoever pulls it, `blocked` gives it only to what runs it already.
 * What follows, the archive and the trash, are states of every image.
 */
export type RetirementState = 'deprecated' | 'blocked'

/** What becomes of a retired image at a time that was told beforehand. */
export interface RetirementStep {
  readonly state: 'blocked' | 'archived' | 'trashed'
  readonly at: number
}

/** What a rule will do to an image when its notice is over, if it still wants that then. */
export interface AnnouncedRemoval {
  /** The rule in words, with whose policy it is of. */
  readonly rule: string
  readonly action: 'expire' | 'transition'
  readonly at: number
}

export interface Retirement {
  readonly state: RetirementState
  readonly reason: string
  /** A reference to use instead. */
  readonly replacedBy: string | undefined
  /** What is still to come, the soonest first. */
  readonly steps: readonly RetirementStep[]
  /** Why a step that was due has not been taken. */
  readonly postponed: string | undefined
  readonly changedAt: number
  readonly changedBy: string
  /** The rule that announced it; undefined: somebody did by hand. */
  readonly rule: string | undefined
}

export interface NewRetirement {
  readonly state: RetirementState
  readonly reason: string
  readonly replacedBy: string | undefined
  readonly steps: readonly RetirementStep[]
}

/** The column's values. Others would come from a newer version, and warn at least. */
const codes = { deprecated: 1, blocked: 2 } as const

export function retirementCode(state: RetirementState): number {
  return codes[state]
}

export function retirementState(code: number): RetirementState {
  return code === codes.blocked ? 'blocked' : 'deprecated'
}

export function toRetirement(code: number, row: RetirementRow): Retirement {
  return {
    state: retirementState(code),
    reason: row.reason,
    replacedBy: row.replaced_by ?? undefined,
    steps: [...(JSON.parse(row.steps) as RetirementStep[]), ...announcedStep(row)],
    postponed: row.postponed ?? undefined,
    changedAt: row.changed_at,
    changedBy: row.changed_by,
    rule: row.rule ?? undefined,
  }
}

/** Kept apart from the steps that are taken at their time, come what may: the rule is asked again. */
function announcedStep({ rule_action: action, rule_until: until }: RetirementRow): RetirementStep[] {
  if (action === null || until === null) return []
  return [{ state: action === 'expire' ? 'trashed' : 'archived', at: until }]
}

/**
 * When an image ends by what whoever pulls it is told, at the earliest that a rule may act: the rule's date, or where somebody retired
 * it by hand the last of the ends that they planned. Undefined: no date was told.
 */
export function toldEndOf({ ruleAction, ruleUntil, steps }: { readonly ruleAction: string | null; readonly ruleUntil: number | null; readonly steps: string }): number | undefined {
  if (ruleAction !== null) return ruleUntil ?? undefined
  const ends = (JSON.parse(steps) as RetirementStep[]).filter(({ state }) => state !== 'blocked').map(({ at }) => at)
  return ends.length === 0 ? undefined : Math.max(...ends)
}

/** What whoever pulls the image is told, without a full stop. */
export function retirementText({ state, reason, replacedBy, steps }: Retirement): string {
  const says = state === 'blocked' ? 'this image is blocked for new deployments' : 'this image is deprecated'
  const instead = replacedBy === undefined ? [] : [`use ${replacedBy} instead`]
  const next = steps.map(({ state: step, at }) => `it will be ${step === 'trashed' ? 'deleted' : step} at ${new Date(at).toISOString()}`)
  return [`${says}: ${reason}`, ...instead, ...next].join('; ')
}
