/** What a rule may be taken for, and is not. Scripts match on these: a word never changes its meaning. */
export type MisreadingCode =
  | 'all-patterns-at-once'
  | 'exact-pattern'
  | 'star-in-prefix'
  | 'fits-no-tag'
  | 'never-acts'
  | 'count-keeps-nothing'
  | 'age-empties'
  | 'any-takes-the-rest'
  | 'counts-everything'
  | 'nothing-archives'
  | 'counted-together'
  | 'takes-untagged'
  | 'other-tags-lost'
  | 'keeps-everything'

export interface Misreading {
  readonly code: MisreadingCode
  readonly rule: string | undefined
  readonly text: string
}
