import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { migrateMetadata, type MetadataTarget } from '../../src/storage/metadata/migrate.ts'
import { structureOf } from '../support/database-structure.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases } from '../support/registry.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { loadFixture, upgradeFixtures } from '../support/upgrade-fixture.ts'

let dirs: TempDir[] = []

afterEach(() => {
  for (const dir of dirs.splice(0)) dir.remove()
})

function newDir(): string {
  const dir = createTempDir('structure')
  dirs = [...dirs, dir]
  return dir.path
}

// A released migration that was changed, or a dump that lost something, shows here: both forms must be the same one.
it.each(databases.flatMap((kind) => upgradeFixtures.map((fixture) => [kind, fixture] as const)))(
  'on %s, a migrated database of version %s is built like a new one',
  async (kind, fixture) => {
    const dir = newDir()
    const { databaseUrl } = await loadFixture(fixture, kind, dir)
    const migrated: MetadataTarget = databaseUrl === undefined ? { file: join(dir, 'stowage.db') } : { url: databaseUrl }
    await migrateMetadata(migrated, { check: false })
    const fresh: MetadataTarget = kind === 'sqlite' ? { file: join(newDir(), 'stowage.db') } : { url: (await createDatabase()).url }
    await migrateMetadata(fresh, { check: false })

    const structure = await structureOf(fresh)
    expect(structure.length).toBeGreaterThan(150)
    expect(await structureOf(migrated)).toEqual(structure)
  },
)
