import { TagHistory, type TagWrite } from './tag-history.ts'

/** `unknown`: the last request about it had no answer, so it is there or not, but as a whole. */
export type Presence = 'present' | 'absent' | 'unknown'

/** How a blob's bytes are made again; a storm of hundreds of rounds could not keep them. */
export interface BlobRecipe {
  readonly seed: string
  readonly sizeBytes: number
  readonly digest: string
}

export interface ImageRecord {
  readonly repository: string
  readonly digest: string
  readonly mediaType: string
  readonly manifestBytes: Buffer
  readonly blobs: readonly BlobRecipe[]
  /** Only its owner pushes and deletes it, one request after the other; tags are everybody's. */
  readonly owner: number
  readonly ownTag: string
  /** True once it may have had a tag beside its own. */
  isShared: boolean
  presence: Presence
  /** It was not there, and the push that names both it and its own tag had no answer: they come together or not at all. */
  arrivesWithTag: boolean
  changedInRound: number
}

/** A blob of no image. */
export interface BlobRecord {
  readonly repository: string
  readonly blob: BlobRecipe
  readonly owner: number
  presence: Presence
  changedInRound: number
}

/** All that the clients of a storm have been told, and what was wrong with it. */
export class Ledger {
  round = 0
  readonly images: ImageRecord[] = []
  readonly blobs: BlobRecord[] = []
  /** Ids of requests that changed something and were acknowledged, since the audit rows were last looked at. */
  unauditedRequests: string[] = []
  readonly violations: string[] = []
  readonly counts = { acknowledged: 0, unanswered: 0, reads: 0, resumed: 0 }
  readonly #tags = new Map<string, TagHistory>()
  #events = 0

  tick(): number {
    this.#events += 1
    return this.#events
  }

  violation(what: string): void {
    this.violations.push(`round ${this.round}: ${what}`)
  }

  acknowledge(requestId: string | undefined, what: string): void {
    this.counts.acknowledged += 1
    if (requestId === undefined) this.violation(`${what} was answered without a request id`)
    else this.unauditedRequests.push(requestId)
  }

  tag(repository: string, name: string): TagHistory {
    const key = `${repository}:${name}`
    let history = this.#tags.get(key)
    if (history === undefined) {
      history = new TagHistory()
      this.#tags.set(key, history)
    }
    return history
  }

  /** Every tag of a repository that was ever written, by its name. */
  tagsOf(repository: string): Map<string, TagHistory> {
    const prefix = `${repository}:`
    return new Map(
      [...this.#tags].flatMap(([key, history]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), history]] : [])),
    )
  }

  beginSet(repository: string, name: string, digest: string): TagWrite {
    return this.tag(repository, name).begin({ kind: 'set', digest, sentAt: this.tick() })
  }

  beginRemove(repository: string, name: string): TagWrite {
    return this.tag(repository, name).begin({ kind: 'remove', sentAt: this.tick() })
  }

  /** An image's deletion takes with it whatever tags point at it by then. */
  beginImageRemoval(image: ImageRecord, sharedTags: readonly string[]): TagWrite[] {
    const sentAt = this.tick()
    const names = image.isShared ? [image.ownTag, ...sharedTags] : [image.ownTag]
    return names.map((name) =>
      this.tag(image.repository, name).begin({ kind: 'remove-image', digest: image.digest, sentAt }),
    )
  }

  end(...writes: TagWrite[]): void {
    const answeredAt = this.tick()
    for (const write of writes) write.answeredAt = answeredAt
  }
}
