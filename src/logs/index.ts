export { Logs, mostLinesOfPage, noEnd, type GivenLine, type LinePosition, type LogEvent, type LogPlace, type LogQuotas, type RejectedLines } from './logs.ts'
export { mostBatchLines } from './new-lines.ts'
export { LogSweeper } from './sweeper.ts'
