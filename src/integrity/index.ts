export type { Repair } from './blob-check.ts'
export { findingKinds, type Finding, type FindingKind } from './findings.ts'
export { repairIn } from './repair.ts'
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
