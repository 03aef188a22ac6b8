import { readComparison, type Scalar } from './comparison.ts'
import { patternProblem } from './problem.ts'
import { wordsOf, WordReader } from './words.ts'

type Condition = (document: unknown) => boolean
type Step = string | number | typeof everyElement

/** Each of them looks at every element of a line, of which there may be a hundred thousand. */
const mostWildcards = 3

const everyElement = Symbol('*')

/** A pattern of JSON documents, without its braces. @throws `log-input-invalid` */
export function parseJsonPattern(text: string): (message: string) => boolean {
  const all = wordsOf(text)
  if (all.filter((word) => word.kind === 'selector' && word.text.includes('[*]')).length > mostWildcards) throw patternProblem(`at most ${mostWildcards} selectors may have [*]`)
  const words = new WordReader(all)
  const condition = readAlternatives(words)
  if (words.next !== undefined) throw patternProblem(`unexpected '${words.next.text}'`)
  return (message) => {
    const document = parsed(message)
    return document !== undefined && condition(document)
  }
}

function parsed(message: string): unknown {
  // Most lines of other programs are told by their first character.
  if (!/^\s*[[{]/u.test(message)) return undefined
  try {
    return JSON.parse(message) as unknown
  } catch {
    return undefined
  }
}

function readAlternatives(words: WordReader): Condition {
  const all = [readConjunction(words)]
  while (words.takes('||')) all.push(readConjunction(words))
  return (document) => all.some((condition) => condition(document))
}

function readConjunction(words: WordReader): Condition {
  const all = [readCondition(words)]
  while (words.takes('&&')) all.push(readCondition(words))
  return (document) => all.every((condition) => condition(document))
}

function readCondition(words: WordReader): Condition {
  if (words.takes('(')) {
    const inner = readAlternatives(words)
    if (!words.takes(')')) throw patternProblem("a ')' is missing")
    return inner
  }
  const { kind, text } = words.take()
  if (kind !== 'selector') throw patternProblem(`'${text}' stands where a selector such as $.name has to`)
  const steps = stepsOf(text)
  const keyword = words.next?.kind === 'bare' ? words.next.text.toUpperCase() : undefined
  if (keyword === 'NOT') {
    words.take()
    requireWord(words, 'EXISTS')
    return (document) => valuesAt(document, steps).length === 0
  }
  if (keyword === 'EXISTS') {
    words.take()
    return (document) => valuesAt(document, steps).length > 0
  }
  if (keyword === 'IS') {
    words.take()
    const wanted = constantOf(words.take().text)
    return (document) => valuesAt(document, steps).includes(wanted)
  }
  const compare = readComparison(words)
  // What is no value, or not there, is neither equal nor unequal.
  return (document) => valuesAt(document, steps).some((value) => isScalar(value) && compare(typeof value === 'boolean' ? String(value) : value))
}

function requireWord(words: WordReader, wanted: string): void {
  const { text } = words.take()
  if (text.toUpperCase() !== wanted) throw patternProblem(`'${text}' stands where ${wanted} has to`)
}

function constantOf(text: string): null | boolean {
  switch (text.toUpperCase()) {
    case 'NULL':
      return null
    case 'TRUE':
      return true
    case 'FALSE':
      return false
    default:
      throw patternProblem(`'${text}' stands where NULL, TRUE or FALSE has to`)
  }
}

function isScalar(value: unknown): value is Scalar | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

function stepsOf(selector: string): readonly Step[] {
  const steps: Step[] = []
  for (const [, index, quoted, doubleQuoted, name] of selector.matchAll(/\.?\[(?:(\d+|\*)|'([^']*)'|"([^"]*)")\]|\.([\w-]+)/gu)) {
    steps.push(index === undefined ? (quoted ?? doubleQuoted ?? name!) : index === '*' ? everyElement : Number(index))
  }
  if (steps.length === 0) throw patternProblem('a selector names a property, such as $.name')
  if (steps.filter((step) => step === everyElement).length > 1) throw patternProblem('a selector may have one [*]')
  return steps
}

/** What a selector stands for: nothing where there is no such thing, several with `[*]`. */
function valuesAt(document: unknown, steps: readonly Step[]): readonly unknown[] {
  let values: readonly unknown[] = [document]
  for (const step of steps) {
    values = values.flatMap((value): readonly unknown[] => {
      if (step === everyElement) return Array.isArray(value) ? value : []
      if (typeof step === 'number') return Array.isArray(value) && step < value.length ? [value[step]] : []
      if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, step)) return []
      return [(value as Readonly<Record<string, unknown>>)[step]]
    })
  }
  return values
}
