import { readPolicyDocument, type PolicyKind } from './document.ts'
import { parsePolicy } from './policy.ts'

/**
 * The condition keys that policies ask for, in conditions and in variables, as they are first written. Keys that differ in case
 * only are one.
 *
 * @throws `policy-malformed`
 */
export function contextKeysOf(documents: readonly string[], kind: PolicyKind): string[] {
  const keys = new Map<string, string>()
  const add = (key: string): void => {
    if (key !== '' && !keys.has(key.toLowerCase())) keys.set(key.toLowerCase(), key)
  }
  for (const document of documents) {
    parsePolicy(document, kind)
    const { language, statements } = readPolicyDocument(document, kind)
    for (const { resource, conditions } of statements) {
      for (const { key } of conditions) add(key)
      if (language !== '2012-10-17') continue
      const texts = [...(resource?.values ?? []), ...conditions.flatMap(({ values }) => values)]
      for (const text of texts) for (const [, key = ''] of text.matchAll(/\$\{\s*([^},\s]+:[^},\s]+)/g)) add(key)
    }
  }
  return [...keys.values()].sort()
}
