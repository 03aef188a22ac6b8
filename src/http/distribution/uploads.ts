import type { OutgoingHttpHeaders } from 'node:http'
import { isPlatformError } from '../../internal/platform-error.ts'
import { registryError } from '../../registry/errors.ts'
import type { AppendRequest, UploadSession } from '../../registry/types.ts'
import { parseRepositoryName, type Digest, type RepositoryName } from '../../values/index.ts'
import { valueError } from '../../values/errors.ts'
import { acceptBody } from '../request-meta.ts'
import { answer, contentLength } from './answer.ts'
import { parseContentRange } from './content-range.ts'
import type { Exchange } from './exchange.ts'
import { blobPath, uploadPath } from './path.ts'
import { pushing } from './pushing.ts'
import { digestAlgorithmParameter, digestParameter, singleParameter } from './query.ts'

/**
 * What a client should send at least in each chunk but the last. Smaller ones are taken as well; each of them costs a
 * request and a commit, which this much data outweighs.
 */
const chunkMinBytes = 64 * 1024

/** `POST <name>/blobs/uploads/`: a new session. */
export async function beginUpload(exchange: Exchange, repository: RepositoryName): Promise<void> {
  digestAlgorithmParameter(exchange.query)
  const session = await pushing(exchange, repository, () => exchange.registry.beginUpload(exchange.context, repository))
  await answer(exchange, 202, {
    ...sessionHeaders(repository, session),
    'OCI-Chunk-Min-Length': chunkMinBytes,
    'Content-Length': 0,
  })
}

/**
 * `POST …?mount=<digest>[&from=<name>]`: the blob of another repository that the caller may pull from, or a new
 * session. A source that does not exist, has no such blob or is not the caller's to read all look the same.
 */
export async function mountBlob(exchange: Exchange, repository: RepositoryName): Promise<void> {
  const { registry, context, query } = exchange
  const digest = digestParameter(query, 'mount')
  const source = await mountSource(exchange)
  if (digest !== undefined && source !== undefined) {
    const mount = (): Promise<boolean> => registry.mountBlob(context, repository, digest, source)
    if (await pushing(exchange, repository, mount)) {
      await answerCreated(exchange, repository, digest)
      return
    }
  }
  await beginUpload(exchange, repository)
}

type MountSource = Parameters<Exchange['registry']['mountBlob']>[3]

async function mountSource({ query, mayPullFrom }: Exchange): Promise<MountSource | undefined> {
  const name = singleParameter(query, 'from')
  if (name === undefined || name === '') return { anyReadable: mayPullFrom }
  const from = readableName(name)
  return from !== undefined && (await mayPullFrom(from)) ? { from } : undefined
}

/** A name that another registry might have is no reason to refuse the upload. */
function readableName(text: string): RepositoryName | undefined {
  try {
    return parseRepositoryName(text)
  } catch {
    return undefined
  }
}

/** `POST …?digest=<digest>`: a whole blob in one request. */
export async function uploadBlob(exchange: Exchange, repository: RepositoryName): Promise<void> {
  const { registry, context, response } = exchange
  const digest = requiredDigest(exchange)
  const last = bodyOf(exchange)
  const { id } = await pushing(exchange, repository, () => registry.beginUpload(context, repository))
  try {
    acceptBody(response)
    await registry.completeUpload(context, repository, id, { digest, last })
  } catch (error) {
    // The client never learned the session's name, so nobody could go on with it.
    await discard(exchange, repository, id)
    throw error
  }
  await answerCreated(exchange, repository, digest)
}

async function discard({ registry, context }: Exchange, repository: RepositoryName, uploadId: string): Promise<void> {
  try {
    await registry.cancelUpload(context, repository, uploadId)
  } catch {
    // It is gone already, or it expires like any abandoned one. What failed first is what counts.
  }
}

/** `GET <location>`: how far the session is. */
export async function getUpload(exchange: Exchange, repository: RepositoryName, uploadId: string): Promise<void> {
  const session = await exchange.registry.getUpload(exchange.context, repository, uploadId)
  await answer(exchange, 204, sessionHeaders(repository, session))
}

/** `PATCH <location>`: a chunk with `Content-Range`, or without it a stream that goes to the session's end. */
export async function appendUpload(exchange: Exchange, repository: RepositoryName, uploadId: string): Promise<void> {
  const { registry, context, response } = exchange
  const session = await withPosition(exchange, repository, uploadId, async () => {
    const body = bodyOf(exchange)
    if (body === undefined) return registry.getUpload(context, repository, uploadId)
    acceptBody(response)
    return registry.appendUpload(context, repository, uploadId, body)
  })
  await answer(exchange, 202, { ...sessionHeaders(repository, session), 'Content-Length': 0 })
}

/** `PUT <location>?digest=<digest>`: closes the session, after the last chunk or the whole blob where there is a body. */
export async function completeUpload(exchange: Exchange, repository: RepositoryName, uploadId: string): Promise<void> {
  const { registry, context, response } = exchange
  const digest = requiredDigest(exchange)
  await withPosition(exchange, repository, uploadId, () => {
    const last = bodyOf(exchange)
    if (last !== undefined) acceptBody(response)
    return registry.completeUpload(context, repository, uploadId, { digest, last })
  })
  await answerCreated(exchange, repository, digest)
}

/** `DELETE <location>` */
export async function cancelUpload(exchange: Exchange, repository: RepositoryName, uploadId: string): Promise<void> {
  await exchange.registry.cancelUpload(exchange.context, repository, uploadId)
  await answer(exchange, 204, {})
}

function requiredDigest(exchange: Exchange): Digest {
  const digest = digestParameter(exchange.query, 'digest')
  if (digest === undefined) {
    throw valueError('digest-invalid', `The parameter 'digest' is missing: the digest of the whole blob.`)
  }
  return digest
}

/**
 * The request's body as a chunk; undefined for a request without one.
 *
 * @throws `header-invalid`, `size-mismatch`
 */
function bodyOf({ request }: Exchange): AppendRequest | undefined {
  const lengthBytes = contentLength(request)
  if (lengthBytes === 0) return undefined
  const range = parseContentRange(request.headers['content-range'])
  if (range !== undefined && lengthBytes !== undefined && lengthBytes !== range.lengthBytes) {
    throw registryError('size-mismatch', 'Content-Range and Content-Length name different lengths.', {
      contentLength: lengthBytes,
      contentRange: `${range.offset}-${range.offset + range.lengthBytes - 1}`,
    })
  }
  return {
    body: request,
    ownsBody: true,
    expectedOffset: range?.offset,
    contentLengthBytes: lengthBytes ?? range?.lengthBytes,
  }
}

/** Tells a client that is out of step where to go on. OCI distribution-spec, "Pushing a blob in chunks". */
async function withPosition<Result>(
  exchange: Exchange,
  repository: RepositoryName,
  uploadId: string,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    if (isPlatformError(error, 'upload-range-invalid')) {
      const known = error.detail['sizeBytes']
      const session = { id: uploadId, sizeBytes: typeof known === 'number' ? known : 0 }
      if (!exchange.response.headersSent) {
        for (const [name, value] of Object.entries(sessionHeaders(repository, session))) {
          exchange.response.setHeader(name, value)
        }
      }
    }
    throw error
  }
}

function sessionHeaders(
  repository: RepositoryName,
  { id, sizeBytes }: Pick<UploadSession, 'id' | 'sizeBytes'>,
): Record<string, string> {
  return {
    Location: uploadPath(repository, id),
    // The position of the last byte. `0-0` stands for none as well as for one, which is how every registry says it.
    Range: `0-${Math.max(sizeBytes - 1, 0)}`,
    'Docker-Upload-UUID': id,
  }
}

async function answerCreated(exchange: Exchange, repository: RepositoryName, digest: Digest): Promise<void> {
  const headers: OutgoingHttpHeaders = {
    Location: blobPath(repository, digest),
    'Docker-Content-Digest': digest,
    'Content-Length': 0,
  }
  await answer(exchange, 201, headers)
}
