import type { Logger } from 'pino'
import { readRepository } from '../registry/change.ts'
import { commandContext, type RequestContext } from '../registry/context.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { tagsOf } from '../storage/metadata/stores/image-kin.ts'
import {
  findPreview,
  imageSummaries,
  previewPageAfter,
  previewPageWith,
  type PreviewRow,
} from '../storage/metadata/stores/lifecycle-preview-store.ts'
import { findManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import { findTag } from '../storage/metadata/stores/tag-store.ts'
import { digestFromBytes, type Digest, type RepositoryName, type Tag } from '../values/index.ts'
import { beginPreview, finishPreview, savePreviewPage } from './commands/previews.ts'
import { lifecycleError } from './errors.ts'
import { evaluateRepository } from './evaluate-repository.ts'
import type { LifecyclePolicies } from './policies.ts'
import type { Decision } from './policy/index.ts'

/** Whoever works at a preview says so this often; one that nobody speaks for any longer has failed. */
const leaseMs = 60_000
const keepIntervalMs = 15_000
/** Results kept together: a page of the API is at most a tenth. */
const resultsPerPage = 1000
/** Evaluations at a time; others wait their turn. */
const maxRunning = 2

export interface PreviewResult {
  readonly digest: Digest
  readonly tags: readonly Tag[]
  readonly pushedAt: number
  readonly action: Decision['action']
  readonly rule: number
  readonly storageClass: 'STANDARD' | 'ARCHIVE'
}

export interface PreviewSummary {
  readonly expire: number
  readonly transition: number
}

export interface Preview {
  readonly document: string
  readonly status: 'IN_PROGRESS' | 'COMPLETE' | 'FAILED'
  readonly summary: PreviewSummary | undefined
  readonly results: readonly PreviewResult[]
  /** Where the following page begins. */
  readonly next: string | undefined
}

export interface PreviewQuery {
  readonly tagStatus: 'TAGGED' | 'UNTAGGED' | 'ANY'
  /** Only these images, all in one answer. */
  readonly images?: readonly { readonly digest?: Digest | undefined; readonly tag?: Tag | undefined }[] | undefined
  readonly limit: number
  readonly after?: string | undefined
}

/** A result as it is kept: short, since there may be a million. */
type StoredResult = readonly [id: number, digest: string, tags: readonly string[], pushedAt: number, storageClass: string, action: 0 | 1, rule: number]

export interface PreviewDependencies {
  readonly database: MetadataDatabase
  readonly policies: LifecyclePolicies
  readonly systemContext: () => CommandContext
  readonly logger: Pick<Logger, 'error'>
  /** Names this process. */
  readonly owner: string
  readonly clock: { now(): number }
}

/**
 * What a policy would do to a repository, found out by the evaluation that also acts. A repository has one preview, its last.
 * Amazon ECR API reference, StartLifecyclePolicyPreview and GetLifecyclePolicyPreview.
 */
export class LifecyclePreviews {
  readonly #deps: PreviewDependencies
  readonly #stop = new AbortController()
  readonly #waiting: (() => void)[] = []
  readonly #underWay = new Set<Promise<void>>()
  #running = 0

  constructor(deps: PreviewDependencies) {
    this.#deps = deps
  }

  /**
   * Begins a preview of the text, or of the repository's own policy without one, and answers which it is. Throws
   * `repository-unknown`, `policy-invalid`, `lifecycle-policy-unknown`, `preview-in-progress`.
   */
  async start(context: RequestContext, name: RepositoryName, text: string | undefined): Promise<string> {
    const { database, policies, owner, clock } = this.#deps
    const document = text ?? (await policies.get(context, name)).document
    const { policy } = policies.parse(document)
    const until = clock.now() + leaseMs
    const { previewId, repositoryId } = await database.execute(beginPreview, { name, document, owner, until }, commandContext(context))
    const work = this.#work(previewId, repositoryId, policy).finally(() => this.#underWay.delete(work))
    this.#underWay.add(work)
    return document
  }

  /** Throws `repository-unknown`, `preview-unknown`. */
  async get(context: RequestContext, name: RepositoryName, query: PreviewQuery): Promise<Preview> {
    const { reader } = this.#deps.database
    const { id: repositoryId } = await readRepository(reader, { registryId: context.registry.id, accountId: context.registry.accountId }, name)
    const row = await findPreview(reader, repositoryId)
    if (!row) throw lifecycleError('preview-unknown', 'There is no dry run for this repository.')
    const status = statusOf(row, context.clock.now())
    const shown = { document: row.document, status, summary: row.summary === null ? undefined : (JSON.parse(row.summary) as PreviewSummary) }
    if (status !== 'COMPLETE') return { ...shown, results: [], next: undefined }
    if (query.images !== undefined) return { ...shown, results: await this.#named(repositoryId, row.id, query), next: undefined }
    return { ...shown, ...(await this.#page(row.id, query)) }
  }

  /** Ends what is under way: its previews have failed. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the server stops'))
    for (const go of this.#waiting.splice(0)) go()
    await Promise.allSettled(this.#underWay)
  }

  async #work(previewId: number, repositoryId: number, policy: Parameters<typeof evaluateRepository>[1]['policies'][number]): Promise<void> {
    const { database, owner, clock, systemContext, logger } = this.#deps
    const lost = new AbortController()
    const save = (page?: { firstManifestId: number; results: Uint8Array }): Promise<boolean> =>
      database.execute(savePreviewPage, { previewId, owner, until: clock.now() + leaseMs, page }, systemContext())
    const keeping = setInterval(() => {
      // A failure may pass; if none gets through, the lease runs out.
      save().then((isKept) => { if (!isKept) lost.abort(new Error('the preview was begun again')) }, () => undefined)
    }, keepIntervalMs)
    keeping.unref()
    let failure: string | null = null
    let summary: PreviewSummary | null = null
    try {
      await this.#turn()
      const signal = AbortSignal.any([this.#stop.signal, lost.signal])
      const { decisions } = await evaluateRepository(database.reader, { repositoryId, policies: [policy], nowMs: clock.now(), signal })
      let waiting: Decision[] = []
      for (const decision of decisions) {
        waiting.push(decision)
        if (waiting.length < resultsPerPage) continue
        signal.throwIfAborted()
        await save(await this.#storedPage(waiting))
        waiting = []
      }
      if (waiting.length > 0) await save(await this.#storedPage(waiting))
      summary = { expire: decisions.expireCount, transition: decisions.transitionCount }
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error)
      if (!this.#stop.signal.aborted && !lost.signal.aborted) logger.error({ err: error }, 'a lifecycle preview failed')
    } finally {
      clearInterval(keeping)
      this.#endTurn()
    }
    try {
      await database.execute(finishPreview, { previewId, owner, failure, summary: summary === null ? null : JSON.stringify(summary) }, systemContext())
    } catch (error) {
      logger.error({ err: error }, 'the end of a lifecycle preview could not be noted')
    }
  }

  async #turn(): Promise<void> {
    if (this.#running < maxRunning) {
      this.#running += 1
      return
    }
    await new Promise<void>((go) => this.#waiting.push(go))
  }

  /** Whoever waits longest has the turn that ends here. */
  #endTurn(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#running -= 1
  }

  async #storedPage(decisions: readonly Decision[]): Promise<{ firstManifestId: number; results: Uint8Array }> {
    const { reader } = this.#deps.database
    const ids = decisions.map(({ manifestId }) => manifestId)
    const rows = new Map((await imageSummaries(reader, ids)).map((row) => [row.id, row]))
    const tags = Map.groupBy(await tagsOf(reader, ids), ({ id }) => id)
    const results = decisions.flatMap(({ manifestId, action, rule }): StoredResult[] => {
      const row = rows.get(manifestId)
      if (!row) return []
      const names = (tags.get(manifestId) ?? []).map(({ tag }) => tag).sort()
      return [[manifestId, digestFromBytes(row.digest), names, row.pushedAt, row.storageClass, action === 'expire' ? 0 : 1, rule]]
    })
    return { firstManifestId: ids[0]!, results: Buffer.from(JSON.stringify(results)) }
  }

  async #page(previewId: number, { tagStatus, limit, after }: PreviewQuery): Promise<Pick<Preview, 'results' | 'next'>> {
    const { reader } = this.#deps.database
    const results: PreviewResult[] = []
    let position = after === undefined ? 0 : Number(after)
    let page = (await previewPageWith(reader, previewId, position)) ?? (await previewPageAfter(reader, previewId, position))
    while (page !== undefined) {
      const stored = readPage(page)
      for (const result of stored) {
        if (result[0] <= position) continue
        if (!isWanted(result, tagStatus)) continue
        if (results.length === limit) return { results, next: String(position) }
        results.push(toResult(result))
        position = result[0]
      }
      position = Math.max(position, stored.at(-1)?.[0] ?? position)
      page = await previewPageAfter(reader, previewId, position)
    }
    return { results, next: undefined }
  }

  async #named(repositoryId: number, previewId: number, { images = [], tagStatus }: PreviewQuery): Promise<PreviewResult[]> {
    const { reader } = this.#deps.database
    const results = new Map<number, PreviewResult>()
    for (const { digest, tag } of images) {
      const target = tag === undefined ? undefined : await findTag(reader, repositoryId, tag)
      if (tag !== undefined && (target === undefined || (digest !== undefined && target.digest !== digest))) continue
      const wanted = digest ?? target?.digest
      const id = target?.manifestId ?? (wanted === undefined ? undefined : (await findManifestRow(reader, repositoryId, wanted))?.id)
      if (id === undefined) continue
      const page = await previewPageWith(reader, previewId, id)
      const found = page === undefined ? undefined : readPage(page).find(([manifestId]) => manifestId === id)
      if (found && isWanted(found, tagStatus)) results.set(id, toResult(found))
    }
    return [...results.values()]
  }
}

function statusOf({ status, leasedUntil }: PreviewRow, now: number): Preview['status'] {
  if (status === 'IN_PROGRESS' && (leasedUntil ?? 0) < now) return 'FAILED'
  return status as Preview['status']
}

/** Written by this class alone. */
function readPage(results: Uint8Array): StoredResult[] {
  return JSON.parse(Buffer.from(results).toString()) as StoredResult[]
}

function isWanted([, , tags]: StoredResult, tagStatus: PreviewQuery['tagStatus']): boolean {
  return tagStatus === 'ANY' || (tagStatus === 'TAGGED') === tags.length > 0
}

function toResult([, digest, tags, pushedAt, storageClass, action, rule]: StoredResult): PreviewResult {
  return {
    digest: digest as Digest,
    tags: tags as Tag[],
    pushedAt,
    action: action === 0 ? 'expire' : 'transition',
    rule,
    storageClass: storageClass === 'archived' ? 'ARCHIVE' : 'STANDARD',
  }
}
