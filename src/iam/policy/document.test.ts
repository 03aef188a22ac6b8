import { describe, expect, it } from 'vitest'
import type { PolicyKind } from './document.ts'
import { maxPolicyTextLength, policySize } from './limits.ts'
import { parsePolicy } from './policy.ts'
import { documentOf, home, repositoryArn } from './policy.test-support.ts'

const plain = { Effect: 'Allow', Action: 'ecr:*', Resource: '*' }
const granted = { Effect: 'Allow', Principal: '*', Action: 'ecr:*' }
const trusted = { Effect: 'Allow', Principal: { AWS: home }, Action: 'sts:AssumeRole' }
const of: Readonly<Record<PolicyKind, object>> = { identity: plain, session: plain, resource: granted, trust: trusted }

const accepted: readonly [rule: string, kind: PolicyKind, text: string][] = [
  ['one statement instead of a list', 'identity', documentOf(plain)],
  ['a list of statements', 'identity', documentOf([plain, { ...plain, Effect: 'Deny' }])],
  ['the language of 2008', 'identity', documentOf(plain, '2008-10-17')],
  ['no version, which is 2008', 'identity', JSON.stringify({ Statement: plain })],
  ['an Id', 'identity', JSON.stringify({ Version: '2012-10-17', Id: 'any text', Statement: plain })],
  ['a Sid', 'identity', documentOf({ ...plain, Sid: 'Allow1' })],
  ['an empty Sid', 'trust', documentOf({ ...trusted, Sid: '' })],
  ['several empty Sids', 'identity', documentOf([{ ...plain, Sid: '' }, { ...plain, Sid: '' }])],
  ['a Sid with spaces in a resource’s policy', 'resource', documentOf({ ...granted, Sid: 'allow the team' })],
  ['NotAction and NotResource', 'identity', documentOf({ Effect: 'Deny', NotAction: 'ecr:*', NotResource: [repositoryArn] })],
  ['a resource’s policy without resources', 'resource', documentOf(granted)],
  ['a resource’s policy with resources', 'resource', documentOf({ ...granted, Resource: '*' })],
  ['NotPrincipal', 'resource', documentOf({ Effect: 'Deny', NotPrincipal: { AWS: [home] }, Action: '*' })],
  ['all kinds of principals', 'resource', documentOf({ ...granted, Principal: { AWS: '*', Service: ['a.amazonaws.com'], Federated: 'accounts.google.com', CanonicalUser: '79a5' } })],
  ['a trust policy for a web identity', 'trust', documentOf({ ...trusted, Principal: { Federated: `arn:aws:iam::${home}:oidc-provider/a.example` }, Action: 'sts:AssumeRoleWithWebIdentity' })],
  ['a trust policy with session tags', 'trust', documentOf({ ...trusted, Action: ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity'] })],
  ['an empty condition', 'identity', documentOf({ ...plain, Condition: {} })],
  ['values of conditions that are no texts', 'identity', documentOf({ ...plain, Condition: { Bool: { 'aws:SecureTransport': true }, NumericLessThan: { 'sts:DurationSeconds': 900 } } })],
  ['a partition of AWS', 'identity', documentOf({ ...plain, Resource: `arn:aws-us-gov:ecr:us-gov-west-1:${home}:repository/x` })],
  ['an incomplete ARN', 'identity', documentOf({ ...plain, Resource: 'arn:aws:ecr' })],
  ['a variable in an ARN', 'identity', documentOf({ ...plain, Resource: 'arn:aws:ecr:${aws:RequestedRegion}:*:repository/${aws:PrincipalTag/team}/*' })],
  ['a dollar and a brace in the language of 2008', 'identity', documentOf({ ...plain, Resource: 'arn:aws:ecr:*:*:repository/${' }, '2008-10-17')],
  ['white space', 'identity', `\n\t ${JSON.stringify({ Version: '2012-10-17', Statement: plain }, undefined, 4)}\r\n`],
  ['a bound of temporary credentials', 'session', documentOf(plain)],
  ['every IAM resource', 'identity', documentOf({ ...plain, Action: 'iam:*', Resource: [`arn:aws:iam::${home}:user/a`, 'arn:aws:iam::*:*', `arn:aws:iam::${home}:oidc-provider/*`] })],
]

const syntaxErrors = 'Syntax errors in policy.'
const vendorless = 'Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.'
const withCondition = (Condition: unknown) => documentOf({ ...plain, Condition })
const withPrincipal = (Principal: unknown, kind: PolicyKind = 'resource') => documentOf({ ...of[kind], Principal })
const invalidPrincipal = (type: string, value: string) => `Invalid principal in policy: "${type}":"${value}"`

const refused: readonly [rule: string, kind: PolicyKind, text: string, message: string][] = [
  ['the empty text', 'identity', '', syntaxErrors],
  ['a text that is no JSON', 'identity', '{"Version":', syntaxErrors],
  ['a text behind the JSON', 'identity', `${documentOf(plain)}x`, syntaxErrors],
  ['a trust policy that is no JSON', 'trust', '{', 'This policy contains invalid Json'],
  ['a list', 'identity', `[${documentOf(plain)}]`, syntaxErrors],
  ['null', 'identity', 'null', syntaxErrors],
  ['a key that stands twice', 'identity', '{"Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}', syntaxErrors],
  ['a key that stands twice, once with an escape', 'identity', '{"Statement":{"Effect":"Deny","\\u0045ffect":"Allow","Action":"*","Resource":"*"}}', syntaxErrors],
  ['a text that is too long to read', 'identity', documentOf(plain) + ' '.repeat(maxPolicyTextLength), syntaxErrors],
  ['JSON that nests too deep', 'identity', '['.repeat(5_000) + ']'.repeat(5_000), syntaxErrors],
  ['an unknown version', 'identity', documentOf(plain, '2013-10-17'), syntaxErrors],
  ['an unknown element', 'identity', JSON.stringify({ Version: '2012-10-17', Statement: plain, Comment: '' }), syntaxErrors],
  ['an element in another case', 'identity', JSON.stringify({ Version: '2012-10-17', statement: plain }), syntaxErrors],
  ['an unknown element of a statement', 'identity', documentOf({ ...plain, Actions: 'ecr:*' }), syntaxErrors],
  ['an element named like a part of JavaScript', 'identity', '{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","__proto__":{}}}', syntaxErrors],
  ['no statement', 'identity', JSON.stringify({ Version: '2012-10-17' }), syntaxErrors],
  ['no statement in the list', 'identity', documentOf([]), syntaxErrors],
  ['a statement that is a text', 'identity', JSON.stringify({ Statement: 'Allow' }), syntaxErrors],
  ['a statement inside a list of lists', 'identity', JSON.stringify({ Statement: [[plain]] }), syntaxErrors],
  ['an Id that is no text', 'identity', JSON.stringify({ Id: 7, Statement: plain }), syntaxErrors],
  ['no Effect', 'identity', documentOf({ Action: '*', Resource: '*' }), syntaxErrors],
  ['another Effect', 'identity', documentOf({ ...plain, Effect: 'allow' }), syntaxErrors],
  ['a Sid that is no text', 'identity', documentOf({ ...plain, Sid: 1 }), syntaxErrors],
  ['a Sid with other characters', 'identity', documentOf({ ...plain, Sid: 'a b' }), 'Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*'],
  ['the same Sid twice', 'identity', documentOf([{ ...plain, Sid: 'A' }, { ...plain, Sid: 'A' }]), 'Statement IDs (SID) in a single policy must be unique.'],
  ['no Action', 'identity', documentOf({ Effect: 'Allow', Resource: '*' }), 'Policy statement must contain actions.'],
  ['an empty list of actions', 'identity', documentOf({ ...plain, Action: [] }), 'Policy statement must contain actions.'],
  ['Action and NotAction', 'identity', documentOf({ ...plain, NotAction: 'ecr:*' }), syntaxErrors],
  ['an Action that is no text', 'identity', documentOf({ ...plain, Action: [1] }), syntaxErrors],
  ['an Action without a service', 'identity', documentOf({ ...plain, Action: 'PutImage' }), vendorless],
  ['an empty Action', 'identity', documentOf({ ...plain, Action: '' }), vendorless],
  ['an Action with two colons', 'identity', documentOf({ ...plain, Action: 'ecr:Put:Image' }), 'Actions/Condition can contain only one colon.'],
  ['a wildcard in a service’s name', 'identity', documentOf({ ...plain, Action: 'ec*:PutImage' }), 'Vendor ec* is not valid'],
  ['a service’s name with other characters', 'identity', documentOf({ ...plain, Action: 'e r:PutImage' }), 'Vendor e r is not valid'],
  ['a service without a name', 'identity', documentOf({ ...plain, Action: ':PutImage' }), 'Vendor  is not valid'],
  ['no Resource', 'identity', documentOf({ Effect: 'Allow', Action: '*' }), 'Policy statement must contain resources.'],
  ['no Resource in a session policy', 'session', documentOf({ Effect: 'Allow', Action: '*' }), 'Policy statement must contain resources.'],
  ['an empty list of resources', 'identity', documentOf({ ...plain, Resource: [] }), 'Policy statement must contain resources.'],
  ['an empty list of resources of a repository', 'resource', documentOf({ ...granted, Resource: [] }), 'Policy statement must contain resources.'],
  ['Resource and NotResource', 'identity', documentOf({ ...plain, NotResource: '*' }), syntaxErrors],
  ['a Resource that is no ARN', 'identity', documentOf({ ...plain, Resource: 'team/app' }), 'Resource team/app must be in ARN format or "*".'],
  ['a Resource that begins otherwise', 'identity', documentOf({ ...plain, Resource: 'urn:aws:ecr:::x' }), 'Resource urn:aws:ecr:::x must be in ARN format or "*".'],
  ['two asterisks as a Resource', 'identity', documentOf({ ...plain, Resource: '**' }), 'Resource ** must be in ARN format or "*".'],
  ['another partition', 'identity', documentOf({ ...plain, Resource: 'arn:azure:ecr' }), 'Partition "azure" is not valid for resource "arn:azure:ecr:*:*:*".'],
  ['a wildcard as the partition', 'identity', documentOf({ ...plain, Resource: 'arn:*' }), 'Partition "*" is not valid for resource "arn:*:*:*:*:*".'],
  ['a wildcard as the service', 'identity', documentOf({ ...plain, Resource: 'arn:aws:*:*:*:*' }), 'Resource vendor must be fully qualified and cannot contain regexes.'],
  ['an ARN without a service', 'identity', documentOf({ ...plain, Resource: 'arn:aws' }), 'Resource vendor must be fully qualified and cannot contain regexes.'],
  ['a region in an ARN of IAM', 'identity', documentOf({ ...plain, Resource: `arn:aws:iam:eu-west-1:${home}:user/a` }), `IAM resource arn:aws:iam:eu-west-1:${home}:user/a cannot contain region information.`],
  ['an unknown kind of IAM resource', 'identity', documentOf({ ...plain, Resource: `arn:aws:iam::${home}:users/a` }), 'IAM resource path must either be "*" or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.'],
  ['a variable that is not closed', 'identity', documentOf({ ...plain, Resource: 'arn:aws:ecr:*:*:repository/${aws:username' }), syntaxErrors],
  ['a variable without a key', 'identity', documentOf({ ...plain, Resource: 'arn:aws:ecr:*:*:repository/${}' }), syntaxErrors],
  ['a default without quotes', 'identity', documentOf({ ...plain, Resource: 'arn:aws:ecr:*:*:repository/${aws:username, x}' }), syntaxErrors],
  ['a Principal in an identity’s policy', 'identity', documentOf({ ...plain, Principal: '*' }), 'Policy document should not specify a principal.'],
  ['a NotPrincipal in a session policy', 'session', documentOf({ ...plain, NotPrincipal: '*' }), 'Policy document should not specify a principal.'],
  ['no Principal in a resource’s policy', 'resource', documentOf({ Effect: 'Allow', Action: 'ecr:*' }), 'Missing required field Principal'],
  ['no Principal in a trust policy', 'trust', documentOf({ Effect: 'Allow', Action: 'sts:AssumeRole' }), 'Missing required field Principal'],
  ['Principal and NotPrincipal', 'resource', documentOf({ ...granted, NotPrincipal: '*' }), syntaxErrors],
  ['a Principal that is another text', 'resource', withPrincipal(home), syntaxErrors],
  ['a Principal that names nobody', 'resource', withPrincipal({}), syntaxErrors],
  ['a Principal with an empty list', 'resource', withPrincipal({ AWS: [] }), syntaxErrors],
  ['an unknown kind of principal', 'resource', withPrincipal({ GCP: 'x' }), syntaxErrors],
  ['a principal with a wildcard', 'resource', withPrincipal({ AWS: `arn:aws:iam::${home}:user/*` }), invalidPrincipal('AWS', `arn:aws:iam::${home}:user/*`)],
  ['a group as a principal', 'resource', withPrincipal({ AWS: `arn:aws:iam::${home}:group/a` }), invalidPrincipal('AWS', `arn:aws:iam::${home}:group/a`)],
  ['a principal without a name', 'resource', withPrincipal({ AWS: `arn:aws:iam::${home}:user/` }), invalidPrincipal('AWS', `arn:aws:iam::${home}:user/`)],
  ['a user’s name as a principal', 'trust', withPrincipal({ AWS: 'anna' }, 'trust'), invalidPrincipal('AWS', 'anna')],
  ['an account of eleven digits', 'trust', withPrincipal({ AWS: '11112222333' }, 'trust'), invalidPrincipal('AWS', '11112222333')],
  ['every provider at once', 'trust', withPrincipal({ Federated: '*' }, 'trust'), invalidPrincipal('Federated', '*')],
  ['"*" alone in a trust policy', 'trust', withPrincipal('*', 'trust'), 'AssumeRolepolicy contained an invalid principal: "STAR":"*".'],
  ['a Resource in a trust policy', 'trust', documentOf({ ...trusted, Resource: '*' }), 'Has prohibited field Resource'],
  ['another service’s action in a trust policy', 'trust', documentOf({ ...trusted, Action: 'ecr:PutImage' }), 'AssumeRole policy may only specify STS AssumeRole actions.'],
  ['every action in a trust policy', 'trust', documentOf({ ...trusted, Action: '*' }), 'AssumeRole policy may only specify STS AssumeRole actions.'],
  ['a Condition that is a text', 'identity', withCondition('x'), syntaxErrors],
  ['an operator that is a text', 'identity', withCondition({ StringEquals: 'x' }), syntaxErrors],
  ['an unknown operator', 'identity', withCondition({ StringMatches: { 'aws:username': 'a' } }), syntaxErrors],
  ['an unknown operator without keys', 'identity', withCondition({ StringMatches: {} }), syntaxErrors],
  ['an operator in another case', 'identity', withCondition({ stringequals: { 'aws:username': 'a' } }), syntaxErrors],
  ['an unknown set operator', 'identity', withCondition({ 'ForSomeValues:StringEquals': { 'aws:username': 'a' } }), syntaxErrors],
  ['two set operators', 'identity', withCondition({ 'ForAllValues:ForAnyValue:StringEquals': { 'aws:username': 'a' } }), syntaxErrors],
  ['Null with IfExists', 'identity', withCondition({ NullIfExists: { 'aws:username': 'true' } }), syntaxErrors],
  ['a condition on a key without a service', 'identity', withCondition({ StringEquals: { username: 'a' } }), vendorless],
  ['a condition without a value', 'identity', withCondition({ StringEquals: { 'aws:username': [] } }), syntaxErrors],
  ['a condition on null', 'identity', withCondition({ StringEquals: { 'aws:username': null } }), syntaxErrors],
  ['a number that is none', 'identity', withCondition({ NumericEquals: { 'sts:DurationSeconds': 'ten' } }), syntaxErrors],
  ['a time that is none', 'identity', withCondition({ DateLessThan: { 'aws:CurrentTime': 'tomorrow' } }), syntaxErrors],
  ['a month that is none', 'identity', withCondition({ DateLessThan: { 'aws:CurrentTime': '2026-13-01' } }), syntaxErrors],
  ['a boolean that is none', 'identity', withCondition({ Bool: { 'aws:SecureTransport': 'yes' } }), syntaxErrors],
  ['a Null that is no boolean', 'identity', withCondition({ Null: { 'aws:username': 'yes' } }), syntaxErrors],
  ['bytes that are none', 'identity', withCondition({ BinaryEquals: { 'aws:username': 'ä' } }), syntaxErrors],
  ['an address that is none', 'identity', withCondition({ IpAddress: { 'aws:SourceIp': '10.0.0' } }), syntaxErrors],
  ['a byte above 255', 'identity', withCondition({ IpAddress: { 'aws:SourceIp': '10.0.0.256' } }), syntaxErrors],
  ['a range longer than an address', 'identity', withCondition({ IpAddress: { 'aws:SourceIp': '10.0.0.0/33' } }), syntaxErrors],
  ['an IPv6 address with two gaps', 'identity', withCondition({ IpAddress: { 'aws:SourceIp': '1::2::3' } }), syntaxErrors],
  ['an IPv6 address that is too short', 'identity', withCondition({ IpAddress: { 'aws:SourceIp': '1:2:3' } }), syntaxErrors],
  ['an ARN condition on what is no ARN', 'identity', withCondition({ ArnLike: { 'aws:PrincipalArn': 'arn:aws:iam' } }), syntaxErrors],
]

describe('parsePolicy', () => {
  it.each(accepted)('takes %s', (_, kind, text) => {
    expect(parsePolicy(text, kind).statements.length).toBeGreaterThan(0)
  })

  it.each(refused)('refuses %s', (_, kind, text, message) => {
    expect(() => parsePolicy(text, kind)).toThrow(expect.objectContaining({ code: 'policy-malformed', message }))
  })

  it('says where a text is wrong that IAM only calls wrong', () => {
    const text = documentOf([plain, { ...plain, Effect: 'Maybe' }])
    const reason = 'The Effect of Statement 2 is neither Allow nor Deny.'
    expect(() => parsePolicy(text, 'identity')).toThrow(expect.objectContaining({ detail: { reason } }))
  })
})

describe('policySize', () => {
  it('counts no white space', () => {
    expect(policySize(' {\r\n\t"a b": 1\n}')).toBe('{"ab":1}'.length)
  })
})
