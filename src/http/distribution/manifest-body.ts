import type { IncomingMessage } from 'node:http'
import { maxManifestBytes, registryError } from '../../registry/index.ts'
import { storageError } from '../../storage/errors.ts'
import { acceptBody } from '../request-meta.ts'
import { contentLength, type HttpExchange } from './answer.ts'
import { distributionError } from './errors.ts'

/** Memory for manifests that are being received, all requests together: sixteen of the largest, thousands of usual ones. */
const maxBytesInFlight = 64 * 1024 * 1024

/** Receives manifests into memory. */
export interface ManifestBodies {
  /**
   * The whole body. Reads at most `maxManifestBytes`, whatever length the sender states.
   *
   * @throws `manifest-too-large`, `body-aborted`, `busy` while too many others are being received
   */
  read(exchange: HttpExchange): Promise<Buffer>
}

/** One for all requests of a server, since they share its memory. */
export function createManifestBodies(): ManifestBodies {
  let bytesInFlight = 0

  return {
    async read({ request, response }) {
      if ((contentLength(request) ?? 0) > maxManifestBytes) throw tooLarge()
      acceptBody(response)
      const chunks: Buffer[] = []
      let sizeBytes = 0
      try {
        for await (const chunk of bodyOf(request)) {
          sizeBytes += chunk.length
          bytesInFlight += chunk.length
          if (sizeBytes > maxManifestBytes) throw tooLarge()
          if (bytesInFlight > maxBytesInFlight) {
            throw distributionError('busy', 'Too many manifests are being pushed at the same time. Try again.')
          }
          chunks.push(chunk)
        }
        return Buffer.concat(chunks, sizeBytes)
      } finally {
        bytesInFlight -= sizeBytes
      }
    },
  }
}

/** The body's pieces. Leaving early does not close the connection, on which the refusal still has to go out. */
async function* bodyOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    yield* request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
  } catch (error) {
    throw storageError('body-aborted', 'The connection ended before the manifest did.', { cause: error })
  }
}

function tooLarge(): Error {
  return registryError('manifest-too-large', `A manifest has at most ${maxManifestBytes} bytes.`, {
    maxBytes: maxManifestBytes,
  })
}
