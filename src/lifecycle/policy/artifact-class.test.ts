import { expect, test } from 'vitest'
import { artifactClassOf, type ArtifactFacts } from './artifact-class.ts'

const ociConfig = 'application/vnd.oci.image.config.v1+json'
const manifest = { kind: 'image', mediaType: 'application/vnd.oci.image.manifest.v1+json', artifactType: undefined, configMediaType: ociConfig, tags: [] } as const
const index = { kind: 'index', mediaType: 'application/vnd.oci.image.index.v1+json', artifactType: undefined, configMediaType: undefined, tags: [] } as const
const cosignTag = `sha256-${'0'.repeat(64)}`

test.each<[string, ArtifactFacts]>([
  ['image', manifest],
  ['image', { ...manifest, configMediaType: 'application/vnd.docker.container.image.v1+json' }],
  ['image', { ...manifest, tags: [`${cosignTag}.sig`, 'v1'] }],
  ['index', index],
  ['cache', { ...index, listsOnlyBlobs: true }],
  ['cache', { ...manifest, configMediaType: 'application/vnd.buildkit.cacheconfig.v0' }],
  ['chart', { ...manifest, configMediaType: 'application/vnd.cncf.helm.config.v1+json' }],
  ['signature', { ...manifest, tags: [`${cosignTag}.sig`] }],
  ['sbom', { ...manifest, tags: [`${cosignTag}.sbom`] }],
  ['attestation', { ...manifest, tags: [`${cosignTag}.att`] }],
  ['signature', { ...manifest, artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json' }],
  ['signature', { ...manifest, artifactType: 'application/vnd.cncf.notary.signature' }],
  ['signature', { ...manifest, artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json' }],
  ['sbom', { ...manifest, artifactType: 'application/spdx+json' }],
  ['sbom', { ...manifest, artifactType: 'application/vnd.cyclonedx+json' }],
  ['attestation', { ...manifest, artifactType: 'application/vnd.in-toto+json' }],
  ['other', { ...manifest, artifactType: 'application/vnd.example.data' }],
  ['other', { ...manifest, configMediaType: 'application/vnd.oci.empty.v1+json' }],
  ['other', { ...manifest, kind: 'other', mediaType: 'application/vnd.example' }],
])('an artifact of class %s: %j', (artifactClass, facts) => {
  expect(artifactClassOf(facts)).toBe(artifactClass)
})
