import type { Brand } from './brand.ts'
import { isLowerAlphanumeric } from './characters.ts'
import { quoted, valueError } from './errors.ts'

/** A repository's name within its registry, such as `team/app`: 2 to 256 characters, ECR's grammar. */
export type RepositoryName = Brand<string, 'RepositoryName'>

const minLength = 2
const maxLength = 256

const dot = 0x2e
const underscore = 0x5f
const dash = 0x2d
const slash = 0x2f

/**
 * Components of lower-case letters and digits, joined by `/`; inside a component single runs of them are
 * joined by one `.`, one or two `_`, or any number of `-`. So no component is empty, `.` or `..`.
 *
 * @throws `repository-name-invalid`
 */
export function parseRepositoryName(text: string): RepositoryName {
  if (text.length < minLength || text.length > maxLength) {
    throw invalid(text, `A repository name has ${minLength} to ${maxLength} characters.`)
  }
  let at = 0
  while (at < text.length) {
    const runStart = at
    while (at < text.length && isLowerAlphanumeric(text.charCodeAt(at))) at++
    if (at === runStart) {
      throw invalid(text, 'Each part of a repository name starts with a lower-case letter or a digit.')
    }
    if (at === text.length) return text as RepositoryName
    at = afterSeparator(text, at)
  }
  throw invalid(text, 'A repository name ends with a lower-case letter or a digit.')
}

/** The position behind the one separator that starts at `at`. */
function afterSeparator(text: string, at: number): number {
  const separator = text.charCodeAt(at)
  switch (separator) {
    case slash:
    case dot:
      return at + 1
    case underscore:
      return text.charCodeAt(at + 1) === underscore ? at + 2 : at + 1
    case dash: {
      let end = at + 1
      while (text.charCodeAt(end) === dash) end++
      return end
    }
    default:
      throw invalid(text, 'A repository name consists of lower-case letters, digits, ".", "_", "-" and "/".')
  }
}

function invalid(text: string, message: string): Error {
  return valueError('repository-name-invalid', message, { repositoryName: quoted(text) })
}
