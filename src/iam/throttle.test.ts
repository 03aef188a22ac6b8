import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SteppedClock, testStart } from './iam.test-support.ts'
import { sourceGroup } from './source-group.ts'
import { CredentialThrottle, defaultThrottleLimits as limits, type ThrottleLimits } from './throttle.ts'

const keyId = 'AKIAABCDEFGHIJKLMNOP'
const attacker = '203.0.113.9'

function throttle(own: Partial<ThrottleLimits> = {}): { clock: SteppedClock; guard: CredentialThrottle } {
  const clock = new SteppedClock(testStart)
  return { clock, guard: new CredentialThrottle({ clock, limits: own }) }
}

/** What one who always fails, and tries again as soon as it may, gets done in a time. */
function guessesWithin(milliseconds: number, guard: CredentialThrottle, clock: SteppedClock, source: string, id: () => string): number {
  const end = clock.now() + milliseconds
  let guesses = 0
  while (clock.now() < end) {
    const name = id()
    const decision = guard.check(source, name)
    if (decision.allowed) {
      guesses += 1
      guard.recordFailure(source, name)
    } else {
      clock.advance(decision.retryAfterMs)
    }
  }
  return guesses
}

function waitOf(guard: CredentialThrottle, source: string, id: string): number {
  const decision = guard.check(source, id)
  return decision.allowed ? 0 : decision.retryAfterMs
}

describe('one source with one key id', () => {
  test('waits twice as long with each failure, up to a minute', () => {
    const { clock, guard } = throttle()
    const waits: number[] = []
    for (let failure = 1; failure <= 14; failure++) {
      guard.recordFailure(attacker, keyId)
      const waitMs = waitOf(guard, attacker, keyId)
      waits.push(waitMs)
      clock.advance(waitMs)
      expect(guard.check(attacker, keyId)).toEqual({ allowed: true })
    }
    expect(waits).toEqual([0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60].map((seconds) => seconds * 1000))
  })

  test('gets little done in a day', () => {
    const { clock, guard } = throttle()
    expect(guessesWithin(86_400_000, guard, clock, attacker, () => keyId)).toBeLessThan(1_500)
  })

  test('is served again at once after a success, and forgotten after a while', () => {
    const { clock, guard } = throttle()
    for (let failure = 0; failure < 6; failure++) guard.recordFailure(attacker, keyId)
    clock.advance(waitOf(guard, attacker, keyId))
    guard.recordSuccess(attacker, keyId)
    guard.recordFailure(attacker, keyId)
    expect(guard.check(attacker, keyId).allowed).toBe(true)

    for (let failure = 0; failure < 100; failure++) guard.recordFailure(attacker, keyId)
    clock.advance(limits.forgetAfterMs)
    guard.recordFailure(attacker, keyId)
    expect(guard.check(attacker, keyId).allowed).toBe(true)
  })

  test('cannot use the successes of others there to guess on', () => {
    const { clock, guard } = throttle()
    let guesses = 0
    const hour = clock.now() + 3_600_000
    while (clock.now() < hour) {
      guard.recordSuccess(attacker, keyId)
      while (guard.check(attacker, keyId).allowed) {
        guard.recordFailure(attacker, keyId)
        guesses += 1
      }
      clock.advance(100)
    }
    expect(guesses).toBeLessThanOrEqual(limits.pairBudget + 3_600_000 / limits.pairRefillMs + 1)
  })

  test('waits no longer when the clock is set back', () => {
    const { clock, guard } = throttle()
    for (let failure = 0; failure < 40; failure++) guard.recordFailure(attacker, keyId)
    clock.advance(-86_400_000)
    const waitMs = waitOf(guard, attacker, keyId)
    expect(waitMs).toBeLessThanOrEqual(limits.pairMaxDelayMs)
    clock.advance(waitMs)
    expect(guard.check(attacker, keyId).allowed).toBe(true)
  })
})

describe('one source with many key ids', () => {
  test('is held to its own budget', () => {
    const { clock, guard } = throttle()
    let next = 0
    const guesses = guessesWithin(3_600_000, guard, clock, attacker, () => `AKIA${next++}`)
    expect(guesses).toBeLessThanOrEqual(limits.sourceBudget + 3_600_000 / limits.sourceRefillMs + 1)
  })

  test('does not stop a neighbour at the same address who has proved a key id, only strangers', () => {
    const { guard } = throttle()
    guard.recordSuccess(attacker, keyId)
    for (let id = 0; id < 200; id++) guard.recordFailure(attacker, `AKIA${id}`)
    expect(guard.check(attacker, keyId).allowed).toBe(true)
    expect(guard.check(attacker, 'AKIAANYTHINGELSE').allowed).toBe(false)
  })
})

describe('many sources with one key id', () => {
  test('slow down those that failed and nobody else', () => {
    const { clock, guard } = throttle()
    guard.recordFailure('192.0.2.1', keyId)
    for (let host = 0; host < 250; host++) guard.recordFailure(`198.51.100.${host}`, keyId)
    expect(waitOf(guard, '198.51.100.7', keyId)).toBe(limits.keyDelayMs)
    expect(waitOf(guard, '192.0.2.1', keyId)).toBe(limits.keyDelayMs)
    expect(guard.check('192.0.2.2', keyId).allowed).toBe(true)
    expect(guard.check('198.51.100.7', 'AKIAANOTHER').allowed).toBe(true)
    clock.advance(limits.keyDelayMs)
    expect(guard.check('192.0.2.1', keyId).allowed).toBe(true)
  })

  test('never block a source that has not failed, whatever happens', () => {
    const address = fc.constantFrom('192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8:0:1::1')
    const id = fc.constantFrom('A', 'B', 'C')
    const step = fc.record({ address, id, event: fc.constantFrom('failure', 'failure', 'success'), waitMs: fc.nat(5_000) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const { clock, guard } = throttle({ keyBudget: 5, maxEntries: 8 })
        for (const { address: from, id: name, event, waitMs } of steps) {
          if (event === 'failure') guard.recordFailure(from, name)
          else guard.recordSuccess(from, name)
          clock.advance(waitMs)
          expect(guard.check('198.51.100.1', name)).toEqual({ allowed: true })
          const waitedMs = waitOf(guard, from, name)
          expect(waitedMs).toBeLessThanOrEqual(limits.pairMaxDelayMs)
        }
      }),
    )
  })
})

test('any number of sources and key ids takes bounded memory', () => {
  const { guard } = throttle()
  for (let count = 0; count < 100_000; count++) {
    guard.recordFailure(`${count >> 16}.${(count >> 8) & 255}.${count & 255}.1`, `AKIA${count}`)
  }
  expect(guard.size).toBe(3 * limits.maxEntries)
  expect(guard.check('1.134.159.1', 'AKIA99999').allowed).toBe(true)

  for (let failure = 0; failure < 10; failure++) guard.recordFailure(attacker, 'k'.repeat(100_000 + failure))
  expect(guard.check(attacker, 'k'.repeat(300)).allowed).toBe(false)
})

test.each([
  ['192.0.2.1', '192.0.2.1/32'],
  ['::ffff:192.0.2.1', '192.0.2.1/32'],
  ['::FFFF:c000:201', '192.0.2.1/32'],
  ['0:0:0:0:0:ffff:c000:0201', '192.0.2.1/32'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0DB8:0001:0002::', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
  ['2001:db8::6', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
  ['', 'unknown'],
  ['unix:', 'unknown'],
])('the sender at %s is %s', (ip, group) => {
  expect(sourceGroup(ip)).toBe(group)
})
