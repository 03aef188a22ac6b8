import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maxRangeCount, selectRanges } from './byte-ranges.ts'

const sizeBytes = 3000

describe('selectRanges', () => {
  it.each([
    ['bytes=500-1499', 500, 1500],
    ['bytes=500-', 500, 3000],
    ['bytes=-500', 2500, 3000],
    ['bytes=2000-5000', 2000, 3000],
    ['bytes=0-0', 0, 1],
    ['bytes=2999-2999', 2999, 3000],
    ['bytes=0-', 0, 3000],
    ['bytes=-5000', 0, 3000],
    ['bytes = 0-1', 0, 2],
    ['BYTES=0-1', 0, 2],
    ['bytes=0-99999999999999999999', 0, 3000],
    ['bytes=5000-6000, 1-2', 1, 3],
  ])('%s is one range', (header, start, endExclusive) => {
    expect(selectRanges(header, sizeBytes)).toEqual({ kind: 'partial', ranges: [{ start, endExclusive }] })
  })

  it('keeps several ranges in their order', () => {
    expect(selectRanges('bytes=100-199,0-9, -5', sizeBytes)).toEqual({
      kind: 'partial',
      ranges: [
        { start: 100, endExclusive: 200 },
        { start: 0, endExclusive: 10 },
        { start: 2995, endExclusive: 3000 },
      ],
    })
  })

  it.each(['bytes=500-0', 'bytes=3000-', 'bytes=5000-10000', 'bytes=-0', 'bytes=99999999999999999999-'])(
    '%s is unsatisfiable',
    (header) => {
      expect(selectRanges(header, sizeBytes)).toEqual({ kind: 'unsatisfiable' })
    },
  )

  it.each([
    undefined, '', 'bytes', 'bytes=', 'bytes=,', 'bytes=-', 'bytes=a-b', 'bytes=1', 'bytes=1-2-3', 'bytes=--1', 'items=0-1', 'bytes=0x1-2', 'bytes=1 -2',
  ])('%s is ignored', (header) => {
    expect(selectRanges(header, sizeBytes)).toEqual({ kind: 'whole' })
  })

  it('is ignored for empty content', () => {
    expect(selectRanges('bytes=0-', 0)).toEqual({ kind: 'whole' })
  })

  it('has a limit to the number of ranges', () => {
    const header = (count: number) => `bytes=${Array.from({ length: count }, (_, index) => `${index}-${index}`).join(',')}`
    expect(selectRanges(header(maxRangeCount), sizeBytes)).toMatchObject({ kind: 'partial' })
    expect(selectRanges(header(maxRangeCount + 1), sizeBytes)).toEqual({ kind: 'excessive' })
  })

  it('refuses ranges that ask for more than there is', () => {
    expect(selectRanges('bytes=0-,0-,0-', sizeBytes)).toEqual({ kind: 'excessive' })
  })

  it('never selects a byte outside the content', () => {
    const position = fc.oneof(fc.nat(4000).map(String), fc.constant(''), fc.bigInt({ min: 0n }).map(String))
    const header = fc.array(fc.tuple(position, position), { maxLength: 5 }).map((pairs) => `bytes=${pairs.map((pair) => pair.join('-')).join(',')}`)
    fc.assert(
      fc.property(header, fc.nat(4000), (text, size) => {
        const selection = selectRanges(text, size)
        if (selection.kind !== 'partial') return
        for (const { start, endExclusive } of selection.ranges) {
          expect(start).toBeGreaterThanOrEqual(0)
          expect(start).toBeLessThan(endExclusive)
          expect(endExclusive).toBeLessThanOrEqual(size)
        }
      }),
    )
  })
})
