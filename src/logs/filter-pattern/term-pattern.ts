import { patternProblem } from './problem.ts'
import { unquoted } from './words.ts'

/** `?` before a term: one of these has to be there; `-`: it must not be there. */
const form = /\s*(?:(\?|-\s*(?="))|(-))?(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))\s*/suy

/** A pattern of words and phrases. @throws `log-input-invalid` */
export function parseTermPattern(text: string): (message: string) => boolean {
  const needed: string[] = []
  const optional: string[] = []
  const excluded: string[] = []
  form.lastIndex = 0
  while (form.lastIndex < text.length) {
    const at = form.lastIndex
    const match = form.exec(text)
    if (match === null) throw patternProblem(`unexpected '${text.slice(at, at + 20)}'`)
    const [, mark, minus, quoted, bare] = match
    if (bare !== undefined) requireWord(bare)
    const term = bare ?? unquoted(`"${quoted}"`)
    if (term === '') throw patternProblem('a phrase is empty')
    const place = mark === '?' ? optional : mark !== undefined || minus !== undefined ? excluded : needed
    place.push(term)
  }
  // As CloudWatch has it, optional terms count for nothing beside others.
  const isChoice = needed.length === 0 && excluded.length === 0
  return (message) => {
    if (isChoice) return optional.some((term) => message.includes(term))
    return needed.every((term) => message.includes(term)) && !excluded.some((term) => message.includes(term))
  }
}

function requireWord(term: string): void {
  if (term.startsWith('%')) throw patternProblem('regular expressions are not served')
  if (!/^[\p{L}\p{N}_]+$/u.test(term)) throw patternProblem(`Invalid character(s) in term '${term.slice(0, 100)}': write it within quotation marks`)
}
