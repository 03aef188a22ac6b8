import { expect, it } from 'vitest'
import { checksumBlockBytes } from './block-checksums.ts'
import { VerifiedBlocks } from './verified-blocks.ts'

const sizeBytes = 20 * checksumBlockBytes + 5
let nowMs = 0
const verified = new VerifiedBlocks(() => nowMs)

it('knows the blocks that were marked, and no range with another one', () => {
  const marks = verified.marksOf('a', sizeBytes, 'v')
  for (const block of [0, 7, 8, 9, 20]) marks.mark(block)
  const blocks = Array.from({ length: 21 }, (_, block) => block).filter((block) =>
    verified.marksOf('a', sizeBytes, 'v').hasRange(block * checksumBlockBytes, block * checksumBlockBytes + 1),
  )

  expect(blocks).toEqual([0, 7, 8, 9, 20])
  expect(marks.hasRange(7 * checksumBlockBytes + 1, 10 * checksumBlockBytes)).toBe(true)
  expect(marks.hasRange(7 * checksumBlockBytes, 10 * checksumBlockBytes + 1)).toBe(false)
  expect(marks.hasRange(7 * checksumBlockBytes - 1, 8 * checksumBlockBytes)).toBe(false)
  expect(marks.hasRange(20 * checksumBlockBytes, sizeBytes)).toBe(true)
})

it('forgets after a minute, and when the file has changed', () => {
  const has = (version: string): boolean => verified.marksOf('b', sizeBytes, version).hasRange(0, 1)
  verified.marksOf('b', sizeBytes, 'v').mark(0)
  nowMs += 59_000
  expect(has('v')).toBe(true)
  nowMs += 1_000
  expect(has('v')).toBe(false)
  verified.marksOf('b', sizeBytes, 'v').mark(0)
  expect([has('w'), has('v')]).toEqual([false, false])
})

it('holds a bounded number of blobs', () => {
  verified.marksOf('first', sizeBytes, 'v').mark(0)
  for (let n = 0; n < 5000; n += 1) verified.marksOf(`n${n}`, sizeBytes, 'v').mark(0)

  expect(verified.marksOf('first', sizeBytes, 'v').hasRange(0, 1)).toBe(false)
  expect(verified.marksOf('n4999', sizeBytes, 'v').hasRange(0, 1)).toBe(true)
})
