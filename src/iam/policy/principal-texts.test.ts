import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { awsPrincipalTexts, withAwsPrincipals } from './principal-texts.ts'

const valuesIn = (document: unknown): string[] =>
  awsPrincipalTexts(typeof document === 'string' ? document : JSON.stringify(document)).map(({ value }) => value)

describe('the AWS principals of a policy', () => {
  it('are found alone and in lists, of one statement and of several, named and not', () => {
    const rest = { Effect: 'Allow', Action: 'sts:AssumeRole' }
    expect(valuesIn({ Statement: { ...rest, Principal: { AWS: 'a' } } })).toEqual(['a'])
    expect(
      valuesIn({ Statement: [{ ...rest, Principal: { AWS: ['a', 'b'], Service: 's' } }, { ...rest, NotPrincipal: { AWS: 'c' } }] }),
    ).toEqual(['a', 'b', 'c'])
  })

  it('are nothing else that looks like them', () => {
    const condition = { StringEquals: { 'aws:x': { Statement: { Principal: { AWS: 'a' } } } } }
    expect(valuesIn({ AWS: 'a', Principal: { AWS: 'a' }, Statement: [{ Principal: '*', Sid: 'AWS', Condition: condition }] })).toEqual([])
    expect(valuesIn({ Statement: [{ Principal: { Federated: 'a', Service: ['AWS', 'a'] }, Resource: 'AWS' }] })).toEqual([])
  })

  it('are found whatever of them is escaped', () => {
    expect(valuesIn('{"\\u0053tatement":{"Princip\\u0061l" :\n{"AW\\u0053": ["\\"a\\\\", "{\\u0062"]}}}')).toEqual(['"a\\', '{b'])
  })

  it('are replaced, and nothing beside them is touched', () => {
    const document = '{ "Statement" :\t[ {"Principal":{"AWS":[ "a","b" , "a"]}, "Sid":"a", "Condition":{"NumericEquals":{"x:y":1.0}}} ] }'
    expect(withAwsPrincipals(document, new Map([['a', 'A"']]))).toBe(
      '{ "Statement" :\t[ {"Principal":{"AWS":[ "A\\"","b" , "A\\""]}, "Sid":"a", "Condition":{"NumericEquals":{"x:y":1.0}}} ] }',
    )
  })

  it('go there and back unchanged, in any text', () => {
    const text = fc.string({ unit: 'binary', maxLength: 5 })
    const statement = fc.record({ Sid: text, Principal: fc.record({ AWS: fc.oneof(text, fc.array(text)) }), Condition: fc.jsonValue() })
    fc.assert(
      fc.property(fc.array(statement), fc.constantFrom(undefined, 1, '\t'), (Statement, indent) => {
        const document = JSON.stringify({ Statement }, undefined, indent)
        const values = [...new Set(valuesIn(document))]
        expect(new Set(values)).toEqual(new Set(Statement.flatMap(({ Principal }) => Principal.AWS)))
        const there = new Map(values.map((value, index) => [value, `id-${index}!`]))
        const back = new Map([...there].map(([value, id]) => [id, value]))
        const pinned = withAwsPrincipals(document, there)
        expect(valuesIn(pinned).every((value) => value.endsWith('!'))).toBe(true)
        expect(JSON.parse(withAwsPrincipals(pinned, back))).toEqual(JSON.parse(document))
      }),
    )
  })
})
