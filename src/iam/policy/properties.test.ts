import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isPlatformError } from '../../internal/platform-error.ts'
import type { PolicyKind } from './document.ts'
import { evaluate, type PolicyRequest, type PolicySet } from './evaluate.ts'
import { Pattern, patternTokens } from './pattern.ts'
import { parsePolicy } from './policy.ts'
import { documentOf, home, other, policyOf, repositoryArnPrefix, roleArn, root, session, strangeRoot, strangeSession, stranger, user } from './policy.test-support.ts'
import { repositoryNameRanges } from './repository-names.ts'

type StatementParts = Readonly<Record<string, unknown>>

const names = ['a', 'team/app', 'team/b', 'prod', 'prod/x']
const actions = ['ecr:PutImage', 'ecr:BatchGetImage', 'ecr:DescribeRepositories', 'iam:CreateUser']
const callers = [user, session, root, stranger, strangeSession, strangeRoot]

const patternText = fc
  .array(fc.constantFrom('*', '?', 'a', 'team/', 'app', 'prod', '/', 'x'), { maxLength: 4 })
  .map((parts) => parts.join(''))

const actionText = fc.constantFrom('*', 'ecr:*', 'ecr:Put*', 'ecr:?atchGetImage', ...actions)
const resourceText = fc.oneof(
  fc.constantFrom(
    '*',
    'arn:aws:ecr',
    'arn:aws:ecr:*:*:repository/${aws:PrincipalTag/team}/*',
    "arn:aws:ecr:*:*:repository/${aws:PrincipalTag/team, 'team'}/*",
  ),
  patternText.map((text) => repositoryArnPrefix + text),
)
const oneOrSome = (text: fc.Arbitrary<string>) => fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 3 }))

const conditionKeys = ['aws:PrincipalTag/team', 'stowage:ImageTag', 'aws:SecureTransport', 'aws:ResourceTag/x']
const values = ['a', 'team', 'dev-1', 'prod-1', 'true', 'false']
const condition = fc.dictionary(
  fc.constantFrom('StringEquals', 'StringNotEquals', 'StringLike', 'StringNotLikeIfExists', 'ForAllValues:StringLike', 'ForAnyValue:StringNotEquals'),
  fc.dictionary(fc.constantFrom(...conditionKeys), oneOrSome(fc.constantFrom(...values, 'dev-*', '*', '${aws:PrincipalTag/team}')), { minKeys: 1, maxKeys: 2 }),
  { maxKeys: 2 },
)
const nullCondition = fc.dictionary(fc.constant('Null'), fc.dictionary(fc.constantFrom(...conditionKeys), fc.boolean(), { minKeys: 1, maxKeys: 1 }), { maxKeys: 1 })

const principal = fc.constantFrom<unknown>(
  '*',
  { AWS: user.arn },
  { AWS: [home] },
  { AWS: [roleArn, stranger.arn] },
  { AWS: session.arn },
  { AWS: [other, user.arn] },
)

const oneOf = <Value>(name: string, value: fc.Arbitrary<Value>) =>
  fc.tuple(fc.constantFrom(name, `Not${name}`), value).map(([key, each]) => ({ [key]: each }))

function statement(kind: PolicyKind, effect: fc.Arbitrary<string>): fc.Arbitrary<StatementParts> {
  return fc
    .tuple(effect, oneOf('Action', oneOrSome(actionText)), oneOf('Resource', oneOrSome(resourceText)), fc.oneof(condition, nullCondition), oneOf('Principal', principal))
    .map(([Effect, action, resource, Condition, who]) => ({ Effect, ...action, ...resource, Condition, ...(kind === 'resource' ? who : {}) }))
}

const effects = fc.constantFrom('Allow', 'Allow', 'Allow', 'Deny')
const statements = (kind: PolicyKind) => fc.array(statement(kind, effects), { minLength: 1, maxLength: 4 })

interface Documents {
  readonly identity: readonly (readonly StatementParts[])[]
  readonly boundary: readonly StatementParts[] | undefined
  readonly session: readonly (readonly StatementParts[])[] | undefined
  readonly resource: readonly StatementParts[] | undefined
  readonly registry: readonly StatementParts[] | undefined
}

const documents: fc.Arbitrary<Documents> = fc.record({
  identity: fc.array(statements('identity'), { maxLength: 3 }),
  boundary: fc.option(statements('identity'), { nil: undefined, freq: 2 }),
  session: fc.option(fc.array(statements('session'), { minLength: 1, maxLength: 2 }), { nil: undefined, freq: 2 }),
  resource: fc.option(statements('resource'), { nil: undefined, freq: 2 }),
  registry: fc.option(statements('resource'), { nil: undefined, freq: 2 }),
})

const context = fc.dictionary(fc.constantFrom(...conditionKeys), oneOrSome(fc.constantFrom(...values)), { maxKeys: 3 })

const request: fc.Arbitrary<PolicyRequest> = fc
  .record({
    principal: fc.constantFrom(...callers),
    action: fc.constantFrom(...actions),
    resource: fc.oneof(fc.constant('*'), fc.constantFrom(...names).map((name) => repositoryArnPrefix + name)),
    context,
  })
  .map((parts) => ({ ...parts, accountId: home }))

function policySet({ identity, boundary, session: bounds, resource, registry }: Documents): PolicySet {
  return {
    identity: identity.map((each) => policyOf('identity', each)),
    boundary: boundary && policyOf('identity', boundary),
    session: bounds?.map((each) => policyOf('session', each)),
    resource: resource && policyOf('resource', resource),
    registry: registry && policyOf('resource', registry),
  }
}

const isAllowed = (asked: PolicyRequest, set: Documents) => evaluate(asked, policySet(set)).allowed

type Kind = keyof Documents

const kinds: readonly Kind[] = ['identity', 'boundary', 'session', 'resource', 'registry']

/** Changes the statements of one policy of a kind, where there is one. */
function withChanged(set: Documents, kind: Kind, change: (list: readonly StatementParts[]) => readonly StatementParts[]): Documents {
  const current = set[kind]
  if (current === undefined || current.length === 0) return set
  if (kind === 'identity' || kind === 'session') {
    const [first, ...rest] = current as readonly (readonly StatementParts[])[]
    return { ...set, [kind]: [change(first!), ...rest] }
  }
  return { ...set, [kind]: change(current as readonly StatementParts[]) }
}

const placed = <Value>(list: readonly Value[], at: number, value: Value) => {
  const index = at % (list.length + 1)
  return [...list.slice(0, index), value, ...list.slice(index)]
}

const kindOf = (kind: Kind): PolicyKind => (kind === 'resource' || kind === 'registry' ? 'resource' : 'identity')

const kindAndStatement = (effect: string) =>
  fc.constantFrom(...kinds).chain((kind) => fc.tuple(fc.constant(kind), statement(kindOf(kind), fc.constant(effect)), fc.nat(9)))

/** Enough to find what breaks a rule on purpose; more cases are tried where all parsers are. */
const numRuns = 400

describe('evaluation', () => {
  it('is not always the same: the properties below see refusals and permissions of every kind', () => {
    const seen = new Map<string, number>()
    for (const [asked, set] of fc.sample(fc.tuple(request, documents), { seed: 7, numRuns: 1500 })) {
      const result = evaluate(asked, policySet(set))
      const outcome = result.allowed ? 'allowed' : `${result.by} ${result.kind}`
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
    }
    expect([...seen.keys()].sort()).toEqual([
      'allowed',
      'boundary explicit-deny',
      'boundary implicit-deny',
      'identity explicit-deny',
      'identity implicit-deny',
      'registry explicit-deny',
      'resource explicit-deny',
      'resource implicit-deny',
      'session explicit-deny',
      'session implicit-deny',
    ])
    expect(seen.get('allowed')).toBeGreaterThan(100)
  })

  it('never allows more with one more Deny', () => {
    fc.assert(
      fc.property(request, documents, kindAndStatement('Deny'), (asked, set, [kind, added, at]) => {
        const more = withChanged(set, kind, (list) => placed(list, at, added))
        if (!isAllowed(asked, set)) expect(isAllowed(asked, more)).toBe(false)
      }),
      { numRuns },
    )
  })

  it('never allows less with one more Allow', () => {
    fc.assert(
      fc.property(request, documents, kindAndStatement('Allow'), (asked, set, [kind, added, at]) => {
        const more = withChanged(set, kind, (list) => placed(list, at, added))
        if (isAllowed(asked, set)) expect(isAllowed(asked, more)).toBe(true)
      }),
      { numRuns },
    )
  })

  it('allows the same in every order of statements and policies', () => {
    fc.assert(
      fc.property(request, documents, fc.constantFrom(...kinds), (asked, set, kind) => {
        const reversed = withChanged(set, kind, (list) => [...list].reverse())
        const shuffled = { ...reversed, identity: [...reversed.identity].reverse(), session: reversed.session && [...reversed.session].reverse() }
        expect(evaluate(asked, policySet(shuffled))).toEqual(evaluate(asked, policySet(set)))
      }),
      { numRuns },
    )
  })

  it('allows nothing more under a condition that it does not know', () => {
    const unknown = fc.tuple(
      fc.constantFrom('StringEquals', 'StringNotEquals', 'StringEqualsIfExists', 'ForAllValues:StringLike', 'Null'),
      fc.constantFrom('aws:Usrname', 'kms:ViaService', 'ecr:ImageTag', 'stowage:Tag', 'aws:PrincipalTag/'),
    )
    fc.assert(
      fc.property(request, documents, kindAndStatement('Allow'), unknown, (asked, set, [kind, added, at], [operator, key]) => {
        const conditional = { ...added, Condition: { ...(added['Condition'] as object), [operator]: { [key]: 'true' } } }
        const more = withChanged(set, kind, (list) => placed(list, at, conditional))
        const withKey = { ...asked, context: { ...(asked.context as object), [key]: 'true' } }
        expect(isAllowed(withKey, more)).toBe(isAllowed(asked, set))
      }),
      { numRuns },
    )
  })

  it('allows under tags that differ in case only what it allows with each of them, and denies what it denies with any', () => {
    const twice = fc.subarray(['aws:PrincipalTag/team', 'aws:ResourceTag/x'], { minLength: 1 })
    const two = fc.tuple(oneOrSome(fc.constantFrom(...values)), oneOrSome(fc.constantFrom(...values)))
    let denied = 0
    fc.assert(
      fc.property(request, documents, twice, two, two, (asked, set, keys, ...pairs) => {
        const without = Object.fromEntries(Object.entries(asked.context).filter(([key]) => !keys.includes(key)))
        const ambiguous = keys.flatMap((key, index) => [[key, pairs[index]![0]], [key.toUpperCase(), pairs[index]![1]]] as const)
        const result = evaluate({ ...asked, context: { ...without, ...Object.fromEntries(ambiguous) } }, policySet(set))
        for (const choice of [0, 1, 2, 3]) {
          const chosen = keys.map((key, index) => [key, pairs[index]![(choice >> index) & 1]!] as const)
          const one = evaluate({ ...asked, context: { ...without, ...Object.fromEntries(chosen) } }, policySet(set))
          if (result.allowed) expect(one).toEqual({ allowed: true })
          if (one.allowed || one.kind !== 'explicit-deny') continue
          denied += 1
          expect(result).toMatchObject({ allowed: false, kind: 'explicit-deny' })
        }
      }),
      { numRuns },
    )
    expect(denied).toBeGreaterThan(20)
  })

  it('denies what nobody can say of so many spellings of a tag', () => {
    const Condition = Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((key) => [`aws:ResourceTag/${key}`, 'none']))
    const policies = [policyOf('identity', [{ Effect: 'Allow', Action: '*', Resource: '*' }, { Effect: 'Deny', Action: '*', Resource: '*', Condition: { StringEquals: Condition } }])]
    const contextOf = (keys: string): Record<string, string> =>
      Object.fromEntries([...keys].flatMap((key) => [[`aws:ResourceTag/${key}`, 'one'], [`aws:ResourceTag/${key.toUpperCase()}`, 'two']]))
    const asked = { principal: user, action: 'ecr:PutImage', resource: '*', accountId: home }
    expect(evaluate({ ...asked, context: contextOf('abcdef') }, { identity: policies }).allowed).toBe(true)
    expect(evaluate({ ...asked, context: contextOf('abcdefg') }, { identity: policies }).allowed).toBe(false)
  })

  it('bounds: a boundary or a session policy never allows more', () => {
    fc.assert(
      fc.property(request, documents, statements('identity'), (asked, set, bound) => {
        const free = { ...set, boundary: undefined, session: undefined }
        if (!isAllowed(asked, free)) {
          expect(isAllowed(asked, { ...free, boundary: bound })).toBe(false)
          expect(isAllowed(asked, { ...free, session: [bound] })).toBe(false)
        }
      }),
      { numRuns },
    )
  })

  it('never lets a stranger in without both accounts', () => {
    fc.assert(
      fc.property(request, documents, (asked, set) => {
        const byStranger = { ...asked, principal: asked.principal.kind === 'user' ? stranger : strangeSession }
        expect(isAllowed(byStranger, { ...set, identity: [] })).toBe(false)
        expect(isAllowed(byStranger, { ...set, resource: undefined, registry: undefined })).toBe(false)
      }),
      { numRuns },
    )
  })

  it('reads a context the same as a record, in another case, or as a function', () => {
    fc.assert(
      fc.property(request, documents, (asked, set) => {
        const entries = Object.entries(asked.context as Record<string, string>)
        const upperCase = Object.fromEntries(entries.map(([key, value]) => [key.toUpperCase(), value]))
        const lowerCase = new Map(entries.map(([key, value]) => [key.toLowerCase(), value]))
        const expected = evaluate(asked, policySet(set))
        expect(evaluate({ ...asked, context: upperCase }, policySet(set))).toEqual(expected)
        expect(evaluate({ ...asked, context: (key: string) => lowerCase.get(key) }, policySet(set))).toEqual(expected)
      }),
      { numRuns: 200 },
    )
  })
})

describe('ranges of repository names', () => {
  it('hold every name that the policies allow', () => {
    fc.assert(
      fc.property(fc.array(statements('identity'), { minLength: 1, maxLength: 3 }), fc.constantFrom(...names), context, (lists, name, conditions) => {
        const identity = lists.map((each) => policyOf('identity', each))
        const asked = { principal: user, action: 'ecr:DescribeRepositories', resource: repositoryArnPrefix + name, accountId: home, context: conditions }
        if (!evaluate(asked, { identity }).allowed) return
        for (const known of [{}, conditions]) {
          const ranges = repositoryNameRanges(identity, asked.action, repositoryArnPrefix, known)
          expect(ranges.some(({ prefix, isExact }) => (isExact ? name === prefix : name.startsWith(prefix)))).toBe(true)
        }
      }),
      { numRuns },
    )
  })
})

/** The same question asked naively: each * tries every length. */
function matchesNaively(pattern: string, text: string): boolean {
  if (pattern === '') return text === ''
  if (pattern[0] === '*') return matchesNaively(pattern.slice(1), text) || (text !== '' && matchesNaively(pattern, text.slice(1)))
  return text !== '' && (pattern[0] === '?' || pattern[0] === text[0]) && matchesNaively(pattern.slice(1), text.slice(1))
}

describe('wildcards', () => {
  it('match what a naive comparison matches', () => {
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 10 })
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '*'), maxLength: 12 })
    fc.assert(
      fc.property(pattern, text, (each, other) => {
        expect(new Pattern(patternTokens(each)).matches(other)).toBe(matchesNaively(each, other))
      }),
      { numRuns: 5000 },
    )
  })

  it('take time that grows with the text, not with the ways to match', () => {
    const hostile = new Pattern(patternTokens(`${'*a?'.repeat(600)}b`))
    const startedAt = performance.now()
    expect(hostile.matches('a'.repeat(2048))).toBe(false)
    // Trying every way would take longer than the universe.
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  })
})

describe('parsePolicy', () => {
  it('refuses with its own error only', () => {
    const anything = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.json({ maxDepth: 4 }),
      statements('resource').map((list) => documentOf(list)),
      fc.tuple(statements('identity'), fc.string(), fc.nat(), fc.nat(30)).map(([list, text, at, removed]) => {
        const document = documentOf(list)
        const from = at % document.length
        return document.slice(0, from) + text + document.slice(from + removed)
      }),
    )
    fc.assert(
      fc.property(anything, fc.constantFrom<PolicyKind>('identity', 'resource', 'trust', 'session'), (text, kind) => {
        try {
          parsePolicy(text, kind)
        } catch (error) {
          if (!isPlatformError(error, 'policy-malformed')) throw error
        }
      }),
      { numRuns: 600 },
    )
  })
})
