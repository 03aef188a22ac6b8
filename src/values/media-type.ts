import { isAlphanumeric } from './characters.ts'

/** The media types that mean something to the registry. Every other one is stored and served as it came. */
export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  /** The two bytes `{}`, where a descriptor is required and there is nothing to say. */
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociNondistributableLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  ociNondistributableLayerGzip: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  ociNondistributableLayerZstd: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  /** From a release candidate of image-spec 1.1; older clients still push it. */
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerForeignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
  /** The config that BuildKit lists among the entries of a cache index, beside layers. */
  buildkitCacheConfig: 'application/vnd.buildkit.cacheconfig.v0',
} as const

/** RFC 6838 §4.2: at most 127 characters on each side of the slash. */
const maxNameLength = 127

/** What RFC 6838 §4.2 allows in a name beside letters and digits. */
const namePunctuation = '!#$&-^_.+'

/** An OCI index or a Docker manifest list. */
export function isIndexMediaType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerManifestList
}

/** A document whose form the registry knows and checks: image manifest, index or artifact manifest. */
export function isManifestMediaType(mediaType: string): boolean {
  return (
    mediaType === mediaTypes.ociManifest ||
    mediaType === mediaTypes.dockerManifest ||
    mediaType === mediaTypes.ociArtifact ||
    isIndexMediaType(mediaType)
  )
}

/** Docker's first image format, which names its layers without media types or sizes. */
export function isSchema1MediaType(mediaType: string): boolean {
  return mediaType.startsWith('application/vnd.docker.distribution.manifest.v1+')
}

/** A layer that is not expected to be pushed: Docker's foreign and OCI's non-distributable ones, however compressed. */
export function isForeignLayerMediaType(mediaType: string): boolean {
  return (
    mediaType.startsWith('application/vnd.oci.image.layer.nondistributable.') ||
    mediaType.startsWith('application/vnd.docker.image.rootfs.foreign.')
  )
}

/** True for `type/subtype` of RFC 6838 §4.2, without parameters: what may go into a header as it is. */
export function isMediaType(text: string): boolean {
  const slash = text.indexOf('/')
  return slash !== -1 && isRestrictedName(text, 0, slash) && isRestrictedName(text, slash + 1, text.length)
}

function isRestrictedName(text: string, start: number, end: number): boolean {
  if (start === end || end - start > maxNameLength || !isAlphanumeric(text.charCodeAt(start))) return false
  for (let at = start + 1; at < end; at++) {
    if (!isAlphanumeric(text.charCodeAt(at)) && !namePunctuation.includes(text.charAt(at))) return false
  }
  return true
}
