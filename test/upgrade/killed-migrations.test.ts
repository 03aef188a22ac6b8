import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { planMigrations } from '../../src/storage/metadata/migration-plan.ts'
import { migrateMetadata, type MetadataTarget } from '../../src/storage/metadata/migrate.ts'
import { structureOf } from '../support/database-structure.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases, type DatabaseKind } from '../support/registry.ts'
import { CommandError, run } from '../support/run.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { projectDir } from '../support/tools.ts'
import { loadFixture, upgradeFixtures } from '../support/upgrade-fixture.ts'

/** Every migration since has to run on it. */
const oldestFixture = upgradeFixtures[0] ?? ''

/** Neighbouring statements are much alike: every eleventh, a number that no migration repeats itself in. `make crash` takes each. */
const stride = Number(process.env['MIGRATION_STRIDE'] ?? 11)

let dir: TempDir
beforeEach(() => {
  dir = createTempDir('killed-migration')
})
afterEach(() => {
  dir.remove()
})

/** Migrates in a process of its own, which kills itself, kill -9, before its n-th statement. Prints how many there were. */
function runMigration(target: MetadataTarget, killBefore: number): ReturnType<typeof run> {
  const script = `
    import { DatabaseSync } from 'node:sqlite'
    import pg from 'pg'
    let statements = 0
    for (const [prototype, name] of [[DatabaseSync.prototype, 'prepare'], [DatabaseSync.prototype, 'exec'], [pg.Client.prototype, 'query']]) {
      const original = prototype[name]
      prototype[name] = function (...args) {
        statements += 1
        if (statements === ${killBefore}) process.kill(process.pid, 'SIGKILL')
        return original.apply(this, args)
      }
    }
    const { migrateMetadata } = await import(${JSON.stringify(pathToFileURL(join(projectDir, 'src/storage/metadata/migrate.ts')).href)})
    await migrateMetadata(${JSON.stringify(target)}, { check: false })
    console.log(statements)`
  return run(process.execPath, ['--input-type=module', '-e', script], { cwd: projectDir })
}

/** False when it had fewer statements and is done. */
async function migrateUntil(target: MetadataTarget, statement: number): Promise<boolean> {
  try {
    await runMigration(target, statement)
    return false
  } catch (error) {
    if (error instanceof CommandError && error.message.includes('SIGKILL')) return true
    throw error
  }
}

async function oldest(kind: DatabaseKind, dataDir: string): Promise<MetadataTarget> {
  const { databaseUrl } = await loadFixture(oldestFixture, kind, dataDir)
  return databaseUrl === undefined ? { file: join(dataDir, 'stowage.db') } : { url: databaseUrl }
}

/** How many statements it takes to bring the oldest version up: tried on a copy of its own. */
async function statementCount(kind: DatabaseKind): Promise<number> {
  const place = createTempDir('count')
  try {
    const target = await oldest(kind, place.path)
    const { stdout } = await runMigration(target, Number.MAX_SAFE_INTEGER)
    return Number(stdout)
  } finally {
    place.remove()
  }
}

/** Kysely's own tables come first and say nothing: they are left out. */
async function formOf(target: MetadataTarget): Promise<string> {
  const { applied } = await planMigrations(target)
  const lines = (await structureOf(target)).filter((line) => !line.includes('kysely_migration'))
  return [...applied, ...lines].join('\n')
}

async function newTarget(kind: DatabaseKind): Promise<MetadataTarget> {
  return kind === 'sqlite' ? { file: join(dir.path, 'stowage.db') } : { url: (await createDatabase()).url }
}

async function formOfNew(kind: DatabaseKind): Promise<string> {
  const place = createTempDir('whole')
  try {
    const target: MetadataTarget = kind === 'sqlite' ? { file: join(place.path, 'stowage.db') } : { url: (await createDatabase()).url }
    await migrateMetadata(target, { check: false })
    return await formOf(target)
  } finally {
    place.remove()
  }
}

describe.each(databases)('a migration on %s that is killed', (kind) => {
  // In processes of their own; the last statements, with the commit among them, one by one.
  it('before any of its statements leaves the form from before or the new one, and the next run goes on', { timeout: 300_000 }, async () => {
    const target = await oldest(kind, dir.path)
    const before = await formOf(target)
    const after = await formOfNew(kind)
    const count = await statementCount(kind)
    const seen: string[] = []
    for (let statement = 3; statement <= count; statement += statement < count - 2 * stride ? stride : 1) {
      expect(await migrateUntil(target, statement), `killed before statement ${statement} of ${count}`).toBe(true)
      const form = await formOf(target)
      expect([before, after], `killed before statement ${statement}`).toContain(form)
      seen.push(form)
      if (form === after) break
    }

    // Most of them come before the commit, and what is committed stays.
    expect(seen.filter((form) => form === before).length).toBeGreaterThan(5)
    expect(await migrateUntil(target, Number.MAX_SAFE_INTEGER)).toBe(false)
    expect(await formOf(target)).toBe(after)
  })

  it('in the first start of all leaves a database that the next start makes whole', async () => {
    const form = await formOfNew(kind)
    const target = await newTarget(kind)
    for (const statement of [4, 7, 12, 30]) {
      if (!(await migrateUntil(target, statement))) break
      const { applied } = await planMigrations(target)
      expect(applied, `killed before statement ${statement}`).toEqual([])
    }
    await migrateMetadata(target, { check: false })
    expect(await formOf(target)).toBe(form)
  })
})
