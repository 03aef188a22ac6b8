import type { ArtifactClass } from './image-facts.ts'

export interface ArtifactFacts {
  /** As the manifest was parsed: `image`, `index` or `other`. */
  readonly kind: 'image' | 'index' | 'other'
  readonly mediaType: string
  readonly artifactType: string | undefined
  readonly configMediaType: string | undefined
  readonly tags: readonly string[]
  /** Of an index: it lists blobs and no manifest, as BuildKit's caches do. */
  readonly listsOnlyBlobs?: boolean | undefined
}

/** Types of manifests, configs and predicates, by how they begin; the first that fits decides. */
const byType: readonly (readonly [prefix: string, artifactClass: ArtifactClass])[] = [
  ['application/vnd.buildkit.cacheconfig.', 'cache'],
  ['application/vnd.cncf.helm.', 'chart'],
  ['application/vnd.dev.cosign.artifact.sig.', 'signature'],
  ['application/vnd.dev.cosign.simplesigning.', 'signature'],
  ['application/vnd.cncf.notary.signature', 'signature'],
  ['application/vnd.cncf.notary.v2.signature', 'signature'],
  ['application/vnd.dev.sigstore.bundle', 'signature'],
  ['application/vnd.dev.cosign.artifact.sbom.', 'sbom'],
  ['application/spdx', 'sbom'],
  ['text/spdx', 'sbom'],
  ['application/vnd.cyclonedx', 'sbom'],
  ['application/vnd.syft', 'sbom'],
  ['application/vnd.in-toto', 'attestation'],
  ['application/vnd.dsse.envelope', 'attestation'],
]

/** Cosign's tags of what belongs to the image with this digest, where a registry has no referrers. */
const cosignTag = /^sha256-[0-9a-f]{64}\.(?<suffix>sig|sbom|att)$/u

const bySuffix: Readonly<Record<string, ArtifactClass>> = { sig: 'signature', sbom: 'sbom', att: 'attestation' }

/** Configs of what runs as a container. */
const imageConfigs = new Set(['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json'])

/**
 * What a manifest is: what runs is `image` or `index`; caches of builds, charts, signatures, bills of materials and
 * attestations are known by their types, and those of older cosign, which look like images, by their tags.
 */
export function artifactClassOf({ kind, mediaType, artifactType, configMediaType, tags, listsOnlyBlobs }: ArtifactFacts): ArtifactClass {
  for (const type of [artifactType, configMediaType, mediaType]) {
    const known = type === undefined ? undefined : byType.find(([prefix]) => type.startsWith(prefix))
    if (known !== undefined) return known[1]
  }
  if (tags.length > 0) {
    const suffixes = tags.map((tag) => cosignTag.exec(tag)?.groups?.['suffix'])
    const [first] = suffixes
    if (first !== undefined && suffixes.every((suffix) => suffix === first)) return bySuffix[first] ?? 'other'
  }
  if (kind === 'index' && listsOnlyBlobs === true) return 'cache'
  if (kind === 'index') return artifactType === undefined ? 'index' : 'other'
  if (kind === 'other') return 'other'
  // An image's config is its artifact type where it declares none.
  return configMediaType !== undefined && imageConfigs.has(configMediaType) && (artifactType === undefined || imageConfigs.has(artifactType))
    ? 'image'
    : 'other'
}
