import { readEcrDocument, type CompiledRule, type EcrRule } from './policy/index.ts'

/*
 * What the server does of its own accord, in the words of ECR's service events in CloudTrail.
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/logging-using-cloudtrail.html, "ECR lifecycle policy event logging"
 */

/** ECR divides what has ten images or more; an event here has so many at most. */
export const imagesPerEvent = 10
/** As many as ECR tells of an image. */
const maxTagsOfImage = 100

export interface ServiceEventRule {
  readonly rulePriority: number
  readonly description?: string
  /** Absent for a rule of a retention policy, which ECR's words do not cover: its description says what it selects. */
  readonly lifecycleEventSelection?: {
    readonly tagStatus: string
    readonly tagPrefixList: readonly string[]
    readonly tagPatternList?: readonly string[]
    readonly countType: string
    readonly countNumber: number
  }
  readonly action: string
}

/** A policy as events tell it. */
export interface ServiceEventPolicy {
  readonly lifecycleEventRules: readonly ServiceEventRule[]
  readonly lastEvaluatedAt: number
  readonly policyVersion: number
  readonly policyId: string
}

export interface ServiceEventImage {
  readonly digest: string
  readonly tagStatus: 'Tagged' | 'Untagged'
  readonly tagList: readonly string[]
  readonly pushedAt: number
}

/** What was done, or would be, with an image. */
export interface ServiceEventAction {
  readonly lifecycleEventImage: ServiceEventImage
  readonly rulePriority: number
}

export interface ServiceEventFailure extends ServiceEventAction {
  readonly failureCode: string
  readonly failureReason: string
}

const tagStatuses = { any: 'Any', tagged: 'Tagged', untagged: 'Untagged' } as const satisfies Record<EcrRule['selection']['tagStatus'], string>
const countTypes = {
  imageCountMoreThan: 'Image count more than',
  sinceImagePulled: 'Since image pulled',
  sinceImagePushed: 'Since image pushed',
  sinceImageTransitioned: 'Since image transitioned',
} as const satisfies Record<EcrRule['selection']['countType'], string>

interface ToldPolicy {
  readonly id: number
  readonly version: number
  readonly grammar: 'ecr' | 'retention'
  readonly document: string
  readonly compiled: { readonly rules: readonly CompiledRule[] }
}

/** A policy in force, with all of its rules that remove something. */
export function serviceEventPolicy({ id, version, grammar, document, compiled }: ToldPolicy, evaluatedAt: number): ServiceEventPolicy {
  const rules = grammar === 'ecr' ? ecrRules(document) : compiled.rules.filter(({ action }) => action !== 'keep').map(retentionRule)
  return { lifecycleEventRules: rules, lastEvaluatedAt: evaluatedAt, policyVersion: version, policyId: String(id) }
}

/** The rules of a document in ECR's grammar that was checked before. */
export function ecrRules(document: string): ServiceEventRule[] {
  return readEcrDocument(JSON.parse(document)).map(({ rulePriority, description, selection, action }) => ({
    rulePriority,
    ...(description === undefined ? {} : { description }),
    lifecycleEventSelection: {
      tagStatus: tagStatuses[selection.tagStatus],
      tagPrefixList: selection.tagPrefixList,
      ...(selection.tagPatternList.length === 0 ? {} : { tagPatternList: selection.tagPatternList }),
      countType: countTypes[selection.countType],
      countNumber: selection.countNumber,
    },
    action,
  }))
}

function retentionRule({ number, name, what, action }: CompiledRule): ServiceEventRule {
  return { rulePriority: number, description: `${name}: ${what}`, action }
}

export function serviceEventImage(image: { readonly digest: string; readonly tags: readonly string[]; readonly pushedAt: number }): ServiceEventImage {
  const { digest, tags, pushedAt } = image
  return { digest, tagStatus: tags.length > 0 ? 'Tagged' : 'Untagged', tagList: tags.slice(0, maxTagsOfImage), pushedAt }
}

/** Of a policy, the rules that an event is about. */
export function policyWithRules(policy: ServiceEventPolicy, priorities: ReadonlySet<number>): ServiceEventPolicy {
  return { ...policy, lifecycleEventRules: policy.lifecycleEventRules.filter(({ rulePriority }) => priorities.has(rulePriority)) }
}
