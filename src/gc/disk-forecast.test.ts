import { describe, expect, it } from 'vitest'
import { forecastDisk, type DiskSample } from './disk-forecast.ts'

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs
const totalBytes = 1_000_000

/** One each hour, of what is used after so many hours. */
function samples(hours: number, usedAfter: (hour: number) => number): DiskSample[] {
  return Array.from({ length: hours + 1 }, (_, hour) => ({ at: hour * hourMs, usedBytes: usedAfter(hour), freeBytes: totalBytes - usedAfter(hour) }))
}

describe('the forecast of a disk', () => {
  it('goes on as it went, also through the ups and downs of days', () => {
    const steady = forecastDisk(samples(96, (hour) => 100_000 + hour * 1000))
    expect(steady).toEqual({ bytesPerDay: 24_000, fullAt: 96 * hourMs + (900_000 - 96_000) * (hourMs / 1000) })

    const daily = forecastDisk(samples(10 * 24, (hour) => 100_000 + hour * 1000 + Math.round(5000 * Math.sin((hour / 24) * 2 * Math.PI))))
    expect(daily?.bytesPerDay).toBeGreaterThan(23_000)
    expect(daily?.bytesPerDay).toBeLessThan(25_000)
  })

  it('knows of no end where nothing grows', () => {
    expect(forecastDisk(samples(96, () => 500_000))).toEqual({ bytesPerDay: 0, fullAt: undefined })
    expect(forecastDisk(samples(96, (hour) => 500_000 - hour * 100))).toEqual({ bytesPerDay: -2400, fullAt: undefined })
  })

  it('says nothing after less than two days, or with few samples', () => {
    expect(forecastDisk([])).toBeUndefined()
    expect(forecastDisk(samples(47, (hour) => hour))).toBeUndefined()
    expect(forecastDisk([{ at: 0, usedBytes: 1, freeBytes: 9 }, { at: 30 * dayMs, usedBytes: 5, freeBytes: 5 }])).toBeUndefined()
  })
})
