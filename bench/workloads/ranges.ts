import { createHash, randomBytes, randomInt } from 'node:crypto'
import { mebibyte, type Content } from '../content.ts'
import { call, pushBlob, type RegistryClient } from '../registry-client.ts'
import { withConnection, type Scale, type Workload } from './workload.ts'

const repository = 'bench/ranges'
const blobMebibytes = 1024
/** The blob repeats this much, so that the load client need not hold all of it. */
const pieceBytes = 16 * mebibyte

function pushedBlob(registry: RegistryClient, { share }: Scale): Promise<Content> {
  return registry.once('large blob', async () => {
    const pieces = Math.max(1, Math.round((blobMebibytes * mebibyte * share) / pieceBytes))
    const piece = randomBytes(pieceBytes)
    const parts = Array.from({ length: pieces }, () => piece)
    const hash = createHash('sha256')
    for (const part of parts) hash.update(part)
    const blob = { digest: `sha256:${hash.digest('hex')}`, sizeBytes: pieces * pieceBytes, parts }
    await registry.createRepositories([repository])
    await withConnection(registry, (connection) => pushBlob(connection, repository, blob))
    return blob
  })
}

function ranges(options: { name: string; title: string; concurrency: number; nextBytes(): number }): Workload {
  const { name, title, concurrency, nextBytes } = options
  return {
    name,
    title,
    operation: 'GET of a range',
    concurrency,
    unit: 'bytes',
    roundMs: 2000,
    async open(registry, scale) {
      const blob = await pushedBlob(registry, scale)
      const path = `/v2/${repository}/blobs/${blob.digest}`
      return {
        prepareRound: async () => ({
          kind: 'repeat',
          async operation(connection) {
            const length = nextBytes()
            const first = randomInt(blob.sizeBytes - length + 1)
            const { bodyBytes } = await call(connection, 206, {
              method: 'GET',
              path,
              headers: { range: `bytes=${first}-${first + length - 1}` },
            })
            if (bodyBytes !== length) throw new Error(`a range of ${length} bytes was answered with ${bodyBytes}`)
            return bodyBytes
          },
        }),
      }
    },
  }
}

/** What lazy pulling (SOCI, Nydus) asks for. */
const lazily = { title: 'Ranges of 64 KiB to 2 MiB of a large blob', nextBytes: () => randomInt(64 * 1024, 2 * mebibyte + 1) }

export const rangeWorkloads: readonly Workload[] = [
  ranges({ ...lazily, name: 'ranges-c64', concurrency: 64 }),
  ranges({ ...lazily, name: 'ranges-c16', concurrency: 16 }),
  // containerd's parallel fetch.
  ranges({ name: 'ranges-8mb-c8', title: 'Ranges of 8 MiB of a large blob', concurrency: 8, nextBytes: () => 8 * mebibyte }),
]
