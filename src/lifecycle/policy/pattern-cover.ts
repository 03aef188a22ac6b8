import { wildcardTest } from './tag-pattern.ts'

/**
 * Whether every tag that `narrow` matches surely matches `wide`. No tag has a star, so that the star of `narrow` can only be
 * taken by one of `wide`.
 */
export function covers(wide: string, narrow: string): boolean {
  return wildcardTest(wide)(narrow)
}

/** Whether a pattern or prefix has a character that no tag has, or begins as none does. OCI distribution-spec, `<reference>`. */
export function fitsNoTag(pattern: string): boolean {
  return !/^[\w.*-]*$/u.test(pattern) || /^[.-]/u.test(pattern)
}
