import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import pg from 'pg'
import type { TestPlatform } from './platform.ts'

type Place = Pick<TestPlatform, 'dataDir' | 'databaseUrl'>

async function execute(place: Place, sql: string, values: (string | number)[]): Promise<void> {
  if (place.databaseUrl === undefined) {
    const database = new DatabaseSync(join(place.dataDir, 'stowage.db'), { timeout: 10_000 })
    database.prepare(sql).run(...values)
    database.close()
    return
  }
  const client = new pg.Client({ connectionString: place.databaseUrl })
  await client.connect()
  let count = 0
  await client.query(sql.replaceAll('?', () => `$${(count += 1)}`), values)
  await client.end()
}

export async function addRole(
  place: Place,
  role: { readonly accountId: string; readonly name: string; readonly path?: string; readonly trustPolicy: object; readonly maxSessionSeconds?: number; readonly policy?: object; readonly tags?: Readonly<Record<string, string>> },
): Promise<string> {
  const { accountId, name, path = '/', trustPolicy, maxSessionSeconds = 3600 } = role
  await execute(
    place,
    'insert into iam_role (account_id, name, name_key, path, unique_id, trust_policy, max_session_seconds, created_at) values (?, ?, ?, ?, ?, ?, ?, ?)',
    [accountId, name, name.toLowerCase(), path, `AROA${Buffer.from(name).toString('hex').toUpperCase().padEnd(16, '0').slice(0, 16)}`, JSON.stringify(trustPolicy), maxSessionSeconds, Date.now()],
  )
  const ofRole = "'role', (select id from iam_role where account_id = ? and name = ?)"
  if (role.policy !== undefined) {
    await execute(place, `insert into iam_inline_policy (owner_kind, owner_id, name, document) values (${ofRole}, 'inline', ?)`, [accountId, name, JSON.stringify(role.policy)])
  }
  for (const [key, value] of Object.entries(role.tags ?? {})) {
    await execute(place, `insert into iam_tag (owner_kind, owner_id, key, value) values (${ofRole}, ?, ?)`, [accountId, name, key, value])
  }
  return `arn:aws:iam::${accountId}:role${path}${name}`
}

export async function addOidcProvider(place: Place, provider: { readonly accountId: string; readonly url: string; readonly clientIds: readonly string[] }): Promise<string> {
  await execute(place, 'insert into iam_oidc_provider (account_id, url, client_ids, thumbprints, created_at) values (?, ?, ?, ?, ?)', [
    provider.accountId,
    provider.url,
    JSON.stringify(provider.clientIds),
    '[]',
    Date.now(),
  ])
  return `arn:aws:iam::${provider.accountId}:oidc-provider/${provider.url}`
}

export async function addAccount(place: Place, accountId: string): Promise<void> {
  await execute(place, 'insert into account (account_id, created_at) values (?, ?)', [accountId, Date.now()])
}
