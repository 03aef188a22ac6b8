import { describe, expect, it } from 'vitest'
import { evaluate, type PolicyRequest, type PolicySet } from './evaluate.ts'
import {
  allow,
  deny,
  home,
  other,
  outcomeOf,
  policyOf,
  providerArn,
  repositoryArn,
  requestOf,
  roleArn,
  root,
  session,
  strangeRoot,
  strangeSession,
  stranger,
  unrelated,
  user,
  webIdentity,
} from './policy.test-support.ts'

type Case = readonly [rule: string, request: Partial<PolicyRequest>, policies: PolicySet, outcome: string]

const to = (principal: unknown, effect = 'Allow') => policyOf('resource', { Effect: effect, Principal: principal, Action: 'ecr:*' })
const toEverybody = to('*')
const toAccount = to({ AWS: home })
const toUser = to({ AWS: user.arn })
const toRole = to({ AWS: roleArn })
const toSession = to({ AWS: session.arn })
const toStranger = to({ AWS: stranger.arn })
const toOtherAccount = to({ AWS: other })
const denied = to('*', 'Deny')
const bySession = { principal: session }
const byStranger = { principal: stranger }
const byRoot = { principal: root }
const bothRefuse = { boundary: unrelated, session: [unrelated] }

/* AWS: "How AWS enforcement code logic evaluates requests to allow or deny access". */
const inOneAccount: readonly Case[] = [
  ['nothing is allowed by default', {}, { identity: [] }, 'identity: implicit-deny'],
  ['an identity policy allows', {}, { identity: [allow()] }, 'allowed'],
  ['one of several identity policies is enough', {}, { identity: [unrelated, allow()] }, 'allowed'],
  ['an identity policy about something else allows nothing', {}, { identity: [unrelated] }, 'identity: implicit-deny'],
  ['a Deny beats an Allow of the same policy', {}, { identity: [policyOf('identity', [{ Effect: 'Allow', Action: '*', Resource: '*' }, { Effect: 'Deny', Action: 'ecr:PutImage', Resource: '*' }])] }, 'identity: explicit-deny'],
  ['a Deny beats an Allow of another policy', {}, { identity: [allow(), deny()] }, 'identity: explicit-deny'],
  ['a Deny about something else denies nothing', {}, { identity: [allow(), deny({ Action: 'ecr:DeleteRepository', Resource: '*' })] }, 'allowed'],
  ['a Deny whose condition does not hold denies nothing', {}, { identity: [allow(), deny({ Action: '*', Resource: '*', Condition: { Bool: { 'aws:SecureTransport': 'false' } } })], }, 'allowed'],
  ['a Deny on an unknown key that asks for a difference denies', {}, { identity: [allow(), deny({ Action: '*', Resource: '*', Condition: { StringNotEquals: { 'aws:SourceVpc': 'vpc-1' } } })] }, 'identity: explicit-deny'],

  ['a boundary and an identity policy allow together', {}, { identity: [allow()], boundary: allow() }, 'allowed'],
  ['a boundary bounds what identity policies allow', {}, { identity: [allow()], boundary: unrelated }, 'boundary: implicit-deny'],
  ['a boundary alone allows nothing', {}, { identity: [], boundary: allow() }, 'identity: implicit-deny'],
  ['a Deny of a boundary denies', {}, { identity: [allow()], boundary: deny() }, 'boundary: explicit-deny'],
  ['a boundary bounds a role as well', bySession, { identity: [allow()], boundary: unrelated }, 'boundary: implicit-deny'],

  ['a session policy and an identity policy allow together', bySession, { identity: [allow()], session: [allow()] }, 'allowed'],
  ['a session policy bounds what identity policies allow', bySession, { identity: [allow()], session: [unrelated] }, 'session: implicit-deny'],
  ['a session policy alone allows nothing', bySession, { identity: [], session: [allow()] }, 'identity: implicit-deny'],
  ['one of several session policies is enough', bySession, { identity: [allow()], session: [unrelated, allow()] }, 'allowed'],
  ['a Deny of a session policy denies', bySession, { identity: [allow()], session: [allow(), deny()] }, 'session: explicit-deny'],
  ['a session without session policies is bounded by none', bySession, { identity: [allow()], session: [] }, 'allowed'],
  ['boundary and session policy bound together', bySession, { identity: [allow()], boundary: allow(), session: [unrelated] }, 'session: implicit-deny'],
  ['all three allow', bySession, { identity: [allow()], boundary: allow(), session: [allow()] }, 'allowed'],

  ['the resource’s policy and an identity policy allow', {}, { identity: [allow()], resource: toUser }, 'allowed'],
  ['an identity policy is enough beside a policy of the resource for others', {}, { identity: [allow()], resource: toStranger }, 'allowed'],
  ['the resource’s policy for the user is enough', {}, { identity: [], resource: toUser }, 'allowed'],
  ['the resource’s policy for everybody is enough', {}, { identity: [], resource: toEverybody }, 'allowed'],
  ['the resource’s policy for the account has to be handed on', {}, { identity: [], resource: toAccount }, 'identity: implicit-deny'],
  ['the resource’s policy for the account is handed on by an identity policy', {}, { identity: [allow()], resource: toAccount }, 'allowed'],
  ['a Deny of the resource’s policy denies', {}, { identity: [allow()], resource: denied }, 'resource: explicit-deny'],
  ['a Deny of an identity policy beats the resource’s Allow', {}, { identity: [deny()], resource: toUser }, 'identity: explicit-deny'],
  ['what the resource allows to the user is not bounded by the boundary', {}, { identity: [], boundary: unrelated, resource: toUser }, 'allowed'],
  ['a Deny of the boundary beats the resource’s Allow', {}, { identity: [], boundary: deny(), resource: toUser }, 'boundary: explicit-deny'],
  ['what the resource allows to everybody is not bounded by the boundary', {}, { identity: [], boundary: unrelated, resource: toEverybody }, 'allowed'],
  ['what the resource allows to a user’s bounded credentials is bounded', {}, { identity: [], session: [unrelated], resource: toUser }, 'session: implicit-deny'],

  ['the resource’s policy for the role is enough', bySession, { identity: [], resource: toRole }, 'allowed'],
  ['what the resource allows to the role is bounded by the boundary', bySession, { identity: [], boundary: unrelated, resource: toRole }, 'boundary: implicit-deny'],
  ['what the resource allows to the role is bounded by session policies', bySession, { identity: [], session: [unrelated], resource: toRole }, 'session: implicit-deny'],
  ['boundary and session policies may allow it', bySession, { identity: [], boundary: allow(), session: [allow()], resource: toRole }, 'allowed'],
  ['what the resource allows to the session is bounded by neither', bySession, { identity: [], ...bothRefuse, resource: toSession }, 'allowed'],
  ['what the resource allows to everybody is bounded by neither', bySession, { identity: [], ...bothRefuse, resource: toEverybody }, 'allowed'],
  ['what the resource allows to the account is bounded by both', bySession, { identity: [allow()], ...bothRefuse, resource: toAccount }, 'boundary: implicit-deny'],
  ['a Deny of a session policy beats the resource’s Allow to the session', bySession, { identity: [], session: [deny()], resource: toSession }, 'session: explicit-deny'],

  ['the registry’s policy is enough as well', {}, { identity: [], registry: toUser }, 'allowed'],
  ['the registry’s policy adds to the repository’s', {}, { identity: [], resource: toStranger, registry: toUser }, 'allowed'],
  ['the repository’s policy adds to the registry’s', {}, { identity: [], resource: toUser, registry: toStranger }, 'allowed'],
  ['a Deny of the registry’s policy beats the repository’s Allow', {}, { identity: [allow()], resource: toUser, registry: denied }, 'registry: explicit-deny'],
  ['a Deny of the repository’s policy beats the registry’s Allow', {}, { identity: [allow()], resource: denied, registry: toUser }, 'resource: explicit-deny'],

  ['a root needs no policy in its account', byRoot, { identity: [] }, 'allowed'],
  ['a root is bounded by no identity policy', byRoot, { identity: [deny()] }, 'allowed'],
  ['a root is bounded by no boundary', byRoot, { identity: [], boundary: deny() }, 'allowed'],
  ['a root is denied by the resource’s policy', byRoot, { identity: [], resource: denied }, 'resource: explicit-deny'],
  ['a root is denied by the registry’s policy', byRoot, { identity: [], registry: denied }, 'registry: explicit-deny'],
]

/* AWS: "Cross-account policy evaluation logic". */
const acrossAccounts: readonly Case[] = [
  ['an identity policy alone is not enough', byStranger, { identity: [allow()] }, 'resource: implicit-deny'],
  ['a policy of the resource for others is not enough', byStranger, { identity: [allow()], resource: toUser }, 'resource: implicit-deny'],
  ['the resource’s policy for the user alone is not enough', byStranger, { identity: [], resource: toStranger }, 'identity: implicit-deny'],
  ['the resource’s policy for everybody alone is not enough', byStranger, { identity: [], resource: toEverybody }, 'identity: implicit-deny'],
  ['both together allow', byStranger, { identity: [allow()], resource: toStranger }, 'allowed'],
  ['the resource may allow the whole account', byStranger, { identity: [allow()], resource: toOtherAccount }, 'allowed'],
  ['the resource may allow everybody', byStranger, { identity: [allow()], resource: toEverybody }, 'allowed'],
  ['the registry’s policy may allow it', byStranger, { identity: [allow()], registry: toOtherAccount }, 'allowed'],
  ['the owner’s own account is not the stranger’s', byStranger, { identity: [allow()], resource: toAccount }, 'resource: implicit-deny'],
  ['a boundary bounds, whomever the resource names', byStranger, { identity: [allow()], boundary: unrelated, resource: toStranger }, 'boundary: implicit-deny'],
  ['session policies bound, whomever the resource names', { principal: strangeSession }, { identity: [allow()], session: [unrelated], resource: to({ AWS: strangeSession.arn }) }, 'session: implicit-deny'],
  ['a role of the other account is allowed by both', { principal: strangeSession }, { identity: [allow()], resource: to({ AWS: `arn:aws:iam::${other}:role/reader` }) }, 'allowed'],
  ['a session named by the resource needs its identity policies', { principal: strangeSession }, { identity: [], resource: to({ AWS: strangeSession.arn }) }, 'identity: implicit-deny'],
  ['a Deny of the resource’s policy denies', byStranger, { identity: [allow()], resource: denied }, 'resource: explicit-deny'],
  ['a Deny of the stranger’s own policies denies', byStranger, { identity: [deny()], resource: toStranger }, 'identity: explicit-deny'],
  ['a root of another account needs the resource’s policy', { principal: strangeRoot }, { identity: [] }, 'resource: implicit-deny'],
  ['a root of another account needs nothing else', { principal: strangeRoot }, { identity: [], resource: toOtherAccount }, 'allowed'],
  ['a root is not one of its users', { principal: strangeRoot }, { identity: [], resource: toStranger }, 'resource: implicit-deny'],
  ['a root of another account is denied by the resource', { principal: strangeRoot }, { identity: [], resource: denied }, 'resource: explicit-deny'],
]

const trusting = (principal: unknown, effect = 'Allow', parts = {}) =>
  policyOf('trust', { Effect: effect, Principal: principal, Action: ['sts:AssumeRole', 'sts:AssumeRoleWithWebIdentity'], ...parts })
const assume = (principal: PolicyRequest['principal']) => ({ principal, action: 'sts:AssumeRole', resource: roleArn })
const assumeByToken = { principal: webIdentity, action: 'sts:AssumeRoleWithWebIdentity', resource: roleArn }
const audience = { Condition: { StringEquals: { 'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com' } } }

/* AWS: "IAM roles: trust policies"; they "must explicitly allow access for principals". */
const trust: readonly Case[] = [
  ['an identity policy alone is not enough', assume(user), { identity: [allow()], trust: trusting({ AWS: stranger.arn }) }, 'trust: implicit-deny'],
  ['trust in the user is enough', assume(user), { identity: [], trust: trusting({ AWS: user.arn }) }, 'allowed'],
  ['trust in the account has to be handed on', assume(user), { identity: [], trust: trusting({ AWS: home }) }, 'identity: implicit-deny'],
  ['trust in the account is handed on by an identity policy', assume(user), { identity: [allow()], trust: trusting({ AWS: home }) }, 'allowed'],
  ['trust in a role is enough for its sessions', assume(session), { identity: [], trust: trusting({ AWS: roleArn }) }, 'allowed'],
  ['trust in a role is bounded by session policies', assume(session), { identity: [], session: [unrelated], trust: trusting({ AWS: roleArn }) }, 'session: implicit-deny'],
  ['trust in the session is enough', assume(session), { identity: [], ...bothRefuse, trust: trusting({ AWS: session.arn }) }, 'allowed'],
  ['a Deny of the trust policy denies', assume(user), { identity: [allow()], trust: trusting({ AWS: user.arn }, 'Deny') }, 'trust: explicit-deny'],
  ['a Deny of an identity policy denies', assume(user), { identity: [deny()], trust: trusting({ AWS: user.arn }) }, 'identity: explicit-deny'],
  ['a condition of the trust policy has to hold', { ...assume(user), context: { 'sts:ExternalId': 'wrong' } }, { identity: [], trust: trusting({ AWS: user.arn }, 'Allow', { Condition: { StringEquals: { 'sts:ExternalId': 'x-1' } } }) }, 'trust: implicit-deny'],
  ['a condition of the trust policy may hold', { ...assume(user), context: { 'sts:ExternalId': 'x-1' } }, { identity: [], trust: trusting({ AWS: user.arn }, 'Allow', { Condition: { StringEquals: { 'sts:ExternalId': 'x-1' } } }) }, 'allowed'],
  ['another account needs an identity policy', assume(stranger), { identity: [], trust: trusting({ AWS: stranger.arn }) }, 'identity: implicit-deny'],
  ['another account needs trust', assume(stranger), { identity: [allow()], trust: trusting({ AWS: home }) }, 'trust: implicit-deny'],
  ['another account needs both', assume(stranger), { identity: [allow()], trust: trusting({ AWS: other }) }, 'allowed'],
  ['a root needs trust, too', assume(root), { identity: [], trust: trusting({ AWS: user.arn }) }, 'trust: implicit-deny'],
  ['a root is trusted with its account', assume(root), { identity: [], trust: trusting({ AWS: home }) }, 'allowed'],
  ['trust in one action is not trust in another', { ...assume(user), action: 'sts:TagSession' }, { identity: [], trust: trusting({ AWS: user.arn }) }, 'trust: implicit-deny'],

  ['a web identity needs trust in its provider', assumeByToken, { identity: [], trust: trusting({ Federated: providerArn }) }, 'allowed'],
  ['trust in another provider is none', assumeByToken, { identity: [], trust: trusting({ Federated: `arn:aws:iam::${home}:oidc-provider/gitlab.example.com` }) }, 'trust: implicit-deny'],
  ['trust in everybody with an account is not trust in web identities', assumeByToken, { identity: [], trust: trusting({ AWS: '*' }) }, 'trust: implicit-deny'],
  ['trust in the account is not trust in web identities', assumeByToken, { identity: [], trust: trusting({ AWS: home }) }, 'trust: implicit-deny'],
  ['a Deny for everybody denies web identities', assumeByToken, { identity: [], trust: policyOf('trust', [{ Effect: 'Allow', Principal: { Federated: providerArn }, Action: 'sts:*' }, { Effect: 'Deny', Principal: { AWS: '*' }, Action: 'sts:*' }]) }, 'trust: explicit-deny'],
  ['a claim has to be what the trust policy asks for', { ...assumeByToken, context: { 'token.actions.githubusercontent.com:aud': 'https://other.example' } }, { identity: [], trust: trusting({ Federated: providerArn }, 'Allow', audience) }, 'trust: implicit-deny'],
  ['a claim may be what the trust policy asks for', { ...assumeByToken, context: { 'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com' } }, { identity: [], trust: trusting({ Federated: providerArn }, 'Allow', audience) }, 'allowed'],
]

describe.each([
  ['in one account', inOneAccount],
  ['across accounts', acrossAccounts],
  ['of who assumes a role', trust],
])('evaluation %s', (_, cases) => {
  it.each(cases)('%s', (_rule, request, policies, outcome) => {
    expect(outcomeOf(evaluate(requestOf(request), policies))).toBe(outcome)
  })
})

/* AWS: "Troubleshoot access denied error messages". */
const messages: readonly [who: Partial<PolicyRequest>, policies: PolicySet, reason: string][] = [
  [{}, { identity: [] }, 'because no identity-based policy allows the ecr:PutImage action'],
  [{}, { identity: [deny()] }, 'with an explicit deny in an identity-based policy'],
  [{}, { identity: [allow()], boundary: unrelated }, 'because no permissions boundary allows the ecr:PutImage action'],
  [{}, { identity: [], boundary: deny() }, 'with an explicit deny in a permissions boundary'],
  [{}, { identity: [allow()], session: [unrelated] }, 'because no session policy allows the ecr:PutImage action'],
  [{}, { identity: [], session: [deny()] }, 'with an explicit deny in a session policy'],
  [byStranger, { identity: [allow()] }, 'because no resource-based policy allows the ecr:PutImage action'],
  [{}, { identity: [], resource: denied }, 'with an explicit deny in a resource-based policy'],
  [{}, { identity: [], registry: denied }, 'with an explicit deny in a resource-based policy'],
]

describe('the message of a refusal', () => {
  it.each(messages)('%# says which kind of policy refused: %j', (who, policies, reason) => {
    const request = requestOf(who)
    expect(evaluate(request, policies)).toMatchObject({
      message: `User: ${request.principal.arn} is not authorized to perform: ecr:PutImage on resource: ${repositoryArn} ${reason}`,
    })
  })

  it('names the trust policy of a role', () => {
    const request = requestOf(assume(user))
    const words = `User: ${user.arn} is not authorized to perform: sts:AssumeRole on resource: ${roleArn}`
    expect(evaluate(request, { identity: [], trust: trusting({ AWS: other }) })).toMatchObject({
      message: `${words} because no role trust policy allows the sts:AssumeRole action`,
    })
    expect(evaluate(request, { identity: [], trust: trusting({ AWS: '*' }, 'Deny') })).toMatchObject({
      message: `${words} with an explicit deny in the role trust policy`,
    })
  })
})
