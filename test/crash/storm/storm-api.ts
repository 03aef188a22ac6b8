import {
  BatchDeleteImageCommand,
  CompleteLayerUploadCommand,
  ECRClient,
  ECRServiceException,
  InitiateLayerUploadCommand,
  PutImageCommand,
  UploadLayerPartCommand,
} from '@aws-sdk/client-ecr'
import { createDistributionClient, type ClientRequest, type ClientResponse, type DistributionClient } from '../../support/distribution-client.ts'
import type { Stowage } from '../../support/start-stowage.ts'
import type { Ledger } from './ledger.ts'

/** The server went away before it answered. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered'
}

/** An answer that no client should ever get from a healthy server; the ledger has it. */
export class Unexpected extends Error {
  override readonly name = 'Unexpected'
}

/** The parts of the SDK's answers and commands that the storm uses. */
type EcrCommand =
  | BatchDeleteImageCommand
  | CompleteLayerUploadCommand
  | InitiateLayerUploadCommand
  | PutImageCommand
  | UploadLayerPartCommand

/** A client's connections to one run of the server: keeps the ledger's account of what was sent and answered. */
export class StormApi {
  readonly #client: DistributionClient
  readonly #ecr: ECRClient
  readonly #ledger: Ledger
  readonly #isKilled: () => boolean

  constructor(stowage: Stowage, ledger: Ledger, isKilled: () => boolean) {
    this.#client = createDistributionClient(stowage.url, stowage.credentials)
    this.#ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys, maxAttempts: 1 })
    this.#ledger = ledger
    this.#isKilled = isKilled
  }

  close(): void {
    this.#client.close()
    this.#ecr.destroy()
  }

  /** @throws Unanswered, and Unexpected for a status that is none of `expected`. */
  async send(method: string, path: string, expected: readonly number[], request: ClientRequest = {}): Promise<ClientResponse> {
    let response: ClientResponse
    try {
      response = await this.#client.request(method, path, request)
    } catch (error) {
      throw this.#unanswered(`${method} ${path}`, error)
    }
    if (expected.includes(response.status)) return response
    return this.unexpected(`${method} ${path} was answered ${response.status} ${response.body.toString().slice(0, 300)}`)
  }

  /** As `send`, for what changes something and so leaves an audit row when it was done. */
  async change(method: string, path: string, expected: readonly number[], request: ClientRequest = {}): Promise<ClientResponse> {
    const response = await this.send(method, path, expected, request)
    if (response.status < 300) this.#ledger.acknowledge(String(response.headers['x-request-id']), `${method} ${path}`)
    return response
  }

  async initiateLayerUpload(repositoryName: string): Promise<string> {
    const { uploadId } = await this.#call(new InitiateLayerUploadCommand({ repositoryName }))
    return String(uploadId)
  }

  async uploadLayerPart(repositoryName: string, uploadId: string, bytes: Buffer): Promise<void> {
    const part = { partFirstByte: 0, partLastByte: bytes.length - 1, layerPartBlob: bytes }
    await this.#call(new UploadLayerPartCommand({ repositoryName, uploadId, ...part }))
  }

  async completeLayerUpload(repositoryName: string, uploadId: string, digest: string): Promise<'completed' | 'exists'> {
    const command = new CompleteLayerUploadCommand({ repositoryName, uploadId, layerDigests: [digest] })
    const answer = await this.#call(command, ['LayerAlreadyExistsException'])
    if (answer.$failed !== undefined) return 'exists'
    this.#acknowledgeCall(answer, 'CompleteLayerUpload')
    return 'completed'
  }

  async putImage(repositoryName: string, manifest: { bytes: Buffer; mediaType: string }, imageTag: string): Promise<void> {
    const command = new PutImageCommand({
      repositoryName,
      imageManifest: manifest.bytes.toString(),
      imageManifestMediaType: manifest.mediaType,
      imageTag,
    })
    const answer = await this.#call(command, ['ImageAlreadyExistsException'])
    if (answer.$failed === undefined) this.#acknowledgeCall(answer, 'PutImage')
  }

  /** False when there was no such image or tag. */
  async batchDeleteImage(repositoryName: string, imageId: { imageDigest?: string; imageTag?: string }): Promise<boolean> {
    const answer = await this.#call(new BatchDeleteImageCommand({ repositoryName, imageIds: [imageId] }))
    const failure = (answer['failures'] as { failureCode?: string }[] | undefined)?.[0]?.failureCode
    if (failure === 'ImageNotFound') return false
    if (failure !== undefined) return this.unexpected(`BatchDeleteImage of ${JSON.stringify(imageId)} failed: ${failure}`)
    this.#acknowledgeCall(answer, 'BatchDeleteImage')
    return true
  }

  unexpected(what: string): never {
    this.#ledger.violation(what)
    throw new Unexpected(what)
  }

  async #call(command: EcrCommand, allowed: readonly string[] = []): Promise<Record<string, unknown> & { $failed?: string }> {
    const name = command.constructor.name
    try {
      return { ...(await this.#ecr.send(command as PutImageCommand)) }
    } catch (error) {
      if (!(error instanceof ECRServiceException) || error.$metadata.httpStatusCode === undefined) throw this.#unanswered(name, error)
      if (allowed.includes(error.name)) return { $failed: error.name }
      return this.unexpected(`${name} was answered ${error.name}: ${error.message}`)
    }
  }

  #acknowledgeCall(answer: Record<string, unknown>, what: string): void {
    const { requestId } = answer['$metadata'] as { requestId?: string }
    this.#ledger.acknowledge(requestId, what)
  }

  #unanswered(what: string, error: unknown): Unanswered {
    this.#ledger.counts.unanswered += 1
    if (!this.#isKilled()) this.#ledger.violation(`${what} had no answer, and nobody had killed the server: ${String(error)}`)
    return new Unanswered(what)
  }
}
