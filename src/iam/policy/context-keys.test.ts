import { describe, expect, it } from 'vitest'
import { contextKeysOf } from './context-keys.ts'

const document = (statement: object, Version = '2012-10-17'): string =>
  JSON.stringify({ Version, Statement: [{ Effect: 'Allow', Action: '*', Resource: '*', ...statement }] })

describe('the condition keys of policies', () => {
  it('are those of conditions and of variables, once each', () => {
    const Condition = { StringLike: { 'aws:username': 'a', 'ecr:ResourceTag/Team': "${aws:PrincipalTag/Team, 'none'}" }, Null: { 'AWS:UserName': 'true' }, Bool: {} }
    const Resource = ['arn:aws:s3:::${aws:userid}/${*}/${$}', 'arn:aws:s3:::plain']
    expect(contextKeysOf([document({ Condition }), document({ Resource })], 'identity')).toEqual([
      'aws:PrincipalTag/Team',
      'aws:userid',
      'aws:username',
      'ecr:ResourceTag/Team',
    ])
  })

  it('has no variables in the language of 2008, and refuses what is no policy', () => {
    expect(contextKeysOf([document({ Resource: 'arn:aws:s3:::${aws:userid}' }, '2008-10-17')], 'identity')).toEqual([])
    expect(contextKeysOf([], 'identity')).toEqual([])
    expect(() => contextKeysOf(['{}'], 'identity')).toThrow()
  })
})
