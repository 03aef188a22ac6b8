import { maxSessionTokenBytes } from '../../../../iam/index.ts'
import { integer, list, required, simplePattern, string, structure } from '../../shapes.ts'

/** The shapes that operations of STS share; bounds and expressions are those of its model. */

export const arn = string({ min: 20, max: 2048, pattern: simplePattern(/^[\t\n\r -~\u0085\u00a0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]+$/u) })

export const roleSessionName = string({ min: 2, max: 64, pattern: simplePattern(/^[\w+=,.@-]*$/, '[\\w+=,.@-]*') })

export const sourceIdentity = string({ min: 2, max: 64, pattern: simplePattern(/^[\w+=,.@-]*$/, '[\\w+=,.@-]*') })

/** The model allows more than a role may; which part of it a role allows is its own setting. */
export const roleDurationSeconds = integer({ min: 900, max: 43_200 })

export const sessionDurationSeconds = integer({ min: 900, max: 129_600 })

/** Bytes. */
export const minimumSessionTokenSize = integer({ min: 0, max: maxSessionTokenBytes })

/** The inline policy of a session; what it may hold beside that is the packed size's matter. */
export const sessionPolicy = string({ min: 1, max: 2048 })

/** More than ten are refused with the number of policies in mind, not as a malformed list. */
export const policyArns = list(structure({ arn: required(arn) }), { max: 10 })

const tagKey = string({ min: 1, max: 128 })

export const tags = list(structure({ Key: required(tagKey), Value: required(string({ min: 0, max: 256 })) }), { max: 50 })

export const tagKeys = list(tagKey, { max: 50 })

export const externalId = string({ min: 2, max: 1224, pattern: simplePattern(/^[\w+=,.@:/-]*$/, '[\\w+=,.@:\\/-]*') })

export const webIdentityToken = string({ min: 4, max: 20_000 })

export const serialNumber = string({ min: 9, max: 256 })

export const tokenCode = string({ min: 6, max: 6 })

export const accessKeyId = string({ min: 16, max: 128, pattern: simplePattern(/^[\w]*$/, '[\\w]*') })
