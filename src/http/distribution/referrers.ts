import type { ReferrerDescriptor } from '../../registry/types.ts'
import type { Digest } from '../../values/digest.ts'
import { mediaTypes } from '../../values/media-type.ts'
import type { RepositoryName } from '../../values/repository-name.ts'
import { answer } from './answer.ts'
import type { Exchange } from './exchange.ts'
import { nextPage } from './listings.ts'
import { artifactTypeParameter, pageParameters } from './query.ts'

/**
 * The answer is an index, and clients read at most 4 MiB of one. Descriptors carry the annotations of their manifests,
 * so a page ends where the next descriptor would not fit.
 */
const maxPageBytes = 3 * 1024 * 1024

/** Descriptors asked for at a time: annotations are large at worst, and what does not fit was read for nothing. */
const maxPageItems = 100

/**
 * OCI distribution-spec, "Listing Referrers". A subject that nobody knows has no referrers; a 404 would make clients
 * give up on this API for the whole repository.
 */
export async function listReferrers(exchange: Exchange, repository: RepositoryName, subject: Digest): Promise<void> {
  const { registry, context, query } = exchange
  const artifactType = artifactTypeParameter(query)
  const window = pageParameters(query)
  const { after } = window
  // What is archived cannot be pulled.
  const filter = { artifactTypes: artifactType === undefined ? undefined : [artifactType], status: 'ACTIVE' } as const
  const pageItems = Math.min(Math.max(window.limit, 1), maxPageItems)
  let limit = pageItems
  let page = await registry.listReferrers(context, repository, subject, { ...filter, page: { limit, after } })
  let texts = fitting(page.items)
  // Where the next page starts is known only for whole pages, so a cut one is asked for again in its own length.
  while (texts.length < page.items.length) {
    limit = texts.length
    page = await registry.listReferrers(context, repository, subject, { ...filter, page: { limit, after } })
    texts = fitting(page.items)
  }
  const body = Buffer.from(
    `{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":[${texts.join(',')}]}`,
  )
  await answer(
    exchange,
    200,
    {
      'Content-Type': mediaTypes.ociIndex,
      'Content-Length': body.length,
      ...(artifactType === undefined ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
      ...nextPage(`/v2/${repository}/referrers/${subject}`, pageItems, page.next, artifactType === undefined ? {} : { artifactType }),
    },
    body,
  )
}

/** As many descriptors, written out, as fit into a page; always one, so that a listing comes to its end. */
function fitting(descriptors: readonly ReferrerDescriptor[]): string[] {
  const texts: string[] = []
  let sizeBytes = 0
  for (const descriptor of descriptors) {
    const text = JSON.stringify(wireDescriptor(descriptor))
    sizeBytes += Buffer.byteLength(text) + 1
    if (texts.length > 0 && sizeBytes > maxPageBytes) break
    texts.push(text)
  }
  return texts
}

function wireDescriptor(descriptor: ReferrerDescriptor): Record<string, unknown> {
  const { mediaType, digest, sizeBytes, artifactType, annotations } = descriptor
  return {
    mediaType,
    digest,
    size: sizeBytes,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  }
}
