import type { ErrorDetail } from '../internal/platform-error.ts'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import type { PolicyComparison } from './compare-policies.ts'
import type { EvaluationParts } from './evaluate-repository.ts'
import type { ComparisonRequest, EvaluationRequest } from './evaluator.ts'
import type { DecidedColumns } from './policy/index.ts'
import type { PreviewPage, PreviewSummary } from './preview-pages.ts'

/** What the thread that evaluates is begun with. */
export interface ThreadData {
  readonly target: MetadataTarget
  /** A repository with more is evaluated in a process. */
  readonly maxImages: number
}

/** What a process that evaluates is told first. */
export interface ProcessData {
  readonly target: MetadataTarget
}

/** Something to evaluate; whoever gives it numbers it. */
export type Job =
  | { readonly kind: 'evaluate' | 'preview'; readonly id: number; readonly request: EvaluationRequest }
  | { readonly kind: 'compare'; readonly id: number; readonly request: ComparisonRequest }

/** What a thread or process is told. */
export type JobMessage =
  | Job
  /** The last pages have been taken. */
  | { readonly kind: 'taken'; readonly id: number }
  | { readonly kind: 'stop'; readonly id: number }
  | { readonly kind: 'close' }

/** What it says. */
export type JobAnswer =
  | { readonly kind: 'evaluated'; readonly id: number; readonly parts: EvaluationParts }
  | { readonly kind: 'pages'; readonly id: number; readonly pages: readonly PreviewPage[] }
  | { readonly kind: 'previewed'; readonly id: number; readonly summary: PreviewSummary }
  | { readonly kind: 'compared'; readonly id: number; readonly comparison: PolicyComparison }
  | { readonly kind: 'failed'; readonly id: number; readonly failure: SentFailure }

/** Some of a column: what a process says before `evaluated`, which is then without its columns. */
export interface ColumnPart {
  readonly kind: 'column'
  readonly id: number
  readonly name: ColumnName
  readonly sizeBytes: number
  readonly offset: number
  readonly bytes: Uint8Array
}

/** A column of an evaluation's images. */
export type ColumnName = Exclude<keyof DecidedColumns, 'size'> | 'fingerprints'

/** An error, which cannot be sent as it is. */
export interface SentFailure {
  readonly code: string | undefined
  readonly message: string
  readonly stack: string | undefined
  readonly detail: ErrorDetail | undefined
}
