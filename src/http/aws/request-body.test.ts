import { describe, expect, it } from 'vitest'
import { BodyBudget } from './request-body.ts'

describe('the budget of unverified bodies', () => {
  it('lets in what fits and makes the rest wait in turn', async () => {
    const budget = new BodyBudget({ limitBytes: 10 })
    const order: string[] = []
    const releaseFirst = await budget.reserve(8)
    const large = budget.reserve(9).then((release) => {
      order.push('large')
      release()
    })
    const small = budget.reserve(1).then((release) => {
      order.push('small')
      release()
    })

    expect(budget.usedBytes).toBe(8)
    releaseFirst()
    releaseFirst()
    await Promise.all([large, small])

    expect(order).toEqual(['large', 'small'])
    expect(budget.usedBytes).toBe(0)
  })

  it('never makes a request without a body wait', async () => {
    const budget = new BodyBudget({ limitBytes: 1 })
    await budget.reserve(1)

    const release = await budget.reserve(0)

    release()
    expect(budget.usedBytes).toBe(1)
  })

  it('lets a body larger than everything in alone', async () => {
    const budget = new BodyBudget({ limitBytes: 10 })

    const release = await budget.reserve(1000)

    expect(budget.usedBytes).toBe(10)
    release()
  })

  it('sends away who would wait too long, and lets the next one in', async () => {
    const budget = new BodyBudget({ limitBytes: 10, waitMs: 20 })
    const release = await budget.reserve(5)

    await expect(budget.reserve(10)).rejects.toMatchObject({ type: 'ServiceUnavailable', status: 503 })

    const next = await budget.reserve(5)
    release()
    next()
    expect(budget.usedBytes).toBe(0)
  })
})
