import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ratedCalls, type RatedCall } from '../config/request-rates.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import { parseAccountId, parseRegion } from '../values/account.ts'
import { RequestRateLimit, type RatedRegistry } from './request-rates.ts'

const region = parseRegion('us-east-1')
const one: RatedRegistry = { accountId: parseAccountId('111111111111'), region }
const other: RatedRegistry = { accountId: parseAccountId('222222222222'), region }

/** `ok`, or how long to wait. */
function outcomeOf(work: () => void): number | 'ok' {
  try {
    work()
    return 'ok'
  } catch (error) {
    if (isPlatformError(error, 'throttled')) return Number(error.detail['retryAfterMs'])
    throw error
  }
}

function limitOf(rates: Partial<Record<RatedCall, number>>, maxRegistries?: number) {
  const clock = { time: 1_000_000, now: () => clock.time }
  const limit = new RequestRateLimit({ rates, clock, ...(maxRegistries === undefined ? {} : { maxRegistries }) })
  const ask = (registry: RatedRegistry, ...calls: RatedCall[]) => outcomeOf(() => limit.admit(registry, calls))
  return { clock, limit, ask }
}

describe('RequestRateLimit', () => {
  it('takes a second’s calls at once, then the rate', () => {
    const { clock, ask } = limitOf({ PutImage: 2 })

    expect([ask(one, 'PutImage'), ask(one, 'PutImage'), ask(one, 'PutImage')]).toEqual(['ok', 'ok', 500])
    clock.time += 499
    expect(ask(one, 'PutImage')).toBe(1)
    clock.time += 1
    expect([ask(one, 'PutImage'), ask(one, 'PutImage')]).toEqual(['ok', 500])
    clock.time += 60_000
    expect([ask(one, 'PutImage'), ask(one, 'PutImage'), ask(one, 'PutImage')]).toEqual(['ok', 'ok', 500])
  })

  it('counts each registry and each call for itself, and none without a rate', () => {
    const { ask } = limitOf({ PutImage: 1, BatchGetImage: 1 })
    const elsewhere = { ...one, region: parseRegion('eu-west-1') }

    for (const registry of [one, other, elsewhere]) {
      expect([ask(registry, 'PutImage'), ask(registry, 'PutImage')]).toEqual(['ok', 1000])
      expect([ask(registry, 'BatchGetImage'), ask(registry, 'BatchGetImage')]).toEqual(['ok', 1000])
      for (let n = 0; n < 100; n += 1) expect(ask(registry, 'UploadLayerPart')).toBe('ok')
    }
  })

  it('counts a request’s calls together or not at all', () => {
    const { clock, ask } = limitOf({ InitiateLayerUpload: 1, CompleteLayerUpload: 4 })

    expect(ask(one, 'InitiateLayerUpload', 'CompleteLayerUpload')).toBe('ok')
    expect(ask(one, 'InitiateLayerUpload', 'CompleteLayerUpload')).toBe(1000)
    for (let n = 0; n < 3; n += 1) expect(ask(one, 'CompleteLayerUpload')).toBe('ok')
    expect(ask(one, 'CompleteLayerUpload')).toBe(250)
    clock.time += 1000
    expect(ask(one, 'InitiateLayerUpload', 'CompleteLayerUpload')).toBe('ok')
  })

  it('holds nobody, and remembers nobody, without rates', () => {
    const { limit, ask } = limitOf({})

    for (const call of ratedCalls) for (let n = 0; n < 100; n += 1) expect(ask(one, call)).toBe('ok')
    expect(limit.size).toBe(0)
  })

  it('remembers a bounded number of registries', () => {
    const { limit, ask } = limitOf({ PutImage: 1 }, 10)

    for (let n = 0; n < 1000; n += 1) {
      ask({ accountId: parseAccountId(String(n).padStart(12, '0')), region }, 'PutImage')
      ask({ ...one, region: parseRegion(`region-${n}`) }, 'PutImage')
      expect(limit.size).toBeLessThanOrEqual(10)
    }
  })

  it('never admits more than a second’s calls and the rate, however the requests and the clock come', () => {
    const steps = fc.array(fc.record({ waitMs: fc.integer({ min: 0, max: 1500 }), asks: fc.integer({ min: 1, max: 30 }) }), {
      minLength: 1,
      maxLength: 60,
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), steps, (rate, moments) => {
        const { clock, ask } = limitOf({ PutImage: rate })
        const admittedAt: number[] = []
        for (const { waitMs, asks } of moments) {
          clock.time += waitMs
          for (let n = 0; n < asks; n += 1) if (ask(one, 'PutImage') === 'ok') admittedAt.push(clock.time)
        }
        // Of every stretch of time between two admissions.
        for (const [start, from] of admittedAt.entries()) {
          for (let end = start; end < admittedAt.length; end += 1) {
            const allowed = rate + ((admittedAt[end]! - from) * rate) / 1000
            if (end - start + 1 > allowed + 1e-6) return false
          }
        }
        return true
      }),
    )
  })

  it('admits a caller that waits as it is told', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 200 }), (rate, count) => {
        const { clock, ask } = limitOf({ PutImage: rate })
        for (let n = 0; n < count; n += 1) {
          const waitMs = ask(one, 'PutImage')
          if (waitMs === 'ok') continue
          clock.time += waitMs
          if (ask(one, 'PutImage') !== 'ok') return false
        }
        return true
      }),
    )
  })

  it('gives nothing for a clock that is set back', () => {
    const { clock, ask } = limitOf({ PutImage: 1 })
    expect(ask(one, 'PutImage')).toBe('ok')
    clock.time -= 3_600_000
    expect(ask(one, 'PutImage')).toBe(1000)
    clock.time += 1000
    expect(ask(one, 'PutImage')).toBe('ok')
  })
})
