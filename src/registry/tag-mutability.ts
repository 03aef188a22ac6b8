import type { TagMutability } from './types.ts'

/**
 * Whether an existing tag may be pointed at another image. In the `_WITH_EXCLUSION` modes the filters name the
 * tags to which the opposite applies. Amazon ECR user guide, "Image tag mutability".
 */
export function isTagImmutable(mode: TagMutability, filters: readonly string[], tag: string): boolean {
  switch (mode) {
    case 'MUTABLE':
      return false
    case 'IMMUTABLE':
      return true
    case 'MUTABLE_WITH_EXCLUSION':
      return filters.some((filter) => matchesWildcard(filter, tag))
    case 'IMMUTABLE_WITH_EXCLUSION':
      return !filters.some((filter) => matchesWildcard(filter, tag))
  }
}

/**
 * True when the whole of `text` matches `pattern`, in which `*` stands for any run of characters, also none.
 * Takes the leftmost fit of each part between stars, so it never goes back: linear in the text for each part.
 */
export function matchesWildcard(pattern: string, text: string): boolean {
  const parts = pattern.split('*')
  const first = parts[0] ?? ''
  if (parts.length === 1) return text === first
  const last = parts.at(-1) ?? ''
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
  let position = first.length
  const end = text.length - last.length
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, position)
    if (found < 0 || found + part.length > end) return false
    position = found + part.length
  }
  return true
}
