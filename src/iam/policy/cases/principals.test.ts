import { describe, expect, it } from 'vitest'
import { evaluate } from '../evaluate.ts'
import { allow, home, other, outcomeOf, policyOf, providerArn, requestOf, roleArn, root, session, strangeRoot, strangeSession, stranger, unrelated, user, webIdentity } from '../policy.test-support.ts'
import type { PolicyPrincipal } from '../principals.ts'

const fromActions: PolicyPrincipal = { ...session, session: { provider: providerArn } }
const withoutRoleArn: PolicyPrincipal = { ...session, roleArn: undefined }

/**
 * Whether a resource's Allow names the caller by itself (`itself`), only with its role or its account (`through`), or not at
 * all (`not`): by itself it needs no other policy; through its role or account it is at least not refused by the resource in
 * the name of a stranger.
 *
 * AWS: "AWS JSON policy elements: Principal".
 */
const cases: readonly [rule: string, principal: unknown, caller: PolicyPrincipal, named: 'itself' | 'role' | 'account' | 'not'][] = [
  ['"*" names a user', '*', user, 'itself'],
  ['{"AWS": "*"} is the same', { AWS: '*' }, user, 'itself'],
  ['"*" names a session', '*', session, 'itself'],
  ['a user’s ARN names the user', { AWS: user.arn }, user, 'itself'],
  ['a user’s ARN names nobody else', { AWS: user.arn }, { ...user, arn: `arn:aws:iam::${home}:user/team/bert` }, 'not'],
  ['a user’s ARN has its path', { AWS: `arn:aws:iam::${home}:user/anna` }, user, 'not'],
  ['a user’s ARN has a case', { AWS: `arn:aws:iam::${home}:user/team/Anna` }, user, 'not'],
  ['an account’s id names its users', { AWS: home }, user, 'account'],
  ['an account’s root ARN names its users', { AWS: `arn:aws:iam::${home}:root` }, user, 'account'],
  ['an account’s id names its sessions', { AWS: home }, session, 'account'],
  ['another account’s id names no user', { AWS: other }, user, 'not'],
  ['a role’s ARN names its sessions', { AWS: roleArn }, session, 'role'],
  ['a role’s ARN names no session of another role', { AWS: `arn:aws:iam::${home}:role/ci/puller` }, session, 'not'],
  ['a role’s ARN has its path', { AWS: `arn:aws:iam::${home}:role/pusher` }, session, 'not'],
  ['a role’s ARN names no session of the same role elsewhere', { AWS: `arn:aws:iam::${other}:role/ci/pusher` }, session, 'not'],
  ['a role of unknown path is known by its name', { AWS: roleArn }, withoutRoleArn, 'role'],
  ['a role’s ARN names no user', { AWS: roleArn }, user, 'not'],
  ['a session’s ARN names that session', { AWS: session.arn }, session, 'itself'],
  ['a session’s ARN names no other session of the role', { AWS: `arn:aws:sts::${home}:assumed-role/pusher/run-8` }, session, 'not'],
  ['one of a list is enough', { AWS: [other, user.arn] }, user, 'itself'],
  ['the most direct of a list counts', { AWS: [home, user.arn] }, user, 'itself'],
  ['a role’s ARN is more direct than its account', { AWS: [home, roleArn] }, session, 'role'],
  ['a user’s unique id names the user', { AWS: 'AIDAANNA00000000001' }, user, 'itself'],
  ['a user’s unique id names nobody else', { AWS: 'AIDAANNA00000000002' }, user, 'not'],
  ['a role’s unique id names its sessions', { AWS: 'AROAPUSHER000000001' }, session, 'role'],
  ['a role’s unique id names no other role’s', { AWS: 'AROAPUSHER000000002' }, session, 'not'],
  ['a service is no user', { Service: 'ecr.amazonaws.com' }, user, 'not'],
  ['a canonical user is no user', { CanonicalUser: '79a59df900b949e5' }, user, 'not'],
  ['several kinds of principals go together', { Service: 'ecr.amazonaws.com', AWS: user.arn }, user, 'itself'],
  ['a provider names sessions of its identities', { Federated: providerArn }, fromActions, 'itself'],
  ['a provider names no other session', { Federated: providerArn }, session, 'not'],
  ['another provider names no session', { Federated: `${providerArn}.example` }, fromActions, 'not'],
]

describe('Principal', () => {
  it.each(cases)('%s', (_, principal, caller, named) => {
    const resource = policyOf('resource', { Effect: 'Allow', Principal: principal, Action: '*' })
    const request = requestOf({ principal: caller })
    const outcomes = {
      alone: outcomeOf(evaluate(request, { identity: [], resource })),
      bounded: outcomeOf(evaluate(request, { identity: [], boundary: unrelated, resource })),
      inAnotherAccount: outcomeOf(evaluate({ ...request, accountId: other }, { identity: [allow()], resource })),
    }
    const [refused, notTheOwner] = ['identity: implicit-deny', 'resource: implicit-deny']
    expect(outcomes).toEqual(
      {
        itself: { alone: 'allowed', bounded: 'allowed', inAnotherAccount: 'allowed' },
        role: { alone: 'allowed', bounded: 'boundary: implicit-deny', inAnotherAccount: 'allowed' },
        account: { alone: refused, bounded: refused, inAnotherAccount: 'allowed' },
        not: { alone: refused, bounded: refused, inAnotherAccount: notTheOwner },
      }[named],
    )
  })
})

const denyCases: readonly [rule: string, principal: unknown, caller: PolicyPrincipal, denied: boolean][] = [
  ['"*" denies a user', { Principal: '*' }, user, true],
  ['"*" denies a root', { Principal: '*' }, root, true],
  ['"*" denies another account', { Principal: '*' }, stranger, true],
  ['a user’s ARN denies the user', { Principal: { AWS: user.arn } }, user, true],
  ['a user’s ARN denies nobody else', { Principal: { AWS: user.arn } }, session, false],
  ['an account denies all its users', { Principal: { AWS: home } }, user, true],
  ['an account denies all its sessions', { Principal: { AWS: home } }, session, true],
  ['an account denies its root', { Principal: { AWS: home } }, root, true],
  ['an account denies no other account', { Principal: { AWS: other } }, user, false],
  ['a role’s ARN denies its sessions', { Principal: { AWS: roleArn } }, session, true],
  ['a session’s ARN denies that session', { Principal: { AWS: session.arn } }, session, true],
  // AWS: "AWS JSON policy elements: NotPrincipal".
  ['NotPrincipal denies who is not listed', { NotPrincipal: { AWS: [stranger.arn, other] } }, user, true],
  ['NotPrincipal spares a user listed with its account', { NotPrincipal: { AWS: [user.arn, home] } }, user, false],
  ['NotPrincipal spares no user listed without its account', { NotPrincipal: { AWS: user.arn } }, user, true],
  ['NotPrincipal spares no user whose account alone is listed', { NotPrincipal: { AWS: home } }, user, true],
  ['NotPrincipal spares a session listed with role and account', { NotPrincipal: { AWS: [session.arn, roleArn, home] } }, session, false],
  ['NotPrincipal spares no session listed without its role', { NotPrincipal: { AWS: [session.arn, home] } }, session, true],
  ['NotPrincipal spares no session whose role alone is listed', { NotPrincipal: { AWS: [roleArn, home] } }, session, true],
  ['NotPrincipal spares the root of a listed account', { NotPrincipal: { AWS: home } }, root, false],
  ['NotPrincipal denies the root of another account', { NotPrincipal: { AWS: home } }, strangeRoot, true],
  ['NotPrincipal of everybody denies nobody', { NotPrincipal: '*' }, user, false],
]

describe('Deny', () => {
  it.each(denyCases)('%s', (_, principal, caller, denied) => {
    const resource = policyOf('resource', [
      { Effect: 'Allow', Principal: '*', Action: '*' },
      { Effect: 'Deny', ...(principal as object), Action: '*' },
    ])
    const outcome = outcomeOf(evaluate(requestOf({ principal: caller }), { identity: [allow()], resource }))
    expect(outcome).toBe(denied ? 'resource: explicit-deny' : 'allowed')
  })

  it('denies with NotPrincipal whoever has a permissions boundary', () => {
    const resource = policyOf('resource', { Effect: 'Deny', NotPrincipal: { AWS: [user.arn, home] }, Action: '*' })
    const outcome = outcomeOf(evaluate(requestOf(), { identity: [allow()], boundary: allow(), resource }))
    expect(outcome).toBe('resource: explicit-deny')
  })
})

const allowNotPrincipal: readonly [rule: string, listed: unknown, caller: PolicyPrincipal, allowed: boolean][] = [
  ['allows who is not listed', { AWS: user.arn }, strangeSession, true],
  ['does not allow who is listed', { AWS: user.arn }, user, false],
  ['does not allow whose account is listed', { AWS: home }, user, false],
  ['does not allow whose role is listed', { AWS: roleArn }, session, false],
]

describe('Allow with NotPrincipal', () => {
  it.each(allowNotPrincipal)('%s', (_, NotPrincipal, principal, allowed) => {
    const resource = policyOf('resource', { Effect: 'Allow', NotPrincipal, Action: '*' })
    const accountId = principal === strangeSession ? home : other
    expect(evaluate(requestOf({ principal, accountId }), { identity: [allow()], resource }).allowed).toBe(allowed)
  })

  it('allows no web identity', () => {
    const trust = policyOf('trust', { Effect: 'Allow', NotPrincipal: { AWS: user.arn }, Action: 'sts:*' })
    const request = requestOf({ principal: webIdentity, action: 'sts:AssumeRoleWithWebIdentity', resource: roleArn })
    expect(outcomeOf(evaluate(request, { identity: [], trust }))).toBe('trust: implicit-deny')
  })
})
