import { randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Collector } from '../../src/gc/index.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { commandContext } from '../../src/registry/index.ts'
import { expireUploads } from '../../src/registry/uploads.ts'
import type { MetadataTarget } from '../../src/storage/metadata/migrate.ts'
import { parseTag } from '../../src/values/index.ts'
import { databases } from '../support/registry.ts'
import { dayMs, newest, policyText, startLifecycle, untaggedOlderThan, type LifecycleWorld } from './lifecycle-world.ts'

/** Columns that go on naming a repository that is gone for good, and why. */
const staying: Record<string, string> = {
  'tag_history.repository_id': 'who gave which tag to which image',
  'outbox.repository_id': 'events, until they are delivered, and their order',
  'trash_batch.repository_id': 'what was deleted, by whom, and what became of it',
  'lifecycle_run.repository_id': 'what policies did',
  'erasure.repository_id': 'what was erased, and why',
  'event_lane.repository_id': 'events on their way, and their order',
  'event_dead_letter.repository_id': 'events that could not be delivered',
}
/** Of what is empty in every repository of this test; the rows of retirements go with their images. */
const notFilled = ['erasure.repository_id', 'event_dead_letter.repository_id', 'event_lane.repository_id', 'image_retirement.rule_repository_id']

describe.each(databases)('a repository that is gone for good, on %s', (kind) => {
  let world: LifecycleWorld
  beforeAll(async () => {
    world = await startLifecycle(kind)
  })
  afterAll(() => world.stop())

  it('leaves only its history, in whichever table', async () => {
    const { fixture, policies, retention } = world
    const { registry, context, database, blobStore, clock } = fixture
    const { name, images } = await world.newRepository()
    await world.push(name, images.index!, 'latest')
    await world.push(name, images.three!, 'v1')
    clock.advance(1)
    await world.push(name, images.two!, 'v2')
    await registry.deleteImages(context, name, [{ tag: parseTag('v1') }])
    await registry.beginUpload(context, name)
    await registry.tagResource(context, name, { team: 'a' })
    const statement = { Effect: 'Allow', Principal: '*', Action: 'ecr:BatchGetImage' }
    await registry.setRepositoryPolicy(context, name, JSON.stringify({ Version: '2012-10-17', Statement: [statement] }), { force: true, mayStillSet: () => true })
    await policies.put(context, name, policyText(untaggedOlderThan(1)))
    await retention.put(context, { scope: 'repository', name }, JSON.stringify({ rules: [{ name: 'none', action: 'keep', tags: ['none'] }] }))
    expect((await world.preview(name, policyText(newest(1)))).status).toBe('COMPLETE')
    const { id } = (await database.reader.query(database.reader.builder.selectFrom('repository').select('id').where('name', '=', name)))[0]!
    await fixture.tamper(
      `insert into protection (repository_id, kind, target, reason, owner, created_at, created_by, ends_at) values (?, 'tag', 'v1', 'was wanted', 'us', 1, 'arn', 2)`,
      id,
    )
    await fixture.tamper(
      `insert into lifecycle_run (id, repository_id, cause, policies, status, summary, started_at, started_by) values (?, ?, 'schedule', '[]', 'unconfirmed', '{}', 1, 'arn')`,
      randomUUID(),
      id,
    )
    await fixture.tamper(`insert into quota (account_id, region, repository_id, max_bytes, changed_at, changed_by) values ('000000000000', 'us-east-1', ?, 5000000, 1, 'arn')`, id)
    await fixture.tamper('insert into lifecycle_preview_page (preview_id, first_manifest_id, results) select id, 1, ? from lifecycle_preview where repository_id = ?', Buffer.of(0), id)
    const before = await naming(fixture.target, id)
    expect(Object.keys(before).filter((column) => before[column] === 0)).toEqual(notFilled.filter((column) => column in before))
    const others = await policyRows()

    await registry.deleteRepository(context, name, { force: true })
    const problems: unknown[] = []
    const logger = { info: () => undefined, error: (problem: unknown) => problems.push(problem) }
    const collector = new Collector({ database, blobStore, systemContext: () => commandContext(context), clock, logger, owner: randomUUID() })
    for (let day = 0; day < 9; day += 1) {
      clock.advance(dayMs)
      await expireUploads({ database, blobStore, ids: systemIds, ...fixture.uploadDependencies }, context)
      await collector.collect()
    }

    expect(problems).toEqual([])
    const after = await naming(fixture.target, id)
    expect(Object.keys(after).filter((column) => after[column] !== 0 && staying[column] === undefined)).toEqual([])
    expect(others).toEqual({ pages: 1, versions: 2 })
    expect(await policyRows()).toEqual({ pages: 0, versions: 0 })
    const open = database.reader.builder.selectFrom('lifecycle_run').select('id').where('finished_at', 'is', null)
    expect(await database.reader.query(open)).toEqual([])
  })

  /** Of what names a repository by its policy or preview only. */
  async function policyRows(): Promise<{ pages: number; versions: number }> {
    const { reader } = world.fixture.database
    const pages = await reader.query(reader.builder.selectFrom('lifecycle_preview_page').select('preview_id'))
    const versions = await reader.query(reader.builder.selectFrom('lifecycle_policy_version').select('policy_id'))
    return { pages: pages.length, versions: versions.length }
  }
})

/** How many rows of each table name a repository, by the column that does. */
async function naming(target: MetadataTarget, id: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  if ('file' in target) {
    const file = new DatabaseSync(target.file, { readOnly: true })
    const columns = file.prepare(`select m.name as t, c.name as c from sqlite_master m join pragma_table_info(m.name) c where m.type = 'table' and c.name like '%repository_id' order by 1, 2`).all()
    for (const { t, c } of columns as { t: string; c: string }[]) {
      counts[`${t}.${c}`] = (file.prepare(`select count(*) as n from ${t} where ${c} = ?`).get(id) as { n: number }).n
    }
    file.close()
    return counts
  }
  const client = new pg.Client({ connectionString: target.url })
  await client.connect()
  const { rows } = await client.query<{ t: string; c: string }>(
    `select table_name as t, column_name as c from information_schema.columns where table_schema = current_schema() and column_name like '%repository_id' order by 1, 2`,
  )
  for (const { t, c } of rows) counts[`${t}.${c}`] = Number((await client.query<{ n: string }>(`select count(*) as n from ${t} where ${c} = $1`, [id])).rows[0]!.n)
  await client.end()
  return counts
}
