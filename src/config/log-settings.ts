import { settingNotes } from './setting-notes.ts'
import { wholeNumber } from './setting-values.ts'

const most = 1_000_000_000

/** How much there may be of logs. */
export const logSettings = {
  logsMaxGroups: wholeNumber(1, most, 'log groups').prefault('10000').register(settingNotes, {
    env: 'STOWAGE_QUOTA_LOG_GROUPS',
    group: 'Quotas',
    form: 'number',
    description: '[Log groups](../operations/logs.md) of an account in a region.',
  }),
  logsMaxStreams: wholeNumber(1, most, 'log streams').prefault('1000000').register(settingNotes, {
    env: 'STOWAGE_QUOTA_LOG_STREAMS',
    group: 'Quotas',
    form: 'number',
    description: 'Streams of a log group.',
  }),
  logsMaxMebibytes: wholeNumber(1, most, 'MiB').prefault('10240').register(settingNotes, {
    env: 'STOWAGE_QUOTA_LOGS_MIB',
    group: 'Quotas',
    form: 'MiB',
    description: 'Size of all lines in the log groups of an account in a region, each with 26 bytes of its own. Lines beyond it are refused.',
  }),
}
