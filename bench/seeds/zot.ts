import { linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Content } from '../content.ts'
import { manifestType } from '../registry-client.ts'
import { imageTag, type PopulationImages, repositoryName, taggedRepository, tagName, tagsPerManifest, type Population } from './population.ts'

/**
 * Lays a population out as zot keeps it: every repository is an OCI image layout (image-spec, image-layout.md), with equal
 * blobs as links to one file. Pushing 10,000 tags would write their growing index 10,000 times. Referrers are left out.
 */
export function writeZotFiles(rootDir: string, images: PopulationImages, population: Population): void {
  const written = new Map<string, string>()
  const writeBlob = (blobsDir: string, { digest, parts }: Content): void => {
    const file = join(blobsDir, digest.slice(digest.indexOf(':') + 1))
    const earlier = written.get(digest)
    if (earlier === undefined) writeFileSync(file, Buffer.concat(parts))
    else linkSync(earlier, file)
    written.set(digest, file)
  }
  const writeRepository = (repository: string, tagged: readonly { readonly manifest: Content; readonly tag: string }[]): void => {
    const dir = join(rootDir, repository)
    const blobsDir = join(dir, 'blobs/sha256')
    mkdirSync(blobsDir, { recursive: true })
    writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
    for (const blob of images.blobs) writeBlob(blobsDir, blob)
    for (const manifest of new Set(tagged.map((image) => image.manifest))) writeBlob(blobsDir, manifest)
    const manifests = tagged.map(({ manifest: { digest, sizeBytes }, tag }) => ({
      mediaType: manifestType,
      digest,
      size: sizeBytes,
      annotations: { 'org.opencontainers.image.ref.name': tag },
    }))
    writeFileSync(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
  }

  for (let index = 0; index < population.repositories; index += 1) {
    const repository = repositoryName(index)
    writeRepository(repository, [{ manifest: images.manifest(repository), tag: imageTag }])
  }
  let manifest = images.manifest(tagName(0))
  const tagged = Array.from({ length: population.tags }, (_, index) => {
    if (index % tagsPerManifest === 0) manifest = images.manifest(tagName(index))
    return { manifest, tag: tagName(index) }
  })
  writeRepository(taggedRepository, tagged)
}
