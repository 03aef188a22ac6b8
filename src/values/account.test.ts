import { describe, expect, it } from 'vitest'
import { parseAccountId, parseRegion } from './account.ts'

describe('parseAccountId', () => {
  it.each(['000000000000', '012345678901', '999999999999'])('accepts %j', (text) => {
    expect(parseAccountId(text)).toBe(text)
  })

  it.each([
    '',
    '12345678901',
    '1234567890123',
    '12345678901a',
    ' 12345678901',
    '\u0661'.repeat(12),
    '1'.repeat(1_000_000),
  ])('refuses %.40j', (text) => {
    expect(() => parseAccountId(text)).toThrow(expect.objectContaining({ code: 'account-id-invalid' }))
  })
})

describe('parseRegion', () => {
  it.each(['eu-central-1', 'us-gov-west-1', 'local', 'on-premises-berlin', 'x1', 'a'.repeat(25)])(
    'accepts %j',
    (text) => {
      expect(parseRegion(text)).toBe(text)
    },
  )

  it.each([
    '',
    'a',
    'a'.repeat(26),
    'EU-central-1',
    'eu_central',
    'eu.central',
    'eu/central',
    'eu central',
    'eu:central',
  ])('refuses %j', (text) => {
    expect(() => parseRegion(text)).toThrow(expect.objectContaining({ code: 'region-invalid' }))
  })
})
