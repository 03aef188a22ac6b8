/** Whether a tag is one that is meant. */
export type TagTest = (tag: string) => boolean

/**
 * A pattern in which `*` stands for any run of characters, also none, and which the whole tag must match. Takes the
 * leftmost fit of each part between stars, so it never goes back: linear in the tag for each part.
 */
export function wildcardTest(pattern: string): TagTest {
  const parts = pattern.split('*')
  const first = parts[0] ?? ''
  if (parts.length === 1) return (tag) => tag === pattern
  const last = parts.at(-1) ?? ''
  const middle = parts.slice(1, -1).filter((part) => part !== '')
  const leastLength = first.length + last.length
  return (tag) => {
    if (tag.length < leastLength || !tag.startsWith(first) || !tag.endsWith(last)) return false
    let position = first.length
    const end = tag.length - last.length
    for (const part of middle) {
      const found = tag.indexOf(part, position)
      if (found < 0 || found + part.length > end) return false
      position = found + part.length
    }
    return true
  }
}

export function prefixTest(prefix: string): TagTest {
  return (tag) => tag.startsWith(prefix)
}
