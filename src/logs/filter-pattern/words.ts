import { patternProblem } from './problem.ts'

/** A piece of a pattern. `text` of a quoted one is what it stands for. */
export interface Word {
  readonly kind: 'mark' | 'bare' | 'quoted' | 'selector'
  readonly text: string
}

const forms = [
  ['space', /\s+/uy],
  ['mark', /&&|\|\||!=|<=|>=|\.\.\.|[()=<>,]/uy],
  ['quoted', /"(?:[^"\\]|\\.)*"/suy],
  ['selector', /\$(?:\.?\[(?:\d{1,9}|\*|'[^']*'|"[^"]*")\]|\.[\w-]+)*/uy],
  ['bare', /[^\s()&|{}"=!<>,[\]%$]+/uy],
] as const

/** The words between the brackets of a pattern of JSON or of fields. @throws `log-input-invalid` */
export function wordsOf(text: string): Word[] {
  const words: Word[] = []
  let at = 0
  while (at < text.length) {
    const found = forms.flatMap(([kind, form]) => {
      form.lastIndex = at
      const match = form.exec(text)
      return match === null ? [] : [{ kind, text: match[0] }]
    })[0]
    if (found === undefined) {
      if (text[at] === '%') throw patternProblem('regular expressions are not served')
      throw patternProblem(`unexpected '${text[at]}' at ${at + 1}`)
    }
    at += found.text.length
    if (found.kind === 'space') continue
    words.push({ kind: found.kind, text: found.kind === 'quoted' ? unquoted(found.text) : found.text })
  }
  return words
}

/** What a text in quotation marks stands for. */
export function unquoted(text: string): string {
  return text.slice(1, -1).replaceAll(/\\(.)/gsu, '$1')
}

/** Reads words from first to last. */
export class WordReader {
  readonly #words: readonly Word[]
  #at = 0

  constructor(words: readonly Word[]) {
    this.#words = words
  }

  get next(): Word | undefined {
    return this.#words[this.#at]
  }

  /** @throws `log-input-invalid` at the end */
  take(): Word {
    const word = this.next
    if (word === undefined) throw patternProblem('it ends too soon')
    this.#at += 1
    return word
  }

  /** Takes the next word where it is this one. */
  takes(text: string): boolean {
    const isThere = this.next?.text === text && this.next.kind !== 'quoted'
    if (isThere) this.#at += 1
    return isThere
  }
}
