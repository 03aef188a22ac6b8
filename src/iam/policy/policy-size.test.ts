import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { parsePolicy, type Policy } from './policy.ts'

/* What a policy says that it takes is no less than what it takes: caches are bounded by what policies say. */

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function heapBytes(): number {
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

const copies = 80
const many = (count: number, value: (index: number) => string): string[] => Array.from({ length: count }, (_, index) => value(index))
const one = (parts: object): string => JSON.stringify({ Version: '2012-10-17', Statement: { Effect: 'Allow', Action: '*', Resource: '*', ...parts } })
const like = (operator: string, key: string, values: string[]): string => one({ Condition: { [operator]: { [key]: values } } })

const usual = (copy: number): string =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: many(20, String).map((index) => ({
      Effect: 'Allow',
      Action: ['ecr:BatchGetImage', 'ecr:PutImage'],
      Resource: `arn:aws:ecr:*:111122223333:repository/team-${copy}-${index}/*`,
      Condition: { StringLike: { 'stowage:ImageTag': `dev-${index}-*` } },
    })),
  })

const shapes: readonly [name: string, document: (copy: number) => string][] = [
  ['twenty usual statements', usual],
  ['many actions', (copy) => one({ Action: many(300, (index) => `a:${copy}x${index}*`) })],
  ['actions full of wildcards', (copy) => one({ Action: many(300, (index) => `a:*?*${copy}?*${index}*`) })],
  ['many resources', (copy) => one({ Sid: `x${copy}`, Resource: many(300, () => '*') })],
  ['resources full of wildcards', (copy) => one({ Resource: many(100, (index) => `arn:aws:s3:*:*:${'*?a'.repeat(8)}${copy}x${index}`) })],
  ['resources full of variables', (copy) => one({ Resource: many(100, (index) => `arn:aws:s3:*:*:${'${aws:username}'.repeat(4)}${copy}x${index}`) })],
  ['many statements', (copy) => JSON.stringify({ Id: `${copy}`, Statement: many(100, String).map(() => ({ Effect: 'Deny', Action: '*', Resource: '*' })) })],
  ['many values', (copy) => like('StringLike', 'aws:PrincipalTag/a', many(1000, (index) => `*a${copy}x${index}`))],
  ['many numbers', (copy) => like('NumericEquals', 'aws:PrincipalTag/a', many(1000, (index) => `${copy}${index}`))],
  ['many ARNs', (copy) => like('ArnLike', 'aws:PrincipalArn', many(300, (index) => `a:*:*:*:*:${copy}x${index}`))],
  ['many addresses', (copy) => like('IpAddress', 'aws:SourceIp', many(300, (index) => `10.${copy % 250}.${index % 250}.0/24`))],
  ['many keys', (copy) => one({ Condition: { StringEquals: Object.fromEntries(many(300, (index) => `a:${copy}x${index}`).map((key) => [key, '1'])) } })],
  ['one long pattern', (copy) => like('StringLike', 'aws:PrincipalTag/a', [`${'?*'.repeat(2500)}${copy}`])],
  ['one long text', (copy) => like('StringLike', 'aws:PrincipalTag/a', [`${'x'.repeat(5000)}${copy}`])],
]

describe('the size of a policy', () => {
  it.each(shapes)('is told for %s', (_, document) => {
    const texts = many(copies, String).map((copy) => document(Number(copy)))
    let told = 0
    const policies: Policy[] = []
    const before = heapBytes()
    for (const text of texts) policies.push(parsePolicy(text, 'identity', (bytes) => (told += bytes)))
    const grown = heapBytes() - before

    expect(policies).toHaveLength(copies)
    expect(grown).toBeLessThanOrEqual(told)
    // Nor is it told so high that caches hold next to nothing.
    expect(told / copies).toBeLessThan(document(0).length * 900)
  })

  it('grows with what it remembers of resources and actions, and shrinks when that is forgotten', () => {
    let told = 0
    const policies = many(copies, String).map((copy) => parsePolicy(usual(Number(copy)), 'identity', (bytes) => (told += bytes)))
    const ask = (round: number): void => {
      for (const [number, policy] of policies.entries()) {
        for (const name of many(100, String)) for (const action of ['ecr:PutImage', 'ecr:BatchGetImage', 'ecr:x']) policy.concerning(action, `arn:${round}/${number}/${name}`)
      }
    }
    const [before, compiled] = [heapBytes(), told]
    ask(0)
    const grown = heapBytes() - before
    expect(grown).toBeGreaterThan(500_000)
    expect(grown).toBeLessThanOrEqual(told - compiled)

    const once = told
    for (let round = 1; round < 6; round += 1) ask(round)
    expect(told).toBeLessThan(once * 2)
    expect(policies).toHaveLength(copies)
  })
})
