import { expect, it } from 'vitest'
import { textKeyring } from '../../iam/iam.test-support.ts'
import { parseAccountId, parseRegion } from '../../values/account.ts'
import { ListPositions } from './list-positions.ts'
import { pageParameters, parseQuery } from './query.ts'

const here = { id: 1, accountId: parseAccountId('000000000000'), region: parseRegion('us-east-1') }
const there = { ...here, accountId: parseAccountId('111122223333') }
const positions = new ListPositions(await textKeyring())

it('a sealed position comes back, tells nothing, and fits into a query for the longest name there is', () => {
  const name = `secret/${'a'.repeat(249)}`
  const sealed = positions.seal(here, name)

  expect(positions.read(here, sealed)).toBe(name)
  expect(sealed).not.toContain('secret')
  expect(Buffer.from(sealed, 'base64url').toString('latin1')).not.toContain('secret')
  expect(pageParameters(parseQuery(`last=${encodeURIComponent(sealed)}`)).after).toBe(sealed)
})

it('plain positions are read as they are, and forged ones and those of another registry are refused', async () => {
  const elsewhere = new ListPositions(await textKeyring())

  expect(['team/app', undefined].map((position) => positions.read(here, position))).toEqual(['team/app', undefined])
  for (const forged of ['~', '~v1.x.y', elsewhere.seal(here, 'team/app'), positions.seal(there, 'team/app'), `${positions.seal(here, 'a')}A`]) {
    expect(() => positions.read(here, forged)).toThrow("The parameter 'last' is not the name of anything listed here.")
  }
})
