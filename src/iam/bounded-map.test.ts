import v8 from 'node:v8'
import vm from 'node:vm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BoundedMap } from './bounded-map.ts'

test('a bounded map holds exactly the entries set last', () => {
  const step = fc.oneof(
    { weight: 20, arbitrary: fc.record({ kind: fc.constant('set' as const), key: fc.nat(12).map(String) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('delete' as const), key: fc.nat(12).map(String) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), key: fc.constant('') }) },
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 400 }), (maxEntries, steps) => {
      const map = new BoundedMap<number>(maxEntries)
      let model: { key: string; value: number }[] = []
      for (const [value, { kind, key }] of steps.entries()) {
        if (kind === 'clear') map.clear()
        else if (kind === 'delete') map.delete(key)
        else map.set(key, value)
        model = kind === 'clear' ? [] : model.filter((entry) => entry.key !== key)
        if (kind === 'set') model = [...model, { key, value }].slice(-maxEntries)
        expect(map.size).toBe(model.length)
        for (let name = 0; name <= 12; name++) {
          expect(map.get(String(name))).toBe(model.find((entry) => entry.key === String(name))?.value)
        }
      }
    }),
    { numRuns: 200 },
  )
})

test('a bounded map holds on to nothing but its entries, however often one is set', () => {
  const map = new BoundedMap<number>(1000)
  const before = heldBytes()
  for (let n = 0; n < 500_000; n += 1) map.set(`token ${n % 3}`, n)

  expect(map.size).toBe(3)
  // Three entries take next to nothing. Every table that a map has had in its time would take 40 MiB.
  expect(heldBytes() - before).toBeLessThan(4 * 1024 * 1024)
})

/** What is left when all garbage is collected. */
function heldBytes(): number {
  v8.setFlagsFromString('--expose-gc')
  const collect = vm.runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}
