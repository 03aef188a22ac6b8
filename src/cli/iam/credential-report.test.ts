import { expect, it } from 'vitest'
import { parseCredentialReport } from './credential-report.ts'

const header =
  'user,arn,user_creation_time,password_enabled,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date'

it('a credential report gives each access key, whatever its user is called and whoever wrote the booleans', () => {
  const csv = [
    header,
    '<root_account>,arn:aws:iam::111122223333:root,2026-01-01T00:00:00+00:00,not_supported,true,2026-01-02T00:00:00+00:00,2026-02-03T04:05:06+00:00,us-east-1,false,N/A,N/A',
    '"anna,""the first""",arn:aws:iam::111122223333:user/anna,2026-01-01T00:00:00Z,FALSE,FALSE,2026-01-02T00:00:00Z,N/A,N/A,TRUE,2026-03-04T00:00:00Z,no_information',
    'nokeys,arn:aws:iam::111122223333:user/nokeys,2026-01-01T00:00:00Z,false,false,N/A,N/A,N/A,false,N/A,N/A',
    '',
  ].join('\n')

  expect(parseCredentialReport(csv)).toEqual([
    { user: '<root_account>', arn: 'arn:aws:iam::111122223333:root', active: true, rotatedAt: '2026-01-02T00:00:00.000Z', lastUsedAt: '2026-02-03T04:05:06.000Z' },
    { user: 'anna,"the first"', arn: 'arn:aws:iam::111122223333:user/anna', active: false, rotatedAt: '2026-01-02T00:00:00.000Z', lastUsedAt: undefined },
    { user: 'anna,"the first"', arn: 'arn:aws:iam::111122223333:user/anna', active: true, rotatedAt: '2026-03-04T00:00:00.000Z', lastUsedAt: undefined },
  ])
})
