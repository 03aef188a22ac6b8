import { createHash } from 'node:crypto'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ecrQuotas } from '../../src/config/index.ts'
import { FactReader } from '../../src/iam/authorization-facts.ts'
import { textKeyring } from '../../src/iam/iam.test-support.ts'
import { AccessKeyClock, createIamDirectory, replaceRootAccessKey, rootPrincipal } from '../../src/iam/index.ts'
import { CollectionControl, Collector, Reconciler } from '../../src/gc/index.ts'
import { keepScrub } from '../../src/integrity/commands/scrub.ts'
import { repairIn, Scrub, verify } from '../../src/integrity/index.ts'
import { BytesInFlight } from '../../src/internal/bytes-in-flight.ts'
import { FairShare } from '../../src/internal/fair-share.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { commandContext, createRegistry, type RequestContext } from '../../src/registry/index.ts'
import { quarantineBlob, recordBlobChecksums } from '../../src/registry/commands/damage.ts'
import { compareWithLastStart } from '../../src/registry/commands/holds.ts'
import { ensureRegistry } from '../../src/registry/commands/registries.ts'
import { DamageWatch } from '../../src/registry/damage.ts'
import { findRepositoryVetoes, findVetoes } from '../../src/registry/protection/index.ts'
import { createProtections } from '../../src/registry/protection/protections.ts'
import { createUsageSources } from '../../src/registry/usage/usage-sources.ts'
import { PullClock } from '../../src/registry/pull-clock.ts'
import { UploadTurns } from '../../src/registry/upload-turns.ts'
import { expireUploads } from '../../src/registry/uploads.ts'
import { openBlobStores, type TieredBlobStore } from '../../src/storage/blobs/index.ts'
import type { CommandContext } from '../../src/storage/metadata/command.ts'
import { newDatabaseCounters, type MetadataDatabase } from '../../src/storage/metadata/database.ts'
import { migrateMetadata } from '../../src/storage/metadata/migrate.ts'
import { Session } from '../../src/storage/metadata/session.ts'
import { SqliteConnection } from '../../src/storage/metadata/sqlite/connection.ts'
import { accessKeysOf, findAccessKeyRow, iamGeneration } from '../../src/storage/metadata/stores/access-key-store.ts'
import { listAccountRows } from '../../src/storage/metadata/stores/account-store.ts'
import {
  attachedPolicyArnsOf,
  identityTagsOf,
  inlineDocumentsOf,
  managedDocument,
} from '../../src/storage/metadata/stores/authorization-store.ts'
import { holdsLocations, isKeyLocated, isQuarantined } from '../../src/storage/metadata/stores/blob-index.ts'
import { findManifestRow } from '../../src/storage/metadata/stores/manifest-store.ts'
import { accountExists, findRegistryId, listRepositoryRowsWithin } from '../../src/storage/metadata/stores/repository-store.ts'
import { isOpenUpload } from '../../src/storage/metadata/stores/upload-store.ts'
import {
  digestOf,
  mediaTypes,
  parseAccountId,
  parseRegion,
  parseRepositoryName,
  parseRepositoryPrefix,
  parseTag,
  type Digest,
  type Region,
  type RepositoryName,
} from '../../src/values/index.ts'
import { bytesOf, ManualClock } from '../support/registry.ts'

/*
 * A page costs the page and a look-up an index, whatever the size of the tables: no statement that the registry's
 * operations run may scan one. SQLite says how it would run each.
 */

const statements = new Set<string>()
const problems: unknown[] = []
let dir: string
let raw: DatabaseSync
let blobStore: TieredBlobStore

/** What protects images, says what runs, and holds a registry, and what is asked of all that. */
async function protect(database: MetadataDatabase, context: RequestContext, name: RepositoryName, digest: Digest): Promise<void> {
  const protections = createProtections({ database })
  const sources = createUsageSources({ database })
  const protection = { reason: 'r', owner: 'o', endsAt: undefined, mayLoosen: true }
  await protections.put(context, name, { target: { kind: 'digest', value: digest }, ...protection })
  await protections.list(context, name, { limit: 1 })
  const source = { principalArn: context.actor.arn, kind: 'k', environment: 'e', scope: ['*'], intervalMs: 60_000, shrinkPercent: 50 }
  await sources.register(context, 'plans', source)
  await sources.list(context, { limit: 1 })
  const snapshot = { sourceName: 'plans', number: 1, writer: 'w' }
  await sources.begin(context, snapshot)
  await sources.put(context, snapshot, [{ digest, workload: 'w', repositoryName: undefined, environment: undefined, until: undefined }])
  await sources.complete(context, snapshot, 1)
  await sources.leases(context, 'plans', { limit: 1 })
  const id = await protections.placeHold(context, 'r')
  await protections.listHolds(context, { released: true, page: { limit: 1 } })
  await protections.listHolds(context, { released: false, page: { limit: 1 } })
  const [repository] = await listRepositoryRowsWithin(database.reader, context.registry.id, { after: '', from: name, to: undefined }, 1)
  const manifest = await findManifestRow(database.reader, repository!.id, digest)
  await findVetoes(database.reader, repository!, [manifest!.id], context.clock.now(), { mode: 'automatic' })
  await findRepositoryVetoes(database.reader, repository!, context.clock.now(), { mode: 'automatic' })
  await protections.releaseHold(context, id, 'r')
  await sources.decommission(context, 'plans', 'r')
  await protections.delete(context, name, { kind: 'digest', value: digest })
  // What a start and the watch ask is asked of all registries and sources, page by page.
  const clock = { wallMs: context.clock.now(), uptimeMs: 0, bootId: 'b' }
  await database.execute(compareWithLastStart, { schema: 's', clock }, commandContext(context))
}

/** What decisions about a user and a role are made of, and a listing of what they may see. */
async function readRights(database: MetadataDatabase, region: Region): Promise<void> {
  const accountId = parseAccountId('000000000000')
  const facts = new FactReader(database.reader, () => undefined)
  for (const kind of ['user', 'role'] as const) await facts.identity({ kind, id: 1 })
  // Of somebody who is gone nothing more is read.
  for (const kind of ['user', 'role'] as const) {
    await inlineDocumentsOf(database.reader, kind, 1)
    await attachedPolicyArnsOf(database.reader, kind, 1)
    await identityTagsOf(database.reader, kind, 1)
  }
  await managedDocument(database.reader, accountId, 'x')
  await facts.registry(accountId, region)
  await facts.repository('x', { accountId, region, name: 'plans/one' })
  await facts.repositoriesWithin('x', { accountId, region }, ['plans/one', 'plans/two'], true)
  await listRepositoryRowsWithin(database.reader, 1, { after: '', from: 'a', to: 'b' }, 10)
  await listAccountRows(database.reader, '', 10)
}

/** One connection for everything, in this thread, that remembers what it was asked. */
function recordingDatabase(file: string): MetadataDatabase {
  raw = new DatabaseSync(file)
  const connection = new SqliteConnection(raw, () => undefined)
  const session = new Session({
    dialect: 'sqlite',
    run(sql, values, reuse) {
      statements.add(sql)
      return connection.run(sql, values, reuse)
    },
  })
  return {
    dialect: 'sqlite',
    counters: newDatabaseCounters(),
    commitsOfAll: () => undefined,
    pools: () => [],
    reader: session,
    snapshot: (read) => read(session),
    execute: (command, input, context) => command.run(session, input, context),
    ping: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stowage-plans-'))
  const file = join(dir, 'stowage.db')
  await migrateMetadata({ file }, { check: false })
  const database = recordingDatabase(file)
  const clock = new ManualClock()
  const accountId = parseAccountId('000000000000')
  const region = parseRegion('us-east-1')
  blobStore = await openBlobStores({ dataDir: dir, archiveDir: join(dir, 'archive') }, new BytesInFlight())
  const pullClock = new PullClock(database, () => commandContext(context), { isUse: () => true }, (error) => {
    throw error
  })
  const uploads = { database, blobStore, ids: systemIds, bootId: 'boot', uploadLifetimeMs: 1000, trashRetentionMs: 1000, restoreOnPull: true, uploadTurns: new UploadTurns('me'), quotas: ecrQuotas, publishTurns: new FairShare({ limit: 4, perTurn: 4 }) }
  const damageWatch = new DamageWatch({ database, blobStore, systemContext: () => commandContext(context) })
  const registry = createRegistry({ ...uploads, pullClock, damageWatch })
  let context: RequestContext = {
    actor: rootPrincipal(accountId, 'AKIA'),
    registry: { id: 1, accountId, region },
    requestId: '',
    sourceIp: '',
    userAgent: '',
    protocol: 'oci',
    clock,
  }
  const run = commandContext(context)
  await database.execute(ensureRegistry, { accountId, region }, run)
  context = { ...context, registry: { id: (await findRegistryId(database.reader, accountId, region)) ?? 0, accountId, region } }
  await accountExists(database.reader, accountId)
  const root = 'arn:aws:iam::000000000000:root'
  const key = { accountId, principalArn: root, accessKeyId: 'AKIA', secretSealed: 'x' }
  await database.execute(replaceRootAccessKey, key, commandContext(context))
  await accessKeysOf(database.reader, root)
  await useIam(database, commandContext(context))
  await readRights(database, region)
  await findAccessKeyRow(database.reader, 'AKIA')
  await iamGeneration(database.reader)
  await holdsLocations(database.reader, 'archive')
  await isQuarantined(database.reader, 1, 'x', digestOf(Buffer.from('')))
  await database.execute(recordBlobChecksums, { store: 'filesystem', key: 'x', checksums: Buffer.alloc(4) }, run)
  await database.execute(quarantineBlob, { store: 'filesystem', key: 'x', reason: 'missing' }, run)
  await isKeyLocated(database.reader, 'filesystem', 'x')
  await isOpenUpload(database.reader, 'x', 0)

  const name = parseRepositoryName('plans/one')
  const other = parseRepositoryName('plans/two')
  const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: { a: 'b' } } as const
  for (const each of [name, other]) await registry.createRepository(context, { name: each, ...settings })
  await registry.listRepositories(context, { limit: 10, after: 'a' })
  await registry.putTagMutability(context, name, 'MUTABLE', [])
  await registry.tagResource(context, name, { c: 'd' })
  await registry.untagResource(context, name, ['c'])
  await registry.listResourceTags(context, name)
  await registry.putScanOnPush(context, name, true)
  const policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:*"}]}'
  await registry.setRepositoryPolicy(context, name, policy, { force: true, mayStillSet: () => true })
  await registry.getRepositoryPolicy(context, name)
  await registry.deleteRepositoryPolicy(context, name)
  await registry.putRegistryPolicy(context, policy)
  await registry.getRegistryPolicy(context)
  await registry.deleteRegistryPolicy(context)
  await registry.putAccountSetting(context, 'BLOB_MOUNTING', 'ENABLED')
  await registry.getAccountSetting(context, 'BLOB_MOUNTING')
  const template = { ...settings, prefix: 'made', tags: {}, description: '', repositoryPolicy: policy, lifecyclePolicy: '{}', customRoleArn: '' }
  await registry.createCreationTemplate(context, { ...template, appliedFor: ['CREATE_ON_PUSH'] })
  const prefix = parseRepositoryPrefix('made')
  await registry.updateCreationTemplate(context, prefix, { description: 'another' })
  await registry.listCreationTemplates(context, { limit: 1, after: 'a' })
  await registry.findCreationTemplates(context, [prefix])
  await registry.createForPush(context, parseRepositoryName('made/by/push'), () => true)
  await registry.deleteCreationTemplate(context, prefix)
  await registry.registerPullTimeExclusion(context, 'arn:aws:iam::000000000000:role/a')
  await registry.listPullTimeExclusions(context, { limit: 1, after: 'a' })
  await registry.deregisterPullTimeExclusion(context, 'arn:aws:iam::000000000000:role/a')

  const upload = async (bytes: Buffer): Promise<Digest> => {
    const digest = digestOf(bytes)
    const { id } = await registry.beginUpload(context, name)
    await registry.appendUpload(context, name, id, { body: bytesOf(bytes), expectedOffset: 0 })
    await registry.getUpload(context, name, id)
    await registry.completeUpload(context, name, id, { digest, refuseExisting: false })
    return digest
  }
  const config = await upload(Buffer.from('{}'))
  await upload(Buffer.from('{}'))
  const cancelled = await registry.beginUpload(context, name)
  await registry.cancelUpload(context, name, cancelled.id)
  await registry.beginUpload(context, name)
  clock.advance(2000)
  await expireUploads(uploads, context)

  const image = (seed: string, extra = {}): Buffer =>
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: { mediaType: mediaTypes.ociConfig, digest: config, size: 2 },
        layers: [],
        annotations: { seed: createHash('sha256').update(seed).digest('hex') },
        ...extra,
      }),
    )
  const put = (bytes: Buffer, tag?: string) =>
    registry.putManifest(context, name, {
      bytes,
      declaredMediaType: undefined,
      reference: tag === undefined ? undefined : { kind: 'tag', tag: parseTag(tag) },
      via: 'oci',
    })
  const { digest } = await put(image('a'), 'v1')
  await put(image('b'), 'v1')
  await put(image('a'), 'v2')
  const child = { mediaType: mediaTypes.ociManifest, digest, size: image('a').length }
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [child] }))
  const indexed = await put(index, 'multi')
  await put(image('c', { subject: child, artifactType: 'x/y' }))
  await protect(database, context, name, digest)
  await registry.getManifest(context, name, { kind: 'tag', tag: parseTag('v1') })
  const user = { ...context.actor, arn: 'arn:aws:iam::000000000000:user/u' }
  await registry.getManifest({ ...context, actor: user }, name, { kind: 'digest', digest })
  await registry.headManifest(context, name, { kind: 'tag', tag: parseTag('v1') })
  await registry.headManifest(context, name, { kind: 'digest', digest })
  await pullClock.flush()
  await registry.listTags(context, name, { limit: 2 })
  await registry.listReferrers(context, name, digest, { status: 'ANY', page: { limit: 2 } })
  await registry.listReferrers(context, name, digest, { status: 'ACTIVE', page: { limit: 2 } })
  await registry.listReferrers(context, name, digest, { artifactTypes: ['x/y'], status: 'ACTIVE', page: { limit: 2 } })
  await registry.listReferrers(context, name, digest, { artifactTypes: ['x/y'], status: 'ANY', page: { limit: 2 } })
  for (const tagStatus of ['ANY', 'TAGGED', 'UNTAGGED'] as const) {
    for (const imageStatus of ['ANY', 'ACTIVE'] as const) {
      const filter = { tagStatus, imageStatus }
      await registry.listImages(context, name, { filter, page: { limit: 2 } })
      await registry.describeImages(context, name, { filter, page: { limit: 2 } })
    }
  }
  await registry.describeImagesById(context, name, [{ digest }, { tag: parseTag('v1') }])
  await registry.statBlob(context, name, config)
  const opened = await registry.openBlob(context, name, config)
  await opened.content.read()[Symbol.asyncIterator]().next()
  await opened.content.close()
  await registry.isBlobReferenced(context, name, config)
  await registry.mountBlob(context, other, config, { from: name })
  await registry.mountBlob(context, other, config, { anyReadable: async () => true })
  await registry.deleteBlob(context, other, config)
  const verifying = { database, blobStore, clock, repair: repairIn(database, () => commandContext(context)) }
  const place = raw.prepare('select key from blob_location limit 1').get() as { key: string }
  const blobFile = join(dir, 'blobs', place.key)
  await rename(blobFile, `${blobFile}-elsewhere`)
  await upload(Buffer.from('another file, so that the missing one is missed'))
  await verify(verifying, { hash: 'all' })
  const scrub = new Scrub(
    { ...verifying, logger: { info: () => undefined, error: () => undefined }, context: () => commandContext(context), owner: 'me', isBusy: () => false },
    { intervalMs: 1, bytesPerSecond: 1e9 },
  )
  await scrub.runIfDue()
  await database.execute(keepScrub, { owner: 'me', payload: '{}', until: 0 }, commandContext(context))
  await rename(`${blobFile}-elsewhere`, blobFile)
  expect((await verify(verifying, { hash: 'all' })).counts.reinstated).toBe(1)
  await registry.deleteTag(context, name, parseTag('v2'))
  await registry.deleteManifest(context, name, indexed)
  await registry.deleteImages(context, name, [{ digest }, { tag: parseTag('v1') }])
  await put(image('a'), 'v1')
  await registry.deleteRepository(context, name, { force: true })
  await collect(database, context, clock, config)
})

/** Collection, what is told of it, and the comparison of store and database. */
async function collect(database: MetadataDatabase, context: RequestContext, clock: ManualClock, digest: Digest): Promise<void> {
  const nothing = () => undefined
  const deps = { database, blobStore, clock, systemContext: () => commandContext(context), logger: { info: nothing, warn: nothing, error: (error: unknown) => problems.push(error) }, owner: 'me' }
  const collector = new Collector(deps)
  const control = new CollectionControl({ ...deps, collector, intervalMs: 1000 })
  await control.pause(context, { reason: 'r', endsAt: undefined })
  await control.status()
  await control.resume(context)
  expect(await control.explain(digest)).toHaveLength(1)
  await control.simulate(100 * 24 * 60 * 60 * 1000)
  const reconciler = new Reconciler(deps, { intervalMs: 1, itemsPerSecond: 1e9 })
  await reconciler.runIfWanted()
  await reconciler.request(context, true)
  await reconciler.runIfWanted()
  expect((await reconciler.status()).last).toMatchObject({ repair: true })
  // Nothing holds it back any more.
  raw.exec("update registry_hold set released_at = 1; update usage_source set status = 'decommissioned'; delete from protection")
  for (let day = 0; day < 400; day += 100) {
    clock.advance(100 * 24 * 60 * 60 * 1000)
    await collector.collect()
  }
  expect(collector.counters.blobs).toBeGreaterThan(0)
  expect(problems).toEqual([])
}

async function useIam(database: MetadataDatabase, context: CommandContext): Promise<void> {
  const { account, entities, keys, oidcProviders, policies } = createIamDirectory({ database, keyring: await textKeyring(), ids: systemIds })
  const document = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}'
  const trustPolicy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"*"}}]}'
  const tags = [{ key: 'k', value: 'v' }]
  const accountId = parseAccountId('000000000000')
  const page = { limit: 2, after: 'a', pathPrefix: '/' }
  const { arn } = await policies.create({ name: 'p', path: '/', description: undefined, document, tags }, context)
  await policies.createVersion(arn, { document, setAsDefault: true }, context)
  await policies.setDefaultVersion(arn, 1, context)
  await policies.removeVersion(arn, 2, context)
  await policies.list(accountId, { limit: 2, scope: 'All', onlyAttached: true, pathPrefix: '/', usage: undefined })
  await entities.createUser({ name: 'u', path: '/', boundaryArn: arn, tags }, context)
  await entities.createGroup({ name: 'g', path: '/' }, context)
  await entities.createRole({ name: 'r', path: '/', description: '', trustPolicy, maxSessionSeconds: 3600, boundaryArn: undefined, tags }, context)
  await entities.addUserToGroup('u', 'g', context)
  await entities.getGroup(accountId, 'g', { limit: 2 })
  await entities.groupsOfUser(accountId, 'u')
  await entities.updateUser('u', { newPath: '/x/' }, context)
  await entities.updateRole('r', { action: 'UpdateRole', description: 'x' }, context)
  await entities.untag({ kind: 'user', name: 'u' }, ['k'], 'UntagUser', context)
  for (const list of [entities.listUsers, entities.listGroups, entities.listRoles]) await list.call(entities, accountId, page)
  for (const owner of [{ kind: 'user', name: 'u' }, { kind: 'group', name: 'g' }, { kind: 'role', name: 'r' }] as const) {
    await policies.attach(owner, arn, 'Attach', context)
    await policies.putInline(owner, { name: 'i', document }, 'Put', context)
    await policies.attached(accountId, owner, '/')
    await policies.holders(accountId, arn, owner.kind, undefined)
    await policies.removeInline(owner, 'i', 'Delete', context)
    await policies.detach(owner, arn, 'Detach', context)
  }
  const { accessKeyId } = await keys.create('u', context)
  await keys.setStatus('u', accessKeyId, 'inactive', context)
  await keys.lastUse(accountId, accessKeyId)
  const keyClock = new AccessKeyClock(database, () => context, (error) => {
    throw error
  })
  keyClock.record(accessKeyId, { service: 'ecr', region: 'us-east-1', atMs: 1 })
  await keyClock.flush()
  await account.credentialReport(accountId)
  await account.usage(accountId)
  await account.setAlias('alias', context)
  await account.removeAlias('alias', context)
  await keys.remove('u', accessKeyId, context)
  const provider = await oidcProviders.create({ url: 'token.example.com', clientIds: [], thumbprints: [], tags }, context)
  await oidcProviders.update(provider.arn, { kind: 'add-client', clientId: 'c' }, 'Add', context)
  await oidcProviders.list(accountId)
  await oidcProviders.remove(provider.arn, context)
  await entities.removeUserFromGroup('u', 'g', context)
  await entities.deleteGroup('g', context)
  await entities.deleteUser('u', context)
  await entities.deleteRole('r', context)
  await policies.remove(arn, context)
}

afterAll(async () => {
  await blobStore.close()
  raw.close()
  await rm(dir, { recursive: true, force: true })
})

const checksSums = (sql: string): boolean => sql.includes('"notedBytes" != "bytes"')

it('no statement scans a table', () => {
  const scans: string[] = []
  for (const sql of statements) {
    const plan = raw.prepare(`explain query plan ${sql}`).all() as { detail: string }[]
    for (const { detail } of plan) {
      // There is one for the installation, and one for each key that it encrypts with.
      if (detail === 'SCAN blob_domain') continue
      // Of a queue as many rows are counted as a limit within says.
      if (/^SCAN (?:due|later)$/u.test(detail) && sql.includes(' limit ')) continue
      // Who checks the sums of a repository counts what that has: of one row, since one is asked for at a time.
      if (detail === 'SCAN counted' && checksSums(sql)) continue
      if (detail.startsWith('SCAN') && detail !== 'SCAN CONSTANT ROW') scans.push(`${detail}: ${sql}`)
    }
  }

  expect(statements.size).toBeGreaterThan(60)
  expect(scans).toEqual([])
})

it('no listing sorts more than it shows', () => {
  const sorts: string[] = []
  for (const sql of statements) {
    if (!sql.includes(' limit ') || checksSums(sql)) continue
    const plan = raw.prepare(`explain query plan ${sql}`).all() as { detail: string }[]
    // The tags of one image at a time are sorted; its images come from the index in their order.
    for (const { detail } of plan) if (detail === 'USE TEMP B-TREE FOR ORDER BY') sorts.push(sql)
  }

  expect(sorts).toEqual([])
})
