import { expect, it } from 'vitest'
import { ReclaimedHistory } from './reclaimed-history.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs

it('tells what the last hour and the last day brought, and keeps no more than a day of samples', () => {
  const counters = { manifests: 0, blobs: 0, bytes: 0, failures: 0, seconds: 0 }
  const history = new ReclaimedHistory(counters, 0)
  // A blob of ten bytes each minute, for three days.
  const endMs = 72 * hourMs
  for (let at = minuteMs; at <= endMs; at += minuteMs) {
    counters.blobs += 1
    counters.bytes += 10
    history.note(at)
  }

  expect(history.sinceStart).toEqual({ manifests: 0, blobs: 72 * 60, bytes: 72 * 600 })
  expect(history.lastHour(endMs).blobs).toBe(60)
  expect(history.lastDay(endMs)).toEqual({ manifests: 0, blobs: 24 * 60, bytes: 24 * 600 })
})

it('knows of the time since its start alone', () => {
  const counters = { manifests: 3, blobs: 2, bytes: 20, failures: 0, seconds: 0 }
  const history = new ReclaimedHistory(counters, 0)
  expect(history.lastHour(minuteMs)).toEqual({ manifests: 3, blobs: 2, bytes: 20 })
})
