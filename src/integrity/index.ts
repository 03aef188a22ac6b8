export type { Repair } from './blob-check.ts'
export { findingKinds, remedies, type Finding, type FindingKind } from './findings.ts'
export { repairIn } from './repair.ts'
export { afterRound, coverageSoFar, nextRound, type Coverage, type Round, type RoundState } from './round.ts'
export { coverageOfScrub, Scrub, type ScrubCounters, type ScrubDependencies } from './scrub.ts'
export { forgetState, readState, writeState } from './state-file.ts'
export {
  findingCount,
  noCounts,
  verify,
  type VerifyCounts,
  type VerifyDependencies,
  type VerifyOptions,
  type VerifyProgress,
  type VerifyReport,
  type WalkPosition,
} from './verify.ts'
