export { maxPatternLength, parseEventPattern, type EventPattern } from './event-pattern.ts'
export { trailInterest, type TrailInterest } from './trail-interest.ts'
