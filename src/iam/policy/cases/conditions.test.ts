import { describe, expect, it } from 'vitest'
import type { ContextValue } from '../context.ts'
import { isAllowedBy } from '../policy.test-support.ts'

type Case = readonly [rule: string, operator: string, policyValue: unknown, requestValue: ContextValue | undefined, holds: boolean]

/** Whether an Allow under a condition on one key allows a request that has a value of it, or none. */
function holdsFor(key: string, operator: string, policyValue: unknown, requestValue: ContextValue | undefined): boolean {
  const statement = { Effect: 'Allow', Action: '*', Resource: '*', Condition: { [operator]: { [key]: policyValue } } }
  return isAllowedBy(statement, { context: requestValue === undefined ? {} : { [key]: requestValue } })
}

/* AWS: "IAM JSON policy elements: Condition operators". */
const strings: readonly Case[] = [
  ['StringEquals holds for the same text', 'StringEquals', 'dev', 'dev', true],
  ['StringEquals does not hold for another', 'StringEquals', 'dev', 'prod', false],
  ['StringEquals has a case', 'StringEquals', 'dev', 'Dev', false],
  ['StringEquals has no wildcards', 'StringEquals', 'dev*', 'dev-1', false],
  ['StringEquals takes * as a character', 'StringEquals', 'dev*', 'dev*', true],
  ['StringEquals holds for one of several', 'StringEquals', ['dev', 'test'], 'test', true],
  ['StringEquals does not hold for none of several', 'StringEquals', ['dev', 'test'], 'prod', false],
  ['StringEquals holds for the empty text', 'StringEquals', '', '', true],
  ['StringEquals takes a number as its digits', 'StringEquals', 7, '7', true],
  ['StringEquals takes a boolean as its word', 'StringEquals', true, 'true', true],
  ['StringEquals does not hold without the key', 'StringEquals', 'dev', undefined, false],
  ['StringNotEquals holds for another text', 'StringNotEquals', 'dev', 'prod', true],
  ['StringNotEquals does not hold for the same', 'StringNotEquals', 'dev', 'dev', false],
  ['StringNotEquals has a case', 'StringNotEquals', 'dev', 'Dev', true],
  ['StringNotEquals with several holds for none of them', 'StringNotEquals', ['dev', 'test'], 'prod', true],
  ['StringNotEquals with several does not hold for one of them', 'StringNotEquals', ['dev', 'test'], 'test', false],
  ['StringNotEquals holds without the key', 'StringNotEquals', 'dev', undefined, true],
  ['StringEqualsIgnoreCase has no case', 'StringEqualsIgnoreCase', 'DEV', 'dev', true],
  ['StringEqualsIgnoreCase does not hold for another text', 'StringEqualsIgnoreCase', 'DEV', 'prod', false],
  ['StringEqualsIgnoreCase has no wildcards', 'StringEqualsIgnoreCase', 'DEV*', 'dev-1', false],
  ['StringEqualsIgnoreCase does not hold without the key', 'StringEqualsIgnoreCase', 'DEV', undefined, false],
  ['StringNotEqualsIgnoreCase has no case', 'StringNotEqualsIgnoreCase', 'DEV', 'dev', false],
  ['StringNotEqualsIgnoreCase holds for another text', 'StringNotEqualsIgnoreCase', 'DEV', 'prod', true],
  ['StringNotEqualsIgnoreCase holds without the key', 'StringNotEqualsIgnoreCase', 'DEV', undefined, true],
  ['StringLike has *', 'StringLike', 'dev-*', 'dev-1', true],
  ['StringLike’s * may be empty', 'StringLike', 'dev-*', 'dev-', true],
  ['StringLike has ?', 'StringLike', 'dev-?', 'dev-1', true],
  ['StringLike’s ? is one character', 'StringLike', 'dev-?', 'dev-12', false],
  ['StringLike has a case', 'StringLike', 'dev-*', 'DEV-1', false],
  ['StringLike compares the whole text', 'StringLike', 'dev', 'my-dev-1', false],
  ['StringLike holds for one of several', 'StringLike', ['dev-*', 'test-*'], 'test-1', true],
  ['StringLike takes a regular expression’s characters as they are', 'StringLike', 'dev.+', 'dev--', false],
  ['StringLike with * holds for the empty text', 'StringLike', '*', '', true],
  ['StringLike with * does not hold without the key', 'StringLike', '*', undefined, false],
  ['StringNotLike holds for what does not match', 'StringNotLike', 'prod-*', 'dev-1', true],
  ['StringNotLike does not hold for what matches', 'StringNotLike', 'prod-*', 'prod-1', false],
  ['StringNotLike with several holds for none of them', 'StringNotLike', ['prod-*', 'stage-*'], 'stage-1', false],
  ['StringNotLike holds without the key', 'StringNotLike', 'prod-*', undefined, true],
]

const numbers: readonly Case[] = [
  ['NumericEquals compares numbers, not texts', 'NumericEquals', '10', '10.0', true],
  ['NumericEquals takes a JSON number', 'NumericEquals', 10, '10', true],
  ['NumericEquals does not hold for another', 'NumericEquals', '10', '11', false],
  ['NumericEquals does not hold for what is no number', 'NumericEquals', '10', 'ten', false],
  ['NumericEquals does not hold without the key', 'NumericEquals', '10', undefined, false],
  ['NumericNotEquals holds for another', 'NumericNotEquals', '10', '11', true],
  ['NumericNotEquals does not hold for the same', 'NumericNotEquals', '10', '10', false],
  ['NumericNotEquals holds without the key', 'NumericNotEquals', '10', undefined, true],
  ['NumericLessThan holds below', 'NumericLessThan', '3600', '900', true],
  ['NumericLessThan does not hold at the limit', 'NumericLessThan', '3600', '3600', false],
  ['NumericLessThan compares numbers, not texts', 'NumericLessThan', '3600', '10000', false],
  ['NumericLessThanEquals holds at the limit', 'NumericLessThanEquals', '3600', '3600', true],
  ['NumericLessThanEquals does not hold above', 'NumericLessThanEquals', '3600', '3601', false],
  ['NumericGreaterThan holds above', 'NumericGreaterThan', '3600', '3601', true],
  ['NumericGreaterThan does not hold at the limit', 'NumericGreaterThan', '3600', '3600', false],
  ['NumericGreaterThanEquals holds at the limit', 'NumericGreaterThanEquals', '3600', '3600', true],
  ['NumericGreaterThanEquals does not hold below', 'NumericGreaterThanEquals', '3600', '3599.9', false],
  ['NumericLessThan knows negative numbers', 'NumericLessThan', '0', '-1', true],
  ['NumericLessThan holds for one of several limits', 'NumericLessThan', ['1', '100'], '50', true],
  ['NumericLessThan does not hold without the key', 'NumericLessThan', '10', undefined, false],
]

const dates: readonly Case[] = [
  ['DateEquals holds for the same moment in another zone', 'DateEquals', '2026-01-01T01:00:00+01:00', '2026-01-01T00:00:00Z', true],
  ['DateEquals holds for seconds since the epoch', 'DateEquals', '1767225600', '2026-01-01T00:00:00Z', true],
  ['DateEquals takes a JSON number of seconds', 'DateEquals', 1767225600, '2026-01-01T00:00:00Z', true],
  ['DateEquals does not hold a second later', 'DateEquals', '2026-01-01T00:00:00Z', '2026-01-01T00:00:01Z', false],
  ['DateEquals takes a day as its beginning in UTC', 'DateEquals', '2026-01-01', '2026-01-01T00:00:00Z', true],
  ['DateEquals takes a month as its beginning', 'DateEquals', '2026-01', '2026-01-01T00:00:00Z', true],
  ['DateEquals takes a year as its beginning', 'DateEquals', '2026', '2026-01-01T00:00:00Z', true],
  ['DateEquals takes a time without separators', 'DateEquals', '20260101T000000Z', '2026-01-01T00:00:00Z', true],
  ['DateEquals takes milliseconds', 'DateEquals', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00Z', true],
  ['DateNotEquals holds for another moment', 'DateNotEquals', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', true],
  ['DateNotEquals holds without the key', 'DateNotEquals', '2026-01-01T00:00:00Z', undefined, true],
  ['DateLessThan holds before', 'DateLessThan', '2026-07-01T00:00:00Z', '2026-06-30T23:59:59Z', true],
  ['DateLessThan does not hold at the moment', 'DateLessThan', '2026-07-01T00:00:00Z', '2026-07-01T00:00:00Z', false],
  ['DateLessThan does not hold after', 'DateLessThan', '2026-07-01T00:00:00Z', '2026-07-01T00:00:01Z', false],
  ['DateLessThanEquals holds at the moment', 'DateLessThanEquals', '2026-07-01T00:00:00Z', '2026-07-01T00:00:00Z', true],
  ['DateGreaterThan holds after', 'DateGreaterThan', '2026-07-01T00:00:00Z', '2026-07-01T00:00:01Z', true],
  ['DateGreaterThan does not hold at the moment', 'DateGreaterThan', '2026-07-01T00:00:00Z', '2026-07-01T00:00:00Z', false],
  ['DateGreaterThanEquals holds at the moment', 'DateGreaterThanEquals', '2026-07-01T00:00:00Z', '2026-07-01T00:00:00Z', true],
  ['DateGreaterThan does not hold for what is no time', 'DateGreaterThan', '2026-07-01T00:00:00Z', 'tomorrow', false],
  ['DateLessThan does not hold without the key', 'DateLessThan', '2026-07-01T00:00:00Z', undefined, false],
]

const booleansAndBytes: readonly Case[] = [
  ['Bool holds for the same', 'Bool', 'true', 'true', true],
  ['Bool takes a JSON boolean', 'Bool', true, 'true', true],
  ['Bool does not hold for the other', 'Bool', 'true', 'false', false],
  ['Bool has no case', 'Bool', 'True', 'TRUE', true],
  ['Bool false holds for false', 'Bool', 'false', 'false', true],
  ['Bool does not hold for another text', 'Bool', 'false', 'no', false],
  ['Bool false does not hold without the key', 'Bool', 'false', undefined, false],
  ['Bool with both holds for either', 'Bool', ['true', 'false'], 'false', true],
  ['BinaryEquals holds for the same bytes', 'BinaryEquals', 'QmluYXJ5', 'QmluYXJ5', true],
  ['BinaryEquals does not hold for others', 'BinaryEquals', 'QmluYXJ5', 'QmluYXJ6', false],
  ['BinaryEquals compares bytes, not how they are written', 'BinaryEquals', 'QQ==', 'QQ', true],
  ['BinaryEquals does not hold without the key', 'BinaryEquals', 'QQ==', undefined, false],
]

const addresses: readonly Case[] = [
  ['IpAddress holds for the same address', 'IpAddress', '203.0.113.5', '203.0.113.5', true],
  ['IpAddress does not hold for another', 'IpAddress', '203.0.113.5', '203.0.113.6', false],
  ['IpAddress holds inside a range', 'IpAddress', '203.0.113.0/24', '203.0.113.255', true],
  ['IpAddress does not hold outside', 'IpAddress', '203.0.113.0/24', '203.0.114.0', false],
  ['IpAddress knows ranges inside a byte', 'IpAddress', '10.0.0.0/12', '10.15.255.255', true],
  ['IpAddress knows where such a range ends', 'IpAddress', '10.0.0.0/12', '10.16.0.0', false],
  ['IpAddress ignores bits behind the prefix', 'IpAddress', '203.0.113.77/24', '203.0.113.1', true],
  ['IpAddress /32 is one address', 'IpAddress', '203.0.113.5/32', '203.0.113.4', false],
  ['IpAddress 0.0.0.0/0 is every IPv4 address', 'IpAddress', '0.0.0.0/0', '198.51.100.7', true],
  ['IpAddress 0.0.0.0/0 is no IPv6 address', 'IpAddress', '0.0.0.0/0', '2001:db8::1', false],
  ['IpAddress ::/0 is every IPv6 address', 'IpAddress', '::/0', '2001:db8::1', true],
  ['IpAddress ::/0 is no IPv4 address', 'IpAddress', '::/0', '198.51.100.7', false],
  ['IpAddress holds inside a range of IPv6', 'IpAddress', '2001:db8::/32', '2001:db8:ffff::1', true],
  ['IpAddress does not hold outside a range of IPv6', 'IpAddress', '2001:db8::/32', '2001:db9::1', false],
  ['IpAddress knows every way to write an IPv6 address', 'IpAddress', '2001:DB8:0:0:0:0:0:1', '2001:db8::1', true],
  ['IpAddress knows ranges inside a group', 'IpAddress', '2001:db8::/46', '2001:db8:3::1', true],
  ['IpAddress knows where a range inside a group ends', 'IpAddress', '2001:db8::/46', '2001:db8:4::1', false],
  ['IpAddress takes an IPv4 address inside IPv6 for the IPv4 one', 'IpAddress', '203.0.113.0/24', '::ffff:203.0.113.9', true],
  ['IpAddress takes a range of such addresses for the IPv4 one', 'IpAddress', '::ffff:203.0.113.0/120', '203.0.113.9', true],
  ['IpAddress takes such an address in hexadecimal', 'IpAddress', '203.0.113.9', '::ffff:cb00:7109', true],
  ['IpAddress holds for one of several ranges', 'IpAddress', ['10.0.0.0/8', '2001:db8::/32'], '2001:db8::5', true],
  ['IpAddress does not hold for what is no address', 'IpAddress', '0.0.0.0/0', 'localhost', false],
  ['IpAddress does not hold without the key', 'IpAddress', '0.0.0.0/0', undefined, false],
  ['NotIpAddress holds outside', 'NotIpAddress', '10.0.0.0/8', '192.0.2.1', true],
  ['NotIpAddress does not hold inside', 'NotIpAddress', '10.0.0.0/8', '10.1.2.3', false],
  ['NotIpAddress with several holds outside of all', 'NotIpAddress', ['10.0.0.0/8', '192.0.2.0/24'], '192.0.2.1', false],
  ['NotIpAddress holds for the other kind of address', 'NotIpAddress', '10.0.0.0/8', '2001:db8::1', true],
  ['NotIpAddress holds without the key', 'NotIpAddress', '10.0.0.0/8', undefined, true],
]

const bobArn = 'arn:aws:iam::111122223333:user/bob'

const arns: readonly Case[] = [
  ['ArnEquals holds for the same ARN', 'ArnEquals', bobArn, bobArn, true],
  ['ArnEquals does not hold for another', 'ArnEquals', bobArn, 'arn:aws:iam::111122223333:user/anna', false],
  ['ArnEquals has wildcards', 'ArnEquals', 'arn:aws:iam::111122223333:user/*', bobArn, true],
  ['ArnEquals has a case', 'ArnEquals', bobArn, 'arn:aws:iam::111122223333:user/Bob', false],
  ['ArnLike has *', 'ArnLike', 'arn:aws:iam::*:user/*', bobArn, true],
  ['ArnLike has ?', 'ArnLike', 'arn:aws:iam::111122223333:user/b?b', bobArn, true],
  ['ArnLike’s * does not span parts', 'ArnLike', 'arn:aws:*:111122223333:log-group:a', 'arn:aws:logs:eu-west-1:111122223333:log-group:a', false],
  ['ArnLike’s * is one part', 'ArnLike', 'arn:aws:*:*:111122223333:user/bob', bobArn, true],
  ['ArnLike’s * in the last part spans colons', 'ArnLike', 'arn:aws:logs:*:*:*', 'arn:aws:logs:eu-west-1:111122223333:log-group:a:*', true],
  ['ArnLike compares each part wholly', 'ArnLike', 'arn:aws:iam::1111*:user/bob', bobArn, true],
  ['ArnLike with * alone holds for every ARN', 'ArnLike', '*', bobArn, true],
  ['ArnLike does not hold for what is no ARN', 'ArnLike', 'arn:aws:iam::*:user/*', 'bob', false],
  ['ArnLike holds for one of several', 'ArnLike', ['arn:aws:s3:::*', 'arn:aws:iam::*:user/*'], bobArn, true],
  ['ArnLike does not hold without the key', 'ArnLike', '*', undefined, false],
  ['ArnNotEquals holds for another ARN', 'ArnNotEquals', bobArn, 'arn:aws:iam::111122223333:user/anna', true],
  ['ArnNotEquals does not hold for the same', 'ArnNotEquals', bobArn, bobArn, false],
  ['ArnNotEquals holds without the key', 'ArnNotEquals', bobArn, undefined, true],
  ['ArnNotLike holds for what does not match', 'ArnNotLike', 'arn:aws:iam::*:role/*', bobArn, true],
  ['ArnNotLike does not hold for what matches', 'ArnNotLike', 'arn:aws:iam::*:user/*', bobArn, false],
  ['ArnNotLike holds without the key', 'ArnNotLike', 'arn:aws:iam::*:user/*', undefined, true],
]

const absence: readonly Case[] = [
  ['Null true holds without the key', 'Null', 'true', undefined, true],
  ['Null true does not hold with it', 'Null', 'true', 'x', false],
  ['Null false holds with the key', 'Null', 'false', 'x', true],
  ['Null false does not hold without it', 'Null', 'false', undefined, false],
  ['Null takes a JSON boolean', 'Null', true, undefined, true],
  ['Null true holds for an empty list', 'Null', 'true', [], true],
  ['Null false holds for an empty text', 'Null', 'false', '', true],
  ['Null false holds for a list', 'Null', 'false', ['a', 'b'], true],
  ['StringEqualsIfExists holds without the key', 'StringEqualsIfExists', 'dev', undefined, true],
  ['StringEqualsIfExists compares where there is one', 'StringEqualsIfExists', 'dev', 'prod', false],
  ['StringEqualsIfExists holds for the same', 'StringEqualsIfExists', 'dev', 'dev', true],
  ['StringNotEqualsIfExists holds without the key', 'StringNotEqualsIfExists', 'dev', undefined, true],
  ['StringNotEqualsIfExists compares where there is one', 'StringNotEqualsIfExists', 'dev', 'dev', false],
  ['StringLikeIfExists holds without the key', 'StringLikeIfExists', 'dev-*', undefined, true],
  ['NumericLessThanIfExists holds without the key', 'NumericLessThanIfExists', '10', undefined, true],
  ['NumericLessThanIfExists compares where there is one', 'NumericLessThanIfExists', '10', '11', false],
  ['DateGreaterThanIfExists holds without the key', 'DateGreaterThanIfExists', '2026-01-01', undefined, true],
  ['BoolIfExists holds without the key', 'BoolIfExists', 'true', undefined, true],
  ['BoolIfExists compares where there is one', 'BoolIfExists', 'true', 'false', false],
  ['BinaryEqualsIfExists holds without the key', 'BinaryEqualsIfExists', 'QQ==', undefined, true],
  ['IpAddressIfExists holds without the key', 'IpAddressIfExists', '10.0.0.0/8', undefined, true],
  ['IpAddressIfExists compares where there is one', 'IpAddressIfExists', '10.0.0.0/8', '192.0.2.1', false],
  ['ArnLikeIfExists holds without the key', 'ArnLikeIfExists', bobArn, undefined, true],
]

/* AWS: "Set operators for multivalued context keys". */
const sets: readonly Case[] = [
  ['ForAllValues holds where each is one of the policy’s', 'ForAllValues:StringEquals', ['a', 'b', 'c'], ['a', 'c'], true],
  ['ForAllValues does not hold where one is not', 'ForAllValues:StringEquals', ['a', 'b'], ['a', 'x'], false],
  ['ForAllValues holds without the key', 'ForAllValues:StringEquals', ['a', 'b'], undefined, true],
  ['ForAllValues holds for an empty list', 'ForAllValues:StringEquals', ['a'], [], true],
  ['ForAllValues holds for an empty text', 'ForAllValues:StringEquals', ['a'], '', true],
  ['ForAllValues takes one value as a set of one', 'ForAllValues:StringEquals', ['a', 'b'], 'x', false],
  ['ForAllValues has wildcards with StringLike', 'ForAllValues:StringLike', ['dev-*'], ['dev-1', 'dev-2'], true],
  ['ForAllValues with StringLike needs each to match', 'ForAllValues:StringLike', ['dev-*'], ['dev-1', 'prod-1'], false],
  ['ForAllValues of a negated operator holds where none is the policy’s', 'ForAllValues:StringNotEquals', ['a', 'b'], ['x', 'y'], true],
  ['ForAllValues of a negated operator does not hold where one is', 'ForAllValues:StringNotEquals', ['a', 'b'], ['x', 'a'], false],
  ['ForAllValues of StringNotLike holds where none matches', 'ForAllValues:StringNotLike', ['prod-*'], ['dev-1', 'prod-1'], false],
  ['ForAnyValue holds where one is one of the policy’s', 'ForAnyValue:StringEquals', ['a', 'b'], ['x', 'b'], true],
  ['ForAnyValue does not hold where none is', 'ForAnyValue:StringEquals', ['a', 'b'], ['x', 'y'], false],
  ['ForAnyValue does not hold without the key', 'ForAnyValue:StringEquals', ['a'], undefined, false],
  ['ForAnyValue does not hold for an empty list', 'ForAnyValue:StringEquals', ['a'], [], false],
  ['ForAnyValue does not hold for an empty text', 'ForAnyValue:StringEquals', [''], '', false],
  ['ForAnyValue takes one value as a set of one', 'ForAnyValue:StringEquals', ['a', 'b'], 'a', true],
  ['ForAnyValue has wildcards with StringLike', 'ForAnyValue:StringLike', ['prod-*'], ['dev-1', 'prod-1'], true],
  ['ForAnyValue of a negated operator holds where one is not the policy’s', 'ForAnyValue:StringNotEquals', ['a', 'b'], ['a', 'x'], true],
  ['ForAnyValue of a negated operator does not hold where all are', 'ForAnyValue:StringNotEquals', ['a', 'b'], ['a', 'b'], false],
  ['ForAnyValue of a negated operator does not hold without the key', 'ForAnyValue:StringNotEquals', ['a'], undefined, false],
  ['ForAnyValue with IfExists holds without the key', 'ForAnyValue:StringEqualsIfExists', ['a'], undefined, true],
  ['ForAllValues compares numbers', 'ForAllValues:NumericLessThan', '10', ['1', '9'], true],
  ['ForAllValues compares addresses', 'ForAllValues:IpAddress', '10.0.0.0/8', ['10.0.0.1', '192.0.2.1'], false],
  ['ForAnyValue compares ARNs', 'ForAnyValue:ArnLike', 'arn:aws:iam::*:user/*', ['x', bobArn], true],
  ['without a set operator one of several values is enough', 'StringEquals', 'a', ['x', 'a'], true],
  ['without a set operator a negated one holds for none of them', 'StringNotEquals', 'a', ['x', 'a'], false],
  ['without a set operator a negated one holds where all differ', 'StringNotEquals', 'a', ['x', 'y'], true],
]

describe.each([
  ['text', 'aws:RequestTag/stage', strings],
  ['numbers', 'sts:DurationSeconds', numbers],
  ['times', 'aws:CurrentTime', dates],
  ['booleans and bytes', 'aws:SecureTransport', booleansAndBytes],
  ['IP addresses', 'aws:SourceIp', addresses],
  ['ARNs', 'aws:PrincipalArn', arns],
  ['absence', 'aws:ResourceTag/stage', absence],
  ['several values', 'aws:TagKeys', sets],
])('conditions on %s', (_, key, cases) => {
  it.each(cases)('%s', (_rule, operator, policyValue, requestValue, holds) => {
    expect(holdsFor(key, operator, policyValue, requestValue)).toBe(holds)
  })
})

const combined: readonly [rule: string, condition: unknown, context: Readonly<Record<string, ContextValue>>, holds: boolean][] = [
  ['all operators have to hold', { StringEquals: { 'aws:username': 'anna' }, Bool: { 'aws:SecureTransport': 'true' } }, { 'aws:username': 'anna', 'aws:SecureTransport': 'false' }, false],
  ['all operators together hold', { StringEquals: { 'aws:username': 'anna' }, Bool: { 'aws:SecureTransport': 'true' } }, { 'aws:username': 'anna', 'aws:SecureTransport': 'true' }, true],
  ['all keys of an operator have to hold', { StringEquals: { 'aws:username': 'anna', 'aws:PrincipalTag/team': 'red' } }, { 'aws:username': 'anna', 'aws:PrincipalTag/team': 'blue' }, false],
  ['the same key may stand under two operators', { StringLike: { 'stowage:ImageTag': 'dev-*' }, StringNotLike: { 'stowage:ImageTag': '*-rc' } }, { 'stowage:ImageTag': 'dev-1-rc' }, false],
  ['keys have no case', { StringEquals: { 'AWS:PRINCIPALTAG/TEAM': 'red' } }, { 'aws:PrincipalTag/team': 'red' }, true],
  ['of tags that differ in case only neither allows', { StringEquals: { 'aws:ResourceTag/team': 'red' } }, { 'aws:ResourceTag/team': 'red', 'aws:ResourceTag/Team': 'blue' }, false],
  ['nor does what neither of them is', { StringNotEquals: { 'aws:ResourceTag/team': 'green' } }, { 'aws:ResourceTag/team': 'red', 'aws:ResourceTag/Team': 'blue' }, false],
  ['nor that there is one', { Null: { 'aws:ResourceTag/team': 'false' } }, { 'aws:ResourceTag/team': 'red', 'aws:ResourceTag/Team': 'blue' }, false],
  ['of claims that differ in case only neither allows', { StringLike: { 'token.example.com:sub': '*' } }, { 'token.example.com:sub': 'a', 'token.example.com:SUB': 'b' }, false],
  ['tags that differ in case only and have the same value are one', { StringEquals: { 'aws:ResourceTag/team': 'red' } }, { 'aws:ResourceTag/team': 'red', 'aws:ResourceTag/Team': 'red' }, true],
  ['an empty Condition asks for nothing', {}, {}, true],
  ['an operator without keys asks for nothing', { StringEquals: {} }, {}, true],
  ['tags of an image are compared like any key', { 'ForAllValues:StringLike': { 'stowage:ImageTag': 'dev-*' } }, { 'stowage:ImageTag': ['dev-1', 'prod-1'] }, false],
  ['a claim of a web identity is a key', { StringEquals: { 'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com' } }, { 'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com' }, true],
  ['a claim of an issuer with a path is a key', { StringLike: { 'oidc.example.com/id/EXAMPLE:sub': 'system:serviceaccount:ci:*' } }, { 'oidc.example.com/id/EXAMPLE:sub': 'system:serviceaccount:ci:push' }, true],
  ['a claim of an issuer with a port is a key', { StringEquals: { 'localhost:8443:sub': 'a' } }, { 'localhost:8443:sub': 'a' }, true],
]

describe('several conditions', () => {
  it.each(combined)('%s', (_, Condition, context, holds) => {
    expect(isAllowedBy({ Effect: 'Allow', Action: '*', Resource: '*', Condition }, { context })).toBe(holds)
  })
})

/* Every one of these would hold for everybody, since no request has the key. */
const unknownKeys: readonly [rule: string, condition: unknown][] = [
  ['with StringEquals', { StringEquals: { 'aws:Usrname': 'anna' } }],
  ['with StringNotEquals', { StringNotEquals: { 'aws:Usrname': 'anna' } }],
  ['with IfExists', { StringEqualsIfExists: { 'aws:Usrname': 'anna' } }],
  ['with ForAllValues', { 'ForAllValues:StringEquals': { 'aws:Usrname': 'anna' } }],
  ['with Null', { Null: { 'aws:Usrname': 'true' } }],
  ['of another service', { StringNotEquals: { 's3:prefix': 'home/' } }],
  ['about an organization, which no account here is in', { StringNotEquals: { 'aws:PrincipalOrgID': 'o-1' } }],
  ['about networks that Stowage does not see', { StringNotEquals: { 'aws:SourceVpc': 'vpc-1' } }],
  ['that looks like a tag without a name', { StringNotEquals: { 'aws:PrincipalTag/': 'red' } }],
]

describe('an Allow under a condition on a key that no request has', () => {
  it.each(unknownKeys)('allows nothing %s', (_, Condition) => {
    const context = { 'aws:Usrname': 'x', 's3:prefix': 'x', 'aws:SourceVpc': 'x', 'aws:PrincipalOrgID': 'x' }
    expect(isAllowedBy({ Effect: 'Allow', Action: '*', Resource: '*', Condition }, { context: {} })).toBe(false)
    expect(isAllowedBy({ Effect: 'Allow', Action: '*', Resource: '*', Condition }, { context })).toBe(false)
  })
})
