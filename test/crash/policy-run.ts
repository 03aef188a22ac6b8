import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { expect } from 'vitest'
import { isChangeBody, type TrailBody } from '../../src/audit/trail-record.ts'
import type { MetadataTarget } from '../../src/storage/metadata/migrate.ts'
import { Exchange, type Login } from '../authorization/exchange.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { digestOf, pushImage, type Image } from '../support/images.ts'
import { tamper } from '../support/registry.ts'
import type { Stowage } from '../support/start-stowage.ts'

/** Runs are made when they are asked for, and wait for nobody. */
export const settingsOfRuns = { STOWAGE_LIFECYCLE_INTERVAL_MS: '0', STOWAGE_LIFECYCLE_CONFIRMATION: 'false' }

const policy = JSON.stringify({
  rules: [{ rulePriority: 1, description: 'Keep the newest image only, whatever its tags are', selection: { tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: 1 }, action: { type: 'expire' } }],
})

const pushedAtOnce = 8
const patienceMs = 60_000

interface Event {
  readonly 'detail-type': string
  readonly detail: Readonly<Record<string, unknown>>
}

interface Progress {
  readonly status: string
  readonly expired: number
}

/** A repository of which a policy keeps one image, and the run that carries it out. */
export class PolicyRun {
  readonly #name: string
  readonly #target: MetadataTarget
  readonly #login: Login
  #digests: readonly string[] = []

  constructor(name: string, metadata: { readonly dataDir: string; readonly databaseUrl: string | undefined }, login: Login) {
    this.#name = name
    this.#target = metadata.databaseUrl === undefined ? { file: join(metadata.dataDir, 'stowage.db') } : { url: metadata.databaseUrl }
    this.#login = login
  }

  /** Makes the repository with so many images, and puts the policy. */
  async prepare(stowage: Stowage, image: Image, count: number): Promise<void> {
    await this.#call(stowage, 'ecr', 'AmazonEC2ContainerRegistry_V20150921.CreateRepository', { repositoryName: this.#name })
    await pushImage({ url: stowage.url, repository: this.#name, auth: stowage.credentials }, image, 'first')
    const digests = [image.manifest.digest]
    const client = createDistributionClient(stowage.url, stowage.credentials)
    const push = async (tag: string): Promise<void> => {
      const body = Buffer.from(JSON.stringify({ ...(JSON.parse(image.manifest.bytes.toString()) as object), annotations: { of: this.#name, tag } }))
      const { status } = await client.request('PUT', `/v2/${this.#name}/manifests/${tag}`, { headers: { 'content-type': image.manifest.mediaType }, body })
      expect(status).toBe(201)
      digests.push(digestOf(body))
    }
    const tags = Array.from({ length: count - 2 }, (_, n) => `old-${n}`).values()
    await Promise.all(
      Array.from({ length: pushedAtOnce }, async () => {
        for (const tag of tags) await push(tag)
      }),
    )
    await push('newest')
    client.close()
    this.#digests = digests
    await this.#call(stowage, 'ecr', 'AmazonEC2ContainerRegistry_V20150921.PutLifecyclePolicy', { repositoryName: this.#name, lifecyclePolicyText: policy })
  }

  /** How many images the run has to expire. */
  get planned(): number {
    return this.#digests.length - 1
  }

  async start(stowage: Stowage): Promise<void> {
    await this.#call(stowage, 'stowage', 'Stowage_V1.StartLifecycleRun', { repositoryName: this.#name })
  }

  async end(): Promise<void> {
    await expect.poll(() => this.#progress(), { timeout: patienceMs, interval: 20 }).toEqual({ status: 'done', expired: this.planned })
  }

  /** Starts the run and kills the server while it carries it out. False: the run was over before. */
  async kill(stowage: Stowage): Promise<boolean> {
    await this.start(stowage)
    const endsAt = Date.now() + patienceMs
    while ((await this.expired()) === 0) {
      if (Date.now() > endsAt) throw new Error('the run has not begun')
      await delay(1)
    }
    stowage.kill('SIGKILL')
    await stowage.exited
    return (await this.expired()) < this.planned
  }

  /** What nobody speaks for any longer is taken over after five minutes: they are over. */
  async passLease(): Promise<void> {
    await tamper(this.#target, 'update lifecycle_state set leased_until = 1 where leased_until is not null')
  }

  /** The audit trail and the events say what happened, each thing once. */
  check(trail: readonly TrailBody[], events: readonly Event[]): void {
    const isOfIt = ({ detail }: { readonly detail: Readonly<Record<string, unknown>> }): boolean => [detail['repositoryName'], detail['repository-name']].includes(this.#name)
    const changes = trail.filter(isChangeBody).map(({ change }) => change).filter(isOfIt)
    const executions = changes.filter(({ action }) => action === 'PolicyExecutionEvent')
    const digests = (part: string): unknown[] =>
      executions.flatMap(({ detail }) => detail[part] as readonly { readonly lifecycleEventImage: { readonly digest: string } }[]).map(({ lifecycleEventImage }) => lifecycleEventImage.digest)
    const [expired, failed] = [digests('lifecycleEventImageActions'), digests('lifecycleEventFailureDetails')]
    const kept = this.#digests.filter((digest) => !expired.includes(digest))
    expect([kept.length, failed]).toEqual([1, []])
    expect(expired.toSorted()).toEqual(this.#digests.filter((digest) => !kept.includes(digest)).toSorted())
    const runs = changes.filter(({ action }) => action === 'LifecycleRun')
    expect(runs.map(({ detail }) => [detail['status'], detail['expired'], detail['failed']])).toEqual([['done', this.planned, 0]])
    const runId = runs[0]!.detail['runId']
    expect(new Set(executions.map(({ detail }) => detail['runId']))).toEqual(new Set([runId]))
    const asked = trail.flatMap((body) => (isChangeBody(body) ? [] : (body.changes ?? []))).filter(isOfIt)
    expect(asked.filter(({ action }) => action === 'PutLifecyclePolicy')).toHaveLength(1)

    const told = events.filter(isOfIt)
    const imagesOf = (type: string, action: string): unknown[] => told.filter((event) => event['detail-type'] === type && event.detail['action-type'] === action).map(({ detail }) => detail['image-digest'])
    expect(imagesOf('Stowage Lifecycle Action', 'EXPIRE').toSorted()).toEqual(expired.toSorted())
    expect(imagesOf('ECR Image Action', 'DELETE').toSorted()).toEqual(expired.toSorted())
    expect(told.filter((event) => event['detail-type'] === 'Stowage Lifecycle Run').map(({ detail }) => [detail['run-id'] ?? detail['runId'], detail['status'], detail['expired']])).toEqual([[runId, 'done', this.planned]])
  }

  /** How many images are expired so far. */
  async expired(): Promise<number> {
    return (await this.#progress())?.expired ?? 0
  }

  /** Of what the server did by itself: what has not come into the audit trail. */
  async waitingRecords(): Promise<number> {
    const row = await this.#firstRow<{ count: number | string }>("select count(*) as count from audit_record where protocol = 'system'")
    return Number(row?.count)
  }

  /** How many of its events there are to come. */
  get eventCount(): number {
    return 2 * this.planned + 2
  }

  /** As the database has it; undefined before the run. */
  async #progress(): Promise<Progress | undefined> {
    const row = await this.#firstRow<{ status: string; summary: string }>(
      `select status, summary from lifecycle_run where repository_id = (select id from repository where name = '${this.#name}')`,
    )
    return row && { status: row.status, expired: (JSON.parse(row.summary) as { expired?: number }).expired ?? 0 }
  }

  /** Behind the server's back: it need not be there. */
  async #firstRow<Row>(sql: string): Promise<Row | undefined> {
    if ('file' in this.#target) {
      const file = new DatabaseSync(this.#target.file, { readOnly: true, timeout: 10_000 })
      try {
        return file.prepare(sql).get() as Row | undefined
      } finally {
        file.close()
      }
    }
    const client = new pg.Client({ connectionString: this.#target.url })
    await client.connect()
    try {
      return (await client.query(sql)).rows[0] as Row | undefined
    } finally {
      await client.end()
    }
  }

  async #call(stowage: Stowage, service: 'ecr' | 'stowage', target: string, input: object): Promise<void> {
    const exchange = new Exchange(stowage.url)
    const { status, body } = await exchange.send({ protocol: 'json', service, target, input }, this.#login)
    exchange.close()
    expect(status, body).toBe(200)
  }
}
