import { Pattern, patternTokens, type PatternToken } from './pattern.ts'

/**
 * A policy variable such as `${aws:username}` or `${aws:PrincipalTag/team, 'none'}`: a condition key whose value of the
 * request takes its place.
 */
export interface PolicyVariable {
  /** In lower case. */
  readonly key: string
  /** What stands for it where the request has no value. */
  readonly fallback: string | undefined
}

export interface TemplateOptions {
  /** Whether `${…}` is a variable: in the policy language of 2012-10-17. */
  readonly variables: boolean
  /** Whether `*` and `?` are wildcards. `${*}`, `${?}` and `${$}` are these characters themselves. */
  readonly wildcards: boolean
  /** For comparisons without case: texts and values become lower case. */
  readonly lowerCase?: boolean
}

/** The value of a variable in a request; undefined if it has none or several. */
export type VariableValue = (key: string) => string | undefined

type TemplatePiece = PatternToken | PolicyVariable

/** A text of a policy in which variables may stand. */
export class Template {
  readonly text: string
  readonly pieces: readonly TemplatePiece[]
  readonly #lowerCase: boolean
  readonly #fixed: Pattern | undefined

  /** @throws SyntaxError if a variable is not closed, or is not one */
  constructor(text: string, options: TemplateOptions) {
    this.text = text
    this.#lowerCase = options.lowerCase === true
    this.pieces = templatePieces(text, options)
    this.#fixed = this.variables().length === 0 ? new Pattern(this.tokens(() => undefined) ?? []) : undefined
  }

  variables(): readonly PolicyVariable[] {
    return this.pieces.filter(isVariable)
  }

  /**
   * The pattern with every variable replaced; undefined if one has no value. What a value holds stands for itself: its
   * `*` is no wildcard.
   */
  pattern(valueOf: VariableValue): Pattern | undefined {
    if (this.#fixed !== undefined) return this.#fixed
    const tokens = this.tokens(valueOf)
    return tokens === undefined ? undefined : new Pattern(tokens)
  }

  tokens(valueOf: VariableValue): readonly PatternToken[] | undefined {
    const tokens: PatternToken[] = []
    for (const piece of this.pieces) {
      const token = isVariable(piece) ? (valueOf(piece.key) ?? piece.fallback) : piece
      if (token === undefined) return undefined
      tokens.push(typeof token === 'string' && this.#lowerCase ? token.toLowerCase() : token)
    }
    return tokens
  }
}

export function isVariable(piece: TemplatePiece): piece is PolicyVariable {
  return typeof piece === 'object'
}

function templatePieces(text: string, options: TemplateOptions): readonly TemplatePiece[] {
  const read = (part: string): PatternToken[] => (options.wildcards ? patternTokens(part) : part === '' ? [] : [part])
  if (!options.variables) return read(text)
  const pieces: TemplatePiece[] = []
  let from = 0
  for (;;) {
    const start = text.indexOf('${', from)
    if (start === -1) return [...pieces, ...read(text.slice(from))]
    const end = text.indexOf('}', start)
    if (end === -1) throw new SyntaxError('A policy variable is not closed.')
    pieces.push(...read(text.slice(from, start)), variable(text.slice(start + 2, end)))
    from = end + 1
  }
}

function variable(inside: string): TemplatePiece {
  if (inside === '*' || inside === '?' || inside === '$') return inside
  const comma = inside.indexOf(',')
  const key = (comma === -1 ? inside : inside.slice(0, comma)).trim().toLowerCase()
  if (key === '' || key.includes('$') || key.includes('{')) throw new SyntaxError('A policy variable names no condition key.')
  return { key, fallback: comma === -1 ? undefined : fallbackOf(inside.slice(comma + 1).trim()) }
}

function fallbackOf(quotedText: string): string {
  const isQuoted = quotedText.length >= 2 && quotedText.startsWith("'") && quotedText.endsWith("'")
  if (!isQuoted) throw new SyntaxError('The default value of a policy variable stands in single quotes.')
  return quotedText.slice(1, -1)
}
