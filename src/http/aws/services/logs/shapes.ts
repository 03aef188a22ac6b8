import { mostBatchLines, mostLinesOfPage } from '../../../../logs/index.ts'
import { boolean, enumeration, integer, list, map, pattern, required, simplePattern, string, structure } from '../../shapes.ts'

/* The constraints of CloudWatch Logs' model (logs-2014-03-28), where they matter here. */

export const groupName = string({ min: 1, max: 512, pattern: simplePattern(/^[.\-_/#A-Za-z0-9]+$/, '[\\.\\-_/#A-Za-z0-9]+') })
export const groupNamePattern = string({ max: 512, pattern: simplePattern(/^[.\-_/#A-Za-z0-9]*$/, '[\\.\\-_/#A-Za-z0-9]*') })
export const groupIdentifier = string({ min: 1, max: 2048, pattern: simplePattern(/^[\w#+=/:,.@*-]*$/, '[\\w#+=/:,.@-]*') })
export const streamName = string({ min: 1, max: 512, pattern: simplePattern(/^[^:*]*$/, '[^:*]*') })
export const resourceArn = string({ min: 1, max: 1011, pattern: simplePattern(/^[\w+=/:,.@#*-]*$/, '[\\w+=/:,.@-]*') })
export const nextToken = string({ min: 1, max: 4096 })
export const time = integer({ min: 0 })
export const pageLimit = integer({ min: 1, max: 50 })
export const defaultPageLimit = 50
export const linesLimit = integer({ min: 1, max: mostLinesOfPage })
export const filterPattern = string({ max: 1024 })
export const groupClass = enumeration(['STANDARD', 'INFREQUENT_ACCESS', 'DELIVERY'])
export const orderBy = enumeration(['LogStreamName', 'LastEventTime'])
export const flag = boolean()
export const days = integer()
export const kmsKeyId = string({ max: 256 })

const isTagText = (text: string): boolean => /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u.test(text)
const tagKey = string({ min: 1, max: 128, pattern: pattern('^([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+)$', isTagText) })
const tagValue = string({ max: 256, pattern: pattern('^([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)$', isTagText) })

export const tags = map(tagKey, tagValue, { min: 1, max: 50 })
export const tagKeys = list(tagKey, { max: 50 })

/** Lines are what programs write, and a batch is not refused for what one of them has in it. */
const line = structure({ timestamp: required(time), message: required(string({ min: 1, anyText: true })) })

export const lines = list(line, { min: 1, max: mostBatchLines })
export const streamNames = list(streamName, { min: 1, max: 100 })
export const groupIdentifiers = list(groupIdentifier, { min: 1, max: 50 })
export const accountIds = list(string({ min: 12, max: 12 }), { max: 20 })
/** What the lines are about, which CloudWatch relates them to; it is only looked at to say that it is not here. */
export const entity = structure({ keyAttributes: map(string(), string()), attributes: map(string(), string()) })
