import { randomUUID } from 'node:crypto'
import { commandContext } from '../../src/registry/index.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { SeparateEvaluator, readImageLabels, type OpenConfig, explainImage, LifecyclePolicies, LifecyclePreviews, LifecycleRunner, RetentionPolicies, type Evaluator, type ImageExplanation, type Preview } from '../../src/lifecycle/index.ts'
import { findRepositoryRowById } from '../../src/storage/metadata/stores/repository-store.ts'
import { parseRepositoryName, parseTag, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { catalogueOf, withChildren, type KnownImage } from '../interleavings/images.ts'
import { startRegistry, type DatabaseKind, type RegistryFixture } from '../support/registry.ts'

export const dayMs = 24 * 60 * 60 * 1000
const intervalMs = 60 * 60 * 1000

/** A registry with everything that carries policies out, on a clock that stands still until it is moved. */
export interface LifecycleWorld {
  readonly fixture: RegistryFixture
  readonly evaluator: Evaluator
  readonly policies: LifecyclePolicies
  readonly retention: RetentionPolicies
  readonly previews: LifecyclePreviews
  readonly runner: LifecycleRunner
  /** An empty repository that no other test uses, and images to push to it. */
  newRepository(prefix?: string): Promise<{ name: RepositoryName; images: Record<string, KnownImage> }>
  push(name: RepositoryName, image: KnownImage, tag?: string): Promise<void>
  /** The digests there are, with their tags. */
  listed(name: RepositoryName): Promise<Map<Digest, readonly string[]>>
  /** Puts a policy, and lets the time pass until it is acted by. */
  put(name: RepositoryName, ...rules: object[]): Promise<void>
  sweep(): Promise<void>
  preview(name: RepositoryName, text?: string): Promise<Preview>
  explain(name: RepositoryName, digest: Digest): Promise<ImageExplanation>
  /** Does something when the next evaluation of a repository is over, and before anybody acts on it. */
  meanwhile(name: RepositoryName, work: () => Promise<unknown>): void
  stop(): Promise<void>
}

export interface WorldSettings {
  readonly confirmation?: boolean
  /** What looking at the clocks comes to. */
  readonly lookAtClocks?: (fixture: RegistryFixture) => Promise<unknown>
}

export async function startLifecycle(kind: DatabaseKind, settings: WorldSettings = {}): Promise<LifecycleWorld> {
  const fixture = await startRegistry(kind)
  const { database, clock, registry, context } = fixture
  const systemContext = () => ({ ...commandContext(context), actorArn: 'arn:aws:iam::stowage:system', protocol: 'system' })
  const errors: unknown[] = []
  const logger = { info: () => undefined, error: (problem: unknown) => errors.push(problem) }
  const owner = randomUUID()
  const policies = new LifecyclePolicies(database, { strict: false, intervalMs })
  const meanwhile = new Map<string, () => Promise<unknown>>()
  const evaluator = new PausedAfterwards(fixture.target, (repositoryId, signal) => {
    const openConfig: OpenConfig = (blob) => registry.openNamedBlob(blob)
    return readImageLabels({ database, openConfig, systemContext, logger: { warn: () => undefined } }, repositoryId, signal)
  }, async (repositoryId) => {
    const name = (await findRepositoryRowById(database.reader, repositoryId))?.name ?? ''
    const work = meanwhile.get(name)
    meanwhile.delete(name)
    await work?.()
  })
  const previews = new LifecyclePreviews({ database, evaluator, policies, systemContext, logger, owner, clock })
  const runner = new LifecycleRunner(
    { database, evaluator, ids: systemIds, clock, logger, owner, contextOf: systemContext, lookAtClocks: async () => { await settings.lookAtClocks?.(fixture) } },
    {
      intervalMs,
      trashRetentionMs: fixture.uploadDependencies.trashRetentionMs,
      caution: { isOn: settings.confirmation ?? false, maxSharePercent: 50, alwaysAllowed: 2 },
    },
  )
  let count = 0

  const world: LifecycleWorld = {
    fixture,
    evaluator,
    policies,
    retention: new RetentionPolicies(database, { intervalMs }),
    previews,
    runner,
    async newRepository(prefix = 'lifecycle') {
      count += 1
      const seed = `${kind}${count}`
      const name = parseRepositoryName(`${prefix}/${seed}`)
      await registry.createRepository(context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
      return { name, images: Object.fromEntries(catalogueOf(seed).images.map((image) => [image.name, image])) }
    },
    async push(name, image, tag) {
      for (const each of withChildren(image).reverse()) {
        for (const { bytes } of each.blobs) await fixture.upload(name, bytes)
        const reference = each === image && tag !== undefined ? ({ kind: 'tag', tag: parseTag(tag) } as const) : undefined
        await registry.putManifest(context, name, { bytes: each.bytes, declaredMediaType: each.mediaType, reference, via: 'oci' })
      }
    },
    async listed(name) {
      const { items } = await registry.describeImages(context, name, { filter: { tagStatus: 'ANY', imageStatus: 'ANY' }, page: { limit: 1000 } })
      return new Map(items.map(({ digest, tags }) => [digest, tags]))
    },
    async put(name, ...rules) {
      await policies.put(context, name, policyText(...rules))
      clock.advance(intervalMs)
    },
    async sweep() {
      await runner.sweep()
      if (errors.length > 0) throw new Error('something failed in the background', { cause: errors })
    },
    async preview(name, text) {
      await previews.start(context, name, text)
      for (;;) {
        const preview = await previews.get(context, name, { tagStatus: 'ANY', limit: 100 })
        if (preview.status !== 'IN_PROGRESS') return preview
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    },
    meanwhile: (name, work) => void meanwhile.set(name, work),
    explain: (name, digest) => explainImage(database, evaluator, context, name, { digest }),
    async stop() {
      await previews.stop()
      await runner.stop()
      await evaluator.stop()
      await fixture.stop()
    },
  }
  return world
}

/** The evaluations of the server, each followed by what a test wants to happen then. */
class PausedAfterwards extends SeparateEvaluator {
  readonly #afterwards: (repositoryId: number) => Promise<void>

  constructor(target: ConstructorParameters<typeof SeparateEvaluator>[0], prepare: ConstructorParameters<typeof SeparateEvaluator>[1], afterwards: (repositoryId: number) => Promise<void>) {
    super(target, prepare)
    this.#afterwards = afterwards
  }

  override async evaluate(...request: Parameters<SeparateEvaluator['evaluate']>): ReturnType<SeparateEvaluator['evaluate']> {
    const evaluated = await super.evaluate(...request)
    await this.#afterwards(request[0].repositoryId)
    return evaluated
  }
}

/** A policy of ECR's of these rules, each without its number and its action. */
export function policyText(...rules: object[]): string {
  const numbered = rules.map((selection, index) => ({
    rulePriority: index + 1,
    description: 'a rule of a test, described at such length that the policy has the hundred characters it needs',
    selection,
    action: { type: 'expire' },
  }))
  return JSON.stringify({ rules: numbered })
}

export const untaggedOlderThan = (days: number) => ({ tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: days })
export const anyOlderThan = (days: number) => ({ tagStatus: 'any', countType: 'sinceImagePushed', countUnit: 'days', countNumber: days })
export const taggedOlderThan = (pattern: string, days: number) => ({
  tagStatus: 'tagged',
  tagPatternList: [pattern],
  countType: 'sinceImagePushed',
  countUnit: 'days',
  countNumber: days,
})
export const newest = (count: number) => ({ tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: count })
