import type { UsageSourceRow } from '../../storage/metadata/stores/usage-store.ts'
import { matchesWildcard } from '../tag-mutability.ts'

/** Why a source of uses is not believed. */
export type SourceDoubt = 'unreported' | 'silent' | 'shrunken' | 'incomplete'

/** Intervals without a complete snapshot after which a source counts as silent: one may come late, or be missed. */
export const silentAfterIntervals = 2

/**
 * What speaks against a source at a time; undefined: it is healthy. Told from the time, not from what somebody noticed: no
 * worker has to run for a silent source to be silent.
 */
export function doubtOf(
  source: Pick<UsageSourceRow, 'believed_at' | 'interval_ms' | 'doubt'>,
  nowMs: number,
): SourceDoubt | undefined {
  if (source.believed_at === null) return 'unreported'
  if (source.doubt !== null) return source.doubt as 'shrunken' | 'incomplete'
  return nowMs - source.believed_at > silentAfterIntervals * source.interval_ms ? 'silent' : undefined
}

/** The doubt as a sentence about the source `name`. */
export function doubtText(name: string, doubt: SourceDoubt): string {
  switch (doubt) {
    case 'unreported':
      return `the usage source '${name}' has not reported yet what runs`
    case 'silent':
      return `the usage source '${name}' has not reported what runs for more than ${silentAfterIntervals} of its intervals`
    case 'shrunken':
      return `the usage source '${name}' suddenly reports much less than before`
    case 'incomplete':
      return `the last snapshot of the usage source '${name}' was not complete`
  }
}

/** The patterns of repositories that a source speaks for; `*` stands for any characters. */
export function scopeOf(source: Pick<UsageSourceRow, 'scope'>): readonly string[] {
  return JSON.parse(source.scope) as string[]
}

export function isInScope(scope: readonly string[], repositoryName: string): boolean {
  return scope.some((pattern) => matchesWildcard(pattern, repositoryName))
}
