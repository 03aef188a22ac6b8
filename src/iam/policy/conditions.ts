import { isSuppliedKey } from './condition-keys.ts'
import { binaryOf, booleanOf, instantOf, numberOf } from './condition-values.ts'
import type { ContextReader, ContextValue } from './context.ts'
import { isInIpRange, parseIpAddress, parseIpRange } from './ip-address.ts'
import { anyCharacter, anyRun, Pattern, type PatternToken } from './pattern.ts'
import { Template, type TemplateOptions, type VariableValue } from './template.ts'

/** Whether one value of the request is what one value of the policy asks for. A variable without a value equals nothing. */
type ValueTest = (requestValue: string, valueOf: VariableValue) => boolean

interface CompiledValue {
  readonly test: ValueTest
  readonly template?: Template
}

interface Operator {
  /** Of a pair such as StringEquals and StringNotEquals the second: it holds where the first does not. */
  readonly negated: boolean
  /** @throws SyntaxError if the value is none of the operator's type */
  compile(policyValue: string, variables: boolean): CompiledValue
}

/** How several values of the request count: by default and for `ForAnyValue:` one is enough, for `ForAllValues:` it takes all. */
type Quantifier = 'none' | 'any' | 'all'

/** One key of one operator of a statement's Condition. */
export interface Condition {
  /** In lower case. */
  readonly key: string
  /** False if no request ever has the key. */
  readonly isKeySupplied: boolean
  /** Templates of its values that have variables. */
  readonly templates: readonly Template[]
  matches(context: ContextReader): boolean
}

/**
 * Compiles one line of a Condition element, as AWS documents its operators ("IAM JSON policy elements: Condition operators",
 * "Multivalued context keys").
 *
 * @throws SyntaxError if there is no such operator or a value is none of its type
 */
export function compileCondition(operatorName: string, key: string, policyValues: readonly string[], variables: boolean): Condition {
  const { operator, quantifier, ifExists } = readOperator(operatorName)
  const lowerCaseKey = key.toLowerCase()
  const isKeySupplied = isSuppliedKey(lowerCaseKey)
  if (operator === 'Null') return { key: lowerCaseKey, isKeySupplied, templates: [], matches: nullTest(lowerCaseKey, policyValues) }

  const values = policyValues.map((value) => operator.compile(value, variables))
  const tests = values.map(({ test }) => test)
  const templates = values.flatMap(({ template }) => (template === undefined || template.variables().length === 0 ? [] : [template]))
  const holds = (requestValue: string, valueOf: VariableValue): boolean =>
    tests.some((test) => test(requestValue, valueOf)) !== operator.negated
  const whenAbsent = ifExists || (quantifier === 'none' ? operator.negated : quantifier === 'all')
  return {
    key: lowerCaseKey,
    isKeySupplied,
    templates,
    matches(context) {
      const value = context.value(lowerCaseKey)
      if (value === undefined || (quantifier !== 'none' && value === '')) return whenAbsent
      if (typeof value === 'string') return holds(value, context.single)
      // A negated operator holds where its opposite does not: with several values, where it holds for none of them.
      const takesAll = quantifier === 'all' || (quantifier === 'none' && operator.negated)
      return takesAll
        ? value.every((each) => holds(each, context.single))
        : value.some((each) => holds(each, context.single))
    },
  }
}

function nullTest(lowerCaseKey: string, policyValues: readonly string[]): (context: ContextReader) => boolean {
  const wantsAbsent = policyValues.map((value) => {
    const absent = booleanOf(value)
    if (absent === undefined) throw new SyntaxError('Null compares with true or false.')
    return absent
  })
  return (context) => wantsAbsent.includes(isAbsent(context.value(lowerCaseKey)))
}

function isAbsent(value: ContextValue | undefined): boolean {
  return value === undefined
}

function readOperator(name: string): { operator: Operator | 'Null'; quantifier: Quantifier; ifExists: boolean } {
  const quantifier = name.startsWith('ForAnyValue:') ? 'any' : name.startsWith('ForAllValues:') ? 'all' : 'none'
  const unqualified = quantifier === 'none' ? name : name.slice(name.indexOf(':') + 1)
  const ifExists = unqualified.endsWith('IfExists')
  const base = ifExists ? unqualified.slice(0, -'IfExists'.length) : unqualified
  const operator = base === 'Null' && !ifExists ? 'Null' : operators.get(base)
  if (operator === undefined) throw new SyntaxError(`There is no condition operator ${name}.`)
  return { operator, quantifier, ifExists }
}

function text(options: Omit<TemplateOptions, 'variables'>): Operator['compile'] {
  return (policyValue, variables) => {
    const template = new Template(policyValue, { ...options, variables })
    const lowerCase = options.lowerCase === true
    return {
      template,
      test: (requestValue, valueOf) =>
        template.pattern(valueOf)?.matches(lowerCase ? requestValue.toLowerCase() : requestValue) === true,
    }
  }
}

function number(compare: (left: number, right: number) => boolean): Operator['compile'] {
  return typed(numberOf, 'a number', compare)
}

function date(compare: (left: number, right: number) => boolean): Operator['compile'] {
  return typed(instantOf, 'a time', compare)
}

function typed<Value>(
  parse: (text: string) => Value | undefined,
  what: string,
  compare: (requestValue: Value, policyValue: Value) => boolean,
): Operator['compile'] {
  return (policyText) => {
    const policyValue = parse(policyText)
    if (policyValue === undefined) throw new SyntaxError(`A value of a condition is not ${what}.`)
    return {
      test: (requestText) => {
        const requestValue = parse(requestText)
        return requestValue !== undefined && compare(requestValue, policyValue)
      },
    }
  }
}

function ipRange(policyValue: string): CompiledValue {
  const range = parseIpRange(policyValue)
  if (range === undefined) throw new SyntaxError('A value of a condition is not an IP address or range.')
  return {
    test: (requestValue) => {
      const address = parseIpAddress(requestValue)
      return address !== undefined && isInIpRange(address, range)
    },
  }
}

/** ArnEquals and ArnLike are the same: each of the six parts of an ARN is compared by itself, and may have wildcards. */
function arn(policyValue: string, variables: boolean): CompiledValue {
  const template = new Template(policyValue, { variables, wildcards: true })
  const fixed = template.variables().length === 0 ? arnPatterns(template.tokens(() => undefined) ?? []) : undefined
  if (template.variables().length === 0 && fixed === undefined) throw new SyntaxError('A value of a condition is not an ARN.')
  return {
    template,
    test: (requestValue, valueOf) => {
      const patterns = fixed ?? arnPatterns(template.tokens(valueOf) ?? [])
      const parts = arnParts(requestValue)
      return patterns !== undefined && parts !== undefined && patterns.every((pattern, index) => pattern.matches(parts[index]!))
    },
  }
}

const arnPartCount = 6

/** The patterns of an ARN's parts; `*` alone stands for all of them. Undefined if there are fewer parts. */
function arnPatterns(tokens: readonly PatternToken[]): readonly Pattern[] | undefined {
  if (tokens.length > 0 && tokens.every((token) => token === anyRun)) return []
  const parts: PatternToken[][] = [[]]
  for (const token of tokens) {
    if (token === anyRun || token === anyCharacter) {
      parts.at(-1)!.push(token)
      continue
    }
    let from = 0
    while (parts.length < arnPartCount) {
      const colon = token.indexOf(':', from)
      if (colon === -1) break
      parts.at(-1)!.push(token.slice(from, colon))
      parts.push([])
      from = colon + 1
    }
    parts.at(-1)!.push(token.slice(from))
  }
  return parts.length === arnPartCount ? parts.map((part) => new Pattern(part)) : undefined
}

function arnParts(text: string): readonly string[] | undefined {
  const parts = text.split(':')
  return parts.length < arnPartCount ? undefined : [...parts.slice(0, arnPartCount - 1), parts.slice(arnPartCount - 1).join(':')]
}

const equals = <Value>(left: Value, right: Value): boolean => left === right

const operators: ReadonlyMap<string, Operator> = new Map<string, Operator>([
  ['StringEquals', { negated: false, compile: text({ wildcards: false }) }],
  ['StringNotEquals', { negated: true, compile: text({ wildcards: false }) }],
  ['StringEqualsIgnoreCase', { negated: false, compile: text({ wildcards: false, lowerCase: true }) }],
  ['StringNotEqualsIgnoreCase', { negated: true, compile: text({ wildcards: false, lowerCase: true }) }],
  ['StringLike', { negated: false, compile: text({ wildcards: true }) }],
  ['StringNotLike', { negated: true, compile: text({ wildcards: true }) }],
  ['NumericEquals', { negated: false, compile: number(equals) }],
  ['NumericNotEquals', { negated: true, compile: number(equals) }],
  ['NumericLessThan', { negated: false, compile: number((left, right) => left < right) }],
  ['NumericLessThanEquals', { negated: false, compile: number((left, right) => left <= right) }],
  ['NumericGreaterThan', { negated: false, compile: number((left, right) => left > right) }],
  ['NumericGreaterThanEquals', { negated: false, compile: number((left, right) => left >= right) }],
  ['DateEquals', { negated: false, compile: date(equals) }],
  ['DateNotEquals', { negated: true, compile: date(equals) }],
  ['DateLessThan', { negated: false, compile: date((left, right) => left < right) }],
  ['DateLessThanEquals', { negated: false, compile: date((left, right) => left <= right) }],
  ['DateGreaterThan', { negated: false, compile: date((left, right) => left > right) }],
  ['DateGreaterThanEquals', { negated: false, compile: date((left, right) => left >= right) }],
  ['Bool', { negated: false, compile: typed(booleanOf, 'true or false', equals) }],
  ['BinaryEquals', { negated: false, compile: typed(binaryOf, 'Base64', equals) }],
  ['IpAddress', { negated: false, compile: ipRange }],
  ['NotIpAddress', { negated: true, compile: ipRange }],
  ['ArnEquals', { negated: false, compile: arn }],
  ['ArnLike', { negated: false, compile: arn }],
  ['ArnNotEquals', { negated: true, compile: arn }],
  ['ArnNotLike', { negated: true, compile: arn }],
])
