import { integer, pattern, string } from '../../shapes.ts'

export { digest, imageTag } from '../ecr/shapes.ts'
export { registryId, repositoryName } from './target.ts'

export const defaultPageSize = 100

export const maxResults = integer({ min: 1, max: 1000 })

/** A position, as it is: numbers and names that whoever may list may know. */
export const nextToken = string({ min: 1, max: 256 })

const firstPrintable = 0x20
const afterAscii = 0x7f
/** C1 control characters end here. */
const afterControls = 0xa0

/** One line that can be shown in a terminal, a log and an error. */
export const oneLine = pattern('[^\\p{Cc}\\u2028\\u2029]*', (text) =>
  [...text].every((character) => {
    const code = character.codePointAt(0) ?? 0
    return code >= firstPrintable && (code < afterAscii || code >= afterControls) && code !== 0x2028 && code !== 0x2029
  }),
)

/** Why somebody does something, for whoever reads it later. */
export const reason = string({ min: 1, max: 512, pattern: oneLine })
