import fc from 'fast-check'
import { expect, it } from 'vitest'
import { evaluateMath, idsIn, MathProblem, parseMath, type MathValue, type NamedSeries, type TimeSeries } from './metric-math.ts'

const series: Readonly<Record<string, TimeSeries>> = {
  m1: new Map([[0, 1], [60, 2], [120, 6]]),
  m2: new Map([[0, 2], [120, 0]]),
  errors: new Map([[60, -1.5]]),
}

function valueOf(text: string, room = 1000): MathValue {
  let left = room
  return evaluateMath(parseMath(text), {
    valueOf: (id) => series[id]!,
    metrics: () => Object.entries(series).map(([id, each]) => ({ id, series: each })),
    times: [0, 60, 120],
    periodSeconds: 60,
    spend(values) {
      left -= values
      return left >= 0
    },
  })
}

const shown = (value: MathValue): unknown => (value instanceof Map ? Object.fromEntries(value) : value)

it.each([
  ['1 + 2 * 3 ^ 2 - 8 / 4', 17],
  ['-2 ^ 2 + (1 - -3)', 0],
  ['2e3 * .5', undefined],
  ['m1 * 10', { 0: 10, 60: 20, 120: 60 }],
  ['10 - m2', { 0: 8, 120: 10 }],
  ['m1 / m2', { 0: 0.5 }],
  ['m1 / m1 * 100', { 0: 100, 60: 100, 120: 100 }],
  ['SUM(m1)', 9],
  ['m1 - AVG(m1)', { 0: -2, 60: -1, 120: 3 }],
  ['sum([m1, m2])', { 0: 3, 60: 2, 120: 6 }],
  ['MAX(METRICS("m"))', { 0: 2, 60: 2, 120: 6 }],
  ['MIN(METRICS())', { 0: 1, 60: -1.5, 120: 0 }],
  ['ABS(CEIL(errors))', { 60: 1 }],
  ['FILL(m2, 7)', { 0: 2, 60: 7, 120: 0 }],
  ['FILL(m2, 1 / 0)', { 0: 2, 120: 0 }],
  ['FILL(m2, AVG(m2 - FILL(m2, 1 / 0) / 0))', { 0: 2, 120: 0 }],
  ['FILL(errors, REPEAT)', { 60: -1.5, 120: -1.5 }],
  ['m1 / PERIOD(m1)', { 0: 1 / 60, 60: 1 / 30, 120: 0.1 }],
])('computes %s', (text, expected) => {
  if (expected === undefined) expect(() => valueOf(text)).toThrow(MathProblem)
  else expect(shown(valueOf(text))).toEqual(expected)
})

it('keeps lists apart', () => {
  expect((valueOf('METRICS() * 2') as readonly NamedSeries[]).map(({ id, series: each }) => [id, [...each.values()]])).toEqual([['m1', [2, 4, 12]], ['m2', [4, 0]], ['errors', [-3]]])
})

it.each(['', '1 +', 'm1 m2', 'SUM()', 'SUM(m1, m2)', 'RATE(m1)', 'm1 + "x"', 'METRICS(m1)', 'METRICS() + METRICS()', '[1]', 'FILL(m1, m2)', 'ABS(1)', 'm1 % 2', 'constructor(m1)', `${'('.repeat(60)}1${')'.repeat(60)}`])('refuses %j', (text) => {
  expect(() => valueOf(text)).toThrow(MathProblem)
})

it.each([
  ['m1 + m1 + m1', 12],
  ['m1 * METRICS()', 12],
  ['SUM(METRICS())', 12],
  ['FILL(METRICS(), 1)', 12],
  ['[METRICS(), METRICS(), METRICS()]', 18],
  ['[[METRICS(), METRICS()], [METRICS(), METRICS()]]', 36],
])('says of %s beforehand how much it looks at', (text, values) => {
  expect(() => valueOf(text, values)).not.toThrow()
  expect(() => valueOf(text, values - 1)).toThrow(MathProblem)
})

it('says no more than that something is wrong, whatever the text is', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('m', '1', '+', '-', '*', '^', '(', ')', '[', ']', ',', '"', 'SUM', 'FILL', ' ', '.'), maxLength: 60 }), (text) => {
      try {
        idsIn(parseMath(text))
      } catch (error) {
        expect(error).toBeInstanceOf(MathProblem)
      }
    }),
  )
})
