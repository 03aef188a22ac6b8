import type { CompiledPolicy, CompiledRule, ParsedPolicy } from './compiled.ts'
import { copiedFormHint, hasCopiedForm, rewriteCopiedForm } from './copied-form.ts'
import { readEcrDocument, type EcrRule, type EcrSelection } from './ecr-document.ts'
import { ecrRefusal, lengthRefusal } from './ecr-refusal.ts'
import type { Clock, ImageFacts } from './image-facts.ts'
import { readJson } from './json-text.ts'
import { prefixTest, wildcardTest, type TagTest } from './tag-pattern.ts'
import { isPlatformError } from '../../internal/platform-error.ts'

export const msPerDay = 86_400_000

/** ECR API reference, PutLifecyclePolicy, lifecyclePolicyText. */
const minTextLength = 100
const maxTextLength = 30_720

/** Amazon ECR user guide, "Archiving images": what is in the archive stays there at least this long. */
export const ecrMinimumArchiveDays = 90

export interface EcrPolicyOptions {
  /** Take only what ECR takes. Otherwise the copied form with `filter` is read as what it means. */
  readonly strict: boolean
  /** A rule may not delete sooner after archiving than this. Default: 90 in strict mode, else none. */
  readonly minimumArchiveDays?: number
  /** A stored policy is shorter than what was sent, and was checked then; a template's may be short. Default: true. */
  readonly checkLength?: boolean
}

/**
 * Reads a lifecycle policy in ECR's grammar. Amazon ECR user guide, "Lifecycle policy properties". The text that it answers is
 * the same document without white space, in the order in which it was written.
 *
 * @throws `policy-invalid` with ECR's message, and ECR's detail in `detail.reason`
 */
export function parseEcrPolicy(text: string, { strict, minimumArchiveDays, checkLength = true }: EcrPolicyOptions): ParsedPolicy {
  if (text.length > maxTextLength) throw lengthRefusal(`Member must have length less than or equal to ${maxTextLength}`)
  if (checkLength && text.length < minTextLength) throw lengthRefusal(`Member must have length greater than or equal to ${minTextLength}`)
  const json = readJson(text)
  if (json === undefined || typeof json.value !== 'object' || json.value === null || Array.isArray(json.value)) {
    throw ecrRefusal('Could not map policyString into LifecyclePolicy.')
  }
  if (strict) return finish(json.value, [], minimumArchiveDays ?? ecrMinimumArchiveDays)
  const { document, notes } = rewriteCopiedForm(json.value)
  return finish(document, notes, minimumArchiveDays ?? 0)
}

function finish(document: unknown, notes: readonly string[], minimumArchiveDays: number): ParsedPolicy {
  const rules = readRules(document).toSorted((a, b) => a.rulePriority - b.rulePriority)
  checkTogether(rules)
  checkArchiveDays(rules, minimumArchiveDays)
  return { policy: compile(rules), text: JSON.stringify(document), notes }
}

function readRules(document: unknown): readonly EcrRule[] {
  try {
    return readEcrDocument(document)
  } catch (error) {
    if (isPlatformError(error, 'policy-invalid') && hasCopiedForm(document)) throw ecrRefusal(String(error.detail['reason']), copiedFormHint)
    throw error
  }
}

/** What rules may not be beside each other. Amazon ECR user guide, "Lifecycle policy evaluation rules". */
function checkTogether(rules: readonly EcrRule[]): void {
  for (const [index, rule] of rules.entries()) {
    const { tagStatus, tagPatternList, tagPrefixList } = rule.selection
    const isListed = tagPatternList.length + tagPrefixList.length > 0
    if (tagStatus === 'tagged' && !isListed) throw ecrRefusal('Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.')
    if (tagStatus !== 'tagged' && isListed) throw ecrRefusal('tagPrefixList and tagPatternList may only be used when tagStatus=TAGGED.')
    if (tagPatternList.length > 0 && tagPrefixList.length > 0) {
      throw ecrRefusal('Only one of tagPrefixList and tagPatternList may be specified in a rule.')
    }
    const next = rules[index + 1]
    if (next?.rulePriority === rule.rulePriority) throw ecrRefusal(`rulePriority must be unique: ${rule.rulePriority} is used by more than one rule.`)
  }
  for (const storageClass of ['standard', 'archive']) {
    const ofClass = rules.filter(({ selection }) => selection.storageClass === storageClass)
    if (ofClass.filter(({ selection }) => selection.tagStatus === 'untagged').length > 1) {
      throw ecrRefusal('Only one rule can select Untagged images per storage class.')
    }
    if (ofClass.slice(0, -1).some(({ selection }) => selection.tagStatus === 'any')) {
      throw ecrRefusal('Rule for tagStatus=ANY must have the lowest priority per storage class')
    }
    const lists = ofClass.filter(({ selection }) => selection.tagStatus === 'tagged').map(({ selection }) => listKey(selection))
    if (new Set(lists).size < lists.length) {
      throw ecrRefusal('The set of all rules selecting a specific storage class must contain a unique set of prefixes.')
    }
  }
}

function listKey({ tagPatternList, tagPrefixList }: EcrSelection): string {
  return JSON.stringify([[...new Set(tagPatternList)].sort(), [...new Set(tagPrefixList)].sort()])
}

function checkArchiveDays(rules: readonly EcrRule[], minimumDays: number): void {
  for (const { selection } of rules) {
    if (selection.storageClass === 'archive' && selection.countNumber < minimumDays) {
      throw ecrRefusal(
        `countNumber must be at least ${minimumDays} when countType=sinceImageTransitioned: archived images are kept for ${minimumDays} days or longer.`,
      )
    }
  }
}

const clocks = {
  sinceImagePushed: 'pushed',
  sinceImagePulled: 'pulled',
  sinceImageTransitioned: 'archived',
} as const satisfies Record<Exclude<EcrSelection['countType'], 'imageCountMoreThan'>, Clock>

function compile(rules: readonly EcrRule[]): CompiledPolicy {
  return {
    grammar: 'ecr',
    rules: rules.map(compileRule),
    needs: {
      labels: false,
      annotations: false,
      tagTimes: false,
      pulls: rules.some(({ selection }) => selection.countType === 'sinceImagePulled'),
      uses: false,
    },
  }
}

function compileRule({ rulePriority, selection, action }: EcrRule): CompiledRule {
  const { countType, countNumber } = selection
  return {
    number: rulePriority,
    name: `rule ${rulePriority}`,
    action,
    selects: selectionTest(selection),
    keepsUnread: undefined,
    sparingTag: undefined,
    age: countType === 'imageCountMoreThan' ? undefined : { clock: clocks[countType], ms: countNumber * msPerDay, words: days(countNumber) },
    newest:
      countType === 'imageCountMoreThan'
        ? { count: countNumber, by: 'pushed', versionOf: undefined, groupOf: undefined, per: undefined }
        : undefined,
    notice: undefined,
    what: selectionWords(selection),
  }
}

export function days(count: number): string {
  return count === 1 ? '1 day' : `${count} days`
}

/** An image that is on its way out of the archive is in neither class. */
function selectionTest(selection: EcrSelection): (image: ImageFacts) => boolean {
  const wanted = selection.storageClass === 'archive' ? 'archived' : 'active'
  const hasTags = tagsTest(selection)
  return (image) => image.storageClass === wanted && hasTags(image)
}

function tagsTest({ tagStatus, tagPatternList, tagPrefixList }: EcrSelection): (image: ImageFacts) => boolean {
  if (tagStatus === 'any') return () => true
  if (tagStatus === 'untagged') return ({ tags }) => tags.length === 0
  // Each entry must be met, by whichever of the image's tags.
  const tests: readonly TagTest[] = [...tagPatternList.map(wildcardTest), ...tagPrefixList.map(prefixTest)]
  return ({ tags }) => tests.every((test) => tags.some(({ name }) => test(name)))
}

function selectionWords({ tagStatus, tagPatternList, tagPrefixList, storageClass }: EcrSelection): string {
  const images = storageClass === 'archive' ? 'archived images' : 'images'
  if (tagStatus === 'any') return `all ${images}`
  if (tagStatus === 'untagged') return `untagged ${images}`
  const entries = [...tagPatternList.map((pattern) => `matching ${pattern}`), ...tagPrefixList.map((prefix) => `beginning with ${prefix}`)]
  return `${images} that have ${entries.map((entry) => `a tag ${entry}`).join(' and ')}`
}
