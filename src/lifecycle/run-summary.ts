import type { RunRow } from '../storage/metadata/stores/lifecycle-run-store.ts'
import type { Digest } from '../values/index.ts'

/** In the words of ECR's `lifecycleEventFailureDetails`. */
export interface LifecycleFailure {
  readonly imageDigest: Digest
  readonly failureCode: 'ImageReferencedByManifestList' | 'ImageInUse'
  readonly failureReason: string
}

/** What a run has done; of one that waits before it has done anything, what it would look at. */
export interface RunSummary {
  readonly images: number
  readonly expired: number
  readonly archived: number
  /** With children and referrers. */
  readonly manifests: number
  /** Changed since the evaluation, and left for the next. */
  readonly changed: number
  readonly failed: number
  readonly lifecycleEventFailureDetails: readonly LifecycleFailure[]
}

export const noSummary: RunSummary = { images: 0, expired: 0, archived: 0, manifests: 0, changed: 0, failed: 0, lifecycleEventFailureDetails: [] }

export function summaryOf(run: Pick<RunRow, 'summary'> | undefined): RunSummary {
  return { ...noSummary, ...(JSON.parse(run?.summary ?? '{}') as Partial<RunSummary>) }
}

/** Whether a run has done something, so that its summary does not tell what it is about to do. */
export function hasBegun({ expired, archived, changed, failed }: Pick<RunSummary, 'expired' | 'archived' | 'changed' | 'failed'>): boolean {
  return expired + archived + changed + failed > 0
}
