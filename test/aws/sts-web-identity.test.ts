import type { IAM } from '@aws-sdk/client-iam'
import { STS, STSServiceException, type AssumeRoleWithWebIdentityCommandInput } from '@aws-sdk/client-sts'
import { SignatureV4 } from '@smithy/signature-v4'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Sha256 } from '../../src/http/aws/aws.test-support.ts'
import { iamClient, newAccount, newRole as newRoleOf } from '../support/identities.ts'
import { startOidcIssuer, type OidcIssuer } from '../support/oidc-issuer.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { databases } from '../support/registry.ts'
import { defaultAccountId } from './ecr-under-test.ts'
import { githubClaims, gitlabClaims, kubernetesClaims } from '../support/identity-claims.ts'

const audience = 'sts.amazonaws.com'
const otherAccountId = '111122223333'

describe.each(databases)('AssumeRoleWithWebIdentity on %s', (database) => {
  let issuer: OidcIssuer
  let platform: TestPlatform
  let sts: STS
  /** Of each account's root. */
  let iam: Record<string, IAM> = {}
  let roles = 0

  beforeAll(async () => {
    issuer = await startOidcIssuer()
    platform = await startTestPlatform({ database, settings: { STOWAGE_OIDC_PRIVATE_HOSTS: issuer.host, STOWAGE_OIDC_CA_FILE: issuer.caFile } })
    sts = new STS({ endpoint: platform.url, region: 'us-east-1', credentials: { accessKeyId: 'unused', secretAccessKey: 'unused' }, maxAttempts: 1 })
    const other = await newAccount(platform.url, platform.credentials, otherAccountId)
    iam = { [defaultAccountId]: iamClient(platform.url, platform.credentials), [otherAccountId]: iamClient(platform.url, other) }
    await iam[defaultAccountId]!.createOpenIDConnectProvider({ Url: issuer.issuer, ClientIDList: [audience, 'https://gitlab.example'] })
  })
  afterAll(async () => {
    sts?.destroy()
    for (const client of Object.values(iam)) client.destroy()
    await platform?.stop()
    await issuer?.stop()
  })

  const trusting = (condition: object, more: object = {}): object => ({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Federated: `arn:aws:iam::${defaultAccountId}:oidc-provider/${issuer.url}` },
        Action: 'sts:AssumeRoleWithWebIdentity',
        Condition: condition,
        ...more,
      },
    ],
  })
  const newRole = (trustPolicy: object, more: { maxSessionSeconds?: number; path?: string; accountId?: string } = {}): Promise<string> =>
    newRoleOf(iam[more.accountId ?? defaultAccountId]!, { name: `role-${++roles}`, trustPolicy, ...more })

  const assume = (RoleArn: string, WebIdentityToken: string, more: Partial<AssumeRoleWithWebIdentityCommandInput> = {}) =>
    sts.assumeRoleWithWebIdentity({ RoleArn, WebIdentityToken, RoleSessionName: 'build', ...more })

  async function refusal(call: Promise<unknown>): Promise<string> {
    try {
      await call
    } catch (error) {
      if (!(error instanceof STSServiceException)) throw error
      return `${error.$metadata.httpStatusCode} ${error.name}: ${error.message}`
    }
    throw new Error('the call succeeded')
  }
  const notAuthorized = '403 AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity'

  it('gives a GitHub Actions job the role that trusts its repository and branch', async () => {
    const role = await newRole(
      trusting({
        StringEquals: { [`${issuer.url}:aud`]: audience },
        StringLike: { [`${issuer.url}:sub`]: 'repo:octo-org/octo-repo:ref:refs/heads/*' },
      }),
    )
    const name = role.split('/').at(-1)!

    const answer = await assume(role, await issuer.sign(githubClaims({ ref: 'refs/heads/main' })), { DurationSeconds: 1800 })

    expect(answer).toMatchObject({
      AssumedRoleUser: { Arn: `arn:aws:sts::${defaultAccountId}:assumed-role/${name}/build`, AssumedRoleId: expect.stringMatching(/^AROA[A-Z0-9]{17}:build$/) },
      SubjectFromWebIdentityToken: 'repo:octo-org/octo-repo:ref:refs/heads/main',
      Audience: audience,
      Provider: `arn:aws:iam::${defaultAccountId}:oidc-provider/${issuer.url}`,
    })
    expect(answer.Credentials?.Expiration?.getTime()).toBeGreaterThan(Date.now() + 29 * 60_000)
    expect(answer.Credentials?.Expiration?.getTime()).toBeLessThanOrEqual(Date.now() + 30 * 60_000)
    const { AccessKeyId = '', SecretAccessKey = '', SessionToken = '' } = answer.Credentials ?? {}
    const asJob = new STS({ endpoint: platform.url, region: 'us-east-1', credentials: { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken } })
    expect(await asJob.getCallerIdentity({})).toMatchObject({
      Account: defaultAccountId,
      Arn: answer.AssumedRoleUser?.Arn,
      UserId: answer.AssumedRoleUser?.AssumedRoleId,
    })
    asJob.destroy()
    for (const claims of [githubClaims({ repository: 'octo-org/other' }), githubClaims({ ref: 'refs/tags/v1' }), githubClaims({ repository: 'evil/octo-repo' })]) {
      expect(await refusal(assume(role, await issuer.sign(claims)))).toBe(notAuthorized)
    }
  })

  it('lets a role ask for every claim of a token, such as the environment and the reusable workflow of GitHub', async () => {
    const role = await newRole(
      trusting({
        StringEquals: {
          [`${issuer.url}:environment`]: 'prod',
          [`${issuer.url}:job_workflow_ref`]: 'octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main',
          [`${issuer.url}:repository_id`]: '74',
        },
      }),
    )

    await assume(role, await issuer.sign(githubClaims({ environment: 'prod' })))
    expect(await refusal(assume(role, await issuer.sign(githubClaims({ environment: 'test' }))))).toBe(notAuthorized)
    expect(await refusal(assume(role, await issuer.sign(githubClaims({ ref: 'refs/heads/main' }))))).toBe(notAuthorized)
  })

  it('gives a GitLab job and a Kubernetes service account theirs', async () => {
    const gitlab = await newRole(
      trusting({
        StringEquals: { [`${issuer.url}:aud`]: 'https://gitlab.example', [`${issuer.url}:ref_protected`]: 'true' },
        StringLike: { [`${issuer.url}:sub`]: 'project_path:my-group/my-project:ref_type:branch:ref:main' },
      }),
    )
    const kubernetes = await newRole(trusting({ StringEquals: { [`${issuer.url}:sub`]: 'system:serviceaccount:ci:pusher', [`${issuer.url}:aud`]: audience } }))

    await assume(gitlab, await issuer.sign(gitlabClaims({ audience: 'https://gitlab.example' })))
    await assume(kubernetes, await issuer.sign(kubernetesClaims({ namespace: 'ci', serviceAccount: 'pusher', audience })))
    expect(await refusal(assume(kubernetes, await issuer.sign(kubernetesClaims({ namespace: 'ci', serviceAccount: 'other', audience }))))).toBe(notAuthorized)
    expect(await refusal(assume(gitlab, await issuer.sign(kubernetesClaims({ namespace: 'ci', serviceAccount: 'pusher', audience }))))).toBe(notAuthorized)
  })

  it('says nothing that tells a role that is not there from one that may not be assumed', async () => {
    const token = await issuer.sign(githubClaims({ ref: 'refs/heads/main' }))
    const refused = [
      await newRole(trusting({ StringEquals: { [`${issuer.url}:sub`]: 'repo:evil/evil:ref:refs/heads/main' } })),
      await newRole(trusting({ StringEquals: { 'sts:RoleSessionName': 'another' } })),
      await newRole({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: '*' }, Action: 'sts:*' }] }),
      await newRole(trusting({}, { Action: 'sts:AssumeRole' })),
      await newRole(trusting({}, { Principal: { Federated: `arn:aws:iam::${otherAccountId}:oidc-provider/${issuer.url}` } })),
      `arn:aws:iam::${defaultAccountId}:role/not-there`,
      `arn:aws:iam::${defaultAccountId}:role/a/path/not-there`,
    ]
    for (const role of refused) expect(await refusal(assume(role, token))).toBe(notAuthorized)

    const open = await newRole(trusting({}), { path: '/ci/' })
    await assume(open, token)
    expect(await refusal(assume(open.replace('/ci/', '/'), token))).toBe(notAuthorized)
    expect(await refusal(assume(open.replace('role-', 'ROLE-'), token))).toBe(notAuthorized)
    expect(await refusal(assume(`arn:aws:iam::${defaultAccountId}:role/not-there`, token, { PolicyArns: [{ arn: 'arn:aws:iam::aws:policy/None' }] }))).toBe(notAuthorized)
  })

  it('never takes the provider of another account, nor one that was not registered', async () => {
    const token = await issuer.sign(githubClaims({ ref: 'refs/heads/main' }))
    const foreign = await newRole(trusting({}), { accountId: otherAccountId })
    const none = `400 InvalidIdentityTokenException: No OpenIDConnect provider found in your account for ${issuer.issuer}`

    expect(await refusal(assume(foreign, token))).toBe(none)
    expect(await refusal(assume('arn:aws:iam::999988887777:role/not-there', token))).toBe(none)
    await using stranger = await startOidcIssuer()
    const role = await newRole(trusting({}))
    expect(await refusal(assume(role, await stranger.sign(githubClaims({ ref: 'refs/heads/main' }))))).toContain('InvalidIdentityToken')
    expect(stranger.requests).toEqual([])
  })

  it('refuses tokens that are forged, late or for somebody else, each by its name', async () => {
    const role = await newRole(trusting({}))
    const claims = githubClaims({ ref: 'refs/heads/main' })
    const now = Math.floor(Date.now() / 1000)
    const token = await issuer.sign(claims)
    const [header, payload] = token.split('.')
    const other = await issuer.sign({ ...claims, sub: 'x' })

    expect(await refusal(assume(role, [header, payload, other.split('.')[2]].join('.')))).toMatch(/^400 InvalidIdentityTokenException: /)
    expect(await refusal(assume(role, 'nonsense'))).toMatch(/^400 InvalidIdentityTokenException: The ID Token provided is not a valid JWT/)
    expect(await refusal(assume(role, await issuer.sign({ ...claims, aud: 'x' })))).toBe('400 InvalidIdentityTokenException: Incorrect token audience')
    expect(await refusal(assume(role, await issuer.sign({ ...claims, exp: now - 3600 })))).toMatch(/^400 ExpiredTokenException: Token expired: /)
    expect(await refusal(assume(role, await issuer.sign({ ...claims, nbf: now + 3600 })))).toMatch(/^403 IDPRejectedClaimException: /)
    // Nobody is told more by the form of a request than by its token.
    expect(await refusal(assume(role, 'x'.repeat(20_001)))).toMatch(/^400 ValidationError: /)
    expect(await refusal(assume('arn:aws:iam::000000000000:user/a-user', token))).toMatch(/^400 ValidationError: /)
    expect(await refusal(assume(role, token, { RoleSessionName: 'a b' }))).toMatch(/^400 ValidationError: /)
    expect(await refusal(assume(role, token, { ProviderId: 'www.amazon.com' }))).toMatch(/^400 ValidationError: /)
  })

  it('keeps to the role’s longest session, and to an hour where nothing is asked for', async () => {
    const token = await issuer.sign(githubClaims({ ref: 'refs/heads/main' }))
    const long = await newRole(trusting({}), { maxSessionSeconds: 43_200 })
    const lifetimeMs = async (DurationSeconds?: number): Promise<number> =>
      (await assume(long, token, DurationSeconds === undefined ? {} : { DurationSeconds })).Credentials!.Expiration!.getTime() - Date.now()

    expect(Math.round((await lifetimeMs()) / 60_000)).toBe(60)
    expect(Math.round((await lifetimeMs(43_200)) / 60_000)).toBe(720)
    const short = await newRole(trusting({}))
    expect(await refusal(assume(short, token, { DurationSeconds: 3601 }))).toBe(
      '400 ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role.',
    )
    expect(await refusal(assume(short, token, { DurationSeconds: 899 }))).toMatch(/^400 ValidationError: /)
  })

  it('takes session policies that are policies, and says how much of their room is used', async () => {
    const role = await newRole(trusting({}))
    const token = await issuer.sign(githubClaims({ ref: 'refs/heads/main' }))
    const policy = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 'ecr:*', Resource: '*' }] }

    expect(packedSizeOf(await assume(role, token, { Policy: JSON.stringify(policy) }))).toBeGreaterThanOrEqual(1)
    expect(packedSizeOf(await assume(role, token))).toBeUndefined()
    expect(await refusal(assume(role, token, { Policy: '{"Statement":' }))).toMatch(/^400 MalformedPolicyDocumentException: /)
    expect(await refusal(assume(role, token, { Policy: JSON.stringify({ ...policy, Statement: [{ Effect: 'Maybe' }] }) }))).toMatch(/^400 MalformedPolicyDocumentException: /)
  })

  it('takes session tags of the issuer where the role trusts it with them', async () => {
    const tags = { 'https://aws.amazon.com/tags': { principal_tags: { Project: ['Automation'] }, transitive_tag_keys: ['Project'] } }
    const token = await issuer.sign({ ...githubClaims({ ref: 'refs/heads/main' }), ...tags })
    const plain = await newRole(trusting({}))
    const tagged = await newRole(
      trusting({ StringEquals: { 'aws:RequestTag/Project': 'Automation' } }, { Action: ['sts:AssumeRoleWithWebIdentity', 'sts:TagSession'] }),
    )

    expect(await refusal(assume(plain, token))).toBe('403 AccessDenied: Not authorized to perform sts:TagSession')
    expect(packedSizeOf(await assume(tagged, token))).toBeGreaterThanOrEqual(1)
    expect(await refusal(assume(tagged, await issuer.sign(githubClaims({ ref: 'refs/heads/main' }))))).toBe(notAuthorized)
    const random = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`key${n}`, [Buffer.from(crypto.getRandomValues(new Uint8Array(96))).toString('base64')]]))
    const large = await issuer.sign({ ...githubClaims({ ref: 'refs/heads/main' }), 'https://aws.amazon.com/tags': { principal_tags: random } })
    expect(await refusal(assume(tagged, large))).toMatch(/^400 PackedPolicyTooLargeException: Packed policy consumes \d+% of allotted space/)
  })
})

describe('a request that nobody signed', () => {
  let issuer: OidcIssuer
  let platform: TestPlatform
  let iam: IAM
  beforeAll(async () => {
    issuer = await startOidcIssuer()
    platform = await startTestPlatform({ database: 'sqlite', settings: { STOWAGE_OIDC_PRIVATE_HOSTS: issuer.host, STOWAGE_OIDC_CA_FILE: issuer.caFile } })
    iam = iamClient(platform.url, platform.credentials)
    await iam.createOpenIDConnectProvider({ Url: issuer.issuer, ClientIDList: [audience] })
  })
  afterAll(async () => {
    iam?.destroy()
    await platform?.stop()
    await issuer?.stop()
  })

  const form = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }
  const post = (body: string, headers: Record<string, string> = form): Promise<Response> => fetch(platform.url, { method: 'POST', headers, body })

  it.each([
    ['Action=GetCallerIdentity&Version=2011-06-15'],
    ['Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::000000000000:role/x&RoleSessionName=xx'],
    ['Action=AssumeRoleWithWebIdentity&Version=2010-05-08'],
    ['Action=AssumeRoleWithWebIdentity'],
    ['Action=constructor&Version=2011-06-15'],
    ['Version=2011-06-15'],
    [''],
  ])('is refused as such: %s', async (body) => {
    const response = await post(body)

    expect(response.status).toBe(403)
    expect(await response.text()).toContain('<Code>MissingAuthenticationToken</Code>')
  })

  it('is read up to 64 KiB, and not inflated', async () => {
    const action = 'Action=AssumeRoleWithWebIdentity&Version=2011-06-15'

    expect((await post(`${action}&Policy=${'x'.repeat(65_536)}`)).status).toBe(413)
    expect(await (await post(`${action}&Policy=${'x'.repeat(60_000)}`)).text()).toContain('<Code>ValidationError</Code>')
    expect((await post(action, { ...form, 'content-encoding': 'gzip' })).status).toBe(403)
    expect(await (await post('Action=AssumeRoleWithWebIdentity&Version=2011-06-15&Action=x')).text()).toContain('<Code>MalformedInput</Code>')
  })

  it('may be a GET, as the documentation of AWS has it', async () => {
    const role = await newRoleOf(iam, {
      name: 'by-get',
      trustPolicy: {
        Version: '2012-10-17',
        Statement: [{ Effect: 'Allow', Principal: { Federated: `arn:aws:iam::${defaultAccountId}:oidc-provider/${issuer.url}` }, Action: 'sts:AssumeRoleWithWebIdentity' }],
      },
    })
    const query = new URLSearchParams({
      Action: 'AssumeRoleWithWebIdentity',
      Version: '2011-06-15',
      RoleArn: role,
      RoleSessionName: 'by-get',
      WebIdentityToken: await issuer.sign(githubClaims({ ref: 'refs/heads/main' })),
    })

    const response = await fetch(`${platform.url}/?${query.toString()}`)

    expect(response.status).toBe(200)
    const text = await response.text()
    expect(text).toMatch(/^<\?xml[^>]*>\n<AssumeRoleWithWebIdentityResponse xmlns="https:\/\/sts\.amazonaws\.com\/doc\/2011-06-15\/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA/)
  })

  it('may be signed all the same, by somebody whose signature is right', async () => {
    const role = await newRoleOf(iam, {
      name: 'signed',
      trustPolicy: {
        Version: '2012-10-17',
        Statement: [{ Effect: 'Allow', Principal: { Federated: `arn:aws:iam::${defaultAccountId}:oidc-provider/${issuer.url}` }, Action: 'sts:AssumeRoleWithWebIdentity' }],
      },
    })
    const query = {
      Action: 'AssumeRoleWithWebIdentity',
      Version: '2011-06-15',
      RoleArn: role,
      RoleSessionName: 'signed',
      WebIdentityToken: await issuer.sign(githubClaims({ ref: 'refs/heads/main' })),
    }
    const statusWith = async (secretAccessKey: string): Promise<number> => {
      const credentials = { ...platform.credentials, secretAccessKey }
      const signer = new SignatureV4({ credentials, region: 'us-east-1', service: 'sts', sha256: Sha256 })
      const { headers } = await signer.sign({ method: 'GET', protocol: 'http:', hostname: '127.0.0.1', path: '/', query, headers: { host: platform.host } })
      return (await fetch(`${platform.url}/?${new URLSearchParams(query).toString()}`, { headers: headers as Record<string, string> })).status
    }

    expect(await statusWith(platform.credentials.secretAccessKey)).toBe(200)
    expect(await statusWith('x'.repeat(40))).toBe(403)
  })

  it('is slowed down where it brings many wrong tokens, and never where it brings a right one', async () => {
    const sts = new STS({ endpoint: platform.url, region: 'us-east-1', credentials: { accessKeyId: 'unused', secretAccessKey: 'unused' }, maxAttempts: 1 })
    const assume = (WebIdentityToken: string, RoleArn = `arn:aws:iam::${defaultAccountId}:role/not-there`): Promise<unknown> =>
      sts.assumeRoleWithWebIdentity({ RoleArn, RoleSessionName: 'build', WebIdentityToken })
    const names = new Set<string>()
    for (let n = 0; n < 10; n += 1) await assume('a.b.c').catch((error: Error) => names.add(error.name))

    expect([...names].sort()).toEqual(['InvalidIdentityTokenException', 'Throttling'])
    await expect(assume(await issuer.sign(githubClaims({ ref: 'refs/heads/main' })))).rejects.toMatchObject({ name: 'AccessDenied' })
    sts.destroy()
  })
})

/** Clients of before June 2026 read it, and so do scripts. */
function packedSizeOf(answer: object): unknown {
  return (answer as { PackedPolicySize?: unknown }).PackedPolicySize
}
