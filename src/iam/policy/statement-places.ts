import { isBeforeColon, stringEnd } from '../../values/json-structure.ts'

/** Both from 1 on. */
export interface TextPosition {
  readonly line: number
  readonly column: number
}

export interface StatementPlace {
  readonly start: TextPosition
  readonly end: TextPosition
}

/**
 * Where each statement of a policy stands in its text, which has passed the grammar: from right behind what precedes it, white
 * space and commas included, to right behind its brace. That is how IAM's policy simulator tells it.
 */
export function statementPlaces(document: string): StatementPlace[] {
  const places: StatementPlace[] = []
  const positionOf = positionsIn(document)
  /** Of what is open the member that is being read; of an array nothing. */
  const open: { readonly kind: '{' | '['; member: string | undefined }[] = []
  const isAtStatement = (): boolean => open[0]?.member === 'Statement' && (open.length === 1 || (open.length === 2 && open[1]?.kind === '['))
  let start = 0
  let at = 0
  while (at < document.length) {
    const character = document[at]
    if (character === '"') {
      const end = stringEnd(document, at)
      const innermost = open.at(-1)
      if (innermost !== undefined && isBeforeColon(document, end)) innermost.member = JSON.parse(document.slice(at, end)) as string
      at = end
      continue
    }
    at += 1
    if (character === '{' || character === '[') {
      if (character === '[' && open.length === 1 && isAtStatement()) start = at
      open.push({ kind: character, member: undefined })
    } else if (character === '}' || character === ']') {
      const closed = open.pop()
      if (closed?.kind === '{' && isAtStatement()) {
        places.push({ start: positionOf(start), end: positionOf(at) })
        start = at
      }
    } else if (character === ':' && open.length === 1 && isAtStatement()) {
      start = at
    }
  }
  return places
}

/** Of places that grow. */
function positionsIn(text: string): (at: number) => TextPosition {
  let line = 1
  let lineStart = 0
  return (at) => {
    for (let next = text.indexOf('\n', lineStart); next !== -1 && next < at; next = text.indexOf('\n', lineStart)) {
      line += 1
      lineStart = next + 1
    }
    return { line, column: at - lineStart + 1 }
  }
}
