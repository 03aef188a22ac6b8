import type { Brand } from './brand.ts'
import { isLowerAlphanumeric } from './characters.ts'
import { quoted, valueError } from './errors.ts'
import { parseRepositoryName, type RepositoryName } from './repository-name.ts'

/**
 * A namespace of repositories: `prod` holds every repository whose name begins with `prod/`. Without the slash at its end,
 * which ECR always takes as meant; `ROOT` holds every repository.
 */
export type RepositoryPrefix = Brand<string, 'RepositoryPrefix'>

/** No repository's name has capitals, so that nothing else is called this. */
const root = 'ROOT' as RepositoryPrefix

/** The longest that ECR's model takes, the slash included. */
const maxLength = 256

/**
 * Parts of a repository's name with or without a slash at the end, 1 to 256 characters, or `ROOT`.
 *
 * @throws `repository-name-invalid`
 */
export function parseRepositoryPrefix(text: string): RepositoryPrefix {
  if (text === root) return root
  const prefix = text.endsWith('/') ? text.slice(0, -1) : text
  if (text.length > maxLength) throw invalid(text, `A prefix has at most ${maxLength} characters.`)
  if (prefix.length > 1) return parseRepositoryName(prefix) as string as RepositoryPrefix
  // A repository's name has two characters at least; the name of a namespace need not.
  if (prefix.length === 1 && isLowerAlphanumeric(prefix.charCodeAt(0))) return prefix as RepositoryPrefix
  throw invalid(text, 'A prefix is ROOT or what the names of repositories begin with.')
}

/** Every prefix that holds a repository of this name, the longest first and `ROOT` last. */
export function prefixesOf(name: RepositoryName): RepositoryPrefix[] {
  const prefixes: RepositoryPrefix[] = []
  for (let slash = name.lastIndexOf('/'); slash > 0; slash = name.lastIndexOf('/', slash - 1)) {
    prefixes.push(name.slice(0, slash) as RepositoryPrefix)
  }
  return [...prefixes, root]
}

function invalid(text: string, message: string): Error {
  return valueError('repository-name-invalid', message, { prefix: quoted(text) })
}
