import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Content } from '../content.ts'
import { imageTag, type PopulationImages, repositoryName, taggedRepository, tagName, tagsPerManifest, type Population } from './population.ts'

/**
 * Lays a population out as docker-registry keeps it (distribution 2.8, storage/paths.go): pushing it would take minutes.
 * It has no referrers.
 *
 * @param rootDir the storage driver's root directory
 */
export function writeDockerRegistryFiles(rootDir: string, images: PopulationImages, population: Population): void {
  const base = join(rootDir, 'docker/registry/v2')
  const write = (path: string, bytes: string | Buffer): void => {
    const file = join(base, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, bytes)
  }
  const writeBlob = ({ digest, parts }: Content): void => {
    const { hex, shard } = placeOf(digest)
    write(`blobs/sha256/${shard}/${hex}/data`, Buffer.concat(parts))
  }
  const writeImage = (repository: string, manifest: Content): void => {
    writeBlob(manifest)
    write(`repositories/${repository}/_manifests/revisions/sha256/${placeOf(manifest.digest).hex}/link`, manifest.digest)
  }
  const writeTag = (repository: string, tag: string, { digest }: Content): void => {
    const folder = `repositories/${repository}/_manifests/tags/${tag}`
    write(`${folder}/current/link`, digest)
    write(`${folder}/index/sha256/${placeOf(digest).hex}/link`, digest)
  }
  const writeRepository = (repository: string): void => {
    for (const { digest } of images.blobs) write(`repositories/${repository}/_layers/sha256/${placeOf(digest).hex}/link`, digest)
  }

  for (const blob of images.blobs) writeBlob(blob)
  for (let index = 0; index < population.repositories; index += 1) {
    const repository = repositoryName(index)
    const manifest = images.manifest(repository)
    writeRepository(repository)
    writeImage(repository, manifest)
    writeTag(repository, imageTag, manifest)
  }
  writeRepository(taggedRepository)
  let manifest = images.manifest(tagName(0))
  for (let index = 0; index < population.tags; index += 1) {
    if (index % tagsPerManifest === 0) {
      manifest = images.manifest(tagName(index))
      writeImage(taggedRepository, manifest)
    }
    writeTag(taggedRepository, tagName(index), manifest)
  }
}

function placeOf(digest: string): { hex: string; shard: string } {
  const hex = digest.slice(digest.indexOf(':') + 1)
  return { hex, shard: hex.slice(0, 2) }
}
