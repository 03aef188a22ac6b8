import { ECR } from '@aws-sdk/client-ecr'
import { IAM } from '@aws-sdk/client-iam'
import { STS, STSServiceException, type Credentials } from '@aws-sdk/client-sts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newKeyring, serializeKeyring } from '../../src/iam/index.ts'
import { systemClock } from '../../src/internal/clock.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { githubClaims } from '../support/identity-claims.ts'
import { startOidcIssuer, type OidcIssuer } from '../support/oidc-issuer.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases } from '../support/registry.ts'

interface Keys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

const audience = 'sts.amazonaws.com'
const unknownToken = { name: 'InvalidClientTokenId', $metadata: { httpStatusCode: 403 } }

describe.each(databases)('sessions end with what they stand for, on %s', (kind) => {
  let issuer: OidcIssuer
  let servers: TestPlatform[]
  let iam: IAM
  const clients: { destroy(): void }[] = []

  beforeEach(async () => {
    issuer = await startOidcIssuer()
    const oidc = { STOWAGE_OIDC_PRIVATE_HOSTS: issuer.host, STOWAGE_OIDC_CA_FILE: issuer.caFile }
    if (kind === 'sqlite') {
      servers = [await startTestPlatform({ database: kind, settings: oidc })]
    } else {
      const databaseUrl = (await createDatabase()).url
      const settings = { ...oidc, STOWAGE_KEYRING: serializeKeyring(newKeyring(systemClock, systemIds)) }
      servers = [
        await startTestPlatform({ database: kind, databaseUrl, settings }),
        await startTestPlatform({ database: kind, databaseUrl, settings }),
      ]
    }
    iam = clientOf(IAM, servers[0]!, servers[0]!.credentials)
    await iam.createOpenIDConnectProvider({ Url: issuer.issuer, ClientIDList: [audience] })
  })
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy()
    for (const server of servers) await server.stop()
    await issuer.stop()
  })

  function clientOf<Client extends { destroy(): void }>(Type: new (settings: object) => Client, server: TestPlatform, credentials: Keys): Client {
    const client = new Type({ endpoint: server.url, region: 'us-east-1', credentials, maxAttempts: 1 })
    clients.push(client)
    return client
  }
  /** Another server than the one that is told of changes, where there is one. */
  const other = (): TestPlatform => servers.at(-1)!

  async function createRole(name: string): Promise<string> {
    const { Role } = await iam.createRole({
      RoleName: name,
      AssumeRolePolicyDocument: JSON.stringify({
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Principal: { Federated: `arn:aws:iam::000000000000:oidc-provider/${issuer.url}` },
            Action: 'sts:AssumeRoleWithWebIdentity',
            Condition: { StringLike: { [`${issuer.url}:sub`]: 'repo:octo-org/*' } },
          },
        ],
      }),
    })
    return Role!.Arn!
  }
  async function assume(role: string, token: string, server: TestPlatform = other()): Promise<Keys> {
    const sts = clientOf(STS, server, { accessKeyId: 'unused', secretAccessKey: 'unused' })
    return keysOf((await sts.assumeRoleWithWebIdentity({ RoleArn: role, RoleSessionName: 'build', WebIdentityToken: token })).Credentials)
  }

  it('a role that is deleted, with the very next request, docker logins too', async () => {
    const role = await createRole('doomed')
    const keys = await assume(role, await issuer.sign(githubClaims({})))
    const sts = clientOf(STS, other(), keys)
    const { UserId: before } = await sts.getCallerIdentity({})
    const { authorizationData } = await clientOf(ECR, other(), await loginKeys(role)).getAuthorizationToken({})
    const login = (): Promise<Response> =>
      fetch(`${other().url}/v2/`, { headers: { authorization: `Basic ${authorizationData![0]!.authorizationToken!}` } })
    expect((await login()).status).toBe(200)
    expect((await iam.getRole({ RoleName: 'doomed' })).Role?.RoleLastUsed?.Region).toBe('us-east-1')

    await iam.deleteRolePolicy({ RoleName: 'doomed', PolicyName: 'login' })
    await iam.deleteRole({ RoleName: 'doomed' })

    await expect(sts.getCallerIdentity({})).rejects.toMatchObject(unknownToken)
    expect((await login()).status).toBe(401)
    // One of the same name is another role.
    await createRole('doomed')
    await expect(sts.getCallerIdentity({})).rejects.toMatchObject(unknownToken)
    const { UserId: after } = await clientOf(STS, other(), await assume(role, await issuer.sign(githubClaims({})))).getCallerIdentity({})
    expect(after).not.toBe(before)
  })

  /** Of the role, once it may ask for a docker login. */
  async function loginKeys(role: string): Promise<Keys> {
    await iam.putRolePolicy({
      RoleName: 'doomed',
      PolicyName: 'login',
      PolicyDocument: JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 'ecr:GetAuthorizationToken', Resource: '*' }] }),
    })
    return assume(role, await issuer.sign(githubClaims({})))
  }

  it('a user that is deleted, whose session had its own policies and name', async () => {
    await iam.createUser({ UserName: 'alice' })
    const { AccessKey } = await iam.createAccessKey({ UserName: 'alice' })
    const own = { accessKeyId: AccessKey!.AccessKeyId!, secretAccessKey: AccessKey!.SecretAccessKey! }
    const given = await clientOf(STS, other(), own).getSessionToken({})
    const sts = clientOf(STS, other(), keysOf(given.Credentials))
    expect(await sts.getCallerIdentity({})).toMatchObject({ Arn: 'arn:aws:iam::000000000000:user/alice', UserId: expect.stringMatching(/^AIDA/) })
    expect(given.Credentials!.Expiration!.getTime()).toBeGreaterThan(Date.now() + 11.9 * 3_600_000)

    await iam.updateUser({ UserName: 'alice', NewUserName: 'bob', NewPath: '/staff/' })
    expect((await sts.getCallerIdentity({})).Arn).toBe('arn:aws:iam::000000000000:user/staff/bob')
    await iam.deleteAccessKey({ UserName: 'bob', AccessKeyId: own.accessKeyId })
    await iam.deleteUser({ UserName: 'bob' })

    await expect(sts.getCallerIdentity({})).rejects.toMatchObject(unknownToken)
  })

  it('a role that is deleted while many ask for it', async () => {
    for (let round = 0; round < 3; round += 1) {
      const role = await createRole(`contested-${round}`)
      const token = await issuer.sign(githubClaims({}))
      const given: Keys[] = []
      const refused = new Set<string>()
      const asking = Array.from({ length: 16 }, async (_, n) => {
        try {
          given.push(await assume(role, token, servers[n % servers.length]))
        } catch (error) {
          if (!(error instanceof STSServiceException)) throw error
          refused.add(`${error.$metadata.httpStatusCode} ${error.name}`)
        }
      })
      await asking[round]
      await iam.deleteRole({ RoleName: `contested-${round}` })
      await Promise.all(asking)

      expect([...refused].filter((text) => text !== '403 AccessDenied')).toEqual([])
      for (const keys of given) await expect(clientOf(STS, other(), keys).getCallerIdentity({})).rejects.toMatchObject(unknownToken)
    }
  })
})

function keysOf(credentials: Credentials | undefined): Required<Keys> {
  const { AccessKeyId: accessKeyId = '', SecretAccessKey: secretAccessKey = '', SessionToken: sessionToken = '' } = credentials ?? {}
  return { accessKeyId, secretAccessKey, sessionToken }
}
