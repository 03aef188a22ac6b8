import type { SeriesLimits } from '../storage/metadata/observe/metric-store.ts'

/** So that the store does not grow with what clients make up. */
const total = 200_000

/**
 * Of requests that are counted by what they come from, series beyond these count together under `(other)`: of one metric of a
 * registry, and of all there are.
 */
export const derivedLimits: SeriesLimits = { perMetric: 2_000, total }

/**
 * Of what clients put: beyond these a request is refused. One account does not use up what others have, and all of them together not
 * what requests are counted in.
 */
export const putLimits: SeriesLimits = { perMetric: 10_000, perRegistry: 50_000, total: total - 50_000 }
