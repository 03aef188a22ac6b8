import { moveOf } from '../../src/archive/commands/placements.ts'
import { archiveStoreName } from '../../src/storage/blobs/index.ts'
import { findPlacedBlob } from '../../src/storage/metadata/stores/archive-store.ts'
import { findWrongSums } from '../../src/storage/metadata/stores/repository-store.ts'
import { digestFromBytes, digestOf, digestToBytes } from '../../src/values/index.ts'
import type { History } from './history.ts'
import type { Catalogue } from './images.ts'
import type { World } from './world.ts'

/** What of a history's outcome is wrong; empty where everything that was promised holds. Nothing else may be going on. */
export async function wrongIn(world: World, catalogue: Catalogue, history: History): Promise<string[]> {
  const failed = world.problems.splice(0).map((problem) => `something failed in the background: ${String((problem as { err?: { stack?: string } }).err?.stack ?? problem)}`)
  const sums = (await findWrongSums(world.fixture.database.reader, { after: 0, limit: 10 })).map((wrong) => `other sums are noted than there is: ${JSON.stringify(wrong)}`)
  return [...failed, ...sums, ...history.broken, ...(await lostImages(world, catalogue, history)), ...(await incompleteManifests(world, catalogue)), ...(await leftOfErased(world, catalogue, history))]
}

/** Images that nothing can have taken away have to be there. */
async function lostImages(world: World, catalogue: Catalogue, history: History): Promise<string[]> {
  const lost: string[] = []
  for (const repository of catalogue.repositories) {
    const expected = catalogue.images.filter((image) => history.mustLive(repository, image))
    if (expected.length === 0) continue
    const found = await world.process.registry.describeImagesById(world.context, repository, expected.map(({ digest }) => ({ digest })))
    for (const [position, image] of expected.entries()) if (!found[position]) lost.push(`${image.name} is gone from ${repository}, and nothing removed it`)
  }
  return lost
}

/** Of what was erased for good there is nothing, not in the trash either. */
async function leftOfErased(world: World, catalogue: Catalogue, history: History): Promise<string[]> {
  const { reader } = world.fixture.database
  const left: string[] = []
  for (const repository of catalogue.repositories) {
    for (const image of catalogue.images.filter((each) => history.mustBeErased(repository, each))) {
      const rows = await reader.query(
        reader.builder
          .selectFrom('manifest')
          .innerJoin('repository', 'repository.id', 'manifest.repository_id')
          .select('manifest.id')
          .where('repository.name', '=', repository)
          .where('manifest.digest', '=', digestToBytes(image.digest)),
      )
      if (rows.length > 0) left.push(`${image.name} was erased from ${repository}, and is there`)
    }
  }
  for (const digest of history.erasedBlobs()) {
    const places = reader.builder.selectFrom('blob').innerJoin('blob_location', 'blob_location.blob_id', 'blob.id').select('blob_location.key')
    for (const { key } of await reader.query(places.where('blob.digest', '=', digestToBytes(digest)))) {
      if (await isStored(world, key, digest)) left.push(`the bytes of ${digest} were erased, and are there`)
    }
  }
  return left
}

/**
 * Whatever the database holds as an image, living or still to be had from the trash, has all it names: children, and blobs
 * with their bytes, which a living one's repository shows.
 */
async function incompleteManifests(world: World, catalogue: Catalogue): Promise<string[]> {
  const { builder } = world.fixture.database.reader
  const rows = await world.fixture.database.reader.query(
    builder
      .selectFrom('manifest_reference as edge')
      .innerJoin('manifest as parent', 'parent.id', 'edge.manifest_id')
      .innerJoin('repository', 'repository.id', 'parent.repository_id')
      .leftJoin('manifest as child', (join) => join.onRef('child.repository_id', '=', 'edge.repository_id').onRef('child.digest', '=', 'edge.digest'))
      .leftJoin('blob', (join) => join.onRef('blob.domain_id', '=', 'repository.domain_id').onRef('blob.digest', '=', 'edge.digest'))
      .leftJoin('blob_location as location', (join) => join.onRef('location.blob_id', '=', 'blob.id').on('location.state', '=', 'active'))
      .leftJoin('repository_blob as sight', (join) => join.onRef('sight.repository_id', '=', 'edge.repository_id').onRef('sight.blob_id', '=', 'blob.id'))
      .select([
        'repository.name as repository',
        'parent.digest as digest',
        'parent.trashed_at as trashedAt',
        'parent.storage_class as storageClass',
        'parent.purge_after as purgeAfter',
        'repository.trashed_at as repositoryTrashedAt',
        'repository.purge_after as repositoryPurgeAfter',
        'edge.kind as kind',
        'edge.digest as named',
        'child.id as childId',
        'child.trashed_at as childTrashedAt',
        'location.key as key',
        'sight.added_at as seenSince',
      ])
      .where('repository.name', 'in', catalogue.repositories),
  )
  const wrong: string[] = []
  const now = world.fixture.clock.now()
  for (const row of rows) {
    const isTrashed = row.trashedAt !== null || row.repositoryTrashedAt !== null
    const purgeAfter = Math.min(row.purgeAfter ?? Number.POSITIVE_INFINITY, row.repositoryPurgeAfter ?? Number.POSITIVE_INFINITY)
    if (isTrashed && purgeAfter <= now) continue
    const what = `${isTrashed ? 'trashed' : 'living'} ${nameOf(catalogue, digestFromBytes(row.digest))} of ${row.repository}`
    const named = digestFromBytes(row.named)
    if (row.kind === 'manifest') {
      if (row.childId === null) wrong.push(`${what} has lost its child ${nameOf(catalogue, named)}`)
      else if (!isTrashed && row.childTrashedAt !== null) wrong.push(`${what} has its child ${nameOf(catalogue, named)} in the trash`)
    } else if (row.kind === 'blob') {
      if (row.key === null) wrong.push(`${what} has lost ${named}`)
      else if (!(await isStored(world, row.key, named))) wrong.push(`${what} has lost the bytes of ${named}`)
      if (!isTrashed && row.storageClass === 'active' && row.seenSince === null) wrong.push(`${what} does not see ${named}`)
    }
  }
  return wrong
}

/** What is still wrong with the archive when nothing is left to do there: bytes in the wrong place, images that wait for ever. */
export async function wrongInArchive(world: World, catalogue: Catalogue): Promise<string[]> {
  // What a process that was killed had taken is free again.
  world.fixture.clock.advance(31 * 60 * 1000)
  await world.process.archivist.work()
  await world.process.erasures.finish()
  const { reader } = world.fixture.database
  const wrong: string[] = []
  const images = await reader.query(
    reader.builder
      .selectFrom('manifest')
      .innerJoin('repository', 'repository.id', 'manifest.repository_id')
      .select(['repository.name', 'manifest.digest'])
      .where('repository.name', 'in', catalogue.repositories)
      .where('repository.trashed_at', 'is', null)
      .where('manifest.trashed_at', 'is', null)
      .where('manifest.storage_class', '=', 'activating'),
  )
  for (const { name, digest } of images) wrong.push(`${nameOf(catalogue, digestFromBytes(digest))} of ${name} waits for ever to be active`)
  const digests = catalogue.images.flatMap(({ blobs }) => blobs.map(({ digest }) => digestToBytes(digest)))
  // What collection has still to look at is moved after that.
  const settled = reader.builder
    .selectFrom('blob')
    .select('blob.id')
    .where('digest', 'in', digests)
    .where((eb) => eb.not(eb.exists(eb.selectFrom('review').select('review.id').whereRef('review.subject_id', '=', 'blob.id').where('review.kind', 'in', ['blob', 'repository-blob']))))
  for (const { id } of await reader.query(settled)) {
    const placed = await findPlacedBlob(reader, id)
    if (placed !== undefined && moveOf(placed, archiveStoreName) !== undefined) wrong.push(`${placed.digest} belongs to what is ${placed.belongs}, and lies in the store ${placed.store}`)
  }
  // A place that a blob has left is somebody's to clear.
  const left = await reader.query(
    reader.builder
      .selectFrom('blob_location as location')
      .innerJoin('blob', 'blob.id', 'location.blob_id')
      .innerJoin('blob_location as other', (join) => join.onRef('other.blob_id', '=', 'blob.id').on('other.state', '=', 'active'))
      .leftJoin('review', (join) => join.onRef('review.subject_id', '=', 'location.id').on('review.kind', '=', 'location'))
      .select('location.key')
      .where('location.state', '=', 'deleting')
      .where('review.id', 'is', null)
      .where('blob.digest', 'in', digests),
  )
  for (const { key } of left) wrong.push(`nobody will clear ${key}, which its blob has left`)
  return wrong
}

async function isStored(world: World, key: string, digest: string): Promise<boolean> {
  const blob = await world.process.blobStore.open(key).catch(() => undefined)
  if (!blob) return false
  const chunks = []
  try {
    for await (const chunk of blob.read()) chunks.push(chunk)
  } finally {
    await blob.close()
  }
  return digestOf(Buffer.concat(chunks)) === digest
}

function nameOf(catalogue: Catalogue, digest: string): string {
  return catalogue.images.find((image) => image.digest === digest)?.name ?? digest
}
