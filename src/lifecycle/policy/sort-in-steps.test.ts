import { expect, test } from 'vitest'
import { sortInSteps } from './sort-in-steps.ts'

const numbers = (count: number): Uint32Array => Uint32Array.from({ length: count }, (_, index) => index)

function sorted(rows: Uint32Array, compare: (a: number, b: number) => number): { rows: number[]; steps: number } {
  const copy = rows.slice()
  const steps = [...sortInSteps(copy, compare)].length
  return { rows: [...copy], steps }
}

test.each([0, 1, 2, 4095, 4096, 4097, 8192, 12_289, 50_000])('sorts %i rows as the engine does, equal ones in their order', (count) => {
  let state = count + 1
  const keys = Float64Array.from({ length: count }, () => (state = (state * 48271) % 2147483647) % 500)
  const compare = (a: number, b: number): number => keys[a]! - keys[b]!

  expect(sorted(numbers(count), compare).rows).toEqual([...numbers(count).sort(compare)])
})

test('compares what is in order hardly more often than it has rows', () => {
  let comparisons = 0
  const { rows } = sorted(numbers(100_000), (a, b) => {
    comparisons += 1
    return a - b
  })

  expect(rows).toEqual([...numbers(100_000)])
  expect(comparisons).toBeLessThan(110_000)
})

test('has many small steps', () => {
  const { steps } = sorted(numbers(100_000), (a, b) => b - a)

  expect(steps).toBeGreaterThan(100)
})
