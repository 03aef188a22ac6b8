/*
 * Expressions over metrics, as far as CloudWatch's metric math is arithmetic:
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
 */

/** Values by the beginnings of their periods, in milliseconds. */
export type TimeSeries = ReadonlyMap<number, number>

/** A series with what graphs call it. */
export interface NamedSeries {
  readonly id: string
  readonly series: TimeSeries
}

export type MathValue = number | TimeSeries | readonly NamedSeries[]

/** What an expression may ask for. */
export interface MathScope {
  /** A query by its id. @throws MathProblem where there is none */
  valueOf(id: string): MathValue
  /** All metrics, those without an expression. */
  metrics(): readonly NamedSeries[]
  /** The beginnings of all periods of the request. */
  readonly times: readonly number[]
  readonly periodSeconds: number
  /** Hears how many values are about to be looked at; false: that is too many. */
  spend(values: number): boolean
}

/** What is wrong with an expression. */
export class MathProblem extends Error {}

type Token = { readonly kind: 'number'; readonly value: number } | { readonly kind: 'name' | 'text' | 'sign'; readonly text: string }

type Node =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'list'; readonly items: readonly Node[] }
  | { readonly kind: 'operation'; readonly sign: string; readonly left: Node; readonly right: Node }
  | { readonly kind: 'call'; readonly name: string; readonly inputs: readonly Node[] }

export type MathExpression = Node

/** An expression has 2,048 characters at most; none that means something is as deep as this. */
const deepest = 50

const binding: Readonly<Record<string, number>> = { '+': 1, '-': 1, '*': 2, '/': 2, '^': 3 }

/** @throws MathProblem */
export function parseMath(text: string): MathExpression {
  const tokens = tokensOf(text)
  let at = 0
  const isSign = (sign: string): boolean => {
    const token = tokens[at]
    return token?.kind === 'sign' && token.text === sign
  }
  const take = (sign: string): void => {
    if (!isSign(sign)) throw new MathProblem(`"${sign}" is missing`)
    at += 1
  }
  const several = (end: string, depth: number): Node[] => {
    const items: Node[] = []
    while (!isSign(end)) {
      if (items.length > 0) take(',')
      items.push(sum(0, depth))
    }
    take(end)
    return items
  }
  const part = (depth: number): Node => {
    if (depth > deepest) throw new MathProblem('it is nested too deep')
    const token = tokens[at]
    at += 1
    switch (token?.kind) {
      case 'number':
      case 'text':
        return token as Node
      case 'name':
        if (!isSign('(')) return { kind: 'id', id: token.text }
        take('(')
        return { kind: 'call', name: token.text.toUpperCase(), inputs: several(')', depth + 1) }
      case 'sign':
        if (token.text === '-') return { kind: 'operation', sign: '-', left: { kind: 'number', value: 0 }, right: sum(2, depth + 1) }
        if (token.text === '[') return { kind: 'list', items: several(']', depth + 1) }
        if (token.text === '(') {
          const inner = sum(0, depth + 1)
          take(')')
          return inner
        }
        throw new MathProblem(`"${token.text}" is not expected`)
      case undefined:
        throw new MathProblem('it ends too soon')
    }
  }
  const sum = (least: number, depth: number): Node => {
    let left = part(depth)
    for (;;) {
      const token = tokens[at]
      const strength = token?.kind === 'sign' ? binding[token.text] : undefined
      if (token?.kind !== 'sign' || strength === undefined || strength <= least) return left
      at += 1
      left = { kind: 'operation', sign: token.text, left, right: sum(strength, depth + 1) }
    }
  }
  const whole = sum(0, 0)
  if (at < tokens.length) throw new MathProblem('it goes on behind its end')
  return whole
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  const pattern = /\s*(?:(\d{1,300}(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?)|([A-Za-z]\w{0,254})|"([^"\\]{0,255})"|'([^'\\]{0,255})'|([-+*/^()[\],]))/uy
  while (text.slice(pattern.lastIndex).trim() !== '') {
    const begin = pattern.lastIndex
    const match = pattern.exec(text)
    if (match === null) throw new MathProblem(`"${text.slice(begin).trim().slice(0, 20)}" is not understood`)
    const [, number, name, doubleQuoted, quoted, sign] = match
    if (number !== undefined) tokens.push({ kind: 'number', value: Number(number) })
    else if (name !== undefined) tokens.push({ kind: 'name', text: name })
    else if (sign !== undefined) tokens.push({ kind: 'sign', text: sign })
    else tokens.push({ kind: 'text', text: doubleQuoted ?? quoted ?? '' })
  }
  return tokens
}

/** The ids of the queries that an expression names. */
export function idsIn(node: MathExpression): string[] {
  switch (node.kind) {
    case 'number':
    case 'text':
      return []
    case 'id':
      return node.id === repeat ? [] : [node.id]
    case 'list':
      return node.items.flatMap(idsIn)
    case 'operation':
      return [...idsIn(node.left), ...idsIn(node.right)]
    case 'call':
      return node.inputs.flatMap(idsIn)
  }
}

/** True where it asks for all metrics, whichever there are. */
export function asksForMetrics(node: MathExpression): boolean {
  switch (node.kind) {
    case 'number':
    case 'text':
    case 'id':
      return false
    case 'list':
      return node.items.some(asksForMetrics)
    case 'operation':
      return asksForMetrics(node.left) || asksForMetrics(node.right)
    case 'call':
      return node.name === 'METRICS' || node.inputs.some(asksForMetrics)
  }
}

/** As the value of FILL. */
const repeat = 'REPEAT'

/** @throws MathProblem */
export function evaluateMath(node: MathExpression, scope: MathScope): MathValue {
  switch (node.kind) {
    case 'number':
      return node.value
    case 'text':
      throw new MathProblem('a text is no value')
    case 'id':
      return scope.valueOf(node.id)
    case 'list':
      return node.items.flatMap((item) => {
        const value = evaluateMath(item, scope)
        if (typeof value === 'number') throw new MathProblem('a list has metrics, and no numbers')
        // Lists of lists of lists grow without a value in them.
        spend(scope, isSeries(value) ? 1 : value.length)
        return isSeries(value) ? [{ id: item.kind === 'id' ? item.id : '', series: value }] : value
      })
    case 'operation': {
      const left = evaluateMath(node.left, scope)
      const right = evaluateMath(node.right, scope)
      // One metric with each of a list.
      spend(scope, isSeries(left) && Array.isArray(right) ? left.size * right.length : valuesIn(left) + valuesIn(right))
      return combine(node.sign, left, right)
    }
    case 'call':
      return call(node.name, node.inputs, scope)
  }
}

function call(name: string, inputs: readonly Node[], scope: MathScope): MathValue {
  const [first, second, ...more] = inputs
  if (name === 'METRICS') {
    if (second !== undefined || (first !== undefined && first.kind !== 'text')) throw new MathProblem('METRICS takes one text or nothing')
    const all = scope.metrics()
    spend(scope, all.length)
    return all.filter(({ id }) => first === undefined || (first.kind === 'text' && id.includes(first.text)))
  }
  if (first === undefined || more.length > 0 || (second !== undefined) !== (name === 'FILL')) {
    throw new MathProblem(`${name} ${Object.hasOwn(eachValue, name) || Object.hasOwn(aggregates, name) || name === 'FILL' || name === 'PERIOD' ? 'takes another number of values' : 'is not supported'}`)
  }
  const value = evaluateMath(first, scope)
  spend(scope, name === 'FILL' ? scope.times.length * (Array.isArray(value) ? value.length : 1) : valuesIn(value))
  const one = eachValue[name]
  if (one !== undefined) return eachOf(value, (series) => mapped(series, one))
  const aggregate = aggregates[name]
  if (aggregate !== undefined) {
    if (typeof value === 'number') return value
    return isSeries(value) ? aggregate([...value.values()]) : across(value, aggregate)
  }
  if (name === 'PERIOD') return scope.periodSeconds
  if (name === 'FILL' && second !== undefined) {
    if (second.kind === 'id' && second.id === repeat) return eachOf(value, (series) => filled(series, scope.times, undefined))
    const fill = evaluateMath(second, scope)
    if (typeof fill !== 'number') throw new MathProblem('FILL takes a number or REPEAT')
    return eachOf(value, (series) => filled(series, scope.times, fill))
  }
  throw new MathProblem(`${name} is not supported`)
}

const eachValue: Readonly<Record<string, (value: number) => number>> = { ABS: Math.abs, CEIL: Math.ceil, FLOOR: Math.floor }

/** Of no values nothing that a series keeps. */
const aggregates: Readonly<Record<string, (values: readonly number[]) => number>> = {
  SUM: (values) => values.reduce((sum, value) => sum + value, 0),
  AVG: (values) => values.reduce((sum, value) => sum + value, 0) / values.length,
  MIN: (values) => values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY),
  MAX: (values) => values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY),
}

function spend(scope: MathScope, values: number): void {
  if (!scope.spend(values)) throw new MathProblem('the request computes with too many values: ask for fewer metrics, a longer Period or a shorter time')
}

function valuesIn(value: MathValue): number {
  if (typeof value === 'number') return 1
  return isSeries(value) ? value.size : value.reduce((sum, { series }) => sum + series.size, value.length)
}

function isSeries(value: MathValue): value is TimeSeries {
  return value instanceof Map
}

function eachOf(value: MathValue, change: (series: TimeSeries) => TimeSeries): MathValue {
  if (typeof value === 'number') throw new MathProblem('a metric is expected, and not a number')
  return isSeries(value) ? change(value) : value.map(({ id, series }) => ({ id, series: change(series) }))
}

function mapped(series: TimeSeries, change: (value: number) => number): TimeSeries {
  return new Map([...series].map(([at, value]) => [at, change(value)]))
}

/** At each time that some of them have. */
function across(all: readonly NamedSeries[], aggregate: (values: readonly number[]) => number): TimeSeries {
  const values = new Map<number, number[]>()
  for (const { series } of all) {
    for (const [at, value] of series) {
      const there = values.get(at)
      if (there === undefined) values.set(at, [value])
      else there.push(value)
    }
  }
  return new Map([...values].map(([at, list]) => [at, aggregate(list)]))
}

function filled(series: TimeSeries, times: readonly number[], fill: number | undefined): TimeSeries {
  const whole = new Map<number, number>()
  let last = fill
  for (const at of times) {
    const value = series.get(at) ?? last
    if (fill === undefined) last = value
    // The average of no values, or what was divided by zero, fills nothing.
    if (value !== undefined) setFinite(whole, at, value)
  }
  return whole
}

/** At the times that both have; what is no number, as beyond a division by zero, is left out. */
function combine(sign: string, left: MathValue, right: MathValue): MathValue {
  if (typeof left === 'number' && typeof right === 'number') return applied(sign, left, right)
  if (typeof left === 'number') return eachOf(right, (series) => finite(mapped(series, (value) => applied(sign, left, value))))
  if (typeof right === 'number') return eachOf(left, (series) => finite(mapped(series, (value) => applied(sign, value, right))))
  if (!isSeries(left)) return left.map(({ id, series }) => ({ id, series: combineSeries(sign, series, right) }))
  if (!isSeries(right)) return right.map(({ id, series }) => ({ id, series: combineSeries(sign, left, series) }))
  return combineSeries(sign, left, right)
}

function combineSeries(sign: string, left: TimeSeries, right: MathValue): TimeSeries {
  if (typeof right === 'number' || !isSeries(right)) throw new MathProblem('two lists of metrics cannot be combined')
  const combined = new Map<number, number>()
  for (const [at, value] of left) {
    const other = right.get(at)
    if (other !== undefined) setFinite(combined, at, applied(sign, value, other))
  }
  return combined
}

function finite(series: TimeSeries): TimeSeries {
  const kept = new Map<number, number>()
  for (const [at, value] of series) setFinite(kept, at, value)
  return kept
}

function setFinite(series: Map<number, number>, at: number, value: number): void {
  if (Number.isFinite(value)) series.set(at, value)
}

function applied(sign: string, left: number, right: number): number {
  switch (sign) {
    case '+':
      return left + right
    case '-':
      return left - right
    case '*':
      return left * right
    case '/':
      return left / right
    default:
      return left ** right
  }
}
