import { boolean, enumeration, integer, list, pattern, required, simplePattern, string, structure, type Input } from '../../shapes.ts'

/*
 * The constraints of IAM's model (iam-2010-05-08), which differ between calls where one names something new and another
 * something that is there.
 */

const namePattern = simplePattern(/^[\w+=,.@-]+$/, '[\\w+=,.@-]+')

/** A new user's or role's name, and a role's everywhere. */
export const shortName = string({ min: 1, max: 64, pattern: namePattern })

export const name = string({ min: 1, max: 128, pattern: namePattern })

export const path = string({
  min: 1,
  max: 512,
  pattern: pattern('(\\u002F)|(\\u002F[\\u0021-\\u007E]+\\u002F)', (text) => text === '/' || /^\/[\u0021-\u007e]+\/$/.test(text)),
})

/** Of managed policies; without empty parts. */
export const policyPath = string({
  min: 1,
  max: 512,
  pattern: pattern(
    '((/[A-Za-z0-9\\.,\\+@=_-]+)*)/',
    (text) => text === '/' || (/^\/[A-Za-z0-9.,+@=_/-]+\/$/.test(text) && !text.includes('//')),
  ),
})

/** Where it is left out, everything. */
export const pathPrefix = string({ min: 1, max: 512, pattern: simplePattern(/^\/[\u0021-\u007f]*$/, '\\u002F[\\u0021-\\u007F]*') })

export const policyDocument = string({
  min: 1,
  max: 131_072,
  pattern: simplePattern(/^[\t\n\r\u0020-\u00ff]+$/, '[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+'),
})

export const arn = string({ min: 20, max: 2048 })

export const description = string({
  max: 1000,
  pattern: simplePattern(/^[\t\n\r\u0020-\u007e\u00a1-\u00ff]*$/, '[\\u0009\\u000A\\u000D\\u0020-\\u007E\\u00A1-\\u00FF]*'),
})

export const policyDescription = string({ max: 1000 })

export const maxSessionDuration = integer({ min: 3600, max: 43_200 })

export const defaultSessionSeconds = 3600

export const accessKeyId = string({ min: 16, max: 128, pattern: simplePattern(/^\w+$/, '[\\w]+') })

export const versionId = string({
  max: 32,
  pattern: pattern('v[1-9][0-9]*(\\.[A-Za-z0-9-]*)?', (text) => /^v[1-9][0-9]{0,8}$/.test(text)),
})

/** The model's most and default number of results in a page. */
const maxPageSize = 1000
export const defaultPageSize = 100

export const pageMembers = {
  Marker: string({ min: 1, max: 320, pattern: simplePattern(/^[\u0020-\u00ff]+$/, '[\\u0020-\\u00FF]+') }),
  MaxItems: integer({ min: 1, max: maxPageSize }),
}

export const onlyAttached = boolean()

export const policyScope = enumeration(['All', 'AWS', 'Local'])

export const policyUsage = enumeration(['PermissionsPolicy', 'PermissionsBoundary'])

const tagText = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u

const tagKey = string({ min: 1, max: 128, pattern: simplePattern(tagText, '[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+') })

const tagValue = string({ min: 0, max: 256, pattern: simplePattern(tagText, '[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*') })

/** The most tags that something can have, and so that a call can name. */
const maxTags = 50

export const tags = list(structure({ Key: required(tagKey), Value: required(tagValue) }), { max: maxTags })

export const tagKeys = list(tagKey, { max: maxTags })

export type Tags = Input<typeof tags>
