import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { digestToBytes, parseDigest } from '../../src/values/digest.ts'
import type { Content } from '../content.ts'
import { openRegistry, pushBlob, pushManifest, type Target } from '../registry-client.ts'
import { withConnection } from '../workloads/workload.ts'
import {
  imageTag,
  type PopulationImages,
  referredRepository,
  repositoryName,
  taggedRepository,
  tagName,
  tagsPerManifest,
  type Population,
} from './population.ts'

type Row = Record<string, SQLInputValue>

/**
 * Pushes one image of each sort to a running server: the rows that `multiplyImages` then makes many of are rows that the
 * server wrote, whatever its schema is.
 */
export async function pushFirstImages(target: Target, images: PopulationImages): Promise<void> {
  const registry = await openRegistry(target)
  const first = repositoryName(0)
  await registry.createRepositories([taggedRepository, referredRepository, first])
  await withConnection(registry, async (connection) => {
    for (const repository of [taggedRepository, referredRepository, first]) {
      for (const blob of images.blobs) await pushBlob(connection, repository, blob)
    }
    await pushManifest(connection, taggedRepository, tagName(0), images.manifest(tagName(0)))
    await pushManifest(connection, first, imageTag, images.manifest(first))
    const subject = images.manifest('subject')
    await pushManifest(connection, referredRepository, imageTag, subject)
    const referrer = images.referrer('0', subject)
    await pushManifest(connection, referredRepository, referrer.digest, referrer)
  })
  registry.close()
}

/** Multiplies the first images, in the database of a server that has ended. */
export function multiplyImages(dataDir: string, images: PopulationImages, population: Population): void {
  const db = new DatabaseSync(join(dataDir, 'stowage.db'))
  // The server has ended, and starts anew if this is interrupted: nothing here has to survive a crash.
  db.exec('pragma synchronous = off; pragma foreign_keys = on; pragma cache_size = -262144; begin')
  multiplyRepositories(db, images, population.repositories)
  multiplyTags(db, images, population.tags)
  multiplyReferrers(db, images, population.referrers)
  db.exec('commit; pragma wal_checkpoint(truncate)')
  db.close()
}

function multiplyRepositories(db: DatabaseSync, images: PopulationImages, count: number): void {
  const repository = only(db, 'select * from repository where name = ?', repositoryName(0))
  const seen = db.prepare('select * from repository_blob where repository_id = ?').all(repository['id']!) as Row[]
  const image = copiesOfImage(db, repository['id']!, images.manifest(repositoryName(0)))
  const tag = only(db, 'select * from tag where repository_id = ?', repository['id']!)
  const addRepository = copies(db, 'repository', repository)
  const addTag = copiesOfTag(db, tag)
  const addSeen = seen.map((row) => copies(db, 'repository_blob', row))
  for (let index = 1; index < count; index += 1) {
    const name = repositoryName(index)
    const manifest = images.manifest(name)
    const repositoryId = addRepository({ name })
    for (const add of addSeen) add({ repository_id: repositoryId })
    const manifestId = image(repositoryId, manifest)
    addTag({ repository_id: repositoryId, manifest_id: manifestId }, manifest)
  }
}

function multiplyTags(db: DatabaseSync, images: PopulationImages, count: number): void {
  const { id: repositoryId } = only(db, 'select id from repository where name = ?', taggedRepository)
  const tag = only(db, 'select * from tag where repository_id = ?', repositoryId!)
  let manifest = images.manifest(tagName(0))
  const image = copiesOfImage(db, repositoryId!, manifest)
  const addTag = copiesOfTag(db, tag)
  let manifestId: SQLInputValue = tag['manifest_id']!
  for (let index = 1; index < count; index += 1) {
    if (index % tagsPerManifest === 0) {
      manifest = images.manifest(tagName(index))
      manifestId = image(repositoryId!, manifest)
    }
    addTag({ name: tagName(index), manifest_id: manifestId }, manifest)
  }
}

function multiplyReferrers(db: DatabaseSync, images: PopulationImages, count: number): void {
  const { id: repositoryId } = only(db, 'select id from repository where name = ?', referredRepository)
  const subject = images.manifest('subject')
  const image = copiesOfImage(db, repositoryId!, images.referrer('0', subject))
  for (let index = 1; index < count; index += 1) image(repositoryId!, images.referrer(String(index), subject))
}

/** Adds another manifest like this one, with its bytes and edges; answers its id. */
function copiesOfImage(db: DatabaseSync, repositoryId: SQLInputValue, first: Content): (repositoryId: SQLInputValue, manifest: Content) => SQLInputValue {
  const row = only(db, 'select * from manifest where repository_id = ? and digest = ?', repositoryId, stored(first))
  const edges = db.prepare('select * from manifest_reference where manifest_id = ?').all(row['id']!) as Row[]
  const addManifest = copies(db, 'manifest', row)
  const addPayload = copies(db, 'manifest_payload', only(db, 'select * from manifest_payload where manifest_id = ?', row['id']!))
  const addEdges = edges.map((edge) => copies(db, 'manifest_reference', edge))
  return (ofRepository, manifest) => {
    const id = addManifest({
      repository_id: ofRepository,
      digest: stored(manifest),
      size_bytes: manifest.sizeBytes,
      ...(row['annotations'] === null ? {} : { annotations: JSON.stringify(annotationsOf(manifest)) }),
    })
    addPayload({ manifest_id: id, payload: Buffer.concat(manifest.parts) })
    for (const add of addEdges) add({ manifest_id: id, repository_id: ofRepository })
    return id
  }
}

/** Adds another tag like this one, with its history. */
function copiesOfTag(db: DatabaseSync, tag: Row): (changes: Row, manifest: Content) => void {
  const addTag = copies(db, 'tag', tag)
  const history = only(db, 'select * from tag_history where repository_id = ? and name = ?', tag['repository_id']!, tag['name']!)
  const addHistory = copies(db, 'tag_history', history)
  return (changes, manifest) => {
    addTag(changes)
    const { manifest_id: _, ...place } = changes
    addHistory({ ...place, digest: stored(manifest) })
  }
}

/** Inserts rows that differ from one that is there by some columns; answers the new row's id, where it has one. */
function copies(db: DatabaseSync, table: string, row: Row): (changes: Row) => SQLInputValue {
  const columns = Object.keys(row).filter((column) => column !== 'id')
  const insert = db.prepare(`insert into ${table} (${columns.join(', ')}) values (${columns.map(() => '?').join(', ')})`)
  return (changes) => insert.run(...columns.map((column) => changes[column] ?? row[column]!)).lastInsertRowid
}

function only(db: DatabaseSync, sql: string, ...values: SQLInputValue[]): Row {
  const row = db.prepare(sql).get(...values)
  if (row === undefined) throw new Error(`no row to multiply: ${sql}`)
  return row
}

function stored({ digest }: Content): Buffer {
  return digestToBytes(parseDigest(digest))
}

function annotationsOf({ parts }: Content): unknown {
  return (JSON.parse(Buffer.concat(parts).toString('utf8')) as { annotations: unknown }).annotations
}
