import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { BytesInFlight } from '../../src/internal/bytes-in-flight.ts'
import { openBlobStores } from '../../src/storage/blobs/index.ts'
import { migrateMetadata } from '../../src/storage/metadata/migrate.ts'
import { metadataFile } from '../../src/storage/metadata/open.ts'
import { Session } from '../../src/storage/metadata/session.ts'
import { openSqlite, SqliteConnection } from '../../src/storage/metadata/sqlite/connection.ts'
import { isKeyLocated } from '../../src/storage/metadata/stores/blob-index.ts'
import { isOpenUpload } from '../../src/storage/metadata/stores/upload-store.ts'
import { digestFromBytes } from '../../src/values/index.ts'
import { digestOf } from '../support/images.ts'

/** What a data folder holds, as sentences that can be compared, and what must not be. */
export interface Findings {
  /** `<repository> exists`, `… tag <tag> <digest>`, `… manifest <digest>`, `… blob <digest>`: nothing in the trash. */
  readonly facts: ReadonlySet<string>
  /** `<repository> upload <id> <bytes>`: survives the process, not the power. */
  readonly uploads: ReadonlySet<string>
  /** Broken promises; empty in every folder that a crash may leave. */
  readonly violations: readonly string[]
}

/**
 * Opens a SQLite data folder the way the server does at its start (migration, recovery of the blob store), and reads
 * all of it.
 */
export async function openAfterCrash(dataDir: string): Promise<Findings> {
  const file = metadataFile(dataDir)
  if (!existsSync(dataDir)) return { facts: new Set(), uploads: new Set(), violations: [] }
  await migrateMetadata({ file }, { check: false })
  const database = openSqlite(file, { readOnly: false })
  try {
    const violations: string[] = []
    for (const row of database.prepare('pragma integrity_check').all()) {
      if (row['integrity_check'] !== 'ok') violations.push(`integrity_check: ${String(row['integrity_check'])}`)
    }
    for (const row of database.prepare('pragma foreign_key_check').all()) {
      violations.push(`foreign_key_check: ${JSON.stringify(row)}`)
    }
    const session = new Session(new SqliteConnection(database, () => undefined))
    const findings = await inspect(session, dataDir)
    return { ...findings, violations: [...violations, ...findings.violations, ...(await checkKeyring(session, dataDir))] }
  } finally {
    database.close()
  }
}

/** The same for metadata that is open already, also PostgreSQL's, with its blobs in `dataDir`. */
export async function inspect(session: Session, dataDir: string): Promise<Findings> {
  await recoverBlobs(session, dataDir)
  const { facts, uploads, violations } = await readMetadata(session)
  violations.push(...(await checkBlobs(session, dataDir)), ...(await checkUploads(session, dataDir)))
  return { facts, uploads, violations }
}

async function recoverBlobs(session: Session, dataDir: string): Promise<void> {
  const store = await openBlobStores({ dataDir, archiveDir: join(dataDir, 'archive') }, new BytesInFlight())
  try {
    await store.recover({
      isLocated: (key) => isKeyLocated(session, store.storeOf(key), key),
      isOpenSession: (id) => isOpenUpload(session, id, Date.now()),
    })
  } finally {
    await store.close()
  }
}

async function readMetadata(session: Session) {
  const facts = new Set<string>()
  const violations: string[] = []
  const db = session.builder
  const repositories = await session.query(db.selectFrom('repository').select(['id', 'name']).where('trashed_at', 'is', null))
  const names = new Map(repositories.map(({ id, name }) => [id, name]))
  for (const name of names.values()) facts.add(`${name} exists`)

  const manifests = await session.query(
    db
      .selectFrom('manifest')
      .leftJoin('manifest_payload', 'manifest_payload.manifest_id', 'manifest.id')
      .select(['manifest.id', 'repository_id', 'digest', 'payload'])
      .where('trashed_at', 'is', null),
  )
  const digests = new Map(manifests.map(({ id, digest }) => [id, digestFromBytes(digest)]))
  for (const { repository_id: repositoryId, digest, payload } of manifests) {
    const wanted = digestFromBytes(digest)
    if (payload === null || digestOf(payload) !== wanted) violations.push(`the manifest ${wanted} has other bytes`)
    const name = names.get(repositoryId)
    if (name !== undefined) facts.add(`${name} manifest ${wanted}`)
  }
  for (const tag of await session.query(db.selectFrom('tag').select(['repository_id', 'name', 'manifest_id']))) {
    const digest = digests.get(tag.manifest_id)
    if (digest === undefined) violations.push(`the tag ${tag.name} names no living manifest`)
    const name = names.get(tag.repository_id)
    if (name !== undefined) facts.add(`${name} tag ${tag.name} ${digest}`)
  }

  const seen = await session.query(
    db.selectFrom('repository_blob').innerJoin('blob', 'blob.id', 'repository_blob.blob_id').select(['repository_id', 'digest']),
  )
  for (const { repository_id: repositoryId, digest } of seen) {
    const name = names.get(repositoryId)
    if (name !== undefined) facts.add(`${name} blob ${digestFromBytes(digest)}`)
  }
  const references = await session.query(
    db
      .selectFrom('manifest_reference')
      .select(['manifest_id', 'repository_id', 'digest'])
      .where('kind', '=', 'blob'),
  )
  for (const { manifest_id: manifestId, repository_id: repositoryId, digest } of references) {
    const name = names.get(repositoryId)
    if (name === undefined || !digests.has(manifestId)) continue
    const blob = digestFromBytes(digest)
    if (!facts.has(`${name} blob ${blob}`)) violations.push(`a manifest in ${name} names ${blob}, which is not there`)
  }

  const uploads = new Set<string>()
  const sessions = await session.query(db.selectFrom('upload_session').select(['id', 'repository_id', 'size_bytes']))
  for (const upload of sessions) {
    const name = names.get(upload.repository_id)
    if (name !== undefined) uploads.add(`${name} upload ${upload.id} ${upload.size_bytes}`)
  }
  return { facts, uploads, violations }
}

/** Every blob that can be reached has its bytes, and every file the bytes that its name says. */
async function checkBlobs(session: Session, dataDir: string): Promise<string[]> {
  const violations: string[] = []
  const blobsDir = join(dataDir, 'blobs')
  const contents = new Map<string, string>()
  for (const path of readdirSync(blobsDir, { recursive: true, encoding: 'utf8' })) {
    if (!statSync(join(blobsDir, path)).isFile()) continue
    const digest = digestOf(readFileSync(join(blobsDir, path)))
    contents.set(path, digest)
    if (digest !== `sha256:${basename(path).split('.')[0]}`) violations.push(`the file ${path} has other bytes`)
  }
  const located = await session.query(
    session.builder
      .selectFrom('blob_location')
      .innerJoin('blob', 'blob.id', 'blob_location.blob_id')
      .select(['digest', 'key'])
      .where('state', '=', 'active'),
  )
  for (const { digest, key } of located) {
    const wanted = digestFromBytes(digest)
    if (contents.get(key) !== wanted) violations.push(`the blob ${wanted} has no file with its bytes`)
  }
  return violations
}

/** After recovery there is no upload's file but those of open sessions. */
async function checkUploads(session: Session, dataDir: string): Promise<string[]> {
  const open = await session.query(session.builder.selectFrom('upload_session').select('id'))
  const ids = new Set(open.map(({ id }) => id))
  return readdirSync(join(dataDir, 'uploads'))
    .filter((name) => !ids.has(name))
    .map((name) => `the upload ${name} was left behind`)
}

/** What the database seals can be opened. */
async function checkKeyring(session: Session, dataDir: string): Promise<string[]> {
  const sealed = await session.query(session.builder.selectFrom('access_key').select('access_key_id'))
  if (sealed.length === 0) return []
  try {
    JSON.parse(readFileSync(join(dataDir, 'keys/keyring.json'), 'utf8'))
    return []
  } catch {
    return ['the keyring that sealed the access keys is gone']
  }
}
