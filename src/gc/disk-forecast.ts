/** How full a disk was. */
export interface DiskSample {
  readonly at: number
  readonly usedBytes: number
  readonly freeBytes: number
}

export interface DiskForecast {
  /** Negative where it becomes emptier. */
  readonly bytesPerDay: number
  /** Undefined where it will not be full within ten years. */
  readonly fullAt: number | undefined
}

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs
/** Shorter is the work of a day, of which nobody knows how often it comes. */
const shortestSpanMs = 2 * dayMs
const fewestSamples = 24
const farthestMs = 3650 * dayMs

/**
 * When a disk is full if it goes on as it did: by the straight line that fits the samples best. Undefined where they are too few, or
 * of too short a time, to say anything.
 */
export function forecastDisk(samples: readonly DiskSample[]): DiskForecast | undefined {
  const first = samples[0]
  const last = samples.at(-1)
  if (first === undefined || last === undefined || samples.length < fewestSamples || last.at - first.at < shortestSpanMs) return undefined
  const meanAt = samples.reduce((sum, { at }) => sum + at, 0) / samples.length
  const meanUsed = samples.reduce((sum, { usedBytes }) => sum + usedBytes, 0) / samples.length
  const spread = samples.reduce((sum, { at }) => sum + (at - meanAt) ** 2, 0)
  const bytesPerMs = samples.reduce((sum, { at, usedBytes }) => sum + (at - meanAt) * (usedBytes - meanUsed), 0) / spread
  const leftMs = bytesPerMs > 0 ? last.freeBytes / bytesPerMs : Number.POSITIVE_INFINITY
  return { bytesPerDay: Math.round(bytesPerMs * dayMs), fullAt: leftMs > farthestMs ? undefined : Math.round(last.at + leftMs) }
}
