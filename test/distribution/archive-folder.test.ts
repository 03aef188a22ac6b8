import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { startStowage } from '../support/start-stowage.ts'
import { createTempDir } from '../support/temp-dir.ts'

it("a server does not start on the archive of another installation, and does on its own's", async () => {
  const dir = createTempDir('archive-folder')
  onTestFinished(() => {
    dir.remove()
  })
  const [one, other] = [createTempDir('one'), createTempDir('other')]
  onTestFinished(() => {
    one.remove()
    other.remove()
  })
  const archive = join(dir.path, 'archive')
  const startAndStop = async (dataDir: string): Promise<void> => {
    await (await startStowage({ dataDir, env: { STOWAGE_ARCHIVE_DIR: archive } })).stop()
  }
  await startAndStop(one.path)
  await startAndStop(one.path)

  await expect(startAndStop(other.path)).rejects.toThrow(/is the archive of another installation: set STOWAGE_ARCHIVE_DIR/)

  // As somebody does who has copied a data folder by hand.
  copyFileSync(join(one.path, 'installation'), join(other.path, 'installation'))
  await startAndStop(other.path)
})
