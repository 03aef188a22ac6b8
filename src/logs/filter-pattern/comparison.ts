import { patternProblem } from './problem.ts'
import type { WordReader } from './words.ts'

/** What a pattern compares: a text, or a number of a JSON document. */
export type Scalar = string | number

export type Comparison = (value: Scalar) => boolean

const operators = ['=', '!=', '<=', '>=', '<', '>'] as const
type Operator = (typeof operators)[number]

const numberForm = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/u

/**
 * Reads an operator and what values are compared with. A text with `*` at its beginning or its end stands for all that end or
 * begin so. @throws `log-input-invalid`
 */
export function readComparison(words: WordReader): Comparison {
  const { text, kind } = words.take()
  const operator = kind === 'mark' ? operators.find((each) => each === text) : undefined
  if (operator === undefined) throw patternProblem(`'${text}' stands where an operator has to`)
  const operand = words.take()
  if (operand.kind !== 'bare' && operand.kind !== 'quoted') throw patternProblem(`'${operand.text}' stands where a value has to`)
  if (operand.kind === 'bare' && numberForm.test(operand.text)) return comparisonWithNumber(operator, Number(operand.text), operand.text)
  if (operator !== '=' && operator !== '!=') throw patternProblem(`${operator} compares numbers`)
  const equals = equalityWith(operand.text)
  return (value) => equals(String(value)) === (operator === '=')
}

function comparisonWithNumber(operator: Operator, operand: number, text: string): Comparison {
  return (value) => {
    const number = typeof value === 'number' ? value : numberForm.test(value) ? Number(value) : undefined
    switch (operator) {
      case '=':
        return number === operand || value === text
      case '!=':
        return number !== operand && value !== text
      case '<':
        return number !== undefined && number < operand
      case '>':
        return number !== undefined && number > operand
      case '<=':
        return number !== undefined && number <= operand
      case '>=':
        return number !== undefined && number >= operand
    }
  }
}

function equalityWith(text: string): (value: string) => boolean {
  const isOpenBefore = text.startsWith('*')
  const isOpenBehind = text.length > 1 && text.endsWith('*')
  const middle = text.slice(isOpenBefore ? 1 : 0, isOpenBehind ? -1 : undefined)
  if (isOpenBefore && isOpenBehind) return (value) => value.includes(middle)
  if (isOpenBefore) return (value) => value.endsWith(middle)
  if (isOpenBehind) return (value) => value.startsWith(middle)
  return (value) => value === text
}
