import { ECR } from '@aws-sdk/client-ecr'
import { STS } from '@aws-sdk/client-sts'
import { describe, expect, it, onTestFinished } from 'vitest'
import { callStowage, iamClient, newAccount, newUser, policyOf, type Keys } from '../support/identities.ts'
import { absentRepository, clientOf, defaultAccountId, onEveryDatabase, refusalOf, type EcrUnderTest } from './ecr-under-test.ts'

onEveryDatabase((server) => {
  const call = (keys: Keys, operation: string, input: object = {}) => callStowage(server().platform.url, keys, operation, input)
  const root = (): Keys => server().platform.credentials

  function clientsOf(keys: Keys, { platform }: EcrUnderTest = server()): { ecr: ECR; sts: STS } {
    const settings = { endpoint: platform.url, region: 'us-east-1', credentials: keys, maxAttempts: 1 }
    const clients = { ecr: new ECR(settings), sts: new STS(settings) }
    onTestFinished(() => {
      clients.ecr.destroy()
      clients.sts.destroy()
    })
    return clients
  }

  describe('CreateAccount', () => {
    it('makes an account whose root is shown its key once, and has a registry of its own', async () => {
      const { newRepository } = server()
      const taken = await newRepository()
      const created = await call(root(), 'CreateAccount', { accountId: '210000000001', name: 'Team One' })
      expect(created).toMatchObject({
        status: 200,
        body: { account: { accountId: '210000000001', name: 'Team One' }, rootCredential: { accessKeyId: expect.stringMatching(/^AKIA[A-Z2-7]{16}$/) } },
      })
      const { ecr, sts } = clientsOf(created.body['rootCredential'] as Keys)

      expect(await sts.getCallerIdentity({})).toMatchObject({ Account: '210000000001', Arn: 'arn:aws:iam::210000000001:root' })
      expect((await ecr.describeRepositories({})).repositories).toEqual([])
      expect(await refusalOf(ecr.listImages({ repositoryName: taken }))).toBe(absentRepository(taken, '210000000001'))
      const { repository } = await ecr.createRepository({ repositoryName: taken })
      expect(repository?.registryId).toBe('210000000001')
      const described = await call(root(), 'DescribeAccount', { accountId: '210000000001' })
      expect(described.body).toEqual({ account: (created.body as { account: unknown }).account })
    })

    it('chooses an id where none is given, and never one twice', async () => {
      const first = await call(root(), 'CreateAccount', { name: 'chosen' })
      const { accountId } = first.body['account'] as { accountId: string }

      expect(accountId).toMatch(/^\d{12}$/)
      expect(await call(root(), 'CreateAccount', { accountId, name: 'again' })).toMatchObject({ status: 400, body: { __type: 'AccountAlreadyExistsException' } })
      expect(await call(root(), 'CreateAccount', { accountId: defaultAccountId, name: 'home' })).toMatchObject({ body: { __type: 'AccountAlreadyExistsException' } })
    })

    it.each([
      [{}, 'name'],
      [{ name: '' }, 'name'],
      [{ name: 'x'.repeat(51) }, 'name'],
      [{ name: 'tab\there' }, 'name'],
      [{ name: 'x', accountId: '1' }, 'accountId'],
      [{ name: 'x', accountId: '12345678901a' }, 'accountId'],
    ])('refuses %j', async (input, field) => {
      const { status, body } = await call(root(), 'CreateAccount', input)

      expect([status, body['__type']]).toEqual([400, 'InvalidParameterException'])
      expect(body['message']).toContain(`'${field}'`)
    })
  })

  it('ListAccounts tells every account, page by page', async () => {
    for (const id of ['220000000001', '220000000002', '220000000003']) await newAccount(server().platform.url, root(), id)
    const ids: string[] = []
    for (let nextToken: string | undefined; ; ) {
      const { body } = await call(root(), 'ListAccounts', { maxResults: 2, ...(nextToken === undefined ? {} : { nextToken }) })
      const accounts = body['accounts'] as { accountId: string }[]
      expect(accounts.length).toBeLessThanOrEqual(2)
      ids.push(...accounts.map(({ accountId }) => accountId))
      nextToken = body['nextToken'] as string | undefined
      if (nextToken === undefined) break
    }

    expect(ids).toEqual(ids.toSorted())
    expect(ids).toEqual(expect.arrayContaining([defaultAccountId, '220000000001', '220000000002', '220000000003']))
    expect(await call(root(), 'DescribeAccount', { accountId: '999999999999' })).toMatchObject({ status: 400, body: { __type: 'AccountNotFoundException' } })
  })

  it('ReplaceRootCredential ends the key before it with its temporary credentials, and leaves the installation’s own alone', async () => {
    const before = await newAccount(server().platform.url, root(), '230000000001')
    const { Credentials } = await clientsOf(before).sts.getSessionToken({})
    const { AccessKeyId: accessKeyId = '', SecretAccessKey: secretAccessKey = '', SessionToken: sessionToken = '' } = Credentials ?? {}
    const session = clientsOf({ accessKeyId, secretAccessKey, sessionToken })
    expect((await session.sts.getCallerIdentity({})).Account).toBe('230000000001')
    const replaced = await call(root(), 'ReplaceRootCredential', { accountId: '230000000001' })
    const after = replaced.body['rootCredential'] as Keys

    await expect(clientsOf(before).sts.getCallerIdentity({})).rejects.toMatchObject({ name: 'InvalidClientTokenId' })
    await expect(session.sts.getCallerIdentity({})).rejects.toMatchObject({ name: 'InvalidClientTokenId' })
    expect((await clientsOf(after).sts.getCallerIdentity({})).Account).toBe('230000000001')
    expect(await call(root(), 'ReplaceRootCredential', { accountId: defaultAccountId })).toMatchObject({ status: 400, body: { __type: 'InvalidParameterException' } })
    expect(await call(root(), 'ReplaceRootCredential', { accountId: '999999999999' })).toMatchObject({ body: { __type: 'AccountNotFoundException' } })
  })

  it('is closed to every other account, whatever its policies say, and to who has no right in the installation’s own', async () => {
    const { url } = server().platform
    const otherRoot = await newAccount(url, root(), '240000000001')
    const iam = iamClient(url, root())
    const otherIam = iamClient(url, otherRoot)
    onTestFinished(() => {
      iam.destroy()
      otherIam.destroy()
    })
    const everything = { Action: '*', Resource: '*' }
    const callers = [otherRoot, await newUser(otherIam, everything), await newUser(iam), await newUser(iam, { Action: 'ecr:*', Resource: '*' })]
    const operations = [['CreateAccount', { name: 'x' }], ['ListAccounts', {}], ['DescribeAccount', { accountId: '240000000001' }], ['ReplaceRootCredential', { accountId: '240000000001' }]] as const

    for (const caller of callers) {
      for (const [operation, input] of operations) {
        expect([operation, (await call(caller, operation, input)).body['__type']]).toEqual([operation, 'AccessDeniedException'])
      }
    }
    const clerk = await newUser(iam, { Action: 'stowage:DescribeAccount', Resource: `arn:aws:stowage::${defaultAccountId}:account/240000000001` })
    expect((await call(clerk, 'DescribeAccount', { accountId: '240000000001' })).status).toBe(200)
    expect((await call(clerk, 'DescribeAccount', { accountId: defaultAccountId })).body['__type']).toBe('AccessDeniedException')
    expect((await call(clerk, 'CreateAccount', { name: 'x' })).body['__type']).toBe('AccessDeniedException')
    expect((await call(await newUser(iam, everything), 'ListAccounts')).status).toBe(200)
  })

  describe('between accounts', () => {
    it('a registry is reached by its id as far as policies of both sides allow', async () => {
      const { platform, newRepository, ecr: ownerEcr } = server()
      const repositoryName = await newRepository()
      const guestRoot = await newAccount(platform.url, root(), '250000000001')
      const guestIam = iamClient(platform.url, guestRoot)
      const reader = await newUser(guestIam, { Action: 'ecr:*', Resource: '*' })
      const unable = await newUser(guestIam, { Action: 'ecr:GetAuthorizationToken', Resource: '*' })
      guestIam.destroy()
      const target = { registryId: defaultAccountId, repositoryName }
      const arn = `arn:aws:ecr:us-east-1:${defaultAccountId}:repository/${repositoryName}`
      const { ecr } = clientsOf(reader)
      expect(await refusalOf(ecr.listImages(target))).toMatch(/^AccessDeniedException: .* because no resource-based policy allows the ecr:ListImages action$/)

      await ownerEcr.setRepositoryPolicy({ repositoryName, policyText: policyOf({ Principal: { AWS: `arn:aws:iam::250000000001:root` }, Action: ['ecr:ListImages', 'ecr:TagResource', 'ecr:DescribeRepositories'] }) })

      expect((await ecr.listImages(target)).imageIds).toEqual([])
      await ecr.tagResource({ resourceArn: arn, tags: [{ Key: 'by', Value: 'guest' }] })
      expect((await ownerEcr.listTagsForResource({ resourceArn: arn })).tags).toEqual([{ Key: 'by', Value: 'guest' }])
      const { repositories } = await ecr.describeRepositories({ registryId: defaultAccountId, repositoryNames: [repositoryName] })
      expect(repositories).toMatchObject([{ repositoryArn: arn, registryId: defaultAccountId, repositoryUri: `${defaultAccountId}.dkr.ecr.us-east-1.${platform.host}/${repositoryName}` }])
      expect(await refusalOf(ecr.deleteRepository(target))).toContain('because no resource-based policy allows the ecr:DeleteRepository action')
      expect(await refusalOf(clientsOf(unable).ecr.listImages(target))).toContain('because no identity-based policy allows the ecr:ListImages action')
      expect(await refusalOf(ecr.describeRepositories({ registryId: defaultAccountId }))).toContain('AccessDeniedException')
      // Without the id it is the guest's own registry.
      expect(await refusalOf(ecr.listImages({ repositoryName }))).toBe(absentRepository(repositoryName, '250000000001'))
    })

    it('an account that is not there, one that is closed, and a repository that is not there are refused alike', async () => {
      const { platform, newRepository } = server()
      const repositoryName = await newRepository()
      const guest = clientOf(platform, await newAccount(platform.url, root(), '260000000001'))
      onTestFinished(() => guest.destroy())
      const answers = [
        [defaultAccountId, repositoryName],
        [defaultAccountId, 'no/such'],
        ['999999999999', repositoryName],
      ].map(async ([registryId = '', name = '']) => {
        const refusal = await refusalOf(guest.batchGetImage({ registryId, repositoryName: name, imageIds: [{ imageTag: 'v1' }] }))
        return refusal.replace(registryId, 'ACCOUNT').replace(name, 'NAME')
      })

      expect(new Set(await Promise.all(answers)).size).toBe(1)
    })
  })
})
