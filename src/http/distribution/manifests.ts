import type { OutgoingHttpHeaders } from 'node:http'
import { deletingAsAllowed } from '../../registry/delete-as-allowed.ts'
import type { BlockedPulls, StoredManifest } from '../../registry/types.ts'
import type { Reference } from '../../values/reference.ts'
import type { RepositoryName } from '../../values/repository-name.ts'
import { answer } from './answer.ts'
import { entityTag, isNotModified } from './conditional.ts'
import type { Exchange } from './exchange.ts'
import { manifestPath } from './path.ts'
import { pushing } from './pushing.ts'
import { digestParameter, tagParameters } from './query.ts'

/**
 * A manifest is served as it was pushed, in the media type it was pushed as, whatever `Accept` says: a converted one
 * would have another digest, and a client that cannot read it says so better than a 406 does.
 */
export async function getManifest(exchange: Exchange, repository: RepositoryName, reference: Reference): Promise<void> {
  const manifest = await exchange.registry.getManifest(exchange.context, repository, reference, blockedPulls(exchange, repository))
  if (isNotModified(exchange.request.headers['if-none-match'], manifest.digest)) {
    await answer(exchange, 304, unmodifiedHeaders(manifest))
    return
  }
  await answer(exchange, 200, manifestHeaders(manifest), manifest.bytes)
}

export async function headManifest(exchange: Exchange, repository: RepositoryName, reference: Reference): Promise<void> {
  const manifest = await exchange.registry.headManifest(exchange.context, repository, reference, blockedPulls(exchange, repository))
  if (isNotModified(exchange.request.headers['if-none-match'], manifest.digest)) {
    await answer(exchange, 304, unmodifiedHeaders(manifest))
    return
  }
  await answer(exchange, 200, manifestHeaders(manifest))
}

export async function putManifest(exchange: Exchange, repository: RepositoryName, reference: Reference): Promise<void> {
  const tags = tagParameters(exchange.query)
  const expectedDigest = digestParameter(exchange.query, 'digest')
  const bytes = await exchange.manifestBodies.read(exchange)
  const manifest = {
    bytes,
    declaredMediaType: exchange.request.headers['content-type'],
    reference,
    tags,
    expectedDigest,
    via: 'oci',
  } as const
  const stored = await pushing(exchange, repository, () => exchange.registry.putManifest(exchange.context, repository, manifest))
  await answer(exchange, 201, {
    Location: manifestPath(repository, stored.digest),
    'Docker-Content-Digest': stored.digest,
    // Without it a client keeps the list of referrers itself, under a tag of its own.
    ...(stored.subject === undefined ? {} : { 'OCI-Subject': stored.subject }),
    ...(tags.length === 0 ? {} : { 'OCI-Tag': stored.tags.join(', ') }),
    'Content-Length': 0,
  })
}

/** A tag is removed alone; a digest takes the manifest and every tag that points at it. */
export async function deleteManifest(
  exchange: Exchange,
  repository: RepositoryName,
  reference: Reference,
): Promise<void> {
  const { registry, context } = exchange
  if (reference.kind === 'tag') {
    await registry.deleteTag(context, repository, reference.tag)
  } else {
    const { digest } = reference
    const remove = (): Promise<void> =>
      registry.deleteManifest(context, repository, { digest, knownTags: exchange.knownTags() })
    await deletingAsAllowed(remove, exchange.requireRightsAnew)
  }
  await answer(exchange, 202, { 'Content-Length': 0 })
}

function blockedPulls({ mayPullBlocked }: Exchange, repository: RepositoryName): BlockedPulls {
  return { mayPullBlocked: () => mayPullBlocked(repository) }
}

/**
 * What the image's owner has to say, in the form of OCI distribution-spec 1.1, "Warnings": clients may show it. Anything but
 * ASCII would be read as something else.
 */
function warning(notice: string | undefined): OutgoingHttpHeaders {
  if (notice === undefined) return {}
  const text = notice.replaceAll(/[^\x20-\x7e]/gu, '?').replaceAll(/["\\]/gu, (sign) => `\\${sign}`)
  return { Warning: `299 - "${text}"` }
}

function manifestHeaders({ digest, mediaType, sizeBytes, notice }: StoredManifest): OutgoingHttpHeaders {
  return {
    'Content-Type': mediaType,
    'Content-Length': sizeBytes,
    'Docker-Content-Digest': digest,
    ETag: entityTag(digest),
    // The media type is the pusher's choice, `text/html` included: no browser is to show it as a page of this host.
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "default-src 'none'; sandbox",
    ...warning(notice),
  }
}

function unmodifiedHeaders({ digest, notice }: StoredManifest): OutgoingHttpHeaders {
  return { 'Docker-Content-Digest': digest, ETag: entityTag(digest), ...warning(notice) }
}
