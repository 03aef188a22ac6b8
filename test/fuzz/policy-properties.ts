import fc from 'fast-check'
import { evaluate, parsePolicy, repositoryNameRanges, type PolicyKind, type PolicyPrincipal } from '../../src/iam/policy/index.ts'
import { mutated } from './mutation.ts'
import { parsedOrRefused, parserProperty, require, requireEqual, type ParserProperty } from './parser-property.ts'

const account = '111122223333'
const arnPrefix = `arn:aws:ecr:eu-central-1:${account}:repository/`

const condition = {
  StringLike: { 'stowage:ImageTag': ['dev-*', "${aws:PrincipalTag/team, 'none'}-?"] },
  'ForAllValues:StringNotEqualsIfExists': { 'aws:TagKeys': ['a', 'b'] },
  NumericLessThanEquals: { 'sts:DurationSeconds': '900.5' },
  DateGreaterThan: { 'aws:CurrentTime': '2026-01-01T00:00:00.000+01:00' },
  IpAddress: { 'aws:SourceIp': ['10.0.0.0/8', '2001:db8::/32', '::ffff:192.0.2.1'] },
  ArnNotLike: { 'aws:PrincipalArn': `arn:aws:iam::*:role/*` },
  Bool: { 'aws:SecureTransport': true },
  Null: { 'ecr:ResourceTag/stage': 'false' },
}

const identity = {
  Version: '2012-10-17',
  Id: 'x',
  Statement: [
    { Sid: 'A1', Effect: 'Allow', Action: ['ecr:*', 'sts:Get?aller*'], Resource: [`${arnPrefix}\${aws:username}/*`, 'arn:aws:ecr'], Condition: condition },
    { Effect: 'Deny', NotAction: '*:*', NotResource: '*' },
  ],
}

const resource = {
  Version: '2008-10-17',
  Statement: { Sid: 'the team', Effect: 'Allow', Principal: { AWS: [account, `arn:aws:iam::${account}:role/a/b`, '*'], Service: 'a.b' }, Action: 'ecr:*' },
}

const trust = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Deny', NotPrincipal: { Federated: [`arn:aws:iam::${account}:oidc-provider/a.example`] }, Action: 'sts:AssumeRole*', Condition: { StringEquals: { 'a.example:sub': 'x' } } }],
}

const samples = [identity, resource, trust].map((document) => JSON.stringify(document))
const kinds: readonly PolicyKind[] = ['identity', 'session', 'resource', 'trust']
const user: PolicyPrincipal = { arn: `arn:aws:iam::${account}:user/anna`, accountId: account, kind: 'user', userId: 'AIDA' }

const values = mutated(['dev-1', '900', '2026-07-01T00:00:00Z', '::ffff:10.1.2.3', '2001:db8::1', `arn:aws:iam::${account}:user/anna`, 'true', ''])
const keys = ['stowage:ImageTag', 'aws:PrincipalTag/team', 'aws:TagKeys', 'sts:DurationSeconds', 'aws:CurrentTime', 'aws:SourceIp', 'aws:PrincipalArn', 'aws:username']
const contexts = fc.dictionary(fc.constantFrom(...keys), fc.oneof(values, fc.array(values, { maxLength: 3 })), { noNullPrototype: true })

const documents = fc.tuple(mutated(samples), fc.constantFrom(...kinds))

export const policyProperties: readonly ParserProperty[] = [
  parserProperty('a policy', documents, ([text, kind]) => {
    const policy = parsedOrRefused(['policy-malformed'], () => parsePolicy(text, kind))
    const again = parsedOrRefused(['policy-malformed'], () => parsePolicy(text, kind))
    requireEqual(again?.statements.length, policy?.statements.length, 'it is read the same way twice')
    if (policy === undefined) return
    require(policy.statements.length > 0, 'it says something')
    const ranges = repositoryNameRanges([policy], 'ecr:PutImage', arnPrefix)
    require(ranges.every(({ prefix }) => !/[^a-z0-9._/-]/.test(prefix)), 'its names are of repositories')
  }),

  parserProperty('a request under a policy', fc.tuple(documents, contexts, mutated([`${arnPrefix}anna/app`, '*'])), ([[text, kind], context, asked]) => {
    const policy = parsedOrRefused(['policy-malformed'], () => parsePolicy(text, kind))
    if (policy === undefined) return
    const request = { principal: user, action: 'ecr:PutImage', resource: asked, accountId: account, context }
    for (const policies of [{ identity: [policy] }, { identity: [], resource: policy }, { identity: [policy], boundary: policy, session: [policy] }]) {
      const evaluation = evaluate(request, policies)
      requireEqual(evaluate(request, policies), evaluation, 'it is decided the same way twice')
      const denied = evaluate(request, { ...policies, registry: denyAll })
      require(!denied.allowed && denied.kind === 'explicit-deny', 'a denial for everybody denies')
    }
    require(!evaluate({ ...request, accountId: '444455556666' }, { identity: [policy] }).allowed, 'it opens no other account')
  }),
]

const denyAll = parsePolicy(JSON.stringify({ Version: '2012-10-17', Statement: { Effect: 'Deny', Principal: '*', Action: '*' } }), 'resource')
