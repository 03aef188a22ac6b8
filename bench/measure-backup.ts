// How long backing up and restoring take, and how large a backup is, with a server under load beside it:
//   scripts/with-node.sh node bench/measure-backup.ts [images]
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { buildRandomImage, pushImage } from '../test/support/images.ts'
import { run } from '../test/support/run.ts'
import { startStowage, type Stowage } from '../test/support/start-stowage.ts'
import { projectDir } from '../test/support/tools.ts'

const imageCount = Number(process.argv[2] ?? 10_000)
/** With its config: 10,000 images make 2 GiB. */
const layerBytes = 214_000
const pushers = 6
const newImages = Math.ceil(imageCount / 100)

const home = await mkdtemp(join(tmpdir(), 'stowage-measure-backup-'))
const dataDir = join(home, 'data')
const folder = join(home, 'backups')
const run1 = randomBytes(4).toString('hex')

async function pushMany(stowage: Stowage, from: number, count: number): Promise<void> {
  let next = from
  await Promise.all(
    Array.from({ length: pushers }, async () => {
      for (let n = next++; n < from + count; n = next++) {
        const image = buildRandomImage([layerBytes], `${run1} ${n}`)
        await pushImage({ url: stowage.url, repository: `measure/app-${n % 100}`, auth: stowage.credentials }, image, `v${n}`)
      }
    }),
  )
}

async function timed(title: string, words: readonly string[], env: Record<string, string>): Promise<void> {
  const startedAt = performance.now()
  const { stdout } = await run(process.execPath, ['src/cli.ts', ...words, '--json', '--quiet'], { cwd: projectDir, env, timeoutMs: 1_800_000 })
  const { blobs, copiedBlobs, copiedBytes, metadataBytes, findingCount } = JSON.parse(stdout) as Record<string, number>
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(`${title}: ${seconds} s`, JSON.stringify({ blobs, copiedBlobs, copiedBytes, metadataBytes, findingCount }))
}

function bytesBelow(path: string): number {
  if (!existsSync(path)) return 0
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).reduce((sum, name) => sum + statSync(join(path, name)).size, 0)
}

try {
  const stowage = await startStowage({ dataDir })
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  for (let n = 0; n < 100; n += 1) await ecr.send(new CreateRepositoryCommand({ repositoryName: `measure/app-${n}` }))
  ecr.destroy()
  const startedAt = performance.now()
  await pushMany(stowage, 0, imageCount)
  console.log(`pushed ${imageCount} images in ${((performance.now() - startedAt) / 1000).toFixed(0)} s: database ${statSync(join(dataDir, 'stowage.db')).size} bytes, blobs ${bytesBelow(join(dataDir, 'blobs'))} bytes`)
  const env = { STOWAGE_DATA_DIR: dataDir }
  await timed('first backup, server idle', ['backup', folder], env)
  await pushMany(stowage, imageCount, newImages)
  await timed('incremental backup, server idle', ['backup', folder], env)
  rmSync(folder, { recursive: true })

  let isOver = false
  let pushed = imageCount + newImages
  const loading = (async () => {
    while (!isOver) {
      await pushMany(stowage, pushed, pushers * 2)
      pushed += pushers * 2
    }
  })()
  await timed('first backup, server under load', ['backup', folder], env)
  await timed('incremental backup, server under load', ['backup', folder], env)
  isOver = true
  await loading
  console.log(`pushed meanwhile: ${pushed - imageCount - newImages} images; the backup folder has ${bytesBelow(folder)} bytes`)
  await stowage.stop()
  const restored = { STOWAGE_DATA_DIR: join(home, 'restored'), STOWAGE_KEYRING: join(dataDir, 'keys/keyring.json') }
  await timed('restore', ['restore', folder], restored)
} finally {
  rmSync(home, { recursive: true, force: true })
}
