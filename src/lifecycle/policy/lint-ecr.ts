import { days } from './ecr-grammar.ts'
import type { EcrRule, EcrSelection } from './ecr-document.ts'
import type { Misreading, MisreadingCode } from './misreading.ts'
import { covers, fitsNoTag } from './pattern-cover.ts'

/** What people take rules of ECR's grammar for, and what they do instead. */
export function ecrMisreadings(unordered: readonly EcrRule[]): readonly Misreading[] {
  const rules = unordered.toSorted((a, b) => a.rulePriority - b.rulePriority)
  const found = rules.flatMap((rule, index) => misreadingsOf(rule, rules.slice(0, index)))
  const archived = rules.find(({ selection }) => selection.storageClass === 'archive')
  if (archived !== undefined && !rules.some(({ action }) => action === 'transition')) {
    found.push({ code: 'nothing-archives', rule: nameOf(archived), text: 'It deletes archived images, and no rule archives any: it only acts on what somebody archives by hand.' })
  }
  return found
}

function misreadingsOf(rule: EcrRule, earlier: readonly EcrRule[]): Misreading[] {
  const found: Misreading[] = []
  const say = (code: MisreadingCode, text: string): void => {
    found.push({ code, rule: nameOf(rule), text })
  }
  const { selection, action } = rule
  const { tagStatus, tagPatternList, tagPrefixList, countType, countNumber } = selection
  const entries = [...tagPatternList, ...tagPrefixList]
  if (entries.length > 1) {
    say('all-patterns-at-once', `An image must have a tag for each of ${entries.join(' and ')}, not for one of them. For either, write a rule for each.`)
  }
  for (const pattern of tagPatternList) {
    if (!pattern.includes('*')) say('exact-pattern', `The pattern ${pattern} has no *, and so is only the tag ${pattern} itself. For all tags that begin so, write ${pattern}*.`)
  }
  for (const prefix of tagPrefixList) {
    if (prefix.includes('*')) say('star-in-prefix', `In a prefix * is a character like others, and no tag has it: the rule never acts. Write the prefix without it, or use tagPatternList.`)
    else if (fitsNoTag(prefix)) say('fits-no-tag', `No tag begins with ${prefix}: a tag has letters, digits, "_", "." and "-". The rule never acts.`)
  }
  for (const pattern of tagPatternList) if (fitsNoTag(pattern)) say('fits-no-tag', `No tag matches ${pattern}: a tag has letters, digits, "_", "." and "-". The rule never acts.`)

  const sameClass = earlier.filter((other) => other.selection.storageClass === selection.storageClass)
  const shadow = sameClass.find((other) => takesAll(other.selection, selection))
  if (shadow !== undefined) {
    say('never-acts', `Every image that it is about belongs to ${nameOf(shadow)}, which comes first, even where that does nothing to it. Give this rule a lower rulePriority.`)
  }
  const byAge = sameClass.find((other) => other.action === 'expire' && other.selection.countType !== 'imageCountMoreThan' && mayMeet(other.selection, selection))
  if (countType === 'imageCountMoreThan' && byAge !== undefined) {
    say('count-keeps-nothing', `It does not keep ${countNumber} images: ${nameOf(byAge)} deletes what is older than ${days(byAge.selection.countNumber)}, also the last one. ECR has no rule that keeps.`)
  }
  if (action === 'expire' && countType === 'sinceImagePushed' && tagStatus !== 'untagged') {
    say('age-empties', `Where nobody pushes for ${days(countNumber)} it deletes every image that it is about, also the newest and those that are running.`)
  }
  if (tagStatus === 'any') {
    if (action === 'expire' && sameClass.length > 0) say('any-takes-the-rest', 'It takes every image that no earlier rule is about, whatever its tags, and untagged ones.')
    if (countType === 'imageCountMoreThan') {
      say('counts-everything', `The ${countNumber} are counted over all images, with those that earlier rules are about, the parts of multi-platform images and signatures.`)
    }
  }
  return found
}

function nameOf({ rulePriority }: EcrRule): string {
  return `rule ${rulePriority}`
}

/** Patterns that say the same. */
function patternsOf({ tagPatternList, tagPrefixList }: EcrSelection): readonly string[] {
  return [...tagPatternList, ...tagPrefixList.map((prefix) => `${prefix}*`)]
}

/** Whether `wide` surely takes in every image that `narrow` does. */
function takesAll(wide: EcrSelection, narrow: EcrSelection): boolean {
  if (wide.tagStatus === 'any') return true
  if (wide.tagStatus !== narrow.tagStatus) return false
  return patternsOf(wide).every((pattern) => patternsOf(narrow).some((other) => covers(pattern, other)))
}

function mayMeet(a: EcrSelection, b: EcrSelection): boolean {
  return a.tagStatus === 'any' || b.tagStatus === 'any' || a.tagStatus === b.tagStatus
}
