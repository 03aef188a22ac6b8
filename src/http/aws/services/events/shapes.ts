import { maxPatternLength } from '../../../../events/pattern/index.ts'
import { enumeration, integer, list, map, required, simplePattern, string, structure } from '../../shapes.ts'

/* The constraints of EventBridge's model (eventbridge-2015-10-07), where they matter here. */

export const ruleName = string({ min: 1, max: 64, pattern: simplePattern(/^[.\-_A-Za-z0-9]+$/, '[\\.\\-_A-Za-z0-9]+') })
export const busName = string({ min: 1, max: 1600 })
export const nextToken = string({ min: 1, max: 4096 })
export const limit = integer({ min: 1, max: 100 })
export const defaultLimit = 100
export const ruleState = enumeration(['ENABLED', 'DISABLED', 'ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS'])
export const description = string({ max: 512 })
export const roleArn = string({ min: 1, max: 1600 })
export const targetArn = string({ min: 1, max: 1600 })
export const targetId = string({ min: 1, max: 64, pattern: simplePattern(/^[.\-_A-Za-z0-9]+$/, '[\\.\\-_A-Za-z0-9]+') })
/** What is wrong with a longer one is told by whoever reads it. */
export const eventPattern = string({ max: 4 * maxPatternLength })
export const scheduleExpression = string({ max: 256 })
export const tags = list(structure({ Key: required(string({ min: 1, max: 128 })), Value: required(string({ max: 256 })) }))

/** Settings of targets that are not here; they are only looked at to refuse them. */
const unserved = map(string(), string())

const target = structure({
  Id: required(targetId),
  Arn: required(targetArn),
  RoleArn: roleArn,
  Input: string({ max: 8192 }),
  InputPath: string({ max: 256 }),
  InputTransformer: structure({
    InputPathsMap: map(string({ min: 1, max: 256 }), string({ max: 256 }), { max: 100 }),
    InputTemplate: required(string({ min: 1, max: 8192 })),
  }),
  RetryPolicy: structure({
    MaximumRetryAttempts: integer({ min: 0, max: 185 }),
    MaximumEventAgeInSeconds: integer({ min: 60, max: 86_400 }),
  }),
  DeadLetterConfig: structure({ Arn: string({ max: 1600 }) }),
  HttpParameters: structure({ PathParameterValues: list(string()), HeaderParameters: unserved, QueryStringParameters: unserved }),
})

export const targets = list(target, { min: 1, max: 100 })
export const targetIds = list(targetId, { min: 1, max: 100 })
