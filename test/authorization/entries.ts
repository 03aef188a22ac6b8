import { cloudtrailEntries } from './cloudtrail-entries.ts'
import { ecrEntries } from './ecr-entries.ts'
import type { EntryTable } from './entry.ts'
import { eventsEntries } from './events-entries.ts'
import { iamEntries } from './iam-entries.ts'
import { logsEntries } from './logs-entries.ts'
import { monitoringEntries } from './monitoring-entries.ts'
import { ociEntries } from './oci-entries.ts'
import { stowageEntries } from './stowage-entries.ts'
import { stsEntries } from './sts-entries.ts'

/** Every operation of every service. */
export const entries: EntryTable = { ...ecrEntries, ...ociEntries, ...stsEntries, ...iamEntries, ...cloudtrailEntries, ...eventsEntries, ...logsEntries, ...monitoringEntries, ...stowageEntries }
