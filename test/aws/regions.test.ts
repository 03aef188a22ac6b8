import { ECR } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDistributionClient, type Credentials } from '../support/distribution-client.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { refusalOf } from './ecr-under-test.ts'

const account = '000000000000'
const served = 'eu-central-1'
const foreign = 'us-west-2'

describe('an installation with STOWAGE_REGIONS', () => {
  let platform: TestPlatform
  const clients: { destroy(): void }[] = []

  beforeAll(async () => {
    platform = await startTestPlatform({ database: 'sqlite', settings: { STOWAGE_REGIONS: `${served}, ap-south-1` } })
  })
  afterAll(async () => {
    for (const client of clients) client.destroy()
    await platform.stop()
  })

  /** Signs for the region: the scope of SigV4 is what names it. */
  function ecrIn(region: string): ECR {
    const ecr = new ECR({ endpoint: platform.url, region, credentials: platform.credentials, maxAttempts: 1 })
    clients.push(ecr)
    return ecr
  }

  async function tokenOf(region: string): Promise<Credentials> {
    const { authorizationData } = await ecrIn(region).getAuthorizationToken({})
    const [username = '', password = ''] = Buffer.from(authorizationData![0]!.authorizationToken!, 'base64').toString().split(':')
    return { username, password }
  }

  /** Begins an upload, in the registry of a host name or, without one, of the token. */
  async function push(auth: Credentials, hostRegion?: string): Promise<{ status: number; text: string }> {
    const client = createDistributionClient(platform.url, auth)
    const headers = hostRegion === undefined ? {} : { host: `${account}.dkr.ecr.${hostRegion}.localhost:5000` }
    const { status, body } = await client.request('POST', '/v2/team/app/blobs/uploads/', { headers })
    client.close()
    return { status, text: body.toString() }
  }

  it.each(['us-east-1', served, 'ap-south-1'])('serves %s, by host name, token and the scope of a signature', async (region) => {
    const { repository } = await ecrIn(region).createRepository({ repositoryName: 'team/app' })

    expect(repository?.repositoryArn).toBe(`arn:aws:ecr:${region}:${account}:repository/team/app`)
    const token = await tokenOf(region)
    expect((await push(token)).status).toBe(202)
    expect((await push(token, region)).status).toBe(202)
  })

  it('lets nothing begin elsewhere, by neither protocol, and says why', async () => {
    const reason = `The region '${foreign}' is not one of this installation.`
    const ecr = ecrIn(foreign)
    const resource = `arn:aws:ecr:${foreign}:${account}:repository/*`
    const policy = { Version: '2012-10-17', Statement: [{ Sid: 'a', Effect: 'Allow', Principal: '*', Action: 'ecr:BatchImportUpstreamImage', Resource: resource }] }

    expect(await refusalOf(ecr.createRepository({ repositoryName: 'team/app' }))).toBe(`InvalidParameterException: ${reason}`)
    expect(await refusalOf(ecr.putRegistryPolicy({ policyText: JSON.stringify(policy) }))).toContain(reason)
    expect(await refusalOf(ecr.createRepositoryCreationTemplate({ prefix: 'ROOT', appliedFor: ['CREATE_ON_PUSH'] }))).toContain(reason)

    const token = await tokenOf(foreign)
    const root = { username: platform.credentials.accessKeyId, password: platform.credentials.secretAccessKey }
    for (const answer of [await push(token), await push(token, foreign), await push(root, foreign)]) {
      expect(answer).toMatchObject({ status: 404, text: expect.stringContaining(reason) as string })
      expect(answer.text).toContain('NAME_UNKNOWN')
    }
    expect((await ecr.describeRepositories({})).repositories).toEqual([])
  })
})
