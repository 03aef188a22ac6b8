import { expect, test } from 'vitest'
import { policyText } from './policy-text.ts'

test('a policy is laid out as ECR lays it out', () => {
  const document = {
    Version: '2008-10-17',
    Statement: [
      { Sid: 'allow "pull"', Effect: 'Allow', Principal: '*', Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'] },
      { Sid: 'second', Effect: 'Deny', Principal: { AWS: [] }, Action: 'ecr:*', Condition: {} },
    ],
  }

  expect(policyText(JSON.stringify(document))).toBe(`{
  "Version" : "2008-10-17",
  "Statement" : [ {
    "Sid" : "allow \\"pull\\"",
    "Effect" : "Allow",
    "Principal" : "*",
    "Action" : [ "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer" ]
  }, {
    "Sid" : "second",
    "Effect" : "Deny",
    "Principal" : {
      "AWS" : [ ]
    },
    "Action" : "ecr:*",
    "Condition" : { }
  } ]
}`)
})

test('and says the same, members with any name included', () => {
  const document = '{"Version":"2012-10-17","Statement":{"__proto__":{"a":[true,1,null]},"Action":"ecr:*"}}'

  expect(JSON.parse(policyText(document))).toEqual(JSON.parse(document))
})
