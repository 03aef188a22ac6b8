import { ContextReader, type ConditionContext } from './context.ts'
import { anyCharacter, anyRun, type PatternToken } from './pattern.ts'
import type { Policy } from './policy.ts'
import type { Statement } from './statement.ts'
import { isVariable, type Template } from './template.ts'

/** Names that begin with a text; with `isExact`, that one name. */
export interface NameRange {
  readonly prefix: string
  readonly isExact: boolean
}

/**
 * Where the repositories are that policies could allow an action on, so that a listing reads only those: ranges of names in
 * ascending order, none inside another. Outside of them nothing is allowed by any of the policies; inside, `evaluate` decides.
 *
 * @param arnPrefix what the ARNs of the listed repositories begin with: `arn:aws:ecr:<region>:<account>:repository/`
 * @param context values of variables; a variable that has none here is taken for any text
 */
export function repositoryNameRanges(
  policies: Iterable<Policy>,
  action: string,
  arnPrefix: string,
  context: ConditionContext = {},
): readonly NameRange[] {
  const { single } = new ContextReader(context)
  const ranges: NameRange[] = []
  for (const policy of policies) {
    for (const statement of policy.about(action).allow) ranges.push(...rangesOf(statement, arnPrefix, single))
  }
  return withoutCovered(ranges)
}

type ValueOf = (key: string) => string | undefined

function rangesOf({ resources }: Statement, arnPrefix: string, valueOf: ValueOf): readonly NameRange[] {
  if (resources === undefined || resources.isNot) return [{ prefix: '', isExact: false }]
  return resources.values.flatMap((template) => namesBehind(tokensOf(template, valueOf), arnPrefix))
}

function tokensOf(template: Template, valueOf: ValueOf): readonly PatternToken[] {
  return template.pieces.map((piece) => (isVariable(piece) ? (valueOf(piece.key) ?? piece.fallback ?? anyRun) : piece))
}

/** The names that a pattern leaves behind `fixed`: one range for each place in the pattern where `fixed` may end. */
function namesBehind(tokens: readonly PatternToken[], fixed: string): readonly NameRange[] {
  const pattern = tokens.flatMap((token): readonly PatternToken[] => (typeof token === 'string' ? [...token] : [token]))
  let places: ReadonlySet<number> = pastRuns(pattern, [0])
  for (const character of fixed) {
    const next: number[] = []
    for (const place of places) {
      const token = pattern[place]
      if (token === anyRun) next.push(place)
      else if (token === anyCharacter || token === character) next.push(place + 1)
    }
    places = pastRuns(pattern, next)
    if (places.size === 0) return []
  }
  // A `*` that stands for a region could go on into the name; but what has to follow it, a colon, is in no name.
  const lastForeign = pattern.findLastIndex((token) => typeof token === 'string' && !/[a-z0-9._/-]/.test(token))
  return [...places].flatMap((place) => (place > lastForeign ? [rangeFrom(pattern, place)] : []))
}

/** A `*` may stand for nothing: the place behind it is reached as well. */
function pastRuns(pattern: readonly PatternToken[], places: readonly number[]): ReadonlySet<number> {
  const reached = new Set<number>()
  for (const place of places) {
    let at = place
    reached.add(at)
    while (pattern[at] === anyRun && !reached.has(at + 1)) reached.add(++at)
  }
  return reached
}

function rangeFrom(pattern: readonly PatternToken[], place: number): NameRange {
  let prefix = ''
  for (let at = place; at < pattern.length; at++) {
    const token = pattern[at]
    if (typeof token !== 'string') return { prefix, isExact: false }
    prefix += token
  }
  return { prefix, isExact: true }
}

function withoutCovered(ranges: readonly NameRange[]): readonly NameRange[] {
  const sorted = [...ranges].sort((left, right) => {
    if (left.prefix !== right.prefix) return left.prefix < right.prefix ? -1 : 1
    return Number(left.isExact) - Number(right.isExact)
  })
  const kept: NameRange[] = []
  for (const range of sorted) {
    const last = kept.at(-1)
    const isCovered =
      last !== undefined && (last.isExact ? last.prefix === range.prefix && range.isExact : range.prefix.startsWith(last.prefix))
    if (!isCovered) kept.push(range)
  }
  return kept
}
