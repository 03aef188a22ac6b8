import * as sdk from '@aws-sdk/client-iam'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createIamService } from '../../src/http/aws/services/iam/index.ts'
import type { Shape } from '../../src/http/aws/shapes.ts'
import { iamOnEveryDatabase, pullPolicy, trustPolicy } from '../aws/iam-under-test.ts'
import { fuzzBudget } from './budget.ts'

/*
 * Calls of IAM one after another, of every operation, with arguments that are often right: names that calls before have
 * made, in other spellings too, and texts that are none of what they should be. Whatever they do to each other, none is
 * answered by a fault of the server.
 */

// Only the shapes are asked for; what would do the work is never called.
const operations = Object.entries(createIamService({ directory: {} as never }).operations)

/** Of `make fuzz`; the tests of each change take some seconds. */
const longestMs = 600_000

const names = ['fuzz-a', 'FUZZ-A', 'fuzz-b', 'fuzz,+=.@-_c']
const account = 'arn:aws:iam::000000000000'
const arns = [
  ...['fuzz-a', 'p/FUZZ-A', 'fuzz-b'].map((name) => `${account}:policy/${name}`),
  'arn:aws:iam::aws:policy/ReadOnlyAccess',
  'arn:aws:iam::111111111111:policy/fuzz-a',
  `${account}:oidc-provider/fuzz.example.com`,
  `${account}:user/fuzz-a`,
]
const strange = ['', ' ', 'x'.repeat(200), '\u0000', 'é🐳', "'; drop table iam_user --", '%', '../..', '__proto__', '<x>&amp;', 'arn:aws:iam::::::']

/** What members of these names usually hold. */
const usual: Readonly<Record<string, readonly string[]>> = {
  PolicyArn: arns,
  PermissionsBoundary: arns,
  PolicySourceArn: arns,
  OpenIDConnectProviderArn: arns,
  Path: ['/', '/p/', '/p/q/'],
  NewPath: ['/', '/p/'],
  PathPrefix: ['/', '/p', '/p/'],
  PolicyDocument: [pullPolicy, trustPolicy, '{}', '{"Version":"2012-10-17","Statement":[]}', '[1'],
  AssumeRolePolicyDocument: [trustPolicy, pullPolicy, '{'],
  PolicyInputList: [pullPolicy, '{}'],
  VersionId: ['v1', 'v2', 'v3', 'v999999999'],
  Url: ['https://fuzz.example.com', 'http://fuzz.example.com', 'https://fuzz.example.com:1/x', 'https://['],
  ThumbprintList: ['0'.repeat(40), 'g'.repeat(40)],
  AccountAlias: ['fuzz', 'fuzz-2', '-'],
  AccessKeyId: ['AKIATESTTESTTESTTEST', 'AKIANOBODYNOBODYNOBO'],
  ActionNames: ['ecr:PutImage', 'iam:*', 'ecr:'],
  Marker: [Buffer.from('["users","fuzz-a"]').toString('base64url'), Buffer.from('["group","x"]').toString('base64url'), 'e30'],
}

function argument(name: string, shape: Shape): fc.Arbitrary<unknown> {
  switch (shape.kind) {
    case 'string': {
      const fitting = shape.values ?? usual[name] ?? names
      return fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...fitting) }, { weight: 1, arbitrary: fc.constantFrom(...strange) })
    }
    case 'integer':
      return fc.constantFrom(1, 2, 100, 1000, 3600, 43_200, 0, -1)
    case 'boolean':
      return fc.boolean()
    case 'list':
      return fc.array(argument(name, shape.element), { maxLength: 3 })
    case 'structure':
      return members(shape.members)
    default:
      return fc.constant(undefined)
  }
}

function members(shapes: Readonly<Record<string, Shape & { readonly required?: true }>>): fc.Arbitrary<object> {
  const entries = Object.entries(shapes).map(([name, shape]) => [
    name,
    shape.required === true ? argument(name, shape) : fc.option(argument(name, shape), { nil: undefined, freq: 2 }),
  ])
  return fc.record(Object.fromEntries(entries) as Record<string, fc.Arbitrary<unknown>>)
}

const calls = fc.constantFrom(...operations).chain(([name, { input }]) => argument('', input).map((value) => ({ name, value: value as object })))

const commands = sdk as unknown as Readonly<Record<string, new (input: object) => Parameters<sdk.IAMClient['send']>[0]>>

iamOnEveryDatabase((server) => {
  it('are never answered by a fault of the server, whatever came before', async () => {
    const { iam } = server()
    const { seed, isLong } = fuzzBudget()
    const outcomes = new Map<number, number>()
    for (const { name, value } of fc.sample(calls, { numRuns: isLong ? 10_000 : 1500, seed })) {
      const Command = commands[`${name}Command`]
      if (Command === undefined) throw new Error(`the SDK has no ${name}`)
      const status = await iam.send(new Command(value)).then(
        () => 200,
        (error: unknown) => {
          if (error instanceof sdk.IAMServiceException) return error.$metadata.httpStatusCode ?? 0
          throw error
        },
      )
      expect(status, `${name} ${JSON.stringify(value)}`).toBeLessThan(500)
      outcomes.set(status, (outcomes.get(status) ?? 0) + 1)
    }

    // Many have to get as far as they can, or nothing was tried.
    expect(outcomes.get(200) ?? 0).toBeGreaterThan(100)
    expect(outcomes.get(404) ?? 0).toBeGreaterThan(50)
    expect(outcomes.get(409) ?? 0).toBeGreaterThan(5)
  }, longestMs)
})
