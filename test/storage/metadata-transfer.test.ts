import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { textKeyring } from '../../src/iam/iam.test-support.ts'
import { AccessKeyClock, createIamDirectory } from '../../src/iam/index.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { commandContext } from '../../src/registry/index.ts'
import { migrateMetadata, type MetadataTarget } from '../../src/storage/metadata/migrate.ts'
import {
  loadMetadata,
  metadataExchange,
  readSnapshot,
  tablesLeftOut,
  type CarriedMetadata,
  type RawRow,
} from '../../src/storage/metadata/transfer/index.ts'
import { openRawDatabase } from '../../src/storage/metadata/transfer/raw-database.ts'
import { readShapes } from '../../src/storage/metadata/transfer/table-shapes.ts'
import { parseRepositoryName, parseTag } from '../../src/values/index.ts'
import { createRepository, pushImage } from '../integrity/installation.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases, startRegistry, type DatabaseKind, type RegistryFixture } from '../support/registry.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

let dir: TempDir
let fixture: RegistryFixture

beforeEach(() => {
  dir = createTempDir('transfer')
})

afterEach(async () => {
  await fixture.stop()
  dir.remove()
})

async function emptyTarget(kind: DatabaseKind): Promise<MetadataTarget> {
  return kind === 'sqlite' ? { file: join(dir.path, 'other.db') } : { url: (await createDatabase()).url }
}

/** Every row of every table that is carried, in an order that does not depend on the database. */
async function everything(target: MetadataTarget): Promise<CarriedMetadata & { content: Record<string, readonly RawRow[]>; columns: Record<string, string[]> }> {
  return readSnapshot(target, async (snapshot) => {
    const content: Record<string, RawRow[]> = {}
    const columns: Record<string, string[]> = {}
    for (const table of snapshot.tables) {
      const rows: RawRow[] = []
      for await (const batch of snapshot.rows(table)) rows.push(...batch.map((row) => row.map((value) => (value instanceof Uint8Array ? Buffer.from(value) : value))))
      content[table.name] = rows.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      columns[table.name] = table.columns.map(({ name }) => name)
    }
    return {
      migrations: snapshot.migrations,
      givenIds: snapshot.givenIds,
      tables: snapshot.tables.map(({ name }) => name),
      rows: async (name: string) => ({ columns: columns[name] ?? [], batches: batchesOf(content[name] ?? []) }),
      content,
      columns,
    }
  })
}

async function* batchesOf(rows: readonly RawRow[]): AsyncGenerator<readonly RawRow[]> {
  for (let start = 0; start < rows.length; start += 3) yield rows.slice(start, start + 3)
}

async function tablesOf(target: MetadataTarget): Promise<string[]> {
  const db = await openRawDatabase(target, { readOnly: true })
  try {
    return (await readShapes(db)).map(({ name }) => name).sort()
  } finally {
    await db.close()
  }
}

/** Puts a row into every table, by use where a table has a use by now. */
async function fill(): Promise<void> {
  await createRepository(fixture, 'team/app')
  await createRepository(fixture, 'team/old')
  for (const seed of ['one', 'two \u2028 and "three"', 'vier äöü 🐳']) await pushImage(fixture, 'team/app', 'latest', seed)
  await fixture.registry.tagResource(fixture.context, parseRepositoryName('team/app'), { key: 'value', 'line\nfeed': '' })
  await pushImage(fixture, 'team/app', 'gone', 'four')
  await fixture.registry.deleteImages(fixture.context, parseRepositoryName('team/app'), [{ tag: parseTag('gone') }])
  await fixture.registry.beginUpload(fixture.context, parseRepositoryName('team/app'))
  const { digest } = await pushImage(fixture, 'team/old', 'v1', 'five')
  await fixture.tamper(`insert into manifest_pull (manifest_id, last_pulled_at, pull_count) select id, 5, 1 from manifest where media_type <> ?`, digest)
  await fixture.tamper(`insert into job (kind, key, payload, run_after, attempt_count, created_at) values (?, 'k', '{}', 1, 0, 1)`, 'test')
  await fixture.tamper(`insert into setting (name, value) values (?, '{"deep":["json"]}')`, 'test')
  await fixture.tamper(
    `insert into access_key (access_key_id, account_id, principal_arn, principal_kind, principal_user_id, secret_sealed, status, created_at)
     values (?, '000000000000', 'arn', 'root', '000000000000', 'v1.k.s', 'active', 1)`,
    'AKIATEST',
  )
  await fillIam()
  await fillSettings()
  await fillProtection()
}

async function fillIam(): Promise<void> {
  const { entities, keys, oidcProviders, policies } = createIamDirectory({
    database: fixture.database,
    keyring: await textKeyring(),
    ids: systemIds,
  })
  const context = commandContext(fixture.context)
  const document = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}'
  const trustPolicy = document.replace('"Action":"ecr:*","Resource":"*"', '"Action":"sts:AssumeRole","Principal":{"AWS":"*"}')
  const tags = [{ key: 'Team', value: 'ünïcode \u2028' }]
  const { arn } = await policies.create({ name: 'Own', path: '/p/', description: undefined, document, tags }, context)
  await entities.createUser({ name: 'Alice', path: '/', boundaryArn: arn, tags }, context)
  await entities.createGroup({ name: 'Developers', path: '/' }, context)
  await entities.addUserToGroup('Alice', 'Developers', context)
  await entities.createRole(
    { name: 'Builder', path: '/', description: '', trustPolicy, maxSessionSeconds: 3600, boundaryArn: undefined, tags },
    context,
  )
  await policies.attach({ kind: 'group', name: 'Developers' }, arn, 'AttachGroupPolicy', context)
  await policies.putInline({ kind: 'role', name: 'Builder' }, { name: 'inline', document }, 'PutRolePolicy', context)
  await oidcProviders.create({ url: 'token.example.com', clientIds: ['a'], thumbprints: [], tags }, context)
  const { accessKeyId } = await keys.create('Alice', context)
  const clock = new AccessKeyClock(fixture.database, () => context, (error) => {
    throw error
  })
  clock.record(accessKeyId, { service: 'ecr', region: 'us-east-1', atMs: 5 })
  await clock.flush()
  await fixture.tamper(
    `insert into sts_session (access_key_id, account_id, principal_arn, principal_kind, principal_user_id, role_id, secret_sealed,
       token_sha256, policies, tags, transitive_tag_keys, context, issued_at, expires_at)
     select 'ASIATEST', account_id, 'arn', 'assumed-role', 'AROA:s', id, 'v1.k.s', ?, '[]', '{}', '[]', '{}', 1, 2 from iam_role`,
    Buffer.from([0, 1, 255]),
  )
  await fixture.tamper(`insert into sts_session_count (account_id, sessions, counted_at) select account_id, 1, ? from iam_role`, 3)
}

async function fillSettings(): Promise<void> {
  await fixture.tamper(`insert into repository_policy (repository_id, document, updated_at) select id, ?, 1 from repository where name = 'team/app'`, '{}')
  await fixture.tamper(`insert into registry_policy (registry_id, document, updated_at) select id, ?, 1 from registry`, '{}')
  await fixture.tamper(`insert into registry_setting (registry_id, name, value) select id, ?, 'ENABLED' from registry`, 'BLOB_MOUNTING')
  await fixture.tamper(
    `insert into creation_template (registry_id, prefix, written_prefix, tag_mutability, mutability_filters, encryption_type, resource_tags,
       applied_for, created_at, updated_at)
     select id, ?, 'team', 'MUTABLE', '[]', 'AES256', '[]', '["CREATE_ON_PUSH"]', 1, 2 from registry`,
    'team',
  )
  await fixture.tamper(`insert into pull_time_exclusion (registry_id, principal_arn, created_at) select id, ?, 1 from registry`, 'arn:aws:iam::000000000000:role/Builder')
}

async function fillProtection(): Promise<void> {
  await fixture.tamper(
    `insert into protection (repository_id, kind, target, reason, owner, created_at, created_by, ends_at)
     select id, ?, 'prod', 'why', 'who', 1, 'arn', 2 from repository where name = 'team/app'`,
    'tag',
  )
  await fixture.tamper(
    `insert into usage_source (registry_id, name, principal_arn, kind, environment, scope, interval_ms, shrink_percent, status, agreed_count, last_number,
       created_at, created_by)
     select id, ?, 'arn', 'kubernetes', 'prod', '["*"]', 1, 50, 'active', 0, 1, 1, 'arn' from registry`,
    'cluster',
  )
  await fixture.tamper(
    `insert into usage_snapshot (source_id, number, writer, status, received_count, began_at) select id, 1, ?, 'open', 0, 1 from usage_source`,
    'writer',
  )
  await fixture.tamper(
    `insert into usage_lease (source_id, snapshot, registry_id, repository, digest, workload, environment, first_seen_at)
     select id, 1, registry_id, '', ?, 'ns/pod', 'prod', 1 from usage_source`,
    Buffer.from([1, 2, 255]),
  )
  await fixture.tamper(`insert into digest_use (registry_id, repository, digest, last_used_at) select id, '', ?, 1 from registry`, Buffer.from([1, 2, 255]))
  for (const statement of endOfLife) await fixture.tamper(statement)
  await fixture.tamper(`insert into lifecycle_preview_page (preview_id, first_manifest_id, results) select id, 1, ? from lifecycle_preview`, Buffer.from([1, 2, 255]))
  await fixture.tamper(`insert into registry_hold (registry_id, cause, source_id, reason, raised_at, raised_by) select registry_id, ?, id, 'why', 1, 'arn' from usage_source`, 'source')
}

/** A row of each table of policies, trash and retirement. */
const endOfLife = [
  `insert into lifecycle_policy (registry_id, grammar, scope, scope_key, repository_id, document, version, updated_at, updated_by)
   select registry_id, 'ecr', 'repository', '1', id, '{}', 2, 1, 'arn' from repository where trashed_at is null limit 1`,
  `insert into lifecycle_policy_version (policy_id, version, document, changed_at, changed_by) select id, 1, null, 1, 'arn' from lifecycle_policy`,
  `insert into lifecycle_state (repository_id, due_at) select repository_id, 5 from lifecycle_policy`,
  `insert into lifecycle_preview (repository_id, document, status, started_at, started_by)
   select repository_id, '{}', 'COMPLETE', 1, 'arn' from lifecycle_policy`,
  `insert into lifecycle_run (id, repository_id, cause, policies, status, summary, started_at, started_by)
   select 'run', repository_id, 'schedule', '[]', 'done', '{}', 1, 'arn' from lifecycle_policy`,
  `insert into manifest_label (manifest_id, labels, annotations) select id, '{}', '{}' from manifest limit 1`,
  `insert into erasure (id, registry_id, repository_id, requested_at, requested_by, reason, status, detail)
   select 'erasure', registry_id, repository_id, 1, 'arn', 'leaked', 'done', '{}' from lifecycle_policy`,
  `insert into quota (account_id, region, repository_id, max_bytes, changed_at, changed_by) values ('000000000000', '', 0, 5, 1, 'arn')`,
  `insert into event_destination (registry_id, name, url, secret_sealed, created_at, created_by)
   select registry_id, 'hook', 'https://hooks.example.com', 'v1.k.s', 1, 'arn' from lifecycle_policy`,
  `insert into event_rule (registry_id, name, state, pattern, created_at, created_by) select registry_id, 'all', 'ENABLED', '{}', 1, 'arn' from lifecycle_policy`,
  `insert into event_target (rule_id, name, destination_id, body, max_age_ms, max_attempts, created_at)
   select event_rule.id, '1', event_destination.id, '{}', 1, 1, 1 from event_rule, event_destination`,
  `insert into event_lane (target_id, destination_id, repository_id, due_at, attempt_count)
   select event_target.id, destination_id, repository_id, 1, 0 from event_target, lifecycle_policy`,
  `insert into event_delivery (lane_id, event_id, event, queued_at) select id, 'event', '{}', 1 from event_lane`,
  `insert into event_dead_letter (registry_id, target_id, rule_name, target_name, destination_name, repository_id, event_id, event, reason, attempt_count, queued_at, died_at)
   select registry_id, 1, 'all', '1', 'hook', repository_id, 'event', '{}', 'status 404', 1, 1, 2 from lifecycle_policy`,
  `insert into metric_alarm (registry_id, name, settings, actions_enabled, state, state_reason, state_at, transitioned_at, configured_at)
   select registry_id, 'many pulls', '{}', 1, 'OK', 'few', 1, 1, 1 from lifecycle_policy`,
  `insert into metric_alarm_history (registry_id, alarm_name, at, kind, summary, data) select registry_id, 'many pulls', 1, 'StateUpdate', 'to OK', '{}' from lifecycle_policy`,
  `insert into blob_move (upload_id, blob_id, began_at) select 'copy', id, 1 from blob limit 1`,
  `insert into image_retirement (manifest_id, image_id, reason, steps, changed_at, changed_by) select id, id, 'old', '[]', 1, 'arn' from manifest limit 1`,
  `insert into trash_batch (id, registry_id, repository_id, kind, cause, is_security, image_count, tag_count, created_at, created_by, purge_after)
   select 'batch', registry_id, repository_id, 'images', '{}', 0, 1, 0, 1, 'arn', 2 from lifecycle_policy`,
]

describe.each(databases.flatMap((from) => databases.map((to) => ({ from, to }))))('metadata carried from $from to $to', ({ from, to }) => {
  it('is the same in every row of every table, and ids go on after the highest', async () => {
    fixture = await startRegistry(from)
    await fill()
    // An id that was given and is gone must not be given again.
    await fixture.tamper(`insert into job (kind, key, payload, run_after, attempt_count, created_at) values (?, 'gone', '{}', 1, 0, 1)`, 'test')
    await fixture.tamper(`delete from job where key = ?`, 'gone')
    const before = await everything(fixture.target)
    const target = await emptyTarget(to)

    await loadMetadata(target, before)

    const after = await everything(target)
    expect(after.content).toEqual(before.content)
    for (const [name, rows] of Object.entries(after.content)) expect(rows.length, `rows of ${name}: fill it above`).toBeGreaterThan(0)
    expect(after.givenIds['job']).toBe(2)
    expect(after.givenIds).toEqual(before.givenIds)
    const db = await openRawDatabase(target, { readOnly: false })
    const [[id] = []] = await db.query(`insert into job (kind, key, payload, run_after, attempt_count, created_at) values ('test', 'new', '{}', 1, 0, 1) returning id`)
    expect(id).toBe(3)
    if (to === 'sqlite') expect(await db.query('pragma foreign_key_check')).toEqual([])
    await db.close()
  })
})

describe.each(databases)('a snapshot of %s', (kind) => {
  it('has every table that there is, but for those left out with a reason', async () => {
    fixture = await startRegistry(kind)
    const carried = await readSnapshot(fixture.target, async ({ tables }) => tables.map(({ name }) => name))

    expect([...carried, ...Object.keys(tablesLeftOut)].sort()).toEqual(await tablesOf(fixture.target))
    for (const reason of Object.values(tablesLeftOut)) expect(reason.length).toBeGreaterThan(20)
  })

  it('shows one moment while others go on writing, and stops nobody', async () => {
    fixture = await startRegistry(kind)
    await createRepository(fixture, 'team/app')
    await pushImage(fixture, 'team/app', 'v1', 'before')

    const seen = await readSnapshot(fixture.target, async (snapshot) => {
      const named: string[] = []
      for await (const batch of snapshot.namedBlobs()) {
        named.push(...batch.map(({ digest }) => digest))
        await pushImage(fixture, 'team/app', `v${named.length}`, `during ${named.length}`)
      }
      let tags = 0
      const tag = snapshot.tables.find(({ name }) => name === 'tag')!
      for await (const batch of snapshot.rows(tag)) tags += batch.length
      return { named: named.length, tags }
    })

    expect(seen).toEqual({ named: 2, tags: 1 })
    expect((await everything(fixture.target)).content['tag']?.length).toBe(2)
  })

  it('is refused of what a newer version wrote', async () => {
    fixture = await startRegistry(kind)
    await fixture.tamper(`insert into kysely_migration (name, timestamp) values (?, 'tomorrow')`, '9999-tomorrow')

    await expect(readSnapshot(fixture.target, async () => undefined)).rejects.toMatchObject({ message: expect.stringContaining('9999-tomorrow') })
  })
})

describe.each(databases)('an exchange on %s', (kind) => {
  it('puts aside what was there, once, however often it is cut short', async () => {
    fixture = await startRegistry('sqlite')
    await fill()
    const carried = await everything(fixture.target)
    const target = await emptyTarget(kind)
    await migrateMetadata(target, { check: false })
    const old = (await everything(target)).content

    for (let attempt = 0; attempt < 3; attempt += 1) {
      const exchange = metadataExchange(target, 'abc123')
      expect(await exchange.look()).toBe('installation')
      // The first attempt ends before the exchange, the second right after it.
      await loadMetadata(await exchange.prepare(), carried)
      if (attempt === 0) expect((await everything(target)).content).toEqual(old)
      if (attempt > 0) await exchange.install()
    }

    expect((await everything(target)).content).toEqual(carried.content)
    const replaced = await metadataExchange(target, 'abc123').replaced()
    expect((await everything(replaced!)).content).toEqual(old)
    expect(await migrateMetadata(target, { check: true })).toEqual({ pending: [], applied: [] })
  })
})
