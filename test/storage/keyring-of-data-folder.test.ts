import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { migrateMetadata } from '../../src/storage/metadata/migrate.ts'
import { metadataFile } from '../../src/storage/metadata/open.ts'
import { startTestPlatform } from '../support/platform.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

let dir: TempDir
beforeEach(() => {
  dir = createTempDir('keyring')
})
afterEach(() => {
  dir.remove()
})

const start = () => startTestPlatform({ database: 'sqlite', dataDir: dir.path })

it('a database that was migrated before the first start gets a keyring at the start', async () => {
  await migrateMetadata({ file: metadataFile(dir.path) }, { check: false })

  const platform = await start()

  expect((await fetch(`${platform.url}/readyz`)).status).toBe(200)
  await platform.stop()
})

it('a keyring that is gone is not replaced where secrets were sealed with it', async () => {
  await (await start()).stop()
  rmSync(join(dir.path, 'keys'), { recursive: true })

  await expect(start()).rejects.toMatchObject({ code: 'keyring-missing' })
})
