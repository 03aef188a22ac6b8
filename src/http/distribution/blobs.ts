import type { OutgoingHttpHeaders } from 'node:http'
import { registryError } from '../../registry/errors.ts'
import type { BlobInfo, Registry } from '../../registry/types.ts'
import type { Digest } from '../../values/digest.ts'
import type { TransferShare } from '../../internal/fair-share.ts'
import type { IdSource } from '../../internal/ids.ts'
import type { RepositoryName } from '../../values/repository-name.ts'
import { answer, apiVersion, type HttpExchange } from './answer.ts'
import { selectRanges, type ByteRange } from './byte-ranges.ts'
import { entityTag, isNotModified, isRangeCurrent } from './conditional.ts'
import { distributionError } from './errors.ts'
import type { Exchange } from './exchange.ts'

/** A blob that was opened for a download. */
export type OpenedBlob = Awaited<ReturnType<Registry['openBlob']>>

/** What sending takes. */
interface Download extends HttpExchange {
  readonly share: TransferShare
}

const blobMediaType = 'application/octet-stream'

export async function getBlob(exchange: Exchange, repository: RepositoryName, digest: Digest): Promise<void> {
  const blob = await exchange.registry.openBlob(exchange.context, repository, digest)
  await sendBlob(exchange, blob, exchange.ids, exchange.downloadShare)
}

export async function headBlob(exchange: Exchange, repository: RepositoryName, digest: Digest): Promise<void> {
  const blob = await exchange.registry.statBlob(exchange.context, repository, digest)
  if (blob === undefined) throw registryError('blob-unknown', 'The blob is not known to the repository.', { digest })
  if (isNotModified(exchange.request.headers['if-none-match'], digest)) {
    await answer(exchange, 304, validators(digest))
    return
  }
  await answer(exchange, 200, wholeHeaders(blob))
}

export async function deleteBlob(exchange: Exchange, repository: RepositoryName, digest: Digest): Promise<void> {
  await exchange.registry.deleteBlob(exchange.context, repository, digest)
  await answer(exchange, 202, { 'Content-Length': 0 })
}

/**
 * Sends a blob, or the ranges of it that the request asks for, and closes it. The bytes go out as they are stored: no
 * `Content-Encoding` is ever applied, since digest and ranges are those of the stored bytes.
 *
 * @param share whose turns and memory it takes
 * @throws `range-unsatisfiable`, `ranges-excessive`; while sending, what the blob's `pump` throws
 */
export async function sendBlob(http: HttpExchange, blob: OpenedBlob, ids: IdSource, share: TransferShare): Promise<void> {
  const exchange = { ...http, share }
  try {
    const { headers, method } = exchange.request
    if (isNotModified(headers['if-none-match'], blob.digest)) {
      await answer(exchange, 304, validators(blob.digest))
      return
    }
    if (method === 'HEAD') {
      await answer(exchange, 200, wholeHeaders(blob))
      return
    }
    const wanted = isRangeCurrent(headers['if-range']?.toString(), blob.digest) ? headers.range : undefined
    const selection = selectRanges(wanted, blob.sizeBytes)
    switch (selection.kind) {
      case 'whole':
        await sendWhole(exchange, blob)
        return
      case 'partial':
        if (selection.ranges.length === 1) await sendRange(exchange, blob, selection.ranges[0]!)
        else await sendRanges(exchange, blob, selection.ranges, ids)
        return
      case 'unsatisfiable':
        throw distributionError('range-unsatisfiable', 'The range lies outside the blob.', { sizeBytes: blob.sizeBytes })
      case 'excessive':
        throw distributionError('ranges-excessive', 'Too many ranges in one request. Ask for fewer.')
    }
  } finally {
    await blob.content.close()
  }
}

async function sendWhole(exchange: Download, blob: OpenedBlob): Promise<void> {
  await sendParts(exchange, blob, 200, wholeHeaders(blob), [{ start: 0, endExclusive: blob.sizeBytes }])
}

async function sendRange(exchange: Download, blob: OpenedBlob, range: ByteRange): Promise<void> {
  await sendParts(
    exchange,
    blob,
    206,
    {
      ...blobHeaders(blob.digest),
      'Content-Type': blobMediaType,
      'Content-Length': range.endExclusive - range.start,
      'Content-Range': contentRange(range, blob),
    },
    [range],
  )
}

/** RFC 9110 §15.3.7.2: the ranges in the order they were asked for, as parts of one multipart body. */
async function sendRanges(
  exchange: Download,
  blob: OpenedBlob,
  ranges: readonly ByteRange[],
  ids: IdSource,
): Promise<void> {
  // Random, so that no blob can hold the line that ends a part.
  const boundary = ids.bytes(16).toString('hex')
  const parts = ranges.map((range) => ({
    ...range,
    head: `\r\n--${boundary}\r\nContent-Type: ${blobMediaType}\r\nContent-Range: ${contentRange(range, blob)}\r\n\r\n`,
  }))
  const tail = `\r\n--${boundary}--\r\n`
  const sizeBytes = parts.reduce((sum, { head, start, endExclusive }) => sum + head.length + endExclusive - start, 0)
  await sendParts(
    exchange,
    blob,
    206,
    {
      ...blobHeaders(blob.digest),
      'Content-Type': `multipart/byteranges; boundary=${boundary}`,
      'Content-Length': sizeBytes + tail.length,
    },
    parts,
    tail,
  )
}

interface Part extends ByteRange {
  /** Written before the bytes. */
  readonly head?: string
}

async function sendParts(
  { response, share }: Download,
  blob: OpenedBlob,
  status: number,
  headers: OutgoingHttpHeaders,
  parts: readonly Part[],
  tail?: string,
): Promise<void> {
  if (response.destroyed) return
  response.writeHead(status, { ...apiVersion, ...headers })
  // The response closes with its connection, which ends the sending; nothing else calls it off.
  const { signal } = new AbortController()
  for (const { head, start, endExclusive } of parts) {
    if (head !== undefined) response.write(head)
    if (endExclusive > start) await blob.content.pump(response, { start, endExclusive }, signal, share)
  }
  response.end(tail)
}

function contentRange({ start, endExclusive }: ByteRange, { sizeBytes }: BlobInfo): string {
  return `bytes ${start}-${endExclusive - 1}/${sizeBytes}`
}

function wholeHeaders({ digest, sizeBytes }: BlobInfo): OutgoingHttpHeaders {
  return { ...blobHeaders(digest), 'Content-Type': blobMediaType, 'Content-Length': sizeBytes }
}

function blobHeaders(digest: Digest): OutgoingHttpHeaders {
  return {
    'Docker-Content-Digest': digest,
    'Accept-Ranges': 'bytes',
    'X-Content-Type-Options': 'nosniff',
    ...validators(digest),
  }
}

/** What a digest names never changes, but it is for whoever may read it: only the client's own cache may keep it. */
function validators(digest: Digest): OutgoingHttpHeaders {
  return { ETag: entityTag(digest), 'Cache-Control': 'private, max-age=31536000, immutable' }
}
