import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { FairShare } from './fair-share.ts'

/** An event loop that turns when it is told, with works that end when they are told. */
function world(options: { limit?: number; perTurn?: number } = {}) {
  const turns: (() => void)[] = []
  const clock = { ms: 0 }
  const share = new FairShare({
    limit: options.limit ?? 1000,
    perTurn: options.perTurn ?? 1000,
    nextTurn: (callback) => turns.push(callback),
    nowMs: () => clock.ms,
  })
  /** Names of works in the order they were begun. */
  const begun: string[] = []
  const underWay = new Map<string, (() => void)[]>()
  const settle = async (): Promise<void> => {
    for (let n = 0; n < 10; n += 1) await Promise.resolve()
  }
  return {
    share,
    clock,
    begun,
    underWayOf: (key: string): number => underWay.get(key)?.length ?? 0,
    /** Asks for works that last until `end`. */
    async ask(key: string, count = 1): Promise<void> {
      for (let n = 0; n < count; n += 1) {
        void share.run(key, () => {
          begun.push(key)
          return new Promise<void>((resolve) => underWay.set(key, [...(underWay.get(key) ?? []), resolve]))
        })
      }
      await settle()
    },
    /** Asks for works that end as soon as they begin, as a read that is answered from memory does. */
    async askShort(key: string, count = 1): Promise<void> {
      for (let n = 0; n < count; n += 1) {
        void share.run(key, () => {
          begun.push(key)
          return Promise.resolve()
        })
      }
      await settle()
    },
    async end(key: string): Promise<void> {
      underWay.get(key)?.shift()?.()
      await settle()
    },
    async turn(): Promise<boolean> {
      const due = turns.splice(0)
      for (const callback of due) callback()
      await settle()
      return due.length > 0
    },
  }
}

describe('FairShare', () => {
  it('counts a work as ended that takes too long, once', async () => {
    const share = new FairShare({ limit: 2, perTurn: 1000, longestMs: 1 })
    const ends: (() => void)[] = []
    let begun = 0
    const ask = (): Promise<void> =>
      share.run('slow', () => {
        begun += 1
        return new Promise<void>((resolve) => ends.push(resolve))
      })
    await share.run('other', async () => undefined)
    await share.run('slow', async () => undefined)
    const all = [ask(), ask(), ask()]

    await vi.waitFor(() => expect(begun).toBe(3))
    for (const end of ends) end()
    await Promise.all(all)
    // What ended by its time and then by itself gave back one place, not two.
    const more = [ask(), ask(), ask()]
    await Promise.resolve()
    expect(begun).toBe(4)
    await vi.waitFor(() => expect(begun).toBe(6))
    for (const end of ends) end()
    await Promise.all(more)
  })

  it('holds nothing back while one key is alone, and needs no turn for it', async () => {
    const { ask, turn, underWayOf } = world({ limit: 2, perTurn: 1 })

    await ask('a', 500)

    expect(underWayOf('a')).toBe(500)
    expect(await turn()).toBe(false)
  })

  it('gives each of two keys half of the works under way, however many one asks for', async () => {
    const { ask, end, turn, underWayOf } = world({ limit: 8 })
    await ask('b')
    await ask('a', 200)
    await ask('b', 10)
    while (await turn());

    expect([underWayOf('a'), underWayOf('b')]).toEqual([4, 5])
    await end('b')
    await end('b')
    await end('a')
    while (await turn());
    expect([underWayOf('a'), underWayOf('b')]).toEqual([4, 4])
  })

  it('begins an equal number of each key’s works in a turn, in the order they came', async () => {
    const { askShort, begun, turn } = world({ perTurn: 2 })
    await askShort('b')
    await askShort('a', 100)
    await turn()
    begun.splice(0)

    await askShort('b', 3)
    await turn()
    await turn()

    // What is asked for in a turn begins in it, as long as its key has something left of the turn.
    expect(begun.filter((key) => key === 'b')).toHaveLength(3)
    expect(begun.filter((key) => key === 'a').length).toBeLessThanOrEqual(4)
  })

  it('begins the works of a key in their order', async () => {
    const { share, turn, askShort } = world({ perTurn: 1 })
    const order: number[] = []
    await askShort('b')
    for (let n = 0; n < 20; n += 1) {
      void share.run('a', () => {
        order.push(n)
        return Promise.resolve()
      })
    }
    while (await turn());

    expect(order).toEqual(Array.from({ length: 20 }, (_, n) => n))
  })

  it('lets works that go at their client’s pace wait for their turn only', async () => {
    const { share, askShort, turn } = world({ limit: 2, perTurn: 3 })
    let begun = 0
    await askShort('b')
    for (let n = 0; n < 9; n += 1) {
      void share.begin('a', () => {
        begun += 1
        return new Promise(() => undefined)
      })
    }
    const seen: number[] = []
    for (let n = 0; n < 4; n += 1) {
      await turn()
      seen.push(begun)
    }

    expect(seen).toEqual([6, 9, 9, 9])
  })

  it('answers what the work answers, and goes on after one that fails', async () => {
    const { share, askShort, turn } = world({ limit: 2, perTurn: 1 })
    await askShort('b')
    const outcomes = Promise.allSettled([
      share.run('a', () => Promise.resolve(1)),
      share.run('a', () => Promise.reject(new Error('no'))),
      share.run('a', () => Promise.resolve(3)),
    ])
    while (await turn());

    expect(await outcomes).toMatchObject([{ value: 1 }, { reason: { message: 'no' } }, { value: 3 }])
  })

  it('forgets a key that was quiet for a second, and then leaves the other alone again', async () => {
    const { askShort, ask, clock, share, turn, underWayOf } = world({ limit: 2, perTurn: 1 })
    await askShort('b')
    await askShort('a')
    while (await turn());
    expect(share.size).toBe(2)

    clock.ms += 2000
    await ask('a', 50)

    expect(share.size).toBe(1)
    expect(underWayOf('a')).toBe(50)
  })

  it('remembers no more keys than were seen in a second or wait', async () => {
    const { askShort, clock, share, turn } = world()
    for (let n = 0; n < 5000; n += 1) {
      clock.ms += 10
      await askShort(`key ${n}`)
      await turn()
      expect(share.size).toBeLessThanOrEqual(130)
    }
  })

  it('starves nobody: whoever asks for one begins within a turn or two, however many others ask for more', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 300 }), async (perTurn, others, many) => {
        const { askShort, begun, turn } = world({ perTurn })
        await askShort('first')
        for (let n = 0; n < others; n += 1) await askShort(`other ${n}`, many)
        await turn()
        const before = begun.length
        await askShort('late')
        for (let n = 0; n < 2 && !begun.includes('late'); n += 1) await turn()
        expect(begun).toContain('late')
        // Nobody else got more than its part meanwhile.
        expect(begun.indexOf('late') - before).toBeLessThanOrEqual(2 * perTurn * (others + 1))
      }),
      { numRuns: 50 },
    )
  })

  it('ends with everything begun, whatever the order of asking, ending and turning', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('ask' as const), key: fc.constantFrom('a', 'b', 'c'), count: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ do: fc.constant('end' as const), key: fc.constantFrom('a', 'b', 'c'), count: fc.constant(1) }),
      fc.record({ do: fc.constant('turn' as const), key: fc.constant(''), count: fc.integer({ min: 1, max: 400 }) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 60 }), async (limit, perTurn, steps) => {
        const { ask, end, turn, clock, begun, underWayOf } = world({ limit, perTurn })
        let asked = 0
        for (const { do: what, key, count } of steps) {
          if (what === 'ask') {
            asked += count
            await ask(key, count)
          } else if (what === 'end') await end(key)
          else {
            clock.ms += count
            await turn()
          }
        }
        for (let idle = 0; idle < 3; ) {
          const turned = await turn()
          for (const key of ['a', 'b', 'c']) if (underWayOf(key) > 0) await end(key)
          idle = turned || begun.length < asked ? 0 : idle + 1
          clock.ms += 1
          if (clock.ms > 100_000) break
        }
        expect(begun).toHaveLength(asked)
      }),
      { numRuns: 50 },
    )
  })
})
