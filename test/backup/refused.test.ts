import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { STS, type Credentials } from '@aws-sdk/client-sts'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { PointDocument } from '../../src/backup/index.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import type { Image } from '../support/images.ts'
import { databases } from '../support/registry.ts'
import type { Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { createRepository, expectWhole, filesBelow, followTags, Place, push, type BackupSummary } from './place.ts'

const repository = 'backup/app'
let dir: TempDir
let folder: string
let places: Place[]

beforeEach(() => {
  dir = createTempDir('backup')
  folder = join(dir.path, 'backups')
  places = []
})

afterEach(async () => {
  dir.remove()
  for (const place of places) await place.remove()
})

async function newPlace(kind: (typeof databases)[number]): Promise<Place> {
  const place = await Place.create(kind)
  places.push(place)
  return place
}

async function filled(kind: (typeof databases)[number]): Promise<{ source: Place; image: Image; session: Credentials }> {
  const source = await newPlace(kind)
  const stowage = await source.start()
  await createRepository(stowage, repository)
  const image = await push(stowage, repository, 'v1', `refused on ${kind}`)
  const { Credentials: session } = await stsOf(stowage, stowage.keys).getSessionToken({})
  await stowage.stop()
  return { source, image, session: session! }
}

function stsOf({ url, region }: Stowage, credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }): STS {
  return new STS({ endpoint: url, region, credentials, maxAttempts: 1 })
}

/** Who temporary credentials of before the backup stand for now. */
async function accountOf(stowage: Stowage, { AccessKeyId = '', SecretAccessKey = '', SessionToken = '' }: Credentials): Promise<string | undefined> {
  const keys = { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken }
  return (await stsOf(stowage, keys).getCallerIdentity({})).Account
}

function damage(path: string): void {
  const bytes = readFileSync(path)
  bytes[Math.floor(bytes.length / 2)]! ^= 1
  writeFileSync(path, bytes)
}

function editPoint(id: string, change: (point: PointDocument) => unknown): void {
  const path = join(folder, 'points', id, 'point.json')
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')) as PointDocument)))
}

describe.each(databases)('on %s', (kind) => {
  it('reports what is damaged at the source, unless an earlier backup has it whole', async () => {
    const { source, image } = await filled(kind)
    const [, layer] = image.blobs
    const file = source.blobFiles(layer!.digest)[0]!
    const whole = readFileSync(file)
    damage(file)

    const damaged = await source.stowage('backup', folder, '--json')
    expect(damaged.exitCode).toBe(8)
    const summary = JSON.parse(damaged.stdout) as BackupSummary
    expect(summary.missing).toMatchObject([{ digest: layer!.digest, reason: 'damaged' }])
    rmSync(file)
    expect(JSON.parse((await source.stowage('backup', folder, '--json')).stdout)).toMatchObject({ missing: [{ reason: 'missing' }] })

    // What can be had is restored, the rest named, and never served as if it were there.
    const partial = await newPlace(kind)
    partial.takeKeyring(source)
    const restored = await partial.stowage('restore', folder, '--json')
    expect(restored.exitCode).toBe(8)
    expect(JSON.parse(restored.stdout)).toMatchObject({ missing: [{ digest: layer!.digest }], findings: [{ kind: 'blob-missing', digest: layer!.digest }] })
    const stowage = await partial.start()
    const client = createDistributionClient(stowage.url, stowage.credentials)
    expect((await client.request('HEAD', `/v2/${repository}/blobs/${layer!.digest}`)).status).toBe(404)
    client.close()
    await stowage.stop()

    writeFileSync(file, whole)
    expect((await source.backup(folder)).missing).toEqual([])
    damage(file)
    expect((await source.backup(folder)).missing).toEqual([])
    const healed = await newPlace(kind)
    await healed.restore(source, folder)
    const again = await healed.start()
    await expectWhole(again, repository, image)
    await again.stop()
  })

  it('does not restore a broken or newer backup, and touches nothing', async () => {
    const { source } = await filled(kind)
    const { point } = await source.backup(folder)
    const pristine = join(dir.path, 'pristine')
    cpSync(folder, pristine, { recursive: true })
    const target = await newPlace(kind)
    target.takeKeyring(source)
    const refuse = async (exitCode: number, text: string): Promise<void> => {
      expect(await target.stowage('restore', folder)).toMatchObject({ exitCode, stderr: expect.stringContaining(text) })
      expect(existsSync(join(target.dataDir, 'restoring.json'))).toBe(false)
      expect(filesBelow(target.dataDir).filter((path) => !/^(keys|serve\.lock)/.test(path))).toEqual([])
      rmSync(folder, { recursive: true })
      cpSync(pristine, folder, { recursive: true })
    }

    editPoint(point, (json) => ({ ...json, migrations: [...json.migrations, '9999-tomorrow'] }))
    await refuse(2, '9999-tomorrow')
    editPoint(point, (json) => ({ ...json, format: 2, tables: 'in another form' }))
    await refuse(2, 'newer Stowage')
    appendFileSync(join(folder, 'points', point, 'tag.ndjson.gz'), 'x')
    await refuse(1, 'tag.ndjson.gz is not what was written')
    writeFileSync(join(folder, 'points', point, 'point.json'), '{')
    await refuse(1, 'point.json is not what was written')
    rmSync(join(folder, 'points', point, 'point.json'))
    await refuse(2, 'there is no backup in')

    expect(await target.stowage('restore', folder, '--point', '20200101T000000000Z-000000')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('has no point') })
    expect(await target.stowage('restore', join(dir.path, 'nowhere'))).toMatchObject({ exitCode: 2 })
    // A copy that decayed in the backup is found while it is brought back.
    const copy = filesBelow(join(folder, 'blobs')).map((path) => join(folder, 'blobs', path))[0]!
    damage(copy)
    const restored = await target.stowage('restore', folder, '--json')
    expect(restored.exitCode).toBe(8)
    expect(JSON.parse(restored.stdout)).toMatchObject({ missing: [{ reason: 'damaged' }], findingCount: 1 })
  })

  it('does not restore beside a running server, or over what is not to be replaced', async () => {
    const { source, image } = await filled(kind)
    await source.backup(folder)
    const stowage = await source.start()
    const beside = await source.stowage('restore', folder, '--replace')
    expect(beside.exitCode, beside.output).toBe(4)
    if (source.database !== undefined) {
      // A server elsewhere that uses the same database.
      const elsewhere = await newPlace('sqlite')
      elsewhere.takeKeyring(source)
      Object.defineProperty(elsewhere, 'database', { value: source.database })
      expect(await elsewhere.stowage('restore', folder, '--replace')).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('stop all of them') })
      Object.defineProperty(elsewhere, 'database', { value: undefined })
    }
    await expectWhole(stowage, repository, image)
    await stowage.stop()
    expect(await source.stowage('restore', folder)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--replace') })
    const again = await source.start()
    await expectWhole(again, repository, image)
    await again.stop()
  })

  it('keeps the keyring apart, and does not let secrets go unnoticed', async () => {
    const { source, image, session } = await filled(kind)
    const { point } = await source.backup(folder)
    const secret = JSON.parse(readFileSync(join(source.dataDir, 'keys/keyring.json'), 'utf8')) as { primary: string; keys: { secret: string }[] }
    for (const path of filesBelow(folder)) expect(readFileSync(join(folder, path), 'latin1')).not.toContain(secret.keys[0]!.secret)
    expect((await source.stowage('backup', folder)).stdout).toContain(`keep it apart (it holds the key ${secret.primary})`)
    expect(readdirSync(join(folder, 'points', point))).not.toContain('keyring.json')

    const target = await newPlace(kind)
    expect(await target.stowage('restore', folder)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(secret.primary) })
    const without = await target.stowage('restore', folder, '--json', '--without-keyring')
    expect(JSON.parse(without.stdout)).toMatchObject({ droppedAccessKeys: [expect.stringMatching(/^AKIA/)], findingCount: 0 })
    const stowage = await target.start()
    await expectWhole(stowage, repository, image)
    // Temporary credentials that nobody can open any more are unknown, and no fault of the server.
    await expect(accountOf(stowage, session)).rejects.toMatchObject({ name: 'InvalidClientTokenId' })
    await stowage.stop()

    const included = JSON.parse((await source.stowage('backup', folder, '--json', '--include-keyring')).stdout) as BackupSummary
    expect(statSync(join(folder, 'points', included.point, 'keyring.json')).mode & 0o777).toBe(0o600)
    const other = await newPlace(kind)
    expect(await other.stowage('restore', folder)).toMatchObject({ exitCode: 0 })
    expect(readFileSync(join(other.dataDir, 'keys/keyring.json'), 'utf8')).toBe(readFileSync(join(source.dataDir, 'keys/keyring.json'), 'utf8'))
    const again = await other.start()
    await expectWhole(again, repository, image)
    expect(await accountOf(again, session)).toBe('000000000000')
    await again.stop()
  })

  it('restores a backup of the first version', async () => {
    const fixture = JSON.parse(readFileSync(join(import.meta.dirname, 'first-version.json'), 'utf8')) as Fixture
    const { source } = await writeFixture(fixture)
    const target = await newPlace(kind)
    const restored = await target.restore(source, folder)
    expect(restored).toMatchObject({ blobs: 2, copiedBlobs: 2, findingCount: 0 })
    const stowage = await target.start()
    expect([...(await followTags(stowage, fixture.repository)).keys()]).toEqual(['v1'])
    await stowage.stop()
  })
})

it('on PostgreSQL leaves tables that are not ours alone', async () => {
  const { source } = await filled('postgres')
  await source.backup(folder)
  const target = await newPlace('postgres')
  target.takeKeyring(source)
  const client = new pg.Client({ connectionString: target.database!.url })
  await client.connect()
  await client.query('create table somebody_elses (id int)')
  expect(await target.stowage('restore', folder, '--replace')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("not Stowage's") })
  await client.query('drop table somebody_elses')
  await client.end()
  await target.restore(source, folder)
})

/** A backup as text: files of the point by name, unpacked, and the copies in base64. */
interface Fixture {
  readonly repository: string
  readonly keyring: string
  readonly point: PointDocument
  readonly files: Record<string, string[]>
  readonly blobs: Record<string, string>
}

async function writeFixture(fixture: Fixture): Promise<{ source: Place }> {
  const { gzipSync } = await import('node:zlib')
  const { createHash } = await import('node:crypto')
  const source = await newPlace('sqlite')
  mkdirSync(join(source.dataDir, 'keys'), { recursive: true })
  writeFileSync(join(source.dataDir, 'keys/keyring.json'), fixture.keyring, { mode: 0o600 })
  const pointDir = join(folder, 'points', fixture.point.id)
  mkdirSync(pointDir, { recursive: true })
  const facts = new Map<string, { sizeBytes: number; sha256: string }>()
  for (const [name, lines] of Object.entries(fixture.files)) {
    const bytes = gzipSync(lines.map((line) => `${line}\n`).join(''))
    writeFileSync(join(pointDir, name), bytes)
    facts.set(name, { sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') })
  }
  const { tables, blobs } = fixture.point
  const point = { ...fixture.point, tables: tables.map((table) => ({ ...table, ...facts.get(table.file) })), blobs: { ...blobs, ...facts.get(blobs.file) } }
  writeFileSync(join(pointDir, 'point.json'), JSON.stringify(point))
  for (const [path, base64] of Object.entries(fixture.blobs)) {
    mkdirSync(join(folder, 'blobs', path, '..'), { recursive: true })
    writeFileSync(join(folder, 'blobs', path), Buffer.from(base64, 'base64'))
  }
  return { source }
}
