import type { CompiledRule, CountCondition } from './compiled.ts'
import type { Clock } from './image-facts.ts'

/** The rule as a sentence without its subject, such as `deletes untagged images pushed more than 30 days ago`. */
export function ruleWords({ action, what, age, newest, notice }: CompiledRule): string {
  if (action === 'keep') {
    const young = age === undefined ? '' : ` ${clockWords[age.clock]} within the last ${age.words}`
    if (newest === undefined) return `keeps ${what}${young}`
    return `keeps ${newestWords(newest)} of ${what}${age === undefined ? '' : `, while they were${young}`}`
  }
  const verb = action === 'expire' ? 'deletes' : 'archives'
  const old = age === undefined ? '' : ` ${clockWords[age.clock]} more than ${age.words} ago`
  const told = notice === undefined ? '' : `, with a notice of ${notice.words}`
  if (newest === undefined) return `${verb} ${what}${old}${told}`
  return `${verb} ${what}, but for ${newestWords(newest)}${age === undefined ? '' : `, when they were${old}`}${told}`
}

export function newestWords({ count, by, per }: CountCondition): string {
  const first = by === 'version' ? 'the highest' : by === 'pushed' ? 'the newest' : `the most recently ${recentWords[by]}`
  return `${first} ${count}${by === 'version' ? ' by version' : ''}${per === undefined ? '' : ` of each ${per}`}`
}

export const clockWords = {
  pushed: 'pushed',
  tagged: 'tagged',
  pulled: 'last pulled',
  used: 'last used',
  archived: 'archived',
} as const satisfies Record<Clock, string>

const recentWords = { pushed: 'pushed', tagged: 'tagged', pulled: 'pulled', used: 'used', archived: 'archived' } as const satisfies Record<Clock, string>
