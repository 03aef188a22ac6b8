export { Journal, journalFolder, segmentsLeftBehind, type JournalOptions } from './journal.ts'
export type { JournalRecord, RecordedActor } from './journal-record.ts'
export { SealerThread } from './sealer-thread.ts'
export { AuditTrail, lookupAttributes, type LookupAttribute, type TrailEvent } from './trail.ts'
