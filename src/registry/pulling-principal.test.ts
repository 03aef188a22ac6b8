import { expect, test } from 'vitest'
import { pullingPrincipal } from './pulling-principal.ts'

test.each([
  ['a session of the role', 'arn:aws:sts::111111111111:assumed-role/Scanner/nightly', 'arn:aws:iam::111111111111:role/Scanner'],
  ['a role with a path', 'arn:aws:sts::111111111111:assumed-role/Scanner/x', 'arn:aws:iam::111111111111:role/tools/a/Scanner'],
  ['names in another case', 'arn:aws:sts::111111111111:assumed-role/scanner/x', 'arn:aws:iam::111111111111:role/Scanner'],
  ['a user', 'arn:aws:iam::111111111111:user/people/jo', 'arn:aws:iam::111111111111:user/people/jo'],
])('%s is whom the exclusion names', (_, pulling, excluded) => {
  expect(pullingPrincipal(pulling)).toBe(pullingPrincipal(excluded))
  expect(pullingPrincipal(pulling)).toBeDefined()
})

test.each([
  ['another account', 'arn:aws:sts::222222222222:assumed-role/Scanner/x', 'arn:aws:iam::111111111111:role/Scanner'],
  ['a session of that name', 'arn:aws:sts::111111111111:assumed-role/Other/Scanner', 'arn:aws:iam::111111111111:role/Scanner'],
  ['a user of that name', 'arn:aws:iam::111111111111:user/Scanner', 'arn:aws:iam::111111111111:role/Scanner'],
])('%s is somebody else', (_, pulling, excluded) => {
  expect(pullingPrincipal(pulling)).not.toBe(pullingPrincipal(excluded))
})

test('a root is nobody that an exclusion can name', () => {
  expect(pullingPrincipal('arn:aws:iam::111111111111:root')).toBeUndefined()
})
