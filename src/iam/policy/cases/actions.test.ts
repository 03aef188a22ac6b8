import { describe, expect, it } from 'vitest'
import { isAllowedBy } from '../policy.test-support.ts'

/* AWS: "IAM JSON policy elements: Action" and "… NotAction". */
const actionCases: readonly [rule: string, element: unknown, action: string, holds: boolean][] = [
  ['an action is its service and its name', 'ecr:PutImage', 'ecr:PutImage', true],
  ['another action of the service is another action', 'ecr:PutImage', 'ecr:BatchGetImage', false],
  ['the same name of another service is another action', 'ecr:TagResource', 'iam:TagResource', false],
  ['names of actions have no case in the policy', 'ecr:putimage', 'ecr:PutImage', true],
  ['names of services have no case in the policy', 'ECR:PutImage', 'ecr:PutImage', true],
  ['names of actions have no case in the request', 'ecr:PutImage', 'ECR:PUTIMAGE', true],
  ['an action is not the beginning of another', 'ecr:PutImage', 'ecr:PutImageScanningConfiguration', false],
  ['an action is not the end of another', 'ecr:GetImage', 'ecr:BatchGetImage', false],
  ['* alone is every action', '*', 'ecr:PutImage', true],
  ['* alone is every action of every service', '*', 'stowage:CreateAccount', true],
  ['*:* is every action', '*:*', 'ecr:PutImage', true],
  ['* as the name is every action of the service', 'ecr:*', 'ecr:PutImage', true],
  ['* as the name is no action of another service', 'ecr:*', 'sts:AssumeRole', false],
  ['* at the end is any rest', 'ecr:Put*', 'ecr:PutImage', true],
  ['* at the end is an empty rest too', 'ecr:PutImage*', 'ecr:PutImage', true],
  ['* at the end keeps the beginning', 'ecr:Put*', 'ecr:GetRepositoryPolicy', false],
  ['* at the beginning of the name keeps the end', 'ecr:*Image', 'ecr:PutImage', true],
  ['* at the beginning of the name is not any end', 'ecr:*Image', 'ecr:PutImageTagMutability', false],
  ['* in the middle keeps both ends', 'ecr:Batch*Image', 'ecr:BatchDeleteImage', true],
  ['* in the middle does not overlap them', 'ecr:Put*tImage', 'ecr:PutImage', false],
  ['several * are compared from left to right', 'ecr:*Layer*ility', 'ecr:BatchCheckLayerAvailability', true],
  ['several * keep their order', 'ecr:*ility*Layer', 'ecr:BatchCheckLayerAvailability', false],
  ['? is one character', 'ecr:Put?mage', 'ecr:PutImage', true],
  ['? is not none', 'ecr:PutImage?', 'ecr:PutImage', false],
  ['? is not two', 'ecr:Put?age', 'ecr:PutImage', false],
  ['? and * go together', 'ecr:?ut*', 'ecr:PutImage', true],
  ['wildcards have no case either', 'ecr:pUt*', 'ecr:PutImage', true],
  ['a list is any of its actions', ['ecr:BatchGetImage', 'ecr:PutImage'], 'ecr:PutImage', true],
  ['a list is none but its actions', ['ecr:BatchGetImage', 'ecr:PutImage'], 'ecr:DeleteRepository', false],
  ['a list with * is every action', ['ecr:BatchGetImage', '*'], 'ecr:DeleteRepository', true],
  ['a dot in a name is a dot', 'ecr:Put.mage', 'ecr:PutImage', false],
  ['a variable in an action is a text', 'ecr:${username}', 'ecr:PutImage', false],
]

const notActionCases: readonly [rule: string, element: unknown, action: string, holds: boolean][] = [
  ['NotAction is every action but one', 'ecr:PutImage', 'ecr:BatchGetImage', true],
  ['NotAction leaves out its action', 'ecr:PutImage', 'ecr:PutImage', false],
  ['NotAction reaches other services', 'ecr:*', 'iam:CreateUser', true],
  ['NotAction leaves out what wildcards match', 'ecr:*', 'ecr:PutImage', false],
  ['NotAction with a list leaves out all of it', ['ecr:PutImage', 'ecr:BatchGetImage'], 'ecr:BatchGetImage', false],
  ['NotAction with a list reaches the rest', ['ecr:PutImage', 'ecr:BatchGetImage'], 'ecr:ListImages', true],
  ['NotAction has no case', 'ECR:PUTIMAGE', 'ecr:PutImage', false],
  ['NotAction of everything is nothing', '*', 'ecr:PutImage', false],
]

describe('Action', () => {
  it.each(actionCases)('%s', (_, Action, action, holds) => {
    expect(isAllowedBy({ Effect: 'Allow', Action, Resource: '*' }, { action })).toBe(holds)
  })
})

describe('NotAction', () => {
  it.each(notActionCases)('%s', (_, NotAction, action, holds) => {
    expect(isAllowedBy({ Effect: 'Allow', NotAction, Resource: '*' }, { action })).toBe(holds)
  })
})
