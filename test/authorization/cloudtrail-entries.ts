import type { EntryTable } from './entry.ts'

export const cloudtrailEntries: EntryTable = {
  'cloudtrail:LookupEvents': {
    subject: 'own account',
    needs: ['cloudtrail:LookupEvents'],
    resource: '*',
    granted: '200',
    request: () => ({ protocol: 'json', service: 'cloudtrail', target: 'com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents', input: { MaxResults: 1 } }),
  },
}
