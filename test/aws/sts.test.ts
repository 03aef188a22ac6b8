import { STS } from '@aws-sdk/client-sts'
import { expect, it } from 'vitest'
import { defaultAccountId, onEveryDatabase } from './ecr-under-test.ts'

onEveryDatabase((server) => {
  it('GetCallerIdentity names the root of the account', async () => {
    const { platform } = server()
    const sts = new STS({ endpoint: platform.url, region: 'us-east-1', credentials: platform.credentials, maxAttempts: 1 })

    const identity = await sts.getCallerIdentity({})
    sts.destroy()

    expect(identity).toMatchObject({
      Account: defaultAccountId,
      Arn: `arn:aws:iam::${defaultAccountId}:root`,
      UserId: defaultAccountId,
    })
    expect(identity.$metadata.requestId).toMatch(/./)
  })

  it('GetCallerIdentity is refused with wrong keys', async () => {
    const { platform } = server()
    const credentials = { ...platform.credentials, secretAccessKey: 'x'.repeat(40) }
    const sts = new STS({ endpoint: platform.url, region: 'us-east-1', credentials, maxAttempts: 1 })

    await expect(sts.getCallerIdentity({})).rejects.toMatchObject({
      name: 'SignatureDoesNotMatch',
      $metadata: { httpStatusCode: 403 },
    })
    sts.destroy()
  })

  it('another action is unknown', async () => {
    const { platform } = server()
    const sts = new STS({ endpoint: platform.url, region: 'us-east-1', credentials: platform.credentials, maxAttempts: 1 })

    await expect(sts.getFederationToken({ Name: 'anybody' })).rejects.toMatchObject({ name: 'InvalidAction' })
    sts.destroy()
  })
})
