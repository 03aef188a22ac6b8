/** In a pattern: exactly one character. */
export const anyCharacter = Symbol('?')

/** In a pattern: any run of characters, the empty one included. */
export const anyRun = Symbol('*')

/** A pattern, read: fixed texts and wildcards. A `*` that stands for itself is part of a fixed text. */
export type PatternToken = string | typeof anyCharacter | typeof anyRun

/** Reads `*` and `?` as wildcards. */
export function patternTokens(text: string): PatternToken[] {
  const tokens: PatternToken[] = []
  let fixedFrom = 0
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character !== '*' && character !== '?') continue
    if (at > fixedFrom) tokens.push(text.slice(fixedFrom, at))
    tokens.push(character === '*' ? anyRun : anyCharacter)
    fixedFrom = at + 1
  }
  if (fixedFrom < text.length) tokens.push(text.slice(fixedFrom))
  return tokens
}

export function hasWildcard(text: string): boolean {
  return text.includes('*') || text.includes('?')
}

/**
 * A text with wildcards, ready to be compared. Each stretch between two `*` is looked for once, from left to right:
 * nothing is tried again, so the time is bounded by the text's length times the pattern's.
 */
export class Pattern {
  /** What is between the `*`: one stretch more than there are. */
  readonly #stretches: readonly Stretch[]
  readonly #minLength: number
  /** A pattern without wildcards is this text. */
  readonly #exact: string | undefined
  /** A pattern that is a text and a `*` is this text. */
  readonly #prefix: string | undefined

  constructor(tokens: readonly PatternToken[]) {
    this.#stretches = stretchesOf(tokens)
    this.#minLength = this.#stretches.reduce((sum, { length }) => sum + length, 0)
    const [first, last] = [this.#stretches[0], this.#stretches.at(-1)]
    this.#exact = this.#stretches.length === 1 ? first?.fixed : undefined
    this.#prefix = this.#stretches.length === 2 && last?.length === 0 ? first?.fixed : undefined
  }

  matches(text: string): boolean {
    if (this.#exact !== undefined) return text === this.#exact
    if (this.#prefix !== undefined) return text.startsWith(this.#prefix)
    const stretches = this.#stretches
    const first = stretches[0]!
    const last = stretches[stretches.length - 1]!
    if (text.length < this.#minLength || !first.isAt(text, 0)) return false
    if (first === last) return text.length === first.length
    const end = text.length - last.length
    if (!last.isAt(text, end)) return false
    let at = first.length
    for (let index = 1; index < stretches.length - 1; index++) {
      const stretch = stretches[index]!
      const found = stretch.find(text, at, end)
      if (found === -1) return false
      at = found + stretch.length
    }
    return true
  }
}

/** A run of fixed characters and `?`. */
class Stretch {
  readonly length: number
  /** The text itself where there is no `?`. */
  readonly fixed: string | undefined
  readonly #tokens: readonly (string | typeof anyCharacter)[]

  constructor(tokens: readonly (string | typeof anyCharacter)[]) {
    this.#tokens = tokens
    this.length = tokens.reduce((sum, token) => sum + (typeof token === 'string' ? token.length : 1), 0)
    this.fixed = tokens.every((token) => typeof token === 'string') ? tokens.join('') : undefined
  }

  isAt(text: string, start: number): boolean {
    if (this.fixed !== undefined) return text.startsWith(this.fixed, start)
    let at = start
    for (const token of this.#tokens) {
      if (typeof token === 'string') {
        if (!text.startsWith(token, at)) return false
        at += token.length
      } else {
        at++
      }
    }
    return at <= text.length
  }

  /** Where it first stands in `text` between `from` and `end`; -1 if nowhere. */
  find(text: string, from: number, end: number): number {
    const lastStart = end - this.length
    if (this.fixed !== undefined) {
      const found = text.indexOf(this.fixed, from)
      return found <= lastStart ? found : -1
    }
    for (let at = from; at <= lastStart; at++) {
      if (this.isAt(text, at)) return at
    }
    return -1
  }
}

function stretchesOf(tokens: readonly PatternToken[]): readonly Stretch[] {
  const stretches: Stretch[] = []
  let open: (string | typeof anyCharacter)[] = []
  for (const token of tokens) {
    if (token === anyRun) {
      stretches.push(new Stretch(open))
      open = []
    } else {
      open.push(token)
    }
  }
  stretches.push(new Stretch(open))
  return stretches
}
