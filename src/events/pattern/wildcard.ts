import { findNeedle, needle, type Needle } from './text-search.ts'

/** A wildcard as it was written: `*` stands for any characters, `\*` and `\\` for themselves. */
export interface Wildcard {
  readonly first: string
  readonly middle: readonly Needle[]
  /** Undefined where it has no star: then `first` is all of it. */
  readonly last: string | undefined
}

/** Why a text is no wildcard, in EventBridge's words. */
export type WildcardProblem = 'Consecutive wildcard characters' | 'Invalid escape character'

export function parseWildcard(text: string): Wildcard | WildcardProblem {
  const parts: string[] = []
  let part = ''
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (character === '*') {
      if (text[at + 1] === '*') return 'Consecutive wildcard characters'
      parts.push(part)
      part = ''
    } else if (character === '\\') {
      const escaped = text[++at]
      if (escaped !== '*' && escaped !== '\\') return 'Invalid escape character'
      part += escaped
    } else {
      part += character
    }
  }
  const [first, ...rest] = [...parts, part] as unknown as [string, ...string[]]
  const last = rest.pop()
  return { first, middle: rest.map(needle), last }
}

/** In time linear in the text for each part between two stars: what comes first is as good as what comes later. */
export function matchesWildcard({ first, middle, last }: Wildcard, text: string): boolean {
  if (last === undefined) return text === first
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
  const inner = text.slice(first.length, text.length - last.length)
  let at = 0
  for (const part of middle) {
    const found = findNeedle(part, inner, at)
    if (found === -1) return false
    at = found + part.text.length
  }
  return true
}
