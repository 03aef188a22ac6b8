import { createHash } from 'node:crypto'
import { ECR } from '@aws-sdk/client-ecr'
import { IAM } from '@aws-sdk/client-iam'
import { STS, type Credentials } from '@aws-sdk/client-sts'
import { describe, expect, it, onTestFinished } from 'vitest'
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
  async function started(): Promise<{ platform: TestPlatform; clock: MovedClock; sts: (keys?: Keys) => STS; ecr: (keys: Keys) => ECR }> {
    const clock = new MovedClock()
    const platform = await startTestPlatform({ database, clock })
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
        { database: fixture.database, keyring, ids: systemIds },
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
