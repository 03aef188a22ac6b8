import { describe, expect, it } from 'vitest'
import { afterRound, coverageSoFar, nextRound, type Round } from './round.ts'
import { noCounts, walkStart, type VerifyCounts, type VerifyReport } from './verify.ts'

const day = 24 * 60 * 60 * 1000
const nowMs = 1000 * day
const maxAgeMs = 30 * day

function roundAt(startedAtMs: number, hashAfterLocationId = 0): Round {
  const position = { phase: 'blobs', id: 70 } as const
  return { startedAtMs, hashAfterLocationId, readSinceMs: startedAtMs, progress: { position, counts: noCounts } }
}

function reportOf(counts: Partial<VerifyCounts>): VerifyReport {
  const position = { phase: 'blobs', id: 99 } as const
  return { position, counts: { ...noCounts, ...counts }, isComplete: true, startedAtMs: nowMs, durationMs: 1 }
}

describe('the next round', () => {
  it('reads everything the first time', () => {
    expect(nextRound({}, { nowMs, maxAgeMs })).toEqual({
      startedAtMs: nowMs,
      hashAfterLocationId: 0,
      readSinceMs: nowMs,
      progress: { position: walkStart, counts: noCounts },
    })
  })

  it('reads what came after the last one, and counts the rest as read when it was', () => {
    const coverage = { throughLocationId: 50, readSinceMs: nowMs - 5 * day }

    expect(nextRound({ coverage }, { nowMs, maxAgeMs })).toMatchObject({ hashAfterLocationId: 50, readSinceMs: nowMs - 5 * day })
  })

  it('reads everything again when the last one is too old, or nothing may be old', () => {
    const coverage = { throughLocationId: 50, readSinceMs: nowMs - 30 * day }

    expect(nextRound({ coverage }, { nowMs, maxAgeMs }).hashAfterLocationId).toBe(0)
    expect(nextRound({ coverage: { ...coverage, readSinceMs: nowMs } }, { nowMs, maxAgeMs: 0 }).hashAfterLocationId).toBe(0)
  })

  it('believes the one of several readers that came farthest lately', () => {
    const coverage = { throughLocationId: 50, readSinceMs: nowMs - day }
    const alsoCovered = [
      { throughLocationId: 90, readSinceMs: nowMs - 31 * day },
      { throughLocationId: 60, readSinceMs: nowMs - 2 * day },
    ]

    expect(nextRound({ coverage }, { nowMs, maxAgeMs, alsoCovered })).toMatchObject({ hashAfterLocationId: 60, readSinceMs: nowMs - 2 * day })
  })

  it('goes on with the one that was interrupted', () => {
    const round = roundAt(nowMs - day, 40)

    expect(nextRound({ round }, { nowMs, maxAgeMs })).toBe(round)
  })

  it.each([
    { why: 'it began too long ago', round: roundAt(nowMs - 30 * day), request: { maxAgeMs } },
    { why: 'it is asked to', round: roundAt(nowMs - day), request: { maxAgeMs, restart: true } },
    { why: 'everything is to be read, and the interrupted one does not', round: roundAt(nowMs - day, 40), request: { maxAgeMs: 0 } },
  ])('begins anew when $why', ({ round, request }) => {
    expect(nextRound({ round }, { nowMs, ...request })).toMatchObject({ startedAtMs: nowMs, progress: { position: walkStart } })
  })

  it('goes on with one that reads everything, when everything is to be read', () => {
    const round = roundAt(nowMs - day)

    expect(nextRound({ round }, { nowMs, maxAgeMs: 0 })).toBe(round)
  })
})

describe('what was covered', () => {
  it('is as old as its oldest part', () => {
    const round = { ...roundAt(nowMs, 40), readSinceMs: nowMs - 9 * day }

    expect(afterRound(round, reportOf({ findings: { 'blob-corrupt': 2 }, quarantined: 2 }))).toEqual({
      coverage: { throughLocationId: 99, readSinceMs: nowMs - 9 * day },
    })
  })

  it('is nothing while a blob found bad is still in service', () => {
    expect(afterRound(roundAt(nowMs, 40), reportOf({ findings: { 'blob-corrupt': 2 }, quarantined: 1 }))).toEqual({})
  })

  it('of a round under way is what it has read, if it reads everything', () => {
    expect(coverageSoFar({ round: roundAt(nowMs) })).toEqual([{ throughLocationId: 70, readSinceMs: nowMs }])
    expect(coverageSoFar({ round: roundAt(nowMs, 40) })).toEqual([])
    expect(coverageSoFar({})).toEqual([])
  })
})
