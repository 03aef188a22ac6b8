import type { Logger } from 'pino'
import { readRepository } from '../registry/change.ts'
import { commandContext, type RequestContext } from '../registry/context.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import {
  findPreview,
  previewPageAfter,
  previewPageWith,
  type PreviewRow,
} from '../storage/metadata/stores/lifecycle-preview-store.ts'
import { findManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import { findRepositoryRowById } from '../storage/metadata/stores/repository-store.ts'
import { findTag } from '../storage/metadata/stores/tag-store.ts'
import { type Digest, type RepositoryName, type Tag } from '../values/index.ts'
import { beginPreview, finishPreview, savePreviewPages } from './commands/previews.ts'
import { lifecycleError } from './errors.ts'
import type { Evaluator, PolicyText } from './evaluator.ts'
import { policiesOf, type LifecyclePolicies } from './policies.ts'
import { readResults, type PreviewPage, type PreviewSummary, type StoredResult } from './preview-pages.ts'
import type { Decision } from './policy/index.ts'

/** Whoever works at a preview says so this often; one that nobody speaks for any longer has failed. */
const leaseMs = 60_000
const keepIntervalMs = 15_000
export interface PreviewResult {
  readonly digest: Digest
  readonly tags: readonly Tag[]
  readonly pushedAt: number
  readonly action: Decision['action']
  readonly rule: number
  readonly storageClass: 'STANDARD' | 'ARCHIVE'
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

export interface PreviewDependencies {
  readonly database: MetadataDatabase
  readonly policies: LifecyclePolicies
  readonly evaluator: Evaluator
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
  readonly #underWay = new Set<Promise<void>>()

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
    const { text: normal } = policies.parse(document)
    const until = clock.now() + leaseMs
    const { previewId, repositoryId } = await database.execute(beginPreview, { name, document, owner, until }, commandContext(context))
    const work = this.#work(previewId, repositoryId, context.registry.accountId, normal).finally(() => this.#underWay.delete(work))
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
    await Promise.allSettled(this.#underWay)
  }

  async #work(previewId: number, repositoryId: number, account: string, document: string): Promise<void> {
    const { database, evaluator, owner, clock, systemContext, logger } = this.#deps
    const lost = new AbortController()
    const save = (pages: readonly PreviewPage[]): Promise<boolean> =>
      database.execute(savePreviewPages, { previewId, owner, until: clock.now() + leaseMs, pages }, systemContext())
    const keeping = setInterval(() => {
      // A failure may pass; if none gets through, the lease runs out.
      save([]).then((isKept) => { if (!isKept) lost.abort(new Error('the preview was begun again')) }, () => undefined)
    }, keepIntervalMs)
    keeping.unref()
    let failure: string | null = null
    let summary: PreviewSummary | null = null
    try {
      const signal = AbortSignal.any([this.#stop.signal, lost.signal])
      const request = { repositoryId, account, policies: await this.#policies(repositoryId, document), nowMs: clock.now() }
      summary = await evaluator.preview(request, async (pages) => {
        await save(pages)
      }, signal)
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error)
      if (!this.#stop.signal.aborted && !lost.signal.aborted) logger.error({ err: error }, 'a lifecycle preview failed')
    } finally {
      clearInterval(keeping)
    }
    try {
      await database.execute(finishPreview, { previewId, repositoryId, owner, failure, summary: summary === null ? null : JSON.stringify(summary) }, systemContext())
    } catch (error) {
      logger.error({ err: error }, 'the end of a lifecycle preview could not be noted')
    }
  }

  /** The one that is tried, in the place of the repository's own, beside all others that the repository is under. */
  async #policies(repositoryId: number, document: string): Promise<PolicyText[]> {
    const { reader } = this.#deps.database
    const repository = await findRepositoryRowById(reader, repositoryId)
    const others = repository === undefined ? [] : (await policiesOf(reader, repository)).filter(({ grammar }) => grammar !== 'ecr')
    return [{ grammar: 'ecr', document }, ...others]
  }

  async #page(previewId: number, { tagStatus, limit, after }: PreviewQuery): Promise<Pick<Preview, 'results' | 'next'>> {
    const { reader } = this.#deps.database
    const results: PreviewResult[] = []
    let position = after === undefined ? 0 : Number(after)
    let page = (await previewPageWith(reader, previewId, position)) ?? (await previewPageAfter(reader, previewId, position))
    while (page !== undefined) {
      const stored = readResults(page)
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
      const found = page === undefined ? undefined : readResults(page).find(([manifestId]) => manifestId === id)
      if (found && isWanted(found, tagStatus)) results.set(id, toResult(found))
    }
    return [...results.values()]
  }
}

function statusOf({ status, leasedUntil }: PreviewRow, now: number): Preview['status'] {
  if (status === 'IN_PROGRESS' && (leasedUntil ?? 0) < now) return 'FAILED'
  return status as Preview['status']
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
