import { describe, expect, it } from 'vitest'
import { evaluate, type PolicyRequest, type PolicySet } from './evaluate.ts'
import {
  allow,
  deny,
  home,
  other,
  outcomeOf,
  policyOf,
  requestOf,
  roleArn,
  root,
  session,
  strangeRoot,
  stranger,
  unrelated,
  user,
} from './policy.test-support.ts'

const resourcePolicy = (effect: 'Allow' | 'Deny', principal: unknown) =>
  policyOf('resource', { Effect: effect, Principal: principal, Action: 'ecr:*' })

const cases: readonly [rule: string, request: Partial<PolicyRequest>, policies: PolicySet, outcome: string][] = [
  ['nothing is allowed by default', {}, { identity: [] }, 'identity: implicit-deny'],
  ['an identity policy allows', {}, { identity: [unrelated, allow()] }, 'allowed'],
  ['a Deny of an identity policy beats every Allow', {}, { identity: [allow(), deny()] }, 'identity: explicit-deny'],
  ['a boundary bounds what identity policies allow', {}, { identity: [allow()], boundary: unrelated }, 'boundary: implicit-deny'],
  ['a boundary alone allows nothing', {}, { identity: [], boundary: allow() }, 'identity: implicit-deny'],
  ['a session policy bounds what identity policies allow', { principal: session }, { identity: [allow()], session: [unrelated] }, 'session: implicit-deny'],
  ['the resource’s policy allows a user of its account by itself', {}, { identity: [], resource: resourcePolicy('Allow', { AWS: user.arn }) }, 'allowed'],
  ['the resource’s policy denies what an identity policy allows', {}, { identity: [allow()], resource: resourcePolicy('Deny', '*') }, 'resource: explicit-deny'],
  ['what is allowed to the account needs an identity policy', {}, { identity: [], resource: resourcePolicy('Allow', { AWS: home }) }, 'identity: implicit-deny'],
  ['what is allowed to a role is bounded by its boundary', { principal: session }, { identity: [], boundary: unrelated, resource: resourcePolicy('Allow', { AWS: roleArn }) }, 'boundary: implicit-deny'],
  ['another account needs the resource’s policy', { principal: stranger }, { identity: [allow()] }, 'resource: implicit-deny'],
  ['another account needs an identity policy', { principal: stranger }, { identity: [], resource: resourcePolicy('Allow', { AWS: other }) }, 'identity: implicit-deny'],
  ['another account with both is allowed', { principal: stranger }, { identity: [allow()], resource: resourcePolicy('Allow', { AWS: other }) }, 'allowed'],
  ['a root needs no policy in its account', { principal: root }, { identity: [] }, 'allowed'],
  ['another account’s root needs the resource’s policy', { principal: strangeRoot }, { identity: [] }, 'resource: implicit-deny'],
]

describe('evaluate', () => {
  it.each(cases)('%s', (_, request, policies, outcome) => {
    expect(outcomeOf(evaluate(requestOf(request), policies))).toBe(outcome)
  })
})
