import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { createDistributionClient, type ClientRequest, type ClientResponse, type Credentials, type DistributionClient } from '../support/distribution-client.ts'
import { buildRandomImage, digestOf, withDigest, type Image } from '../support/images.ts'

export interface PushLoadOptions {
  /** Where each pusher sends its requests; asked again for each image, so that one can move to another server. */
  readonly urlOf: (pusher: number) => string
  readonly repository: string
  readonly auth: Credentials
  readonly pushers: number
  readonly seed: string
}

/** How long a pusher goes on repeating one request; longer than anything a test takes away for a while. */
const patienceMs = 60_000
const pauseMs = 50

/** An answer that a client can only give up on. */
class Refused extends Error {}

/**
 * Pushes small images, one after the other in each pusher, as a patient client does: a request that was answered with 503 is
 * sent again as it was, everything else than success ends that image and is kept in `refusals`.
 */
export class PushLoad {
  readonly acknowledged: Image[] = []
  /** Answers that were neither success nor "try again": a client gives up there. */
  readonly refusals: string[] = []
  /** Connections that the server cut or refused. */
  readonly cutOff: string[] = []
  /** Requests that were told to try again, by what they were. */
  readonly retried: string[] = []
  /** Upload sessions that were gone, and begun anew. */
  readonly lostSessions: string[] = []
  readonly #options: PushLoadOptions
  readonly #pushing: Promise<unknown>
  #stopping = false

  constructor(options: PushLoadOptions) {
    this.#options = options
    this.#pushing = Promise.all(Array.from({ length: options.pushers }, (_, pusher) => this.#pushOn(pusher)))
  }

  /** Resolves when this many images more have been acknowledged. */
  async progress(images: number, timeoutMs = patienceMs): Promise<void> {
    const wanted = this.acknowledged.length + images
    await expect.poll(() => this.acknowledged.length, { timeout: timeoutMs, interval: 10 }).toBeGreaterThanOrEqual(wanted)
  }

  /** Lets every pusher finish its image. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#pushing
  }

  async #pushOn(pusher: number): Promise<void> {
    for (let n = 0; !this.#stopping; n += 1) {
      const client = createDistributionClient(this.#options.urlOf(pusher), this.#options.auth)
      const image = buildRandomImage([3000], `${this.#options.seed} ${pusher} ${n}`)
      try {
        await this.#push(client, image, `p${pusher}-n${n}`)
        this.acknowledged.push(image)
      } catch (error) {
        if (error instanceof Refused) this.refusals.push(error.message)
        else this.cutOff.push(String(error))
        await sleep(pauseMs)
      } finally {
        client.close()
      }
    }
  }

  async #push(client: DistributionClient, image: Image, tag: string): Promise<void> {
    const { repository } = this.#options
    for (const blob of image.blobs) {
      // A session may be lost where the database went down without warning: then the blob begins anew.
      for (let isThere = false; !isThere; ) {
        const begun = await this.#patiently(client, 'POST', `/v2/${repository}/blobs/uploads/`, {}, [202])
        const put = await this.#patiently(client, 'PUT', withDigest(begun.headers.location ?? '', blob.digest), { body: blob.bytes }, [201, 404])
        isThere = put.status === 201
        if (!isThere) {
          expect(put.body.toString('utf8')).toContain('BLOB_UPLOAD_UNKNOWN')
          this.lostSessions.push(put.body.toString('utf8'))
        }
      }
    }
    const request = { headers: { 'content-type': image.manifest.mediaType }, body: image.manifest.bytes }
    await this.#patiently(client, 'PUT', `/v2/${repository}/manifests/${tag}`, request, [201])
  }

  async #patiently(client: DistributionClient, method: string, path: string, request: ClientRequest, wanted: readonly number[]): Promise<ClientResponse> {
    const deadline = performance.now() + patienceMs
    for (;;) {
      const answer = await client.request(method, path, request)
      if (wanted.includes(answer.status)) return answer
      const what = `${method} ${path.replace(/[0-9a-f-]{36}.*/u, '…')}: ${answer.status} ${answer.body.toString('utf8')}`
      if (answer.status !== 503 || answer.headers['retry-after'] === undefined || performance.now() > deadline) throw new Refused(what)
      this.retried.push(what)
      await sleep(pauseMs)
    }
  }
}

/** Reads every image back, down to its layers. */
export async function expectAllThere(url: string, auth: Credentials, repository: string, images: readonly Image[]): Promise<void> {
  const client = createDistributionClient(url, auth)
  try {
    for (const { manifest, blobs } of images) {
      const answer = await client.request('GET', `/v2/${repository}/manifests/${manifest.digest}`)
      expect(digestOf(answer.body)).toBe(manifest.digest)
      for (const blob of blobs) {
        expect(digestOf((await client.request('GET', `/v2/${repository}/blobs/${blob.digest}`)).body)).toBe(blob.digest)
      }
    }
  } finally {
    client.close()
  }
}
