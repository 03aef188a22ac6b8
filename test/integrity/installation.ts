import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  repairIn,
  verify,
  type Finding,
  type VerifyOptions,
  type VerifyReport,
} from '../../src/integrity/index.ts'
import { commandContext } from '../../src/registry/index.ts'
import { digestOf, digestToBytes, mediaTypes, parseRepositoryName, parseTag, type Digest } from '../../src/values/index.ts'
import type { RegistryFixture } from '../support/registry.ts'

export interface PushedImage {
  readonly digest: Digest
  readonly config: Digest
  readonly layer: Digest
  readonly layerBytes: Buffer
}

export async function createRepository(fixture: RegistryFixture, name: string): Promise<void> {
  await fixture.registry.createRepository(fixture.context, {
    name: parseRepositoryName(name),
    tagMutability: 'MUTABLE',
    mutabilityFilters: [],
    scanOnPush: false,
    tags: {},
  })
}

/** Pushes an image of one layer; `seed` makes its content. */
export async function pushImage(
  fixture: RegistryFixture,
  repository: string,
  tag: string,
  seed: string,
  layerBytes: Buffer = Buffer.from(`layer of ${seed} `.repeat(100)),
): Promise<PushedImage> {
  const configBytes = Buffer.from(JSON.stringify({ seed }))
  const config = await fixture.upload(repository, configBytes)
  const layer = await fixture.upload(repository, layerBytes)
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: config, size: configBytes.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layer, size: layerBytes.length }],
    }),
  )
  await putManifest(fixture, repository, tag, bytes)
  return { digest: digestOf(bytes), config, layer, layerBytes }
}

export async function putManifest(fixture: RegistryFixture, repository: string, tag: string, bytes: Buffer): Promise<void> {
  await fixture.registry.putManifest(fixture.context, parseRepositoryName(repository), {
    bytes,
    declaredMediaType: undefined,
    reference: { kind: 'tag', tag: parseTag(tag) },
    via: 'oci',
  })
}

/** Where a blob's bytes lie. */
export async function fileOf(fixture: RegistryFixture, digest: Digest): Promise<string> {
  const { reader } = fixture.database
  const rows = await reader.query(
    reader.builder
      .selectFrom('blob')
      .innerJoin('blob_location', 'blob_location.blob_id', 'blob.id')
      .select('blob_location.key')
      .where('blob.digest', '=', digestToBytes(digest))
      .orderBy('blob_location.id', 'desc'),
  )
  if (!rows[0]) throw new Error(`no blob ${digest}`)
  return join(fixture.dataDir, 'blobs', rows[0].key)
}

/** The states of a blob's places, oldest first. */
export async function statesOf(fixture: RegistryFixture, digest: Digest): Promise<string[]> {
  const { reader } = fixture.database
  const rows = await reader.query(
    reader.builder
      .selectFrom('blob')
      .innerJoin('blob_location', 'blob_location.blob_id', 'blob.id')
      .select('blob_location.state')
      .where('blob.digest', '=', digestToBytes(digest))
      .orderBy('blob_location.id'),
  )
  return rows.map(({ state }) => state)
}

/** The ways a file rots. */
export const damages = {
  flip: (file: string): void => {
    const bytes = readFileSync(file)
    bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1)
    writeFileSync(file, bytes)
  },
  zero: (file: string): void => writeFileSync(file, Buffer.alloc(statSync(file).size)),
  truncate: (file: string): void => truncateSync(file, statSync(file).size - 1),
  remove: (file: string): void => rmSync(file),
} as const

export interface Verified {
  readonly report: VerifyReport
  readonly findings: readonly Finding[]
}

/** Runs the engine as a server would, able to change what it finds; `repair: false`: as a bystander. */
export async function runVerify(
  fixture: RegistryFixture,
  { repair = true, ...options }: Partial<VerifyOptions> & { repair?: boolean } = {},
): Promise<Verified> {
  const findings: Finding[] = []
  const { database, blobStore, clock } = fixture
  const report = await verify(
    { database, blobStore, clock, repair: repair ? repairIn(database, () => commandContext(fixture.context)) : undefined },
    {
      hash: 'all',
      ...options,
      onFinding: async (finding) => {
        findings.push(finding)
        await options.onFinding?.(finding)
      },
    },
  )
  return { report, findings }
}

/** Content that is different for each seed. */
export function bytesFrom(seed: string, sizeBytes: number): Buffer {
  const block = createHash('sha512').update(seed).digest()
  return Buffer.alloc(sizeBytes, block)
}

/** Puts blobs of some 100 bytes into the store and the database, by the thousands: as uploads they would take minutes. */
export async function plantSmallBlobs(fixture: RegistryFixture, repository: string, count: number): Promise<Digest[]> {
  const { reader } = fixture.database
  const [row] = await reader.query(reader.builder.selectFrom('repository').select(['id', 'domain_id']).where('name', '=', repository))
  if (!row) throw new Error(`no repository ${repository}`)
  const firstId = 1_000_000
  const digests: Digest[] = []
  const pageSize = 1000
  for (let start = 0; start < count; start += pageSize) {
    const rows: string[][] = [[], [], []]
    for (let id = firstId + start; id < firstId + Math.min(count, start + pageSize); id += 1) {
      const bytes = bytesFrom(`small ${id}`, 100)
      const digest = digestOf(bytes)
      digests.push(digest)
      const hex = digest.slice('sha256:'.length)
      const generation = String(id).padStart(32, '0')
      const key = `default/sha256/${hex.slice(0, 2)}/${hex}.${generation}`
      const file = join(fixture.dataDir, 'blobs', key)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, bytes)
      const literal = `${fixture.database.dialect === 'sqlite' ? `x'` : String.raw`'\x`}${digestToBytes(digest).toString('hex')}'`
      rows[0]?.push(`(${id}, ${row.domain_id}, ${literal}, 100, 0)`)
      rows[1]?.push(`(${id}, ${id}, 'filesystem', '${key}', '${generation}', 'active', 0)`)
      rows[2]?.push(`(${row.id}, ${id}, 0)`)
    }
    const tables = [
      'blob (id, domain_id, digest, size_bytes, created_at)',
      'blob_location (id, blob_id, store, key, generation, state, created_at)',
      'repository_blob (repository_id, blob_id, added_at)',
    ]
    for (const [n, table] of tables.entries()) await fixture.tamper(`insert into ${table} values ${rows[n]?.join(', ')}`)
  }
  return digests
}
