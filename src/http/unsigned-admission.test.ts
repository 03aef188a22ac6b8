import { describe, expect, it } from 'vitest'
import { ratesOfSource } from '../config/request-rates.ts'
import { RequestRateLimit } from '../iam/request-rates.ts'
import { FairShare } from '../internal/fair-share.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import { parseAccountId } from '../values/account.ts'
import { UnsignedAdmission } from './unsigned-admission.ts'

const [one, other] = [parseAccountId('111111111111'), parseAccountId('222222222222')]

function admissionAt(rate: number) {
  const clock = { time: 1_000_000, now: () => clock.time }
  const rates = { AssumeRoleWithWebIdentity: rate }
  const admission = new UnsignedAdmission({
    ofAccounts: new RequestRateLimit({ rates, clock }),
    ofSources: new RequestRateLimit({ rates: ratesOfSource(rates), clock }),
    turns: new FairShare({ limit: 16, perTurn: 1 }),
  })
  const ask = async (sourceIp: string, accountId = one): Promise<string> => {
    try {
      return await admission.run({ accountId, sourceIp }, ['AssumeRoleWithWebIdentity'], async () => 'done')
    } catch (error) {
      if (isPlatformError(error, 'throttled')) return 'throttled'
      throw error
    }
  }
  return { clock, ask }
}

describe('requests without a signature', () => {
  it('have a rate for each account that they are about, and a quarter of it for each source', async () => {
    const { clock, ask } = admissionAt(8)

    expect([await ask('192.0.2.1'), await ask('192.0.2.1'), await ask('192.0.2.1')]).toEqual(['done', 'done', 'throttled'])
    // A source's part is one for all accounts that it names, and for a whole network of IPv6.
    expect(await ask('192.0.2.1', other)).toBe('throttled')
    expect([await ask('2001:db8::1'), await ask('2001:db8::2'), await ask('2001:db8::3')]).toEqual(['done', 'done', 'throttled'])
    for (const last of [2, 3, 4, 5]) expect(await ask(`192.0.2.${last}`)).toBe('done')
    expect(await ask('192.0.2.6')).toBe('throttled')
    expect(await ask('192.0.2.6', other)).toBe('done')
    clock.time += 125
    expect([await ask('192.0.2.7'), await ask('192.0.2.8')]).toEqual(['done', 'throttled'])
  })

  it('begin by turns: of sources, then of the accounts they name, then as one among the accounts', async () => {
    let next: (() => void)[] = []
    const turns = new FairShare({ limit: 16, perTurn: 1, nextTurn: (callback) => void next.push(callback) })
    const rates = new RequestRateLimit({ rates: {}, clock: { now: () => 0 } })
    const admission = new UnsignedAdmission({ ofAccounts: rates, ofSources: rates, turns })
    const begun: string[] = []
    const ask = (name: string, sourceIp: string, accountId = one): Promise<void> =>
      admission.run({ accountId, sourceIp }, [], async () => void begun.push(name))
    const signed = (name: string): Promise<void> => turns.run(one, async () => void begun.push(name))
    // Who is seen alone passes at once: the first of each tell of the others.
    const all = [signed('-'), ask('-', '192.0.2.1'), ask('-', '192.0.2.2', other)]
    all.push(ask('a', '192.0.2.1'), ask('b', '192.0.2.1'), ask('c', '192.0.2.1'), ask('d', '192.0.2.2', other), signed('signed'))
    for (let turn = 0; turn < 20; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve))
      const callbacks = next
      next = []
      for (const callback of callbacks) callback()
    }
    await Promise.all(all)

    expect(begun).toHaveLength(8)
    expect(begun.indexOf('signed')).toBeLessThan(begun.indexOf('b'))
    expect(begun.indexOf('d')).toBeLessThan(begun.indexOf('c'))
  })
})
