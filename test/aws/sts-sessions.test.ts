import { createHash } from 'node:crypto'
import { ECR } from '@aws-sdk/client-ecr'
import { IAM } from '@aws-sdk/client-iam'
import { STS, type Credentials } from '@aws-sdk/client-sts'
import { describe, expect, it, onTestFinished } from 'vitest'
import { iamClient, newAccount, newRole, newUser } from '../support/identities.ts'
import { databases, startRegistry } from '../support/registry.ts'
import { AccessKeys, beginSession, IamGeneration, openKeyring, removeEndedSessions, rootPrincipal, type TemporaryCredentials } from '../../src/iam/index.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { commandContext } from '../../src/registry/context.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { defaultAccountId } from './ecr-under-test.ts'

const hourMs = 60 * 60 * 1000

/** A clock that runs with the system's, so that SDKs and server agree, and can be moved for the server alone. */
class MovedClock {
  offsetMs = 0
  now(): number {
    return Date.now() + this.offsetMs
  }
}

interface Keys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

describe.each(databases)('temporary credentials on %s', (database) => {
  async function started(more: Record<string, string> = {}): Promise<{ platform: TestPlatform; clock: MovedClock; sts: (keys?: Keys) => STS; ecr: (keys: Keys) => ECR }> {
    const clock = new MovedClock()
    const platform = await startTestPlatform({ database, clock, settings: more })
    const clients: { destroy(): void }[] = []
    onTestFinished(async () => {
      for (const client of clients) client.destroy()
      await platform.stop()
    })
    const settings = (keys: Keys): object => ({
      endpoint: platform.url,
      region: 'us-east-1',
      credentials: keys,
      maxAttempts: 1,
      systemClockOffset: clock.offsetMs,
    })
    return {
      platform,
      clock,
      sts(keys = platform.credentials) {
        const client = new STS(settings(keys))
        clients.push(client)
        return client
      },
      ecr(keys) {
        const client = new ECR(settings(keys))
        clients.push(client)
        return client
      },
    }
  }

  it('of a root last an hour, whatever was asked for, and stand for it', async () => {
    const { sts, ecr } = await started()

    const { Credentials: given } = await sts().getSessionToken({ DurationSeconds: 43_200 })
    const keys = keysOf(given)

    expect(keys.accessKeyId).toMatch(/^ASIA[A-Z2-7]{16}$/)
    expect(keys.secretAccessKey).toMatch(/^[\w+/]{40}$/)
    expect(keys.sessionToken.length).toBeLessThanOrEqual(1024)
    expect(given?.Expiration?.getTime()).toBeGreaterThan(Date.now() + hourMs - 60_000)
    expect(given?.Expiration?.getTime()).toBeLessThanOrEqual(Date.now() + hourMs)
    expect(await sts(keys).getCallerIdentity({})).toMatchObject({ Account: defaultAccountId, Arn: `arn:aws:iam::${defaultAccountId}:root`, UserId: defaultAccountId })
    await expect(ecr(keys).describeRegistry({})).resolves.toMatchObject({ registryId: defaultAccountId })
  })

  it('are worth nothing without their token, or with another', async () => {
    const { sts, platform } = await started()
    const keys = keysOf((await sts().getSessionToken({})).Credentials)
    const others = keysOf((await sts().getSessionToken({})).Credentials)

    const refused = [
      { accessKeyId: keys.accessKeyId, secretAccessKey: keys.secretAccessKey },
      { ...keys, sessionToken: others.sessionToken },
      { ...keys, sessionToken: `${keys.sessionToken}x` },
      { ...platform.credentials, sessionToken: keys.sessionToken },
    ]
    for (const wrong of refused) {
      await expect(sts(wrong).getCallerIdentity({})).rejects.toMatchObject({ name: 'InvalidClientTokenId', $metadata: { httpStatusCode: 403 } })
    }
  })

  it('are, without a second factor, neither for IAM nor for more of their kind', async () => {
    const { sts, platform } = await started()
    const keys = keysOf((await sts().getSessionToken({})).Credentials)
    const iam = new IAM({ endpoint: platform.url, region: 'us-east-1', credentials: keys, maxAttempts: 1 })

    const calls: (() => Promise<unknown>)[] = [
      () => iam.listUsers({}),
      () => iam.createUser({ UserName: 'x' }),
      () => sts(keys).getSessionToken({}),
      () => sts(keys).getAccessKeyInfo({ AccessKeyId: keys.accessKeyId }),
    ]
    for (const call of calls) {
      await expect(call()).rejects.toMatchObject({ name: 'InvalidClientTokenId' })
    }
    await expect(sts(keys).assumeRole({ RoleArn: `arn:aws:iam::${defaultAccountId}:role/x`, RoleSessionName: 'xx' })).rejects.toMatchObject({ name: 'AccessDenied' })
    iam.destroy()
  })

  it('end, and say so for as long as anybody asks', async () => {
    const { sts, ecr, clock } = await started()
    const keys = keysOf((await sts().getSessionToken({ DurationSeconds: 900 })).Credentials)

    clock.offsetMs = 15 * 60_000 - 5_000
    await expect(sts(keys).getCallerIdentity({})).resolves.toBeDefined()
    for (const passedMs of [15 * 60_000, 200 * hourMs]) {
      clock.offsetMs = passedMs
      await expect(sts(keys).getCallerIdentity({})).rejects.toMatchObject({
        name: 'ExpiredToken',
        message: 'The security token included in the request is expired',
      })
      await expect(ecr(keys).describeRegistry({})).rejects.toMatchObject({ name: 'ExpiredTokenException' })
    }
  })

  it('give docker logins that end with them', async () => {
    const { sts, ecr, clock, platform } = await started()
    const { Credentials: given } = await sts().getSessionToken({ DurationSeconds: 900 })
    const { authorizationData } = await ecr(keysOf(given)).getAuthorizationToken({})
    const { authorizationToken, expiresAt } = authorizationData![0]!
    const login = (): Promise<Response> => fetch(`${platform.url}/v2/`, { headers: { authorization: `Basic ${authorizationToken}` } })

    expect(expiresAt?.getTime()).toBe(given?.Expiration?.getTime())
    expect((await login()).status).toBe(200)
    const { accessKeyId, secretAccessKey } = keysOf(given)
    const basic = Buffer.from(`${accessKeyId}:${secretAccessKey}`).toString('base64')
    expect((await fetch(`${platform.url}/v2/`, { headers: { authorization: `Basic ${basic}` } })).status).toBe(401)

    clock.offsetMs = 15 * 60_000
    expect((await login()).status).toBe(403)
  })

  it('have a token as long as the caller wants to see, and say how long it is', async () => {
    const { sts } = await started()

    for (const MinimumSessionTokenSize of [0, 300, 1001, 4095, 4096]) {
      const { Credentials: given, SessionTokenSize, SessionTokenUtilization } = await sts().getSessionToken({ MinimumSessionTokenSize })
      const keys = keysOf(given)
      expect(keys.sessionToken.length).toBeGreaterThanOrEqual(MinimumSessionTokenSize)
      expect(keys.sessionToken.length).toBeLessThan(Math.max(MinimumSessionTokenSize, 200) + 8)
      expect([SessionTokenSize, SessionTokenUtilization]).toEqual([keys.sessionToken.length, Math.min(100, Math.ceil((keys.sessionToken.length * 100) / 4096))])
      await sts(keys).getCallerIdentity({})
    }
    await expect(sts().getSessionToken({ MinimumSessionTokenSize: 4097 })).rejects.toMatchObject({ name: 'ValidationError' })
  })

  it('name their account to whoever may ask', async () => {
    const { sts, platform } = await started()
    const keys = keysOf((await sts().getSessionToken({})).Credentials)

    for (const { accessKeyId } of [platform.credentials, keys]) {
      expect(await sts().getAccessKeyInfo({ AccessKeyId: accessKeyId })).toMatchObject({ Account: defaultAccountId })
    }
    await expect(sts().getAccessKeyInfo({ AccessKeyId: 'ASIAAAAAAAAAAAAAAAAA' })).rejects.toMatchObject({ name: 'ValidationError' })
  })

  it('are bounded for each account, with an answer that SDKs take for throttling', async () => {
    const { sts, platform } = await started({ STOWAGE_QUOTA_SESSIONS: '3' })
    const other = await newAccount(platform.url, platform.credentials, '111122223333')
    const iam = iamClient(platform.url, platform.credentials)
    const user = await newUser(iam, { Action: 'ecr:*', Resource: '*' })
    const role = await newRole(iam, {
      name: 'of-the-user',
      trustPolicy: { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: user.arn }, Action: 'sts:AssumeRole' }] },
    })
    await sts(user).getSessionToken({})
    await sts(user).assumeRole({ RoleArn: role, RoleSessionName: 'one' })
    const last = keysOf((await sts().getSessionToken({})).Credentials)

    const full = {
      name: 'Throttling',
      Code: 'Throttling',
      message: `Rate exceeded: the account ${defaultAccountId} has 3 temporary credentials that have not ended, and may not have more.`,
      $metadata: expect.objectContaining({ httpStatusCode: 400 }),
    }
    await expect(sts(user).getSessionToken({})).rejects.toMatchObject(full)
    await expect(sts(user).assumeRole({ RoleArn: role, RoleSessionName: 'two' })).rejects.toMatchObject({ Code: 'Throttling' })
    await sts(last).getCallerIdentity({})
    await sts(other).getSessionToken({})

    // Whose sessions end with it, whose room it gives back.
    await iam.deleteRole({ RoleName: 'of-the-user' })
    await sts(user).getSessionToken({})
    await expect(sts(user).getSessionToken({})).rejects.toMatchObject({ Code: 'Throttling' })
    await iam.deleteUserPolicy({ UserName: user.name, PolicyName: 'rights' })
    await iam.deleteAccessKey({ UserName: user.name, AccessKeyId: user.accessKeyId })
    await iam.deleteUser({ UserName: user.name })
    iam.destroy()
    await sts().getSessionToken({})
    await sts().getSessionToken({})
    await expect(sts().getSessionToken({})).rejects.toMatchObject({ Code: 'Throttling' })
  })

  it('take no more room than there is when many begin at once, and give it back when they were swept', async () => {
    const fixture = await startRegistry(database)
    onTestFinished(() => fixture.stop())
    const keyring = await openKeyring({ dataDir: fixture.dataDir, keyring: undefined, requireExisting: false, clock: fixture.clock, ids: systemIds })
    const principal = rootPrincipal(fixture.context.registry.accountId, 'AKIA')
    const session = { policies: [], tags: {}, transitiveTagKeys: [], sourceIdentity: undefined, provider: undefined, context: {} }
    const begin = (): Promise<TemporaryCredentials> =>
      beginSession(
        { database: fixture.database, keyring, ids: systemIds, maxSessions: 10 },
        { action: 'GetSessionToken', resource: '*', principal, durationSeconds: 900, session },
        commandContext(fixture.context),
      )
    const begun = async (count: number): Promise<number> => {
      const outcomes = await Promise.allSettled(Array.from({ length: count }, begin))
      for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'too-many-sessions' })
      return outcomes.filter(({ status }) => status === 'fulfilled').length
    }
    const sweep = (): Promise<number> => removeEndedSessions(fixture.database, commandContext(fixture.context))

    expect(await begun(25)).toBe(10)
    fixture.clock.advance(900_000)
    expect(await begun(3)).toBe(0)
    fixture.clock.advance(5 * 60_000)
    expect(await sweep()).toBe(10)
    expect(await begun(4)).toBe(4)
    expect(await begun(8)).toBe(6)

    // A server of the version before sweeps without counting: before anybody is refused, what is there is counted.
    await fixture.tamper('delete from sts_session where expires_at > ?', 0)
    expect(await begun(1)).toBe(0)
    fixture.clock.advance(60_000)
    expect(await begun(12)).toBe(10)
  })

  it('are refused where they cannot be as they were asked for', async () => {
    const { sts } = await started()

    for (const DurationSeconds of [0, 899, 129_601]) {
      await expect(sts().getSessionToken({ DurationSeconds })).rejects.toMatchObject({ name: 'ValidationError' })
    }
    await expect(sts().getSessionToken({ SerialNumber: 'GAHT12345678', TokenCode: '123456' })).rejects.toMatchObject({ name: 'AccessDenied' })
  })

  it('are kept so that nobody who reads the database can use them, and go some minutes after their end', async () => {
    const fixture = await startRegistry(database)
    onTestFinished(() => fixture.stop())
    const keyring = await openKeyring({ dataDir: fixture.dataDir, keyring: undefined, requireExisting: false, clock: fixture.clock, ids: systemIds })
    const accessKeys = new AccessKeys(fixture.database, keyring, new IamGeneration(fixture.database))
    const begin = (durationSeconds: number): Promise<TemporaryCredentials> =>
      beginSession(
        { database: fixture.database, keyring, ids: systemIds, maxSessions: 100 },
        {
          action: 'GetSessionToken',
          resource: '*',
          principal: rootPrincipal(fixture.context.registry.accountId, 'AKIA'),
          durationSeconds,
          session: {
            policies: ['{"Version":"2012-10-17"}'],
            tags: { team: 'a' },
            transitiveTagKeys: ['team'],
            sourceIdentity: 'alice',
            provider: 'arn:aws:iam::000000000000:oidc-provider/issuer.example',
            context: { 'issuer.example:sub': 'x', 'issuer.example:groups': ['a', 'b'] },
          },
        },
        commandContext(fixture.context),
      )
    const short = await begin(900)
    const long = await begin(3600)

    const found = await accessKeys.findAccessKey(short.accessKeyId)
    expect(found).toMatchObject({
      secretAccessKey: short.secretAccessKey,
      principal: {
        session: {
          issuedAt: fixture.clock.now(),
          expiresAt: fixture.clock.now() + 900_000,
          policies: ['{"Version":"2012-10-17"}'],
          tags: { team: 'a' },
          transitiveTagKeys: ['team'],
          sourceIdentity: 'alice',
          context: { 'issuer.example:sub': 'x', 'issuer.example:groups': ['a', 'b'] },
        },
      },
    })
    expect(Buffer.from(found!.sessionTokenSha256!).toString('hex')).toBe(createHash('sha256').update(short.sessionToken).digest('hex'))

    // What is known of a session costs what is known of a lasting key.
    const known = fixture.database.counters.statements
    await accessKeys.findAccessKey(short.accessKeyId)
    expect(fixture.database.counters.statements - known).toBe(database === 'sqlite' ? 0 : 1)

    fixture.clock.advance(900_000)
    const before = fixture.database.counters.statements
    expect(await removeEndedSessions(fixture.database, commandContext(fixture.context))).toBe(0)
    expect(fixture.database.counters.statements - before).toBe(1)
    fixture.clock.advance(5 * 60_000)
    expect(await removeEndedSessions(fixture.database, commandContext(fixture.context))).toBe(1)
    const elsewhere = new AccessKeys(fixture.database, keyring, new IamGeneration(fixture.database))
    expect(await elsewhere.findAccessKey(short.accessKeyId)).toBeUndefined()
    expect(await elsewhere.findAccessKey(long.accessKeyId)).toBeDefined()
    expect(elsewhere.isEndedSession(short.accessKeyId, short.sessionToken, fixture.clock.now())).toBe(true)
    expect(elsewhere.isEndedSession(long.accessKeyId, short.sessionToken, fixture.clock.now())).toBe(false)
    expect(elsewhere.isEndedSession(long.accessKeyId, long.sessionToken, fixture.clock.now())).toBe(false)
  })
})

function keysOf(credentials: Credentials | undefined): Required<Keys> {
  const { AccessKeyId: accessKeyId = '', SecretAccessKey: secretAccessKey = '', SessionToken: sessionToken = '' } = credentials ?? {}
  return { accessKeyId, secretAccessKey, sessionToken }
}
