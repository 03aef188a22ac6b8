import { describe, expect, it } from 'vitest'
import { FairTurns } from './fair-turns.ts'

/** Takes turns, and notes in which order they came. */
function world() {
  const turns = new FairTurns({ limit: 2, limitOfOne: 1 })
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const ask = (name: string, signal?: AbortSignal) =>
    turns.take(name.charAt(0), signal).then((end) => {
      begun.push(name)
      ends.set(name, end)
    })
  const settled = () => new Promise((resolve) => setImmediate(resolve))
  const end = async (name: string) => {
    ends.get(name)!()
    await settled()
  }
  return { turns, begun, ask, end, settled }
}

describe('FairTurns', () => {
  it('lets one that comes later have its turn before the many of another', async () => {
    const { begun, ask, end, settled } = world()
    for (const name of ['a1', 'a2', 'a3', 'a4']) void ask(name)
    void ask('b1')
    await settled()
    expect(begun).toEqual(['a1', 'b1'])
    void ask('c1')
    await end('a1')
    expect(begun).toEqual(['a1', 'b1', 'c1'])
    await end('b1')
    await end('c1')
    await end('a2')
    expect(begun).toEqual(['a1', 'b1', 'c1', 'a2', 'a3'])
  })

  it('forgets whoever stops waiting, and gives their turn to the next', async () => {
    const { turns, begun, ask, end, settled } = world()
    const stop = new AbortController()
    void ask('a1')
    const given = ask('a2', stop.signal)
    void ask('a3')
    await settled()
    expect(turns.waitingOf('a')).toBe(2)
    stop.abort(new Error('gone'))
    await expect(given).rejects.toThrow('gone')
    await expect(ask('a4', stop.signal)).rejects.toThrow('gone')
    await end('a1')
    await end('a1')
    expect(begun).toEqual(['a1', 'a3'])
    await end('a3')
    expect(turns.waitingOf('a')).toBe(0)
  })
})
