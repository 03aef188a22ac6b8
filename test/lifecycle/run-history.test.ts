import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { beginRun, keptRuns } from '../../src/lifecycle/commands/runs.ts'
import { commandContext } from '../../src/registry/index.ts'
import { parseRepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const

describe.each(databases)('the record of lifecycle runs on %s', (kind) => {
  let fixture: RegistryFixture

  beforeAll(async () => {
    fixture = await startRegistry(kind)
  })
  afterAll(() => fixture.stop())

  async function repository(name: string): Promise<number> {
    await fixture.registry.createRepository(fixture.context, { name: parseRepositoryName(name), ...settings })
    const { reader } = fixture.database
    const [row] = await reader.query(reader.builder.selectFrom('repository').select('id').where('name', '=', name))
    return row!.id
  }

  /** Runs `<name>-1` and on, one after the other, of which only the first is not over. */
  async function addRuns(name: string, repositoryId: number, count: number): Promise<void> {
    await fixture.tamper(
      `insert into lifecycle_run (id, repository_id, cause, policies, status, summary, started_at, started_by, finished_at)
       with recursive n (i) as (select 1 union all select i + 1 from n where i < ${count})
       select '${name}-' || i, ${repositoryId}, 'schedule', '', 'done', '{}', i, 'test', case when i = 1 then null else i end from n`,
    )
  }

  async function runsOf(repositoryId: number): Promise<string[]> {
    const { reader } = fixture.database
    const rows = await reader.query(reader.builder.selectFrom('lifecycle_run').select('id').where('repository_id', '=', repositoryId).orderBy('started_at'))
    return rows.map(({ id }) => id)
  }

  it('is bounded: the oldest that are over go when one begins, and nothing else', async () => {
    const [full, other] = [await repository('runs/full'), await repository('runs/other')]
    await addRuns('full', full, keptRuns + 4)
    await addRuns('other', other, keptRuns)

    await fixture.database.execute(beginRun, { id: 'new', repositoryId: full, cause: 'schedule', policies: '' }, commandContext(fixture.context))

    const left = await runsOf(full)
    // The first waits for somebody.
    expect(left.slice(0, 2)).toEqual(['full-1', 'full-5'])
    expect(left.at(-1)).toBe('new')
    expect(left).toHaveLength(keptRuns + 2)
    expect(await runsOf(other)).toHaveLength(keptRuns)
  })
})
