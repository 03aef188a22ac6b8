import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AccessKeys, IamGeneration, installRootCredential, openKeyring, type Keyring } from '../../src/iam/index.ts'
import { systemIds } from '../../src/internal/ids.ts'
import type { CommandContext } from '../../src/storage/metadata/command.ts'
import type { MetadataDatabase } from '../../src/storage/metadata/database.ts'
import { openMetadata } from '../../src/storage/metadata/open.ts'
import { parseRepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

describe.each(databases)('access keys on %s', (kind) => {
  let fixture: RegistryFixture
  let keyring: Keyring
  let keys: AccessKeys

  beforeEach(async () => {
    fixture = await startRegistry(kind)
    const { dataDir, clock, database } = fixture
    keyring = await openKeyring({ dataDir, keyring: undefined, requireExisting: false, clock, ids: systemIds })
    keys = new AccessKeys(database, keyring, new IamGeneration(database))
  })
  afterEach(() => fixture.stop())

  function install(accessKeyId: string, database: MetadataDatabase = fixture.database): Promise<void> {
    const { id: registryId, accountId, region } = fixture.context.registry
    const context: CommandContext = {
      nowMs: fixture.clock.now(),
      actorArn: 'test',
      registryId,
      accountId,
      region,
      requestId: 'test',
      sourceIp: '127.0.0.1',
      userAgent: 'test',
      protocol: 'system',
    }
    return installRootCredential({ database, keyring, context }, accountId, { accessKeyId, secretAccessKey: `secret of ${accessKeyId}` })
  }

  async function statementsOf(work: () => Promise<unknown>): Promise<number> {
    const before = fixture.database.counters.statements
    await work()
    return fixture.database.counters.statements - before
  }

  it('are gone for the next request when they are replaced, however often they were asked for', async () => {
    for (let n = 0; n < 20; n += 1) {
      await install(`AKIA${n}`)
      for (let again = 0; again < 3; again += 1) expect(await keys.findAccessKey(`AKIA${n}`)).toMatchObject({ secretAccessKey: `secret of AKIA${n}` })
      if (n > 0) expect(await keys.findAccessKey(`AKIA${n - 1}`)).toBeUndefined()
    }
  })

  it('are gone for requests that come while the answer to their replacement goes out', async () => {
    await install('AKIA1')
    await keys.findAccessKey('AKIA1')

    const afterwards = install('AKIA2').then(() => Promise.all(Array.from({ length: 5 }, () => keys.findAccessKey('AKIA1'))))
    while ((await keys.findAccessKey('AKIA1')) !== undefined) await new Promise((resolve) => setImmediate(resolve))

    expect(await afterwards).toEqual(Array.from({ length: 5 }))
  })

  it('cost one look at the generation, and none where nobody else writes and nothing was written', async () => {
    await install('AKIA1')
    await keys.findAccessKey('AKIA1')

    expect(await statementsOf(() => keys.findAccessKey('AKIA1'))).toBe(kind === 'sqlite' ? 0 : 1)

    // Whatever was written: it may have been a key.
    await fixture.registry.createRepository(fixture.context, {
      name: parseRepositoryName('keys/app'),
      tagMutability: 'MUTABLE',
      mutabilityFilters: [],
      scanOnPush: false,
      tags: {},
    })
    expect(await statementsOf(() => keys.findAccessKey('AKIA1'))).toBe(1)
  })

  // On SQLite there is no other: the folder's lock sees to it.
  const ifShared = kind === 'postgres' ? it : () => undefined
  ifShared('are gone when another server replaces them', async () => {
    await install('AKIA1')
    await keys.findAccessKey('AKIA1')
    const other = await openMetadata(fixture.target, {
      catalogueUrl: new URL('../../src/commands.ts', import.meta.url).href,
      onFatal: () => undefined,
      onConnectionLost: () => undefined,
    })
    try {
      await install('AKIA2', other)
    } finally {
      await other.close()
    }

    expect(await keys.findAccessKey('AKIA1')).toBeUndefined()
  })
})
