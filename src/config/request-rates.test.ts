import { describe, expect, it } from 'vitest'
import { ecrRequestRates, parseRequestRates } from './request-rates.ts'

describe('parseRequestRates', () => {
  it.each([
    ['ecr', ecrRequestRates],
    ['PutImage=50', { PutImage: 50 }],
    [' PutImage=50 , BatchGetImage=1 ', { PutImage: 50, BatchGetImage: 1 }],
    ['AssumeRoleWithWebIdentity=600', { AssumeRoleWithWebIdentity: 600 }],
    ['ecr,PutImage=200', { ...ecrRequestRates, PutImage: 200 }],
    ['PutImage=200,ecr', ecrRequestRates],
  ])('reads %j', (text, rates) => {
    expect(parseRequestRates(text)).toEqual(rates)
  })

  it.each(['', 'aws', 'PutImage', 'PutImage=', 'PutImage=0', 'PutImage=-1', 'PutImage=1.5', 'putimage=1', 'CreateRepository=1', 'PutImage=1,,', 'PutImage=99999999', 'constructor=1'])(
    'refuses %j',
    (text) => {
      expect(parseRequestRates(text)).toBeUndefined()
    },
  )
})
