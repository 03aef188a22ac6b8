import type { Clock, FactNeeds, ImageFacts } from './image-facts.ts'
import type { VersionKey } from './semantic-version.ts'

export type RuleAction = 'expire' | 'transition' | 'keep'

/** A rule in the one form that the evaluation knows; both grammars are compiled to it. */
export interface CompiledRule {
  /** ECR's rulePriority; in a retention policy the rule's place, from 1. */
  readonly number: number
  /** How people call it: `rule 2`, or the name it has in a retention policy. */
  readonly name: string
  readonly action: RuleAction
  /** Whether the rule speaks about the image at all. The rules of a count only see images that it selects. */
  readonly selects: (image: ImageFacts) => boolean
  /** Whether a rule that keeps would speak about an image but for what could not be read of it: then it keeps it, uncounted. */
  readonly keepsUnread: ((image: ImageFacts) => boolean) | undefined
  /** A tag for whose sake the rule does nothing to an image that it selects, and counts; undefined where it has none. */
  readonly sparingTag: ((image: ImageFacts) => string | undefined) | undefined
  /** `expire` and `transition`: the image must be older than this. `keep`: it must not be. */
  readonly age: AgeCondition | undefined
  /** `expire` and `transition`: the image must be beyond the newest. `keep`: it must be among them. */
  readonly newest: CountCondition | undefined
  /** What has to be told to whoever pulls an image, and for how long, before the rule removes it; undefined: nothing. */
  readonly notice: NoticeCondition | undefined
  /** The selection in words, such as `untagged images`. */
  readonly what: string
}

export interface AgeCondition {
  readonly clock: Clock
  readonly ms: number
  /** As it is written, such as `30 days`. */
  readonly words: string
}

export interface NoticeCondition {
  readonly ms: number
  /** As it is written, such as `30 days`. */
  readonly words: string
  /** For so long at the end the image is blocked for new deployments. */
  readonly blockMs: number | undefined
  /** What pullers are told; undefined: which rule it is. */
  readonly reason: string | undefined
}

export interface CountCondition {
  readonly count: number
  /** Youngest first by a clock, or highest first by version. */
  readonly by: Clock | 'version'
  /** For `version`: what an image that the rule selects is ordered by. */
  readonly versionOf: ((image: ImageFacts) => VersionKey | undefined) | undefined
  /** Images are counted in groups by this; undefined: all together. */
  readonly groupOf: ((image: ImageFacts) => string) | undefined
  /** What a group is, in words, such as `minor version`. */
  readonly per: string | undefined
}

/** A policy that was checked, ready to be evaluated. */
export interface CompiledPolicy {
  readonly grammar: 'ecr' | 'retention'
  /** In the order in which they decide: ECR's by priority. */
  readonly rules: readonly CompiledRule[]
  readonly needs: FactNeeds
}

export interface ParsedPolicy {
  readonly policy: CompiledPolicy
  /** The policy as it is stored and shown. Parsing it again gives the same. */
  readonly text: string
  /** What was read otherwise than it stands there, for people. */
  readonly notes: readonly string[]
}
