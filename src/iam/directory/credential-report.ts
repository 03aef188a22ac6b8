import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import { accessKeysOf, findAccessKeyUse, userKeyRows } from '../../storage/metadata/stores/access-key-store.ts'
import { findAccount } from '../../storage/metadata/stores/iam-entity-store.ts'
import { iamArn, rootArn, type AccountId } from '../../values/index.ts'

/** The columns of https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html, in AWS's order. */
const columns = [
  'user',
  'arn',
  'user_creation_time',
  'password_enabled',
  'password_last_used',
  'password_last_changed',
  'password_next_rotation',
  'mfa_active',
  'access_key_1_active',
  'access_key_1_last_rotated',
  'access_key_1_last_used_date',
  'access_key_1_last_used_region',
  'access_key_1_last_used_service',
  'access_key_2_active',
  'access_key_2_last_rotated',
  'access_key_2_last_used_date',
  'access_key_2_last_used_region',
  'access_key_2_last_used_service',
  'cert_1_active',
  'cert_1_last_rotated',
  'cert_2_active',
  'cert_2_last_rotated',
] as const

interface ReportedKey {
  readonly isActive: boolean
  readonly createdAt: number
  readonly use: { readonly atMs: number; readonly region: string; readonly service: string } | undefined
}

interface ReportedUser {
  readonly name: string
  readonly arn: string
  readonly createdAt: number
  readonly keys: ReportedKey[]
}

/** What AWS writes where there is nothing to say. */
const none = 'N/A'

/**
 * AWS's credential report: every user of an account with its keys, how old they are and when they were used last, so that
 * those nobody needs any more are seen. It says how things are now. Nobody has passwords, certificates or MFA here.
 */
export function credentialReport(database: MetadataDatabase, accountId: AccountId): Promise<string> {
  return database.snapshot(async (session) => {
    const root: ReportedUser = {
      name: '<root_account>',
      arn: rootArn(accountId),
      createdAt: (await findAccount(session, accountId))?.created_at ?? 0,
      keys: [],
    }
    for (const key of await accessKeysOf(session, rootArn(accountId))) {
      const use = await findAccessKeyUse(session, key.access_key_id)
      root.keys.push({
        isActive: key.status === 'active',
        createdAt: key.created_at,
        use: use && { atMs: use.last_used_at, region: use.region, service: use.service },
      })
    }
    const users = new Map<string, ReportedUser>()
    for (const row of await userKeyRows(session, accountId)) {
      const { user_name: name, path, user_created_at: createdAt } = row
      const user = users.get(name) ?? { name, arn: iamArn(accountId, 'user', path, name), createdAt, keys: [] }
      users.set(name, user)
      if (row.created_at === null) continue
      const use =
        row.last_used_at === null
          ? undefined
          : { atMs: row.last_used_at, region: row.region ?? none, service: row.service ?? none }
      user.keys.push({ isActive: row.status === 'active', createdAt: row.created_at, use })
    }
    return `${[columns.join(','), ...[root, ...users.values()].map(lineOf)].join('\n')}\n`
  })
}

function lineOf({ name, arn, createdAt, keys }: ReportedUser): string {
  const fields = [
    ...[name, arn, timeText(createdAt)],
    ...['false', none, none, none, 'false'],
    ...keyFields(keys[0]),
    ...keyFields(keys[1]),
    ...['false', none, 'false', none],
  ]
  return fields.map(csvField).join(',')
}

function keyFields(key: ReportedKey | undefined): string[] {
  if (key === undefined) return ['false', none, none, none, none]
  const { isActive, createdAt, use } = key
  const used = use === undefined ? [none, none, none] : [timeText(use.atMs), use.region, use.service]
  return [String(isActive), timeText(createdAt), ...used]
}

function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, '+00:00')
}

/** Names and ARNs may hold commas. */
function csvField(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
