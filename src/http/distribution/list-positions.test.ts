import { expect, it } from 'vitest'
import { textKeyring } from '../../iam/iam.test-support.ts'
import { ListPositions } from './list-positions.ts'
import { pageParameters, parseQuery } from './query.ts'

const positions = new ListPositions(await textKeyring())

it('a sealed position comes back, tells nothing, and fits into a query for the longest name there is', () => {
  const name = `secret/${'a'.repeat(249)}`
  const sealed = positions.seal(name)

  expect(positions.read(sealed)).toBe(name)
  expect(sealed).not.toContain('secret')
  expect(Buffer.from(sealed, 'base64url').toString('latin1')).not.toContain('secret')
  expect(pageParameters(parseQuery(`last=${encodeURIComponent(sealed)}`)).after).toBe(sealed)
})

it('plain positions are read as they are, and forged ones are refused', async () => {
  const elsewhere = new ListPositions(await textKeyring())

  expect(['team/app', undefined].map((position) => positions.read(position))).toEqual(['team/app', undefined])
  for (const forged of ['~', '~v1.x.y', elsewhere.seal('team/app'), `${positions.seal('a')}A`]) {
    expect(() => positions.read(forged)).toThrow("The parameter 'last' is not the name of anything listed here.")
  }
})
