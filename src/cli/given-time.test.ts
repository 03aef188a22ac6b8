import { InvalidArgumentError } from 'commander'
import { describe, expect, it } from 'vitest'
import { parseGivenTime } from './given-time.ts'

describe('a time that somebody writes', () => {
  it.each([
    ['2027-01-31', '2027-01-31T00:00:00.000Z'],
    ['2028-02-29', '2028-02-29T00:00:00.000Z'],
    ['2027-01-31T12:00Z', '2027-01-31T12:00:00.000Z'],
    ['2027-01-31T12:00:00Z', '2027-01-31T12:00:00.000Z'],
    ['2027-01-31T12:00:00.250Z', '2027-01-31T12:00:00.250Z'],
    ['2027-01-31T00:30:00+01:00', '2027-01-30T23:30:00.000Z'],
    ['2027-12-31T20:00-05:00', '2028-01-01T01:00:00.000Z'],
  ])('is %s', (text, iso) => {
    expect(parseGivenTime(text).toISOString()).toBe(iso)
  })

  it.each([
    '',
    'tomorrow',
    '2099',
    '2099-01',
    '2099-1-31',
    '31.01.2099',
    '4070908800',
    '+002099-01-31',
    '2099-01-31 12:00',
    '2099-01-31T12:00:00',
    '2099-01-31T12Z',
    '2099-01-31T24:00:00Z',
    '2099-01-31T12:60:00Z',
    '2099-01-31T12:00:00+0100',
    '2099-01-31Z',
    ' 2099-01-31',
    '2099-01-31\n',
  ])('is not %j, and what is wanted is said', (text) => {
    expect(() => parseGivenTime(text)).toThrow(InvalidArgumentError)
    expect(() => parseGivenTime(text)).toThrow('Write a day such as 2027-01-31, which begins in UTC, or a time with its zone, such as 2027-01-31T12:00:00Z')
  })

  it.each(['2099-02-30', '2099-02-29', '2099-04-31', '2099-13-01', '2099-00-10', '2099-01-00', '2099-01-32', '2099-02-30T12:00:00Z', '2099-02-30T12:00:00+01:00'])(
    'is not %s, which is moved to no other day',
    (text) => {
      expect(() => parseGivenTime(text)).toThrow(InvalidArgumentError)
      expect(() => parseGivenTime(text)).toThrow(`There is no day ${text.slice(0, 10)}.`)
    },
  )
})
