const hourMs = 60 * 60_000
const dayMs = 24 * hourMs

/** What a registry is used for that is watched: the metric, and what has to be in an hour for it to be worth telling. */
export const volumes = {
  PULLS: { metric: 'PullCount', unit: 'Count', floor: 200 },
  BYTES_OUT: { metric: 'BytesOut', unit: 'Bytes', floor: 1024 ** 3 },
  PUSHES: { metric: 'PushCount', unit: 'Count', floor: 50 },
  DELETES: { metric: 'DeleteCount', unit: 'Count', floor: 20 },
  REFUSALS: { metric: 'RefusedRequests', unit: 'Count', floor: 100 },
} as const

export type Volume = keyof typeof volumes

export const volumeNames = Object.keys(volumes) as Volume[]

/** Long enough for what is done once a month, and read by its hours at once. */
export const usualMs = 28 * dayMs

/** What there was in an hour that begins at `at`. */
export interface Hour {
  readonly at: number
  readonly value: number
}

export interface UnusualHour {
  readonly at: number
  readonly amount: number
  /** The most there was in one of the hours before. */
  readonly usual: number
}

/** The hour that is under way and the one before it, of which late points and the time between two looks are. */
export function judgedHours(now: number): { readonly current: number; readonly previous: number } {
  const current = now - (now % hourMs)
  return { current, previous: current - hourMs }
}

/**
 * Whether the hour that is under way, or the one before, has more than `factor` times what any earlier hour of four weeks had, and more
 * than the floor. Of two the one that has more.
 */
export function unusualHour(hours: readonly Hour[], now: number, { factor, floor }: { readonly factor: number; readonly floor: number }): UnusualHour | undefined {
  const { current, previous } = judgedHours(now)
  let usual = 0
  let most: Hour | undefined
  for (const hour of hours) {
    if (hour.at > current || hour.at < current - usualMs) continue
    if (hour.at < previous) usual = Math.max(usual, hour.value)
    else if (most === undefined || hour.value > most.value) most = hour
  }
  if (most === undefined || most.value <= floor || most.value <= factor * usual) return undefined
  return { at: most.at, amount: most.value, usual }
}

/** Whether an unusual hour is told by itself: the one before it is more than a day ago. */
export function isToldAnew(at: number, lastAt: number | undefined): boolean {
  return lastAt === undefined || at - lastAt > dayMs
}

/** Whether what was seen at a time for the first time is unusual, or only being learnt. */
export function isLearnt(at: number, watchedSince: number, learningMs: number): boolean {
  return at >= watchedSince + learningMs
}
