import type { Misreading, MisreadingCode } from './misreading.ts'
import { covers } from './pattern-cover.ts'
import type { RetentionRule } from './retention-document.ts'

/** What people take rules of a retention policy for, and what they do instead. */
export function retentionMisreadings(rules: readonly RetentionRule[]): readonly Misreading[] {
  return rules.flatMap((rule) => misreadingsOf(rule, rules))
}

function misreadingsOf(rule: RetentionRule, rules: readonly RetentionRule[]): Misreading[] {
  const found: Misreading[] = []
  const say = (code: MisreadingCode, text: string): void => {
    found.push({ code, rule: rule.name, text })
  }
  if (rule.tags?.some((pattern) => isCoveredByAny(pattern, rule.notTags ?? [])) === true && rule.tags.every((pattern) => isCoveredByAny(pattern, rule.notTags ?? []))) {
    say('never-acts', 'Its notTags take away every tag that its tags are about: it is about no image.')
  }
  const count = rule.newest ?? rule.exceptNewest
  if (count !== undefined && rule.per !== 'pattern' && (rule.tags?.length ?? 0) > 1) {
    say('counted-together', `The ${count} are counted over ${rule.tags!.join(' and ')} together. With "per": "pattern" each is counted by itself.`)
  }
  if (rule.action === 'keep') {
    if (isUnconditional(rule) && isAboutAll(rule)) say('keeps-everything', 'It keeps every image, so that no rule of any policy removes one.')
    return found
  }
  const keeper = rules.find((other) => other.action === 'keep' && isUnconditional(other) && takesAll(other, rule))
  if (keeper !== undefined) say('never-acts', `The rule ${keeper.name} keeps every image that it is about.`)
  const keepsSome = rules.some(({ action, newest }) => action === 'keep' && newest !== undefined)
  if (rule.action === 'delete' && rule.exceptNewest === undefined && !rule.untagged && rule.since !== 'archived' && !keepsSome) {
    say('age-empties', `Where nothing new comes for ${rule.olderThan!.words} it deletes every image that it is about. Add "exceptNewest", or a rule that keeps the newest.`)
  }
  if (rule.notTags !== undefined && !asksTags(rule)) say('takes-untagged', 'It is also about untagged images, which have none of these tags. With "tags": ["*"] it is not.')
  if (rule.tagMatch === 'any' && asksTags(rule)) say('other-tags-lost', 'It removes an image for one tag, also where the image has others that the rule is not about; they go with it.')
  return found
}

function isCoveredByAny(pattern: string, others: readonly string[]): boolean {
  return others.some((other) => other === pattern || (!isExpression(other) && !isExpression(pattern) && covers(other, pattern)))
}

function isExpression(pattern: string): boolean {
  return pattern.startsWith('/')
}

function asksTags({ tags, versions, prereleases, by, per }: RetentionRule): boolean {
  return tags !== undefined || versions !== undefined || prereleases !== undefined || by === 'version' || per === 'major' || per === 'minor'
}

function isUnconditional({ youngerThan, newest }: RetentionRule): boolean {
  return youngerThan === undefined && newest === undefined
}

/** About every image, as far as its default classes go. */
function isAboutAll(rule: RetentionRule): boolean {
  const { notTags, untagged, neverPulled, labels, annotations, storage } = rule
  return !asksTags(rule) && notTags === undefined && !untagged && !neverPulled && labels === undefined && annotations === undefined && (storage === undefined || storage === 'any')
}

/** Whether a rule that keeps surely takes in every image on which the other one acts. */
function takesAll(keeper: RetentionRule, rule: RetentionRule): boolean {
  const classes = keeper.classes ?? ['image', 'index']
  if (!(rule.classes ?? ['image', 'index']).every((each) => classes.includes(each))) return false
  if (isAboutAll(keeper)) return true
  const { tags, tagMatch, ...rest } = keeper
  return tags !== undefined && tagMatch !== 'all' && isAboutAll({ ...rest, tags: undefined, tagMatch: undefined }) && rule.tags?.every((pattern) => isCoveredByAny(pattern, tags)) === true
}
