import fc from 'fast-check'
import { crc32 } from 'node:zlib'
import { expect, it } from 'vitest'
import { blockEnd, blockStart, BlockVerifier, checksumBlockBytes, startChecksums } from './block-checksums.ts'
import { sampleBytes } from './contract.ts'

const noMarks = { hasRange: () => false, mark: () => undefined }
const bytes = sampleBytes(3 * checksumBlockBytes + 100)

function checksumsOf(content: Buffer, cuts: readonly number[] = []): Buffer {
  const checksums = startChecksums()
  const ends = [...cuts, content.length].sort((a, b) => a - b)
  ends.reduce((start, end) => (checksums.update(content.subarray(start, end)), end), 0)
  return Buffer.from(checksums.finish())
}

it('has one checksum for each block, the last of which may be short', () => {
  const expected = [0, 1, 2, 3].map((n) => crc32(bytes.subarray(n * checksumBlockBytes, (n + 1) * checksumBlockBytes)))

  const found = checksumsOf(bytes)

  expect([0, 1, 2, 3].map((n) => found.readUInt32LE(n * 4))).toEqual(expected)
  expect(found).toHaveLength(16)
  expect(checksumsOf(Buffer.alloc(0))).toHaveLength(0)
  expect(checksumsOf(bytes.subarray(0, checksumBlockBytes))).toHaveLength(4)
})

it('is the same however the bytes come', () => {
  const whole = checksumsOf(bytes)
  fc.assert(fc.property(fc.array(fc.nat(bytes.length)), (cuts) => checksumsOf(bytes, cuts).equals(whole)))
})

it('keeps its memory for blobs of many blocks', () => {
  const many = Buffer.alloc(200 * checksumBlockBytes, 7)

  const found = checksumsOf(many)

  expect(found).toHaveLength(800)
  expect(new Set(Array.from({ length: 200 }, (_, n) => found.readUInt32LE(n * 4)))).toHaveLength(1)
})

it('notices any one changed bit of what it was given, and nothing else', () => {
  const checksums = checksumsOf(bytes)
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(7), fc.nat(bytes.length - 1), (at, bit, from) => {
      const damaged = Buffer.from(bytes)
      damaged[at]! ^= 1 << bit
      const start = blockStart(from)
      const end = blockEnd(from + 1, bytes.length)
      const verify = (content: Buffer) => (): void => new BlockVerifier(checksums, bytes.length, start, noMarks).accept(content.subarray(start, end))
      expect(verify(bytes)).not.toThrow()
      if (at >= start && at < end) expect(verify(damaged)).toThrow('not those that were stored')
      else expect(verify(damaged)).not.toThrow()
    }),
    { numRuns: 200 },
  )
})
