import { isPlatformError } from '../../src/internal/platform-error.ts'
import { blobPromiseMs } from '../../src/storage/metadata/stores/review-queue.ts'
import { parseTag, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { bytesOf } from '../support/registry.ts'
import { withChildren, type Catalogue, type KnownImage } from './images.ts'
import type { History } from './history.ts'
import type { Chance, Turns } from './turns.ts'
import type { World } from './world.ts'

/** What an action works on. */
export interface Scene {
  readonly world: World
  readonly catalogue: Catalogue
  readonly history: History
  readonly turns: Turns
  readonly chance: Chance
  /** The name of the source that says what runs. */
  readonly source: string
  readonly nextSnapshot: () => number
  readonly theme: Theme
}

/** What happens most in a history, so that it meets itself: of anything at all each thing happens too seldom. */
export type Theme = 'policies' | 'collection' | 'anything'

/** Something a client or the server does: chosen and filled in before the history begins, so that a seed says it all. */
export interface Action {
  readonly says: string
  run(scene: Scene): Promise<void>
}

const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const

/** Ends quietly with one of these refusals: what a client may well meet beside others. */
async function unless<Result>(codes: readonly string[], work: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await work()
  } catch (error) {
    if (codes.some((code) => isPlatformError(error, code))) return undefined
    throw error
  }
}

const gone = ['repository-unknown'] as const

export function push(repository: RepositoryName, image: KnownImage, tag: string | undefined, style: PushStyle): Action {
  return {
    says: `push ${image.name} to ${repository} as ${tag ?? 'nothing'} (${style})`,
    async run(scene) {
      // Hours may pass in the middle of an upload, which then expires.
      await unless(['repository-unknown', 'manifest-child-unknown', 'upload-unknown'], async () => {
        for (const each of withChildren(image).reverse()) await pushOne(scene, repository, each, each === image ? tag : undefined, style)
      })
    },
  }
}

export type PushStyle = 'upload' | 'ask' | 'mount'
export const pushStyles: readonly PushStyle[] = ['upload', 'ask', 'mount']

async function pushOne(scene: Scene, repository: RepositoryName, image: KnownImage, tag: string | undefined, style: PushStyle): Promise<void> {
  const { world, turns, history } = scene
  const { registry } = world.process
  const began = turns.time
  const beganMs = world.fixture.clock.now()
  // Without an end until there is one: a kill leaves it open.
  const attempt = { repository, image, began, ended: Number.POSITIVE_INFINITY }
  history.attempts.push(attempt)
  const reference = tag === undefined ? undefined : ({ kind: 'tag', tag: parseTag(tag) } as const)
  try {
    for (const blob of image.blobs) await pushBlob(scene, repository, blob, style)
    await registry.putManifest(world.context, repository, { bytes: image.bytes, declaredMediaType: image.mediaType, reference, via: 'oci' })
  } catch (error) {
    // The client was told that each blob is there, which holds for an hour; sooner, only losing the whole repository excuses this.
    const isPromised = world.fixture.clock.now() - beganMs < blobPromiseMs
    if (isPlatformError(error, 'manifest-blob-unknown') && isPromised && !history.mayBeGone(repository, everything, began, turns.time)) {
      history.broken.push(`${image.name} was refused for a blob that ${repository} had a moment before`)
    }
    if (isPlatformError(error, 'manifest-blob-unknown')) return
    throw error
  } finally {
    attempt.ended = turns.time
  }
  history.puts.push({ repository, image, began, ended: turns.time })
}

/** A client that uploads an image's blobs, and never comes back to push the manifest. */
export function uploadOnly(repository: RepositoryName, image: KnownImage): Action {
  return {
    says: `upload the blobs of ${image.name} to ${repository}`,
    async run(scene) {
      const { history, turns } = scene
      history.attempts.push({ repository, image, began: turns.time, ended: Number.POSITIVE_INFINITY })
      await unless(['repository-unknown', 'upload-unknown'], async () => {
        for (const blob of image.blobs) await pushBlob(scene, repository, blob, 'upload')
      })
    },
  }
}

/** Stands for all of a repository: met only by removals that take whatever there is. */
const everything = { name: 'everything' } as KnownImage

async function pushBlob({ world }: Scene, repository: RepositoryName, blob: { digest: Digest; bytes: Buffer }, style: PushStyle): Promise<void> {
  const { registry } = world.process
  const { context } = world
  if (style === 'ask' && (await registry.statBlob(context, repository, blob.digest))) return
  if (style === 'mount' && (await registry.mountBlob(context, repository, blob.digest, { anyReadable: () => Promise.resolve(true) }))) return
  const { id } = await registry.beginUpload(context, repository)
  await registry.completeUpload(context, repository, id, { digest: blob.digest, last: { body: bytesOf(blob.bytes) } })
}

/** The image, what it lists, and what refers to any of them, known or not: what may go with it. */
export function mayGoWith(catalogue: Catalogue, image: KnownImage): Set<KnownImage> {
  const going = new Set(withChildren(image))
  for (let size = -1; size !== going.size; ) {
    size = going.size
    for (const other of catalogue.images) if (other.subject && going.has(other.subject)) going.add(other)
  }
  return going
}

/** As `mayGoWith`, and with what lists any of them: all that an erasure may take. */
function mayBeErasedWith(catalogue: Catalogue, image: KnownImage): Set<KnownImage> {
  const lists = (parent: KnownImage, going: ReadonlySet<KnownImage>): boolean => parent.children.some((child) => going.has(child))
  const going = new Set([image])
  for (let size = -1; size !== going.size; ) {
    size = going.size
    for (const parent of catalogue.images) if (lists(parent, going)) going.add(parent)
  }
  return new Set([...going].flatMap((each) => [...mayGoWith(catalogue, each)]))
}

/** A secret was found in an image: it goes for good, from one repository or from all. */
export function erase(repository: RepositoryName, image: KnownImage, everywhere: boolean): Action {
  return {
    says: `erase ${image.name} from ${everywhere ? 'everywhere' : repository}`,
    async run({ world, history, catalogue, turns }) {
      const began = turns.time
      const places = everywhere ? catalogue.repositories : [repository]
      // Its layers too are nobody's any more, whoever was told that they are there.
      const removals = places.map((place) => history.removing(place, new Set([...mayBeErasedWith(catalogue, image), everything]), began))
      const input = { name: repository, images: [image.digest], layers: [], everywhere, reason: 'a secret', overrideProtection: false, dryRun: false }
      const done = await unless([...gone, 'manifest-unknown', 'image-protected'], () => world.process.erasures.erase(world.context, input))
      for (const removal of removals) removal.ended = turns.time
      if (!done) return
      for (const { digest, bytes, namedBy, isNamedElsewhere } of done.blobs) {
        if (everywhere && bytes === 'kept' && namedBy.length === 0 && !isNamedElsewhere && !history.isSentSince(digest, began)) {
          history.broken.push(`the bytes of ${digest} were not erased with ${image.name}, though nothing else names them`)
        }
      }
      const blobs = done.blobs.filter(({ bytes }) => bytes === 'erased').map(({ digest }) => digest)
      history.erasures.push({ repositories: places, image, blobs, began })
    },
  }
}

/** An image is retired: pullers are warned, or refused, and in the end it goes to the trash. */
export function retire(repository: RepositoryName, image: KnownImage, state: 'deprecated' | 'blocked', trashedInHours: number | undefined): Action {
  return {
    says: `retire ${image.name} of ${repository}: ${state}${trashedInHours === undefined ? '' : `, trashed in ${trashedInHours} hours`}`,
    async run({ world }) {
      const steps = trashedInHours === undefined ? [] : [{ state: 'trashed' as const, at: world.fixture.clock.now() + trashedInHours * 60 * 60 * 1000 }]
      const retirement = { state, reason: 'it is old', replacedBy: undefined, steps }
      await unless([...gone, 'manifest-unknown'], () => world.process.registry.setImageRetirement(world.context, repository, { digest: image.digest }, retirement))
    },
  }
}

/** The steps of retirements that are due are taken. */
export function takeRetirementSteps(): Action {
  return {
    says: 'take the steps of retirements',
    async run({ world, history, turns, catalogue }) {
      const removals = catalogue.repositories.map((repository) => history.removing(repository, new Set(catalogue.images), turns.time))
      await world.process.retirementSteps.look()
      for (const removal of removals) removal.ended = turns.time
    },
  }
}

export function deleteByDigest(repository: RepositoryName, image: KnownImage): Action {
  return {
    says: `delete ${image.name} from ${repository}`,
    async run({ world, history, catalogue, turns }) {
      const removal = history.removing(repository, mayGoWith(catalogue, image), turns.time)
      await unless(gone, () => world.process.registry.deleteImages(world.context, repository, [{ digest: image.digest }]))
      removal.ended = turns.time
    },
  }
}

export function deleteByTag(repository: RepositoryName, tag: string): Action {
  return {
    says: `delete ${tag} of ${repository}`,
    async run({ world, history, turns, catalogue }) {
      const removal = history.removing(repository, new Set(catalogue.images), turns.time)
      await unless(gone, () => world.process.registry.deleteImages(world.context, repository, [{ tag: parseTag(tag) }]))
      removal.ended = turns.time
    },
  }
}

export function untag(repository: RepositoryName, tag: string): Action {
  return {
    says: `take ${tag} away from ${repository}`,
    async run({ world }) {
      await unless([...gone, 'tag-unknown', 'image-protected'], () => world.process.registry.deleteTag(world.context, repository, parseTag(tag)))
    },
  }
}

export function deleteRepository(repository: RepositoryName): Action {
  return {
    says: `delete ${repository} and make it anew`,
    async run({ world, history, turns }) {
      const removal = history.removing(repository, undefined, turns.time)
      await unless([...gone, 'repository-protected'], () => world.process.registry.deleteRepository(world.context, repository, { force: true }))
      await unless(['repository-exists'], () => world.process.registry.createRepository(world.context, { name: repository, ...settings }))
      removal.ended = turns.time
    },
  }
}

export async function makeRepositories({ world, catalogue }: Pick<Scene, 'world' | 'catalogue'>): Promise<void> {
  for (const name of catalogue.repositories) {
    await unless(['repository-exists'], () => world.process.registry.createRepository(world.context, { name, ...settings }))
  }
}

export function pull(repository: RepositoryName, image: KnownImage): Action {
  return {
    says: `pull ${image.name} from ${repository}`,
    async run({ world, history, turns }) {
      const { registry } = world.process
      const began = turns.time
      const reference = { kind: 'digest', digest: image.digest } as const
      const found = await unless(['repository-unknown', 'manifest-unknown', 'image-blocked', 'image-archived'], () => registry.getManifest(world.context, repository, reference))
      if (!found) return
      for (const { digest, bytes } of image.blobs) {
        const blob = await unless(['repository-unknown', 'blob-unknown'], () => registry.openBlob(world.context, repository, digest))
        if (!blob) {
          if (!history.mayBeGone(repository, image, began, turns.time)) history.broken.push(`${image.name} of ${repository} was pulled, and had no ${digest}`)
          return
        }
        const chunks = []
        try {
          for await (const chunk of blob.content.read()) chunks.push(chunk)
        } finally {
          await blob.content.close()
        }
        if (!Buffer.concat(chunks).equals(bytes)) history.broken.push(`${digest} of ${repository} was served with other bytes`)
      }
    },
  }
}

/** Batches of the trash that can still be brought back, of the catalogue's repositories. */
export async function batchesInTrash(world: World, catalogue: Pick<Catalogue, 'repositories'>): Promise<string[]> {
  const { reader } = world.fixture.database
  const rows = await reader.query(
    reader.builder
      .selectFrom('trash_batch')
      .innerJoin('repository', 'repository.id', 'trash_batch.repository_id')
      .select('trash_batch.id')
      .where('repository.name', 'in', catalogue.repositories)
      .where('trash_batch.restored_at', 'is', null)
      .where('trash_batch.purge_after', '>', world.fixture.clock.now())
      // Of the whole repositories first: what lies beneath them comes after.
      .orderBy('trash_batch.kind', 'desc')
      .orderBy('trash_batch.created_at', 'desc')
      .orderBy('trash_batch.id'),
  )
  return rows.map(({ id }) => id)
}

/** What a restoration may meet: somebody was quicker, or took the name. */
const unrestorable = ['trash-unknown', 'repository-trashed', 'repository-exists'] as const

export function restore(fraction: number): Action {
  return {
    says: 'restore a batch',
    async run({ world, catalogue, history }) {
      const batches = await batchesInTrash(world, catalogue)
      const batch = batches[Math.floor(fraction * batches.length)]
      if (batch === undefined) return
      const outcome = await unless(unrestorable, () => world.process.registry.restoreTrash(world.context, batch))
      for (const { digest, reason } of outcome?.notRestored ?? []) history.broken.push(`${digest} could not be restored: ${reason}`)
    },
  }
}

/** Brings back all that can be. */
export async function restoreEverything({ world, catalogue, history }: Pick<Scene, 'world' | 'catalogue' | 'history'>): Promise<void> {
  for (const batch of await batchesInTrash(world, catalogue)) {
    const outcome = await unless(unrestorable, () => world.process.registry.restoreTrash(world.context, batch))
    for (const { digest, reason } of outcome?.notRestored ?? []) history.broken.push(`${digest} could not be restored at last: ${reason}`)
  }
}

/** Puts an image into the archive, with what goes with it. */
export function archive(repository: RepositoryName, image: KnownImage): Action {
  return {
    says: `archive ${image.name} of ${repository}`,
    async run({ world, history, catalogue, turns }) {
      const hiding = history.hiding(repository, mayGoWith(catalogue, image), turns.time)
      await unless([...gone, 'manifest-unknown', 'storage-class-unsupported'], () => world.process.registry.updateStorageClass(world.context, repository, { digest: image.digest }, 'ARCHIVE'))
      hiding.ended = turns.time
    },
  }
}

export function activate(repository: RepositoryName, image: KnownImage): Action {
  return {
    says: `bring ${image.name} of ${repository} back from the archive`,
    async run({ world }) {
      await unless([...gone, 'manifest-unknown', 'storage-class-unsupported'], () => world.process.registry.updateStorageClass(world.context, repository, { digest: image.digest }, 'STANDARD'))
    },
  }
}

/** Bytes are moved to where they belong, and what waits for them becomes active. */
export function moveToArchive(): Action {
  return {
    says: 'move bytes to and from the archive',
    run: ({ world }) => world.process.archivist.work(),
  }
}

/** Garbage collection, as the server does it now and then; or another server with the same database. */
export function collect(which: 'collector' | 'otherCollector' = 'collector'): Action {
  return {
    says: which === 'collector' ? 'collect garbage' : 'collect garbage as another server',
    run: ({ world }) => world.process[which].collect(),
  }
}

/** What was deleted last is to go at once, and not when its time in the trash is over. */
export function purgeTrash(repository: RepositoryName): Action {
  return {
    says: `end the newest batch in the trash of ${repository}`,
    async run({ world }) {
      const [batch] = await batchesInTrash(world, { repositories: [repository] })
      if (batch !== undefined) await unless([...gone, 'trash-unknown'], () => world.process.registry.purgeTrash(world.context, repository, batch))
    },
  }
}

/** A client deletes a blob that no image of the repository uses, whoever was told that it is there. */
export function deleteBlob(repository: RepositoryName, { digest }: { digest: Digest }): Action {
  return {
    says: `delete ${digest.slice(0, 15)} from ${repository}`,
    async run({ world, history, turns }) {
      const removal = history.removing(repository, new Set([everything]), turns.time)
      await unless([...gone, 'blob-unknown', 'blob-referenced'], () => world.process.registry.deleteBlob(world.context, repository, digest))
      removal.ended = turns.time
    },
  }
}

/** What was stopped in the middle of an erasure is done. */
export function finishErasures(): Action {
  return {
    says: 'finish erasures',
    run: ({ world }) => world.process.erasures.finish(),
  }
}

export function pin(repository: RepositoryName, image: KnownImage): Action {
  return {
    says: `pin ${image.name} of ${repository}`,
    async run({ world, history, turns }) {
      const target = { kind: 'digest', value: image.digest } as const
      const kept = await unless([...gone, 'manifest-unknown'], () =>
        world.process.protections.put(world.context, repository, { target, reason: 'a pin', owner: 'tests', endsAt: undefined, mayLoosen: true }),
      )
      if (kept) history.keepings.push({ repository, image, what: 'pin', since: turns.time, until: Number.POSITIVE_INFINITY })
    },
  }
}

export function unpin(repository: RepositoryName, image: KnownImage): Action {
  return {
    says: `unpin ${image.name} of ${repository}`,
    async run({ world, history, turns }) {
      history.letGo(repository, image, 'pin', turns.time)
      await unless([...gone, 'protection-unknown'], () => world.process.protections.delete(world.context, repository, { kind: 'digest', value: image.digest }))
    },
  }
}

/** The source of a history says what runs: these images of one repository, and nothing else. */
export function report(source: string, number: number, repository: RepositoryName, images: readonly KnownImage[]): Action {
  return {
    says: `report ${images.map(({ name }) => name).join(' and ')} of ${repository} as snapshot ${number}`,
    async run({ world, history, turns, catalogue }) {
      const { sources } = world.process
      const snapshot = { sourceName: source, number, writer: `writer ${number}` }
      const what = `lease ${number}`
      await unless(['usage-source-unknown', 'usage-snapshot-conflict', 'usage-snapshot-incomplete'], async () => {
        await sources.begin(world.context, snapshot)
        await sources.put(
          world.context,
          snapshot,
          images.map(({ digest, name }) => ({ repositoryName: repository, digest, workload: name, environment: undefined, until: undefined })),
        )
        for (const image of images) history.keepings.push({ repository, image, what, since: turns.time, until: Number.POSITIVE_INFINITY })
        // The snapshots before are over from the moment in which this one may be believed.
        for (const other of catalogue.images) {
          for (const place of catalogue.repositories) {
            for (let before = 1; before < number; before += 1) history.letGo(place, other, `lease ${before}`, turns.time)
          }
        }
        await sources.complete(world.context, snapshot, images.length)
      })
      // Whatever came of it, a later one may take its leases away.
    },
  }
}

/** Lifecycle policies are carried out, of every repository that is due. */
export function runPolicies(): Action {
  return {
    says: 'carry out lifecycle policies',
    async run({ world, history, turns, catalogue }) {
      const removals = catalogue.repositories.map((repository) => history.removing(repository, new Set(catalogue.images), turns.time))
      await world.process.runner.sweep()
      for (const removal of removals) removal.ended = turns.time
    },
  }
}

const rules = [
  { selection: { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 1 } },
  { selection: { tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: 2 } },
  { selection: { tagStatus: 'tagged', tagPatternList: ['v*'], countType: 'imageCountMoreThan', countNumber: 1 } },
  { selection: { tagStatus: 'any', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 1 } },
  { selection: { tagStatus: 'any', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 1 }, action: { type: 'transition', targetStorageClass: 'archive' } },
]

export function putPolicy(repository: RepositoryName, which: number): Action {
  const { selection, action = { type: 'expire' } } = rules[which % rules.length]!
  const description = 'a rule of a random history, described at the length that the grammar asks of a policy'
  const text = JSON.stringify({ rules: [{ rulePriority: 1, description, selection, action }] })
  return {
    says: `put a policy on ${repository}: ${action.type} ${JSON.stringify(selection)}`,
    run: async ({ world }) => {
      await unless(gone, () => world.process.policies.put(world.context, repository, text))
    },
  }
}

const announcing = [
  { action: 'delete', olderThan: '1d', notice: '1d' },
  { action: 'delete', exceptNewest: 1, notice: '1d', blockFor: '12h' },
  { action: 'delete', untagged: true, olderThan: '1h', since: 'used', notice: '2d' },
  { action: 'archive', olderThan: '1d', notice: '1d', blockFor: '1d' },
]

/** A retention policy that tells pullers beforehand what it will end. */
export function announce(repository: RepositoryName, which: number): Action {
  const rule = announcing[which % announcing.length]!
  return {
    says: `put a retention policy on ${repository}: ${JSON.stringify(rule)}`,
    run: async ({ world }) => {
      await unless(gone, () => world.process.retentionPolicies.put(world.context, { scope: 'repository', name: repository }, JSON.stringify({ rules: [{ name: 'old', ...rule }] })))
    },
  }
}

/** What was announced and has not happened is taken back at the next run. */
export function withdraw(repository: RepositoryName): Action {
  return {
    says: `delete the retention policy of ${repository}`,
    run: async ({ world }) => {
      await unless([...gone, 'lifecycle-policy-unknown'], () => world.process.retentionPolicies.delete(world.context, { scope: 'repository', name: repository }))
    },
  }
}

export function timePasses(hours: number): Action {
  return {
    says: `${hours} hours pass`,
    run({ world }) {
      world.fixture.clock.advance(hours * 60 * 60 * 1000)
      return Promise.resolve()
    },
  }
}

/** In hours: past the life of an upload, of a review, and of the trash. */
export const spans: readonly number[] = [1, 2, 25, 25, 25, 8 * 24]

/** An action that a client or the server might do, by chance. */
export function anyAction({ catalogue, chance, source, nextSnapshot, theme }: Pick<Scene, 'catalogue' | 'chance' | 'source' | 'nextSnapshot' | 'theme'>): Action {
  const repository = chance.pick(catalogue.repositories)
  const image = chance.pick(catalogue.images)
  const tag = chance.pick(catalogue.tags)
  if (theme === 'collection') return collectionAction(catalogue, chance)
  if (theme === 'policies') {
    return chance.pick([
      () => push(repository, image, chance.is(0.5) ? tag : undefined, chance.pick(pushStyles)),
      () => push(repository, image, chance.is(0.5) ? tag : undefined, chance.pick(pushStyles)),
      () => putPolicy(repository, chance.below(rules.length)),
      () => runPolicies(),
      () => runPolicies(),
      () => pin(repository, image),
      () => unpin(repository, image),
      () => untag(repository, tag),
      () => announce(repository, chance.below(announcing.length)),
      () => takeRetirementSteps(),
      () => withdraw(repository),
      () => report(source, nextSnapshot(), repository, [image, chance.pick(catalogue.images)]),
    ])()
  }
  return chance.pick([
    () => push(repository, image, chance.is(0.7) ? tag : undefined, chance.pick(pushStyles)),
    () => push(repository, image, tag, chance.pick(pushStyles)),
    () => push(repository, image, tag, chance.pick(pushStyles)),
    () => deleteByDigest(repository, image),
    () => deleteByTag(repository, tag),
    () => untag(repository, tag),
    () => pull(repository, image),
    () => uploadOnly(repository, image),
    () => restore(chance.next()),
    () => collect(),
    () => collect(),
    () => pin(repository, image),
    () => unpin(repository, image),
    () => putPolicy(repository, chance.below(rules.length)),
    () => announce(repository, chance.below(announcing.length)),
    () => runPolicies(),
    () => runPolicies(),
    () => report(source, nextSnapshot(), repository, [image, chance.pick(catalogue.images)]),
    () => erase(repository, image, chance.is(0.5)),
    () => retire(repository, image, chance.pick(['deprecated', 'blocked']), chance.is(0.5) ? chance.pick(spans) : undefined),
    () => takeRetirementSteps(),
    () => archive(repository, image),
    () => archive(repository, image),
    () => activate(repository, image),
    () => moveToArchive(),
    () => moveToArchive(),
    () => timePasses(chance.pick(spans)),
    () => (chance.is(0.3) ? deleteRepository(repository) : pull(repository, image)),
  ])()
}

/** Of few blobs in one repository mostly: some are on their way out while others ask for them, bring them again or move them. */
function collectionAction({ repositories, images }: Catalogue, chance: Chance): Action {
  const repository = repositories[chance.is(0.85) ? 0 : 1]!
  const byName = (wanted: string): KnownImage => images.find(({ name }) => name === wanted)!
  // All of them have the first layer.
  const image = byName(chance.pick(['three', 'three', 'one', 'signature-of-index']))
  const tag = chance.is(0.5) ? 'latest' : undefined
  return chance.pick([
    () => push(repository, image, tag, 'ask'),
    () => push(repository, image, tag, 'ask'),
    () => push(repository, image, tag, 'mount'),
    () => push(repository, image, tag, 'upload'),
    () => uploadOnly(repository, image),
    () => uploadOnly(repository, image),
    () => deleteByDigest(repository, image),
    () => deleteByDigest(repository, image),
    () => purgeTrash(repository),
    () => deleteBlob(repository, chance.pick(image.blobs)),
    () => restore(chance.next()),
    () => collect(),
    () => collect('otherCollector'),
    () => archive(repository, image),
    () => activate(repository, image),
    () => moveToArchive(),
    () => chance.pick([() => erase(repository, image, chance.is(0.5)), () => finishErasures(), () => timePasses(1), () => deleteRepository(repository)])(),
  ])()
}

/** What the server does by itself beside the clients of a round: what, and how often. */
export function ownWork(theme: Theme): [name: string, work: Action, probability: number][] {
  const collects = theme === 'collection'
  return [
    ['collector', collect(), collects ? 0.9 : 0.6],
    ['other collector', collect('otherCollector'), collects ? 0.4 : 0],
    ['archivist', moveToArchive(), 0.6],
  ]
}
