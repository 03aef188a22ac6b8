export { maxPatternLength, parseEventPattern, type EventPattern } from './event-pattern.ts'
