import { anywhere, known, rights, type Caller, type Rights } from './callers.ts'
import { entries } from './entries.ts'

/** A user with an odd lot of actions. */
export interface SplitCaller {
  readonly caller: Caller
  readonly document: Rights['document']
}

const callerCount = 10
const callersOfAction = 5

/**
 * Ten users who share all actions of the matrix so that each action is that of five, and of another five each time: of any
 * two actions somebody has the one and not the other. An operation that asks for a wrong action, or for one too few, is
 * granted to one of them who should not have it, or refused to one who should.
 */
export function splitCallers(): SplitCaller[] {
  const lots = lotsOf(actionsOf())
  return lots.map((actions, index) => {
    const { document, may } = rights([anywhere(...actions)])
    return { caller: known(`split-${index}`, { may, isSplit: true }), document }
  })
}

function actionsOf(): string[] {
  const all = Object.values(entries).flatMap(({ needs, needsElsewhere = [] }) => [...needs, ...needsElsewhere.map(({ action }) => action)])
  return [...new Set(all)].sort()
}

function lotsOf(actions: readonly string[]): string[][] {
  const choices = Array.from({ length: 2 ** callerCount }, (_, bits) => bits).filter((bits) => bits.toString(2).replaceAll('0', '').length === callersOfAction)
  if (choices.length < actions.length) throw new Error(`${choices.length} ways of sharing out are too few for ${actions.length} actions`)
  return Array.from({ length: callerCount }, (_, index) => actions.filter((_action, at) => (choices[at]! & (1 << index)) !== 0))
}
