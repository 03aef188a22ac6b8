/** Two clocks, read at one moment: what the wall says, and how long the machine has run, which nobody can set. */
export interface ClockMark {
  readonly wallMs: number
  readonly uptimeMs: number
  /** The start of the machine that `uptimeMs` counts from. */
  readonly bootId: string
}

/**
 * How far the two clocks may drift apart unnoticed. Time servers step a clock by seconds, at worst by minutes after a long
 * time without them; what removes images by age counts in days.
 */
export const clockToleranceMs = 5 * 60 * 1000

/**
 * By how much the wall clock was set between two marks: ahead is positive, and 0 what is within the tolerance. Between two
 * starts of the machine only a step back can be told from a time during which it was off.
 */
export function clockJumpMs(before: ClockMark, after: ClockMark): number {
  const wall = after.wallMs - before.wallMs
  const jump = before.bootId === after.bootId ? wall - (after.uptimeMs - before.uptimeMs) : Math.min(wall, 0)
  return Math.abs(jump) > clockToleranceMs ? jump : 0
}

export function clockText(jumpMs: number): string {
  const minutes = Math.round(Math.abs(jumpMs) / 60_000)
  return `the clock was set ${jumpMs > 0 ? 'ahead' : 'back'} by about ${minutes} minutes`
}
