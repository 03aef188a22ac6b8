import { describe, expect, it } from 'vitest'
import { statementPlaces } from './statement-places.ts'

describe('the places of statements', () => {
  it('are those that AWS tells of its policy AdministratorAccess', () => {
    const document = `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "*",
      "Resource": "*"
    }
  ]
}`
    expect(statementPlaces(document)).toEqual([{ start: { line: 3, column: 17 }, end: { line: 8, column: 6 } }])
  })

  it('begin behind what precedes them: the list, the statement before, or the name of the only one', () => {
    const text = (document: string) =>
      statementPlaces(document).map(({ start, end }) => {
        expect([start.line, end.line]).toEqual([1, 1])
        return document.slice(start.column - 1, end.column - 1)
      })
    expect(text('{"Version":"x","Statement":[{"Sid":"a}"}, {"Condition":{"A":{"b:c":["d"]}}}]}')).toEqual(['{"Sid":"a}"}', ', {"Condition":{"A":{"b:c":["d"]}}}'])
    expect(text('{"Statement": {"Statement":{"Sid":"a"}} ,"Id":"b"}')).toEqual([' {"Statement":{"Sid":"a"}}'])
    expect(text('{"Id":"[{","\\u0053tatement":[{}],"Version":"c"}')).toEqual(['{}'])
  })
})
