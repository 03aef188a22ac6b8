import { readComparison, type Comparison } from './comparison.ts'
import { patternProblem } from './problem.ts'
import { wordsOf, WordReader } from './words.ts'

type FieldCondition = (field: string) => boolean

const any: FieldCondition = () => true

/** A pattern of fields with spaces between them, without its brackets. @throws `log-input-invalid` */
export function parseFieldPattern(text: string): (message: string) => boolean {
  const words = new WordReader(wordsOf(text))
  const before: FieldCondition[] = []
  /** Behind the ellipsis. */
  let behind: FieldCondition[] | undefined
  do {
    if (words.takes('...')) {
      if (behind !== undefined) throw patternProblem('there may be one ...')
      behind = []
    } else {
      const fields = behind ?? before
      fields.push(readField(words))
    }
  } while (words.takes(','))
  if (words.next !== undefined) throw patternProblem(`unexpected '${words.next.text}'`)
  const most = before.length + (behind?.length ?? 0)
  return (message) => {
    const fields = fieldsOf(message)
    if (behind === undefined ? fields.length !== most : fields.length < most) return false
    return before.every((condition, index) => condition(fields[index]!)) && (behind ?? []).every((condition, index) => condition(fields[fields.length - behind!.length + index]!))
  }
}

/** A name, with conditions or without; nothing stands for any field. */
function readField(words: WordReader): FieldCondition {
  const name = words.next?.kind === 'bare' || words.next?.kind === 'selector' ? words.take().text : undefined
  if (words.next === undefined || words.next.text === ',') return any
  return readAlternatives(words, name)
}

function readAlternatives(words: WordReader, name: string | undefined): FieldCondition {
  const all = [readConjunction(words, name)]
  while (words.takes('||')) {
    skipName(words, name)
    all.push(readConjunction(words, name))
  }
  return (field) => all.some((condition) => condition(field))
}

function readConjunction(words: WordReader, name: string | undefined): FieldCondition {
  const all: Comparison[] = [readComparison(words)]
  while (words.takes('&&')) {
    skipName(words, name)
    all.push(readComparison(words))
  }
  return (field) => all.every((comparison) => comparison(field))
}

function skipName(words: WordReader, name: string | undefined): void {
  if (name !== undefined && words.takes(name)) return
  if (words.next?.kind !== 'mark') throw patternProblem('the conditions of a field are about that field')
}

/** What is between brackets or quotation marks is one field. In time linear in the message, whatever it has of them. */
function fieldsOf(message: string): string[] {
  const fields: string[] = []
  const isEnded = { ']': false, '"': false }
  const endOf = (mark: ']' | '"', from: number): number => {
    const end = isEnded[mark] ? -1 : message.indexOf(mark, from)
    // What is not there is not looked for again.
    if (end === -1) isEnded[mark] = true
    return end
  }
  const gap = /\s*/uy
  const word = /\S+/uy
  for (let at = 0; ; ) {
    gap.lastIndex = at
    at += gap.exec(message)![0].length
    if (at >= message.length) return fields
    const first = message[at]
    const end = first === '[' ? endOf(']', at + 1) : first === '"' ? endOf('"', at + 1) : -1
    word.lastIndex = at
    const field = end === -1 ? word.exec(message)![0] : message.slice(at + 1, end)
    fields.push(field)
    at = end === -1 ? at + field.length : end + 1
  }
}
