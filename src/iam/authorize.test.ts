import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseAccountId } from '../values/account.ts'
import { authorize } from './authorize.ts'
import { principalKinds, rootPrincipal, type Principal } from './principal.ts'

const own = parseAccountId('111111111111')
const other = parseAccountId('222222222222')
const root = rootPrincipal(own, 'AKIAABCDEFGHIJKLMNOP')
const role: Principal = {
  arn: 'arn:aws:sts::111111111111:assumed-role/builder/session',
  accountId: own,
  kind: 'assumed-role',
  userId: 'AROAABCDEFGHIJKLMNOP:session',
  accessKeyId: 'ASIAABCDEFGHIJKLMNOP',
}

test('the root of an account is described as STS describes it', () => {
  expect(root).toMatchObject({ arn: 'arn:aws:iam::111111111111:root', kind: 'root', userId: '111111111111' })
})

test('only the root of the very account may do anything', () => {
  fc.assert(
    fc.property(fc.constantFrom(...principalKinds), fc.constantFrom(own, other), fc.string(), fc.string(), (kind, accountId, action, resource) => {
      const decision = authorize({ principal: { ...root, kind }, action, resource, accountId })
      expect(decision.allowed).toBe(kind === 'root' && accountId === own)
    }),
  )
})

test('who lacks an identity policy is told so in the words of AWS', () => {
  const resource = 'arn:aws:ecr:eu-west-2:111111111111:repository/x'
  expect(authorize({ principal: role, action: 'ecr:InitiateLayerUpload', resource, accountId: own })).toEqual({
    allowed: false,
    message: `User: ${role.arn} is not authorized to perform: ecr:InitiateLayerUpload on resource: ${resource} because no identity-based policy allows the ecr:InitiateLayerUpload action`,
  })
})

test('a root in another account is told that the resource has no policy for it', () => {
  const resource = 'arn:aws:ecr:eu-west-2:222222222222:repository/x'
  expect(authorize({ principal: root, action: 'ecr:BatchGetImage', resource, accountId: other })).toEqual({
    allowed: false,
    message: `User: ${root.arn} is not authorized to perform: ecr:BatchGetImage on resource: ${resource} because no resource-based policy allows the ecr:BatchGetImage action`,
  })
})
