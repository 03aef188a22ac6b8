import type { ErrorDetail } from '../internal/platform-error.ts'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import type { PolicyComparison } from './compare-policies.ts'
import type { EvaluationParts } from './evaluate-repository.ts'
import type { ComparisonRequest, EvaluationRequest } from './evaluator.ts'
import type { DecidedColumns } from './policy/index.ts'
import type { PreviewPage, PreviewSummary } from './preview-pages.ts'

/** What a thread or process that evaluates is begun with. */
export interface PlaceData {
  readonly target: MetadataTarget
  /** A repository with more is not evaluated there; undefined: any is. */
  readonly maxImages: number | undefined
}

/** What it is told. */
export type JobMessage =
  | { readonly kind: 'evaluate' | 'preview'; readonly id: number; readonly request: EvaluationRequest }
  | { readonly kind: 'compare'; readonly id: number; readonly request: ComparisonRequest }
  /** The last pages have been taken. */
  | { readonly kind: 'taken'; readonly id: number }
  | { readonly kind: 'stop'; readonly id: number }
  | { readonly kind: 'close' }

/** What it says. */
export type JobAnswer =
  | { readonly kind: 'evaluated'; readonly id: number; readonly parts: EvaluationParts }
  /** From a process, before `evaluated`, which is then without them. */
  | { readonly kind: 'column'; readonly id: number; readonly name: ColumnName; readonly sizeBytes: number; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'pages'; readonly id: number; readonly pages: readonly PreviewPage[] }
  | { readonly kind: 'previewed'; readonly id: number; readonly summary: PreviewSummary }
  | { readonly kind: 'compared'; readonly id: number; readonly comparison: PolicyComparison }
  /** The repository has more images than the place takes. */
  | { readonly kind: 'too-large'; readonly id: number }
  | { readonly kind: 'failed'; readonly id: number; readonly failure: SentFailure }

export type ColumnName = Exclude<keyof DecidedColumns, 'size'> | 'fingerprints'

export interface SentFailure {
  readonly code: string | undefined
  readonly message: string
  readonly stack: string | undefined
  readonly detail: ErrorDetail | undefined
}
