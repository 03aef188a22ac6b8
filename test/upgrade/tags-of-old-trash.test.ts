import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/internal/ids.ts'
import { migrateMetadata, type MetadataTarget } from '../../src/storage/metadata/migrate.ts'
import { openMetadata } from '../../src/storage/metadata/open.ts'
import { findTrashedByTag, listTagChanges } from '../../src/storage/metadata/stores/trash-listing.ts'
import { databases, tamper } from '../support/registry.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { loadFixture, upgradeFixtures } from '../support/upgrade-fixture.ts'

let dir: TempDir | undefined
afterEach(() => {
  dir?.remove()
})

describe.each(upgradeFixtures)('what version %s put into the trash', (fixture) => {
  it.each(databases)('is found by its tags after the upgrade, and no other deletion of a tag is taken for one, on %s', async (kind) => {
    dir = createTempDir('upgrade-trash')
    const { databaseUrl, contents } = await loadFixture(fixture, kind, dir.path)
    const target: MetadataTarget = databaseUrl === undefined ? { file: join(dir.path, 'stowage.db') } : { url: databaseUrl }
    // The tag was deleted alone before, and given again: numbers grow with time.
    const alone = `insert into tag_history (id, repository_id, name, digest, previous_digest, changed_at, changed_by)
      ${kind === 'postgres' ? 'overriding system value' : ''}
      select -100 * m.id - length(t.name), m.repository_id, t.name, null, m.digest, m.trashed_at - 1, 'alone'
      from trashed_tag t join manifest m on m.id = t.manifest_id`
    await tamper(target, alone)
    await migrateMetadata(target, { check: false })

    const fail = (error: unknown) => {
      throw error
    }
    const database = await openMetadata(target, { catalogueUrl: new URL('../../src/commands.ts', import.meta.url).href, ids: systemIds, onFatal: fail, onConnectionLost: fail })
    try {
      const { reader } = database
      const held = await reader.query(
        reader.builder
          .selectFrom('trashed_tag')
          .innerJoin('manifest', 'manifest.id', 'trashed_tag.manifest_id')
          .select(['manifest.repository_id as repositoryId', 'name', 'digest', 'trash_batch as batch']),
      )
      expect(held.map(({ name }) => name)).toEqual(expect.arrayContaining([...contents.trashed.tags]))
      for (const { repositoryId, name, digest, batch } of held) {
        expect(await findTrashedByTag(reader, repositoryId, name)).toEqual({ digest, batch })
        const changes = await listTagChanges(reader, { repositoryId, name, before: Number.MAX_SAFE_INTEGER, limit: 100 })
        expect(changes.filter((change) => change.digest === null).map(({ changedBy }) => changedBy)).toEqual(['alone'])
      }
    } finally {
      await database.close()
    }
  })
})
