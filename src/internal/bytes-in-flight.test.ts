import { describe, expect, it } from 'vitest'
import { BytesInFlight, maximumChunkBytes, minimumChunkBytes } from './bytes-in-flight.ts'

const mebibyte = 1024 * 1024

describe('BytesInFlight', () => {
  it('gives full chunks while there is room, smaller ones as it fills, and never less than the minimum', () => {
    const budget = new BytesInFlight({ limitBytes: 64 * mebibyte })
    const sizes: number[] = []
    for (let count = 0; count < 1_000; count += 1) sizes.push(budget.lease(10 * mebibyte).buffer.length)

    expect(sizes[0]).toBe(maximumChunkBytes)
    expect(sizes.at(-1)).toBe(minimumChunkBytes)
    expect(sizes.toSorted((one, other) => other - one)).toEqual(sizes)
    expect(budget.inUseBytes).toBeLessThanOrEqual(64 * mebibyte + 1_000 * minimumChunkBytes)
    expect(budget.peakBytes).toBe(budget.inUseBytes)
  })

  it('gives one account all of it, and others their part whatever it holds', () => {
    const budget = new BytesInFlight({ limitBytes: 32 * mebibyte })
    const [greedy, modest] = [budget.shareOf('111111111111'), budget.shareOf('222222222222')]
    const alone = new BytesInFlight({ limitBytes: 32 * mebibyte })
    const stuck = Array.from({ length: 500 }, () => greedy.lease(mebibyte))
    const asAlone = Array.from({ length: 500 }, () => alone.lease(mebibyte))
    expect(stuck.map(({ buffer }) => buffer.length)).toEqual(asAlone.map(({ buffer }) => buffer.length))

    // Half of the budget, as if the other held nothing beyond its half.
    expect(modest.lease(mebibyte).buffer.length).toBe(maximumChunkBytes)
    expect(modest.chunkBytes()).toBe(maximumChunkBytes)
    expect(greedy.chunkBytes()).toBe(minimumChunkBytes)
  })

  it('is never held twice over, however many accounts come one after another', () => {
    const limitBytes = 4 * mebibyte
    const budget = new BytesInFlight({ limitBytes })
    let chunks = 0
    for (let account = 0; account < 40; account += 1) {
      const share = budget.shareOf(String(account))
      for (let count = 0; count < 20; count += 1, chunks += 1) share.lease(mebibyte)
    }

    expect(budget.inUseBytes).toBeLessThanOrEqual(2 * limitBytes + chunks * minimumChunkBytes)
  })

  it('forgets accounts that hold nothing', () => {
    const budget = new BytesInFlight()
    for (let account = 0; account < 100; account += 1) budget.shareOf(String(account)).lease(mebibyte).release(true)

    expect(budget.shareOf('one more').chunkBytes()).toBe(maximumChunkBytes)
  })

  it('offers the minimum when more than the limit is held', () => {
    const budget = new BytesInFlight({ limitBytes: mebibyte })
    budget.hold(5 * mebibyte)

    expect(budget.chunkBytes()).toBe(minimumChunkBytes)
  })

  it('grows again when chunks come back', () => {
    const budget = new BytesInFlight()
    const leases = Array.from({ length: 1_000 }, () => budget.lease(mebibyte))

    for (const lease of leases) lease.release(true)

    expect(budget.inUseBytes).toBe(0)
    expect(budget.chunkBytes()).toBe(maximumChunkBytes)
  })

  it.each([
    { wantedBytes: 0, sizeBytes: minimumChunkBytes },
    { wantedBytes: 440, sizeBytes: minimumChunkBytes },
    { wantedBytes: minimumChunkBytes + 1, sizeBytes: 2 * minimumChunkBytes },
    { wantedBytes: maximumChunkBytes + 1, sizeBytes: maximumChunkBytes },
  ])('leases $sizeBytes bytes for a transfer of $wantedBytes', ({ wantedBytes, sizeBytes }) => {
    const budget = new BytesInFlight()

    expect(budget.lease(wantedBytes).buffer).toHaveLength(sizeBytes)
    expect(budget.inUseBytes).toBe(sizeBytes)
  })

  it('uses a settled buffer again, and never one that somebody may still read', () => {
    const budget = new BytesInFlight()
    const broken = budget.lease(mebibyte)
    broken.release(false)
    const settled = budget.lease(mebibyte)
    settled.release(true)

    const next = budget.lease(mebibyte)

    expect(next.buffer).toBe(settled.buffer)
    expect(next.buffer).not.toBe(broken.buffer)
    expect(budget.lease(mebibyte).buffer).not.toBe(next.buffer)
  })

  it('counts a lease once, however often it is released', () => {
    const budget = new BytesInFlight()
    const lease = budget.lease(mebibyte)

    lease.release(true)
    lease.release(true)

    expect(budget.inUseBytes).toBe(0)
    expect(budget.lease(mebibyte).buffer).not.toBe(budget.lease(mebibyte).buffer)
  })

  it('keeps no more idle memory than it was allowed', () => {
    const budget = new BytesInFlight({ idleLimitBytes: 2 * mebibyte })
    const leases = Array.from({ length: 5 }, () => budget.lease(mebibyte))
    for (const lease of leases) lease.release(true)

    const reused = Array.from({ length: 5 }, () => budget.lease(mebibyte)).filter((next) =>
      leases.some((lease) => lease.buffer === next.buffer),
    )

    expect(reused).toHaveLength(2)
  })
})
