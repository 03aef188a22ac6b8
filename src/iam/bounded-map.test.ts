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
