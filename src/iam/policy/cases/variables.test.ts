import { describe, expect, it } from 'vitest'
import type { ConditionContext } from '../context.ts'
import { evaluate } from '../evaluate.ts'
import { allow, isAllowedBy, policyOf, repositoryArnPrefix, requestOf, user, type StatementParts } from '../policy.test-support.ts'

/* AWS: "IAM policy elements: Variables and tags". */
const resourceCases: readonly [rule: string, name: string, context: ConditionContext, resource: string, holds: boolean][] = [
  ['a variable is its value', '${aws:username}/*', { 'aws:username': 'anna' }, 'anna/app', true],
  ['a variable is no other value', '${aws:username}/*', { 'aws:username': 'bob' }, 'anna/app', false],
  ['a variable without a value matches nothing', '${aws:username}/*', {}, 'anna/app', false],
  ['a variable without a value is not its own text', '${aws:username}/*', {}, '${aws:username}/app', false],
  ['a variable’s key has no case', '${AWS:UserName}/*', { 'aws:username': 'anna' }, 'anna/app', true],
  ['a request’s key has no case', '${aws:username}/*', { 'AWS:USERNAME': 'anna' }, 'anna/app', true],
  ['a variable’s value has a case', '${aws:username}/*', { 'aws:username': 'Anna' }, 'anna/app', false],
  ['a value’s * is no wildcard', '${aws:username}/*', { 'aws:username': '*' }, 'anna/app', false],
  ['a value’s * is itself', '${aws:username}/*', { 'aws:username': '*' }, '*/app', true],
  ['a value’s ? is no wildcard', '${aws:username}/*', { 'aws:username': 'ann?' }, 'anna/app', false],
  ['a value’s ${ is no variable', '${aws:username}', { 'aws:username': '${aws:userid}', 'aws:userid': 'x' }, 'x', false],
  ['a tag of the principal is a variable', '${aws:PrincipalTag/team}/*', { 'aws:PrincipalTag/team': 'red' }, 'red/app', true],
  ['several variables go together', '${aws:PrincipalTag/team}/${aws:username}', { 'aws:PrincipalTag/team': 'red', 'aws:username': 'anna' }, 'red/anna', true],
  ['each of several needs a value', '${aws:PrincipalTag/team}/${aws:username}', { 'aws:username': 'anna' }, 'red/anna', false],
  ['a variable may stand twice', '${aws:username}/${aws:username}', { 'aws:username': 'anna' }, 'anna/anna', true],
  ['a default takes the place of an absent value', "${aws:PrincipalTag/team, 'shared'}/*", {}, 'shared/app', true],
  ['a default is not used where there is a value', "${aws:PrincipalTag/team, 'shared'}/*", { 'aws:PrincipalTag/team': 'red' }, 'shared/app', false],
  ['a value beats the default', "${aws:PrincipalTag/team, 'shared'}/*", { 'aws:PrincipalTag/team': 'red' }, 'red/app', true],
  ['a default needs no space', "${aws:PrincipalTag/team,'shared'}/*", {}, 'shared/app', true],
  ['a default’s * is no wildcard', "${aws:PrincipalTag/team, '*'}/app", {}, 'red/app', false],
  ['an empty default is a value', "x${aws:PrincipalTag/team, ''}/app", {}, 'x/app', true],
  ['a key with several values is none', '${aws:TagKeys}/app', { 'aws:TagKeys': ['a', 'b'] }, 'a/app', false],
  ['a key with a list of one value has it', '${aws:TagKeys}/app', { 'aws:TagKeys': ['a'] }, 'a/app', true],
  ['a key with an empty list has none', "${aws:TagKeys, 'd'}/app", { 'aws:TagKeys': [] }, 'd/app', true],
  ['${*} is an asterisk', 'a${*}b', {}, 'a*b', true],
  ['${*} is no wildcard', 'a${*}b', {}, 'axb', false],
  ['${?} is a question mark', 'a${?}b', {}, 'a?b', true],
  ['${?} is no wildcard', 'a${?}b', {}, 'axb', false],
  ['${$} is a dollar sign', 'a${$}b', {}, 'a$b', true],
  ['a dollar sign alone is one', 'a$b', {}, 'a$b', true],
  ['braces without a dollar sign are braces', 'a{b}', {}, 'a{b}', true],
]

const conditionCases: readonly [rule: string, condition: unknown, context: ConditionContext, holds: boolean][] = [
  ['a variable stands in StringEquals', { StringEquals: { 'aws:ResourceTag/team': '${aws:PrincipalTag/team}' } }, { 'aws:ResourceTag/team': 'red', 'aws:PrincipalTag/team': 'red' }, true],
  ['its value has to be equal', { StringEquals: { 'aws:ResourceTag/team': '${aws:PrincipalTag/team}' } }, { 'aws:ResourceTag/team': 'red', 'aws:PrincipalTag/team': 'blue' }, false],
  ['two absent values are not equal', { StringEquals: { 'aws:ResourceTag/team': '${aws:PrincipalTag/team}' } }, {}, false],
  ['an absent value is not different either', { StringNotEquals: { 'aws:ResourceTag/team': '${aws:PrincipalTag/team}' } }, { 'aws:ResourceTag/team': 'red' }, false],
  ['with IfExists, too, the variable needs a value', { StringEqualsIfExists: { 'aws:ResourceTag/team': '${aws:PrincipalTag/team}' } }, {}, false],
  ['a variable stands in StringLike beside wildcards', { StringLike: { 'stowage:ImageTag': '${aws:username}-*' } }, { 'stowage:ImageTag': 'anna-1', 'aws:username': 'anna' }, true],
  ['its value’s * is no wildcard in StringLike', { StringLike: { 'stowage:ImageTag': '${aws:username}' } }, { 'stowage:ImageTag': 'anna', 'aws:username': '*' }, false],
  ['StringEquals takes ${*} for an asterisk', { StringEquals: { 'stowage:ImageTag': 'a${*}' } }, { 'stowage:ImageTag': 'a*' }, true],
  ['a variable stands in StringEqualsIgnoreCase', { StringEqualsIgnoreCase: { 'aws:ResourceTag/team': '${aws:PrincipalTag/team}' } }, { 'aws:ResourceTag/team': 'RED', 'aws:PrincipalTag/team': 'Red' }, true],
  ['a variable stands in ArnLike', { ArnLike: { 'aws:PrincipalArn': 'arn:aws:iam::*:user/${aws:username}' } }, { 'aws:PrincipalArn': 'arn:aws:iam::111122223333:user/anna', 'aws:username': 'anna' }, true],
  ['a variable may be a whole ARN', { ArnEquals: { 'aws:PrincipalArn': '${aws:PrincipalTag/owner}' } }, { 'aws:PrincipalArn': 'arn:aws:iam::111122223333:user/anna', 'aws:PrincipalTag/owner': 'arn:aws:iam::111122223333:user/anna' }, true],
  ['a default stands in a condition', { StringEquals: { 'aws:ResourceTag/team': "${aws:PrincipalTag/team, 'red'}" } }, { 'aws:ResourceTag/team': 'red' }, true],
]

/* AWS says that such a statement "might" be invalid as a whole; one that allows is, one that denies is not. */
const withoutValue: readonly [rule: string, effect: 'Allow' | 'Deny', parts: StatementParts, applies: boolean][] = [
  ['keeps an Allow from applying to its other resources', 'Allow', { Resource: [`${repositoryArnPrefix}\${aws:username}`, '*'] }, false],
  ['does not keep a Deny from applying to its other resources', 'Deny', { Resource: [`${repositoryArnPrefix}\${aws:username}`, '*'] }, true],
  ['is no resource of a Deny', 'Deny', { Resource: `${repositoryArnPrefix}\${aws:username}` }, false],
  ['keeps an Allow with NotResource from applying', 'Allow', { NotResource: `${repositoryArnPrefix}\${aws:username}` }, false],
  ['spares nothing from a Deny with NotResource', 'Deny', { NotResource: `${repositoryArnPrefix}\${aws:username}` }, true],
  ['keeps an Allow on a difference from applying', 'Allow', { Resource: '*', Condition: { StringNotEquals: { 'aws:SourceIp': '${aws:username}' } } }, false],
  ['is different for a Deny on a difference', 'Deny', { Resource: '*', Condition: { StringNotEquals: { 'aws:SourceIp': '${aws:username}' } } }, true],
  ['is equal to nothing for a Deny', 'Deny', { Resource: '*', Condition: { StringEquals: { 'aws:SourceIp': '${aws:username}' } } }, false],
  ['is like no ARN for a Deny', 'Deny', { Resource: '*', Condition: { ArnLike: { 'aws:PrincipalArn': '${aws:username}' } } }, false],
  ['is unlike every ARN for a Deny', 'Deny', { Resource: '*', Condition: { ArnNotLike: { 'aws:PrincipalArn': '${aws:username}' } } }, true],
]

describe('a policy variable without a value', () => {
  it.each(withoutValue)('%s', (_, Effect, parts, applies) => {
    const statements = [policyOf('identity', { Effect, Action: '*', ...parts }), ...(Effect === 'Deny' ? [allow()] : [])]
    const context = { 'aws:SourceIp': '10.0.0.1', 'aws:PrincipalArn': user.arn }
    const { allowed } = evaluate(requestOf({ context }), { identity: statements })
    expect(allowed).toBe((Effect === 'Allow') === applies)
  })
})

function statementFor(name: string): StatementParts {
  return { Effect: 'Allow', Action: '*', Resource: repositoryArnPrefix + name }
}

describe('policy variables in Resource', () => {
  it.each(resourceCases)('%s', (_, name, context, repository, holds) => {
    expect(isAllowedBy(statementFor(name), { context, resource: repositoryArnPrefix + repository })).toBe(holds)
  })
})

describe('policy variables in Condition', () => {
  it.each(conditionCases)('%s', (_, Condition, context, holds) => {
    expect(isAllowedBy({ Effect: 'Allow', Action: '*', Resource: '*', Condition }, { context })).toBe(holds)
  })
})
