import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { databases, startRegistry, type RegistryFixture } from '../../../test/support/registry.ts'
import { systemIds } from '../../internal/ids.ts'
import { ensureRegistry } from '../../registry/commands/registries.ts'
import { commandContext } from '../../registry/index.ts'
import type { CommandContext } from '../../storage/metadata/command.ts'
import { findNamed } from '../../storage/metadata/stores/iam-entity-store.ts'
import { parseAccountId, parseRegion } from '../../values/index.ts'
import { AccessKeyClock } from '../access-key-clock.ts'
import { createRole } from '../commands/roles.ts'
import { AccessKeys } from '../credentials.ts'
import { IamGeneration } from '../generation.ts'
import { failureOf, textKeyring } from '../iam.test-support.ts'
import type { Keyring } from '../keyring.ts'
import { managedPolicies } from '../managed-policies.ts'
import { parsePolicy } from '../policy/index.ts'
import { beginSession } from '../sessions.ts'
import { createIamDirectory, type IamDirectory } from './index.ts'

const own = parseAccountId('000000000000')
const other = parseAccountId('111111111111')
const document = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}'
const trustPolicy =
  '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"*"}}]}'

describe.each(databases)('the directory on %s', (kind) => {
  let fixture: RegistryFixture
  let keyring: Keyring
  let directory: IamDirectory
  let context: CommandContext
  let ofOther: CommandContext

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    keyring = await textKeyring()
    directory = createIamDirectory({ database: fixture.database, keyring, ids: systemIds })
    context = commandContext(fixture.context)
    // An account whose identities are managed through a region where it has made nothing.
    await fixture.database.execute(ensureRegistry, { accountId: other, region: parseRegion('eu-west-1') }, context)
    ofOther = { ...context, accountId: other, registryId: 0, actorArn: `arn:aws:iam::${other}:root` }
  })

  afterAll(() => fixture.stop())

  it('keeps the names of accounts apart, and their policies', async () => {
    const { account, entities, keys, oidcProviders, policies } = directory
    const page = { limit: 10, pathPrefix: '/' }
    const { arn } = await policies.create({ name: 'shared', path: '/', description: undefined, document, tags: [] }, context)
    for (const each of [context, ofOther]) {
      await entities.createUser({ name: 'shared', path: '/', boundaryArn: undefined, tags: [] }, each)
      await entities.createGroup({ name: 'shared', path: '/' }, each)
      await entities.createRole(
        { name: 'shared', path: '/', description: undefined, trustPolicy, maxSessionSeconds: 3600, boundaryArn: undefined, tags: [] },
        each,
      )
      await oidcProviders.create({ url: 'shared.example.com', clientIds: [], thumbprints: [], tags: [] }, each)
    }
    const key = await keys.create('shared', context)
    const owners = (['user', 'group', 'role'] as const).map((each) => ({ kind: each, name: 'shared' }))
    for (const owner of owners) await policies.attach(owner, arn, 'Attach', context)
    await policies.putBoundary({ kind: 'user', name: 'shared' }, arn, 'PutUserPermissionsBoundary', context)

    for (const list of [entities.listUsers, entities.listGroups, entities.listRoles]) {
      expect((await list.call(entities, other, page)).items.map((each) => each.arn.includes(other))).toEqual([true])
    }
    const local = { limit: 10, scope: 'Local', onlyAttached: false, pathPrefix: '/', usage: undefined } as const
    expect((await policies.list(other, local)).items).toEqual([])
    expect(await keys.ofUser(other, 'shared')).toEqual([])
    expect(await keys.ofRoot(other)).toEqual([])
    expect((await oidcProviders.list(other)).map((each) => each.arn.includes(other))).toEqual([true])
    expect(await account.credentialReport(other)).not.toContain(own)
    expect(await account.usage(other)).toMatchObject({ users: 1, policies: 0, oidcProviders: 1 })
    const unknown = [
      () => policies.get(other, arn),
      () => policies.versions(other, arn),
      () => policies.remove(arn, ofOther),
      () => policies.createVersion(arn, { document, setAsDefault: true }, ofOther),
      () => policies.setDefaultVersion(arn, 1, ofOther),
      () => policies.putBoundary({ kind: 'role', name: 'shared' }, arn, 'PutRolePermissionsBoundary', ofOther),
      () => keys.lastUse(other, key.accessKeyId),
      () => keys.setStatus('shared', key.accessKeyId, 'inactive', ofOther),
      () => keys.remove('shared', key.accessKeyId, ofOther),
      () => oidcProviders.get(other, `arn:aws:iam::${own}:oidc-provider/shared.example.com`),
      () => oidcProviders.remove(`arn:aws:iam::${own}:oidc-provider/shared.example.com`, ofOther),
      ...owners.map((owner) => () => policies.attach(owner, arn, 'Attach', ofOther)),
      ...owners.map((owner) => () => policies.detach(owner, arn, 'Detach', ofOther)),
    ]
    for (const call of unknown) expect((await failureOf(call)).code).toBe('entity-unknown')
    expect(await policies.documentInForce(other, arn)).toBeUndefined()

    // Of a policy that both have, each sees its own users only.
    const everybodys = 'arn:aws:iam::aws:policy/ReadOnlyAccess'
    await policies.attach({ kind: 'user', name: 'shared' }, everybodys, 'AttachUserPolicy', context)
    await policies.putBoundary({ kind: 'role', name: 'shared' }, everybodys, 'PutRolePermissionsBoundary', context)
    expect(await policies.get(other, everybodys)).toMatchObject({ attachmentCount: 0, boundaryCount: 0 })
    expect(await policies.get(own, everybodys)).toMatchObject({ attachmentCount: 1, boundaryCount: 1 })
    for (const owner of ['user', 'group', 'role'] as const) {
      expect(await policies.holders(other, everybodys, owner, undefined)).toEqual([])
    }

    await entities.deleteUser('shared', ofOther)
    await entities.deleteGroup('shared', ofOther)
    await entities.deleteRole('shared', ofOther)
    expect((await entities.getUser(own, 'shared')).boundaryArn).toBe(arn)
    expect((await new AccessKeys(fixture.database, keyring, new IamGeneration(fixture.database)).findAccessKey(key.accessKeyId))?.status).toBe('active')
    const alias = 'one-of-them'
    await account.setAlias(alias, context)
    expect((await failureOf(() => account.setAlias(alias, ofOther))).code).toBe('entity-exists')
  })

  it('knows the key of a user by its user, and forgets it with the key', async () => {
    const { entities, keys } = directory
    const found = new AccessKeys(fixture.database, keyring, new IamGeneration(fixture.database))
    const user = await entities.createUser({ name: 'keyed', path: '/a/', boundaryArn: undefined, tags: [] }, context)
    const { accessKeyId, secretAccessKey } = await keys.create('keyed', context)

    const key = await found.findAccessKey(accessKeyId)

    expect(key).toMatchObject({ secretAccessKey, status: 'active' })
    expect(key?.principal).toMatchObject({ arn: user.arn, kind: 'user', userId: user.uniqueId, accountId: own })
    expect(key?.principal.identity).toEqual({ kind: 'user', id: expect.any(Number) })
    await keys.remove('keyed', accessKeyId, context)
    expect(await found.findAccessKey(accessKeyId)).toBeUndefined()
  })

  it('writes the uses of a key once a minute, and none of one that is gone', async () => {
    const { entities, keys } = directory
    await entities.createUser({ name: 'used', path: '/', boundaryArn: undefined, tags: [] }, context)
    const { accessKeyId } = await keys.create('used', context)
    const clock = new AccessKeyClock(fixture.database, () => context, (error) => {
      throw error
    })
    const use = async (service: string, atMs: number): Promise<number> => {
      const before = fixture.database.counters.commits
      clock.record(accessKeyId, { service, region: 'us-east-1', atMs })
      await clock.flush()
      return fixture.database.counters.commits - before
    }

    expect(await use('ecr', 1_000_000)).toBe(1)
    for (let seconds = 1; seconds < 60; seconds += 7) expect(await use('ecr', 1_000_000 + seconds * 1000)).toBe(0)
    expect(await use('iam', 1_001_000)).toBe(1)
    expect(await keys.useOf(accessKeyId)).toEqual({ atMs: 1_001_000, region: 'us-east-1', service: 'iam' })
    expect(await use('iam', 1_061_000)).toBe(1)
    // Another server's note of an earlier use changes nothing.
    const behind = new AccessKeyClock(fixture.database, () => context, (error) => {
      throw error
    })
    behind.record(accessKeyId, { service: 'sts', region: 'eu-west-1', atMs: 1_030_000 })
    await behind.flush()
    expect(await keys.useOf(accessKeyId)).toMatchObject({ atMs: 1_061_000, service: 'iam' })
    await keys.remove('used', accessKeyId, context)
    await use('ecr', 2_000_000)
    expect(await keys.useOf(accessKeyId)).toBeUndefined()
  })

  it('ends the sessions of what is deleted, those that begin meanwhile too', async () => {
    const { entities } = directory
    const deps = { database: fixture.database, keyring, ids: systemIds, maxSessions: 100 }
    const found = new AccessKeys(fixture.database, keyring, new IamGeneration(fixture.database))
    for (let round = 0; round < 10; round += 1) {
      const role = await entities.createRole(
        { name: `brief-${round}`, path: '/', description: undefined, trustPolicy, maxSessionSeconds: 3600, boundaryArn: undefined, tags: [] },
        context,
      )
      const id = await roleId(role.name)
      const begin = () =>
        beginSession(
          deps,
          {
            action: 'AssumeRole',
            resource: role.arn,
            principal: { arn: role.arn, accountId: own, kind: 'assumed-role', userId: 'AROA:x', identity: { kind: 'role', id } },
            durationSeconds: 900,
            session: { policies: [], tags: {}, transitiveTagKeys: [], sourceIdentity: undefined, provider: undefined, context: {} },
          },
          context,
        )
      const begun = await begin()
      const [deleted, ...others] = await Promise.allSettled([entities.deleteRole(role.name, context), begin(), begin(), begin()])

      expect(deleted.status).toBe('fulfilled')
      expect(await found.findAccessKey(begun.accessKeyId)).toBeUndefined()
      for (const session of others) {
        if (session.status === 'fulfilled') expect(await found.findAccessKey(session.value.accessKeyId)).toBeUndefined()
        else expect(session.reason).toMatchObject({ code: 'access-denied' })
      }
    }
  })

  it('leaves trust policies of earlier versions as they are until they are saved again', async () => {
    const { entities } = directory
    const user = await entities.createUser({ name: 'trusted', path: '/', boundaryArn: undefined, tags: [] }, context)
    const former = trustPolicy.replace('"*"', `"${user.arn}"`)
    const row = {
      name: 'former',
      path: '/',
      uniqueId: 'AROAFORMERFORMERFORME',
      description: null,
      trustPolicy: former,
      maxSessionSeconds: 3600,
      boundaryArn: null,
      tags: [],
    }
    await fixture.database.execute(createRole, row, context)
    const kept = async () => (await findNamed(fixture.database.reader, 'role', own, 'former'))?.trust_policy
    expect((await entities.getRole(own, 'former')).trustPolicy).toBe(former)
    await entities.updateRole('former', { action: 'UpdateRole', maxSessionSeconds: 7200 }, context)
    expect(await kept()).toBe(former)

    await entities.updateRole('former', { action: 'UpdateAssumeRolePolicy', trustPolicy: former }, context)

    expect(await kept()).toBe(trustPolicy.replace('"*"', `"${user.uniqueId}"`))
    expect((await entities.getRole(own, 'former')).trustPolicy).toBe(former)
  })

  async function roleId(name: string): Promise<number> {
    const row = await findNamed(fixture.database.reader, 'role', own, name)
    return row?.id ?? 0
  }
})

describe('the managed policies', () => {
  it('are policies, with names, ids and ARNs of their own', () => {
    const all = managedPolicies()

    for (const policy of all) {
      expect(() => parsePolicy(policy.document, 'identity')).not.toThrow()
      expect(policy.arn).toBe(`arn:aws:iam::aws:policy/${policy.name}`)
      expect(policy.uniqueId).toMatch(/^ANPA[A-Z0-9]{17}$/)
    }
    expect(new Set(all.map(({ uniqueId }) => uniqueId)).size).toBe(all.length)
    expect(all).toHaveLength(8)
  })
})
