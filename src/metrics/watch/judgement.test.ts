import { describe, expect, it } from 'vitest'
import { isLearnt, isToldAnew, unusualHour, usualMs, type Hour } from './judgement.ts'

const hourMs = 60 * 60_000
const dayMs = 24 * hourMs
/** A quarter past. */
const now = Date.UTC(2027, 2, 1, 12, 15)
const hour = (hoursAgo: number, value: number): Hour => ({ at: Date.UTC(2027, 2, 1, 12) - hoursAgo * hourMs, value })
const judge = (...hours: Hour[]) => unusualHour(hours, now, { factor: 5, floor: 100 })

describe('an hour is unusual', () => {
  it('with more than so many times the highest hour before, and more than the floor', () => {
    expect(judge(hour(30, 20), hour(4, 40), hour(0, 201))).toEqual({ at: hour(0, 0).at, amount: 201, usual: 40 })
    expect(judge(hour(4, 40), hour(0, 200))).toBeUndefined()
    expect(judge(hour(4, 1), hour(0, 100))).toBeUndefined()
    expect(judge(hour(4, 1), hour(0, 101))).toBeDefined()
    expect(judge(hour(0, 101))).toMatchObject({ usual: 0 })
    expect(judge()).toBeUndefined()
  })

  it('also where it ended a moment ago, and is not compared with itself', () => {
    expect(judge(hour(9, 30), hour(1, 400), hour(0, 3))).toEqual({ at: hour(1, 0).at, amount: 400, usual: 30 })
    expect(judge(hour(9, 30), hour(1, 400), hour(0, 900))).toMatchObject({ at: hour(0, 0).at, usual: 30 })
    expect(judge(hour(9, 30), hour(2, 400), hour(0, 900))).toBeUndefined()
  })

  it('compared with four weeks, and never with what is to come', () => {
    const long = usualMs / hourMs
    expect(judge(hour(long, 100), hour(0, 400))).toBeUndefined()
    expect(judge(hour(long + 1, 100), hour(0, 400))).toMatchObject({ usual: 0 })
    expect(judge(hour(5, 30), hour(-1, 5000), hour(0, 10))).toBeUndefined()
  })
})

it('is told anew after a day of quiet', () => {
  expect(isToldAnew(now, undefined)).toBe(true)
  expect(isToldAnew(now, now)).toBe(false)
  expect(isToldAnew(now, now - dayMs)).toBe(false)
  expect(isToldAnew(now, now - dayMs - hourMs)).toBe(true)
})

it('is learnt until the days of learning are over', () => {
  expect(isLearnt(now - 1, now - dayMs, dayMs)).toBe(false)
  expect(isLearnt(now, now - dayMs, dayMs)).toBe(true)
})
