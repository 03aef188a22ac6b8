import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { RecurringWork } from './recurring-work.ts'

describe('recurring work', () => {
  it('is done by one at a time, and once more for who came meanwhile', async () => {
    const done: string[] = []
    let go: () => void = () => undefined
    const work = new RecurringWork(async () => {
      done.push('begin')
      await new Promise<void>((resolve) => {
        go = resolve
      })
      done.push('end')
    }, () => undefined)
    const all = Promise.all([work.run(), work.run(), work.runAfresh()])
    go()
    await sleep(1)
    expect(done).toEqual(['begin', 'end', 'begin'])
    go()
    await all
    expect(done).toEqual(['begin', 'end', 'begin', 'end'])
  })

  it('goes on after a failure, of which somebody hears', async () => {
    vi.useFakeTimers()
    const errors: unknown[] = []
    let count = 0
    const work = new RecurringWork(() => {
      count += 1
      return count === 1 ? Promise.reject(new Error('once')) : Promise.resolve()
    }, (error) => errors.push(error))
    work.start(1000)
    await vi.advanceTimersByTimeAsync(2500)
    vi.useRealTimers()
    await work.stop()
    expect(count).toBe(2)
    expect(errors).toEqual([new Error('once')])
  })

  it('is told to end, and waited for', async () => {
    const errors: unknown[] = []
    let ended = false
    const work = new RecurringWork(async (signal) => {
      await sleep(60_000, undefined, { signal }).finally(() => {
        ended = true
      })
    }, (error) => errors.push(error))
    void work.run()
    await work.stop()
    expect(ended).toBe(true)
    expect(errors).toEqual([])
  })
})
