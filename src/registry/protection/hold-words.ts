import type { OpenHoldRow } from '../../storage/metadata/stores/hold-store.ts'
import { isInScope } from '../usage/source-health.ts'

/** Why a registry is on hold. */
export type HoldCause = 'operator' | 'restore' | 'migration' | 'clock' | 'source'

/** Those of the open holds under which nothing is removed automatically from a repository. */
export function holdsOver<Hold extends Pick<OpenHoldRow, 'sourceScope'>>(holds: readonly Hold[], repositoryName: string): Hold[] {
  return holds.filter(({ sourceScope }) => sourceScope === null || isInScope(JSON.parse(sourceScope) as string[], repositoryName))
}

/** A hold as a sentence without its full stop. */
export function holdText({ id, cause, reason, raised_at: raisedAt }: Pick<OpenHoldRow, 'id' | 'cause' | 'reason' | 'raised_at'>): string {
  return `automatic removal is on hold since ${new Date(raisedAt).toISOString()} (hold ${id}, ${cause}): ${reason}`
}
