import { ECR } from '@aws-sdk/client-ecr'
import { STS } from '@aws-sdk/client-sts'
import { paginateListUsers } from '@aws-sdk/client-iam'
import { describe, expect, it } from 'vitest'
import { accountId, iamClientOf, iamFailure, iamOnEveryDatabase, pullPolicy } from './iam-under-test.ts'

iamOnEveryDatabase((server) => {
  describe('users', () => {
    it('are made, read, changed and deleted', async () => {
      const { iam, newPolicy } = server()
      const boundary = await newPolicy()
      const Tags = [
        { Key: 'team', Value: 'platform' },
        { Key: 'Zone', Value: '' },
      ]

      const { User } = await iam.createUser({ UserName: 'Alice', Path: '/ci/', PermissionsBoundary: boundary, Tags })

      expect(User).toEqual({
        Path: '/ci/',
        UserName: 'Alice',
        UserId: expect.stringMatching(/^AIDA[A-Z2-7]{17}$/),
        Arn: `arn:aws:iam::${accountId}:user/ci/Alice`,
        CreateDate: expect.any(Date),
        PermissionsBoundary: { PermissionsBoundaryType: 'Policy', PermissionsBoundaryArn: boundary },
        Tags,
      })
      const read = await iam.getUser({ UserName: 'alice' })
      expect(read.User).toEqual({ ...User, Tags: [Tags[1], Tags[0]] })

      await iam.updateUser({ UserName: 'Alice', NewUserName: 'Alicia', NewPath: '/' })
      expect(await iamFailure(iam.getUser({ UserName: 'Alice' }))).toBe(
        '404 NoSuchEntityException: The user with name Alice cannot be found.',
      )
      const renamed = await iam.getUser({ UserName: 'Alicia' })
      expect(renamed.User).toMatchObject({ Arn: `arn:aws:iam::${accountId}:user/Alicia`, UserId: User?.UserId })

      await iam.deleteUserPermissionsBoundary({ UserName: 'Alicia' })
      expect((await iam.getUser({ UserName: 'Alicia' })).User?.PermissionsBoundary).toBeUndefined()
      await iam.deleteUser({ UserName: 'Alicia' })
      expect(await iamFailure(iam.deleteUser({ UserName: 'Alicia' }))).toMatch(/^404 NoSuchEntityException/)
    })

    it('have names that are taken in any spelling', async () => {
      const { iam } = server()
      await iam.createUser({ UserName: 'Taken' })

      expect(await iamFailure(iam.createUser({ UserName: 'tAKEN' }))).toBe(
        '409 EntityAlreadyExistsException: User with name tAKEN already exists.',
      )
      await iam.createUser({ UserName: 'Other' })
      expect(await iamFailure(iam.updateUser({ UserName: 'other', NewUserName: 'TAKEN' }))).toBe(
        '409 EntityAlreadyExistsException: User with name TAKEN already exists.',
      )
      await iam.updateUser({ UserName: 'other', NewUserName: 'OTHER' })
      expect((await iam.getUser({ UserName: 'other' })).User?.UserName).toBe('OTHER')
    })

    it('get a name once, however many ask at once', async () => {
      const { iam } = server()

      const attempts = await Promise.allSettled(
        Array.from({ length: 12 }, (_, index) => iam.createUser({ UserName: index % 2 === 0 ? 'racer' : 'RACER' })),
      )

      expect(attempts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      const reasons = attempts.flatMap((attempt) => (attempt.status === 'rejected' ? [attempt.reason.name] : []))
      expect(new Set(reasons)).toEqual(new Set(['EntityAlreadyExistsException']))
    })

    it.each([
      ['a space', { UserName: 'a b' }],
      ['no name', { UserName: '' }],
      ['65 characters', { UserName: 'x'.repeat(65) }],
      ['a path without its last slash', { UserName: 'x', Path: '/ci' }],
      ['51 tags', { UserName: 'x', Tags: Array.from({ length: 51 }, (_, index) => ({ Key: `k${index}`, Value: '' })) }],
    ])('are refused with %s', async (_, input) => {
      const { iam } = server()

      expect(await iamFailure(iam.createUser(input))).toMatch(/^400 IAMServiceException: 1 validation error detected/)
    })

    it('are listed page by page in the order of their names, by path', async () => {
      const { iam } = server()
      for (const UserName of ['p3', 'P1', 'p2', 'p5', 'P4']) await iam.createUser({ UserName, Path: '/pages/' })
      await iam.createUser({ UserName: 'p0', Path: '/pagesnot/' })

      const names: string[] = []
      const pages = paginateListUsers({ client: iam, pageSize: 2 }, { PathPrefix: '/pages/' })
      for await (const page of pages) names.push(...(page.Users ?? []).map(({ UserName }) => UserName ?? ''))

      expect(names).toEqual(['P1', 'p2', 'p3', 'P4', 'p5'])
      const last = await iam.listUsers({ PathPrefix: '/pages/' })
      expect(last).toMatchObject({ IsTruncated: false })
      expect(last.Marker).toBeUndefined()
      expect((await iam.listUsers({ PathPrefix: '/nobody/' })).Users).toEqual([])
      const { Marker } = await iam.listUsers({ PathPrefix: '/pages/', MaxItems: 1 })
      expect(await iamFailure(iam.listRoles({ Marker }))).toBe('400 IAMServiceException: Invalid Marker')
    })

    it('are deleted only once nothing hangs from them', async () => {
      const { iam, newUser, newPolicy, freeName } = server()
      const UserName = await newUser()
      const GroupName = freeName('group')
      const PolicyArn = await newPolicy()
      await iam.createGroup({ GroupName })
      await iam.addUserToGroup({ UserName, GroupName })
      await iam.attachUserPolicy({ UserName, PolicyArn })
      await iam.putUserPolicy({ UserName, PolicyName: 'inline', PolicyDocument: pullPolicy })
      const { AccessKey } = await iam.createAccessKey({ UserName })
      const conflict = '409 DeleteConflictException: Cannot delete entity, must '

      expect(await iamFailure(iam.deleteUser({ UserName }))).toBe(`${conflict}delete access keys first.`)
      await iam.deleteAccessKey({ UserName, AccessKeyId: AccessKey?.AccessKeyId })
      expect(await iamFailure(iam.deleteUser({ UserName }))).toBe(`${conflict}detach all policies first.`)
      await iam.detachUserPolicy({ UserName, PolicyArn })
      expect(await iamFailure(iam.deleteUser({ UserName }))).toBe(`${conflict}delete policies first.`)
      await iam.deleteUserPolicy({ UserName, PolicyName: 'inline' })
      expect(await iamFailure(iam.deleteUser({ UserName }))).toBe(`${conflict}remove users from group first.`)
      await iam.removeUserFromGroup({ UserName, GroupName })
      await iam.deleteUser({ UserName })
    })

    it('are listed with their tags page by page, however long keys are in UTF-8', async () => {
      const { iam } = server()
      const { OpenIDConnectProviderArn } = await iam.createOpenIDConnectProvider({ Url: 'https://tags.example.com', ClientIDList: ['a'] })
      const beginnings = ['😀', '鍵', 'é', 'x'].map((letter) => (/\p{L}/u.test(letter) ? letter : '\u{20000}'))
      const Tags = beginnings.flatMap((letter) => ['', 'a', 'b'].map((end) => ({ Key: letter.repeat(128 / letter.length - end.length) + end, Value: end })))
      await iam.tagOpenIDConnectProvider({ OpenIDConnectProviderArn, Tags })

      const found: unknown[] = []
      let Marker: string | undefined
      do {
        const page = await iam.listOpenIDConnectProviderTags({ OpenIDConnectProviderArn, MaxItems: 1, ...(Marker !== undefined && { Marker }) })
        found.push(...(page.Tags ?? []))
        Marker = page.Marker
        if (Marker !== undefined) expect(Marker.length).toBeLessThanOrEqual(320)
      } while (Marker !== undefined && found.length < 20)

      expect(found).toHaveLength(Tags.length)
      expect(found).toEqual(expect.arrayContaining(Tags))
    })

    it('have tags whose keys are the same in any spelling', async () => {
      const { iam, newUser } = server()
      const UserName = await newUser()

      await iam.tagUser({ UserName, Tags: [{ Key: 'Team', Value: 'a' }, { Key: 'env', Value: 'dev' }] })
      await iam.tagUser({ UserName, Tags: [{ Key: 'TEAM', Value: 'b' }] })

      expect((await iam.listUserTags({ UserName })).Tags).toEqual([
        { Key: 'TEAM', Value: 'b' },
        { Key: 'env', Value: 'dev' },
      ])
      const first = await iam.listUserTags({ UserName, MaxItems: 1 })
      expect(first).toMatchObject({ Tags: [{ Key: 'TEAM' }], IsTruncated: true })
      expect((await iam.listUserTags({ UserName, Marker: first.Marker })).Tags).toEqual([{ Key: 'env', Value: 'dev' }])
      await iam.untagUser({ UserName, TagKeys: ['team', 'not-there'] })
      expect((await iam.listUserTags({ UserName })).Tags).toEqual([{ Key: 'env', Value: 'dev' }])
      expect(await iamFailure(iam.tagUser({ UserName, Tags: [{ Key: 'a', Value: '' }, { Key: 'A', Value: '' }] }))).toBe(
        '400 InvalidInputException: Duplicate tag keys found. Please note that Tag keys are case insensitive.',
      )
      const many = Array.from({ length: 50 }, (_, index) => ({ Key: `k${index}`, Value: '' }))
      expect(await iamFailure(iam.tagUser({ UserName, Tags: many }))).toBe(
        '409 LimitExceededException: Cannot exceed quota for TagsPerEntity: 50',
      )
      expect((await iam.listUserTags({ UserName })).Tags).toHaveLength(1)
    })
  })

  describe('access keys', () => {
    it('sign for their user at once, until they are switched off', async () => {
      const { iam, platform, newUser } = server()
      const UserName = await newUser()

      const { AccessKey } = await iam.createAccessKey({ UserName: UserName.toUpperCase() })

      expect(AccessKey).toEqual({
        UserName,
        AccessKeyId: expect.stringMatching(/^AKIA[A-Z2-7]{16}$/),
        SecretAccessKey: expect.stringMatching(/^[A-Za-z0-9+/]{40}$/),
        Status: 'Active',
        CreateDate: expect.any(Date),
      })
      const credentials = { accessKeyId: AccessKey?.AccessKeyId ?? '', secretAccessKey: AccessKey?.SecretAccessKey ?? '' }
      const sts = new STS({ endpoint: platform.url, region: 'us-east-1', credentials, maxAttempts: 1 })
      const { User } = await iam.getUser({ UserName })
      expect(await sts.getCallerIdentity({})).toMatchObject({ Account: accountId, Arn: User?.Arn, UserId: User?.UserId })

      await iam.updateUser({ UserName, NewUserName: `${UserName}-renamed`, NewPath: '/moved/' })
      expect((await sts.getCallerIdentity({})).Arn).toBe(`arn:aws:iam::${accountId}:user/moved/${UserName}-renamed`)

      const owner = { UserName: `${UserName}-renamed`, AccessKeyId: credentials.accessKeyId }
      await iam.updateAccessKey({ ...owner, Status: 'Inactive' })
      await expect(sts.getCallerIdentity({})).rejects.toMatchObject({ name: 'InvalidClientTokenId' })
      expect((await iam.listAccessKeys({ UserName: owner.UserName })).AccessKeyMetadata).toEqual([
        { ...owner, Status: 'Inactive', CreateDate: AccessKey?.CreateDate },
      ])
      await iam.updateAccessKey({ ...owner, Status: 'Active' })
      expect((await sts.getCallerIdentity({})).UserId).toBe(User?.UserId)
      await iam.deleteAccessKey(owner)
      await expect(sts.getCallerIdentity({})).rejects.toMatchObject({ name: 'InvalidClientTokenId' })
      sts.destroy()
    })

    it('are two at most, so that one can be replaced without a gap', async () => {
      const { iam, newUser } = server()
      const UserName = await newUser()

      const attempts = await Promise.allSettled(Array.from({ length: 6 }, () => iam.createAccessKey({ UserName })))

      expect(attempts.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
      expect(await iamFailure(iam.createAccessKey({ UserName }))).toBe(
        '409 LimitExceededException: Cannot exceed quota for AccessKeysPerUser: 2',
      )
      expect((await iam.listAccessKeys({ UserName })).AccessKeyMetadata).toHaveLength(2)
    })

    it('are no other user’s', async () => {
      const { iam, newUser } = server()
      const [UserName, other] = [await newUser(), await newUser()]
      const { AccessKey } = await iam.createAccessKey({ UserName })
      const { AccessKeyId = '' } = AccessKey ?? {}

      const unknown = `404 NoSuchEntityException: The Access Key with id ${AccessKeyId} cannot be found.`
      expect(await iamFailure(iam.deleteAccessKey({ UserName: other, AccessKeyId }))).toBe(unknown)
      expect(await iamFailure(iam.updateAccessKey({ UserName: other, AccessKeyId, Status: 'Inactive' }))).toBe(unknown)
      expect(await iamFailure(iam.listAccessKeys({ UserName: 'nobody' }))).toBe(
        '404 NoSuchEntityException: The user with name nobody cannot be found.',
      )
    })

    it('of a root are listed and not made here', async () => {
      const { iam, platform } = server()

      const { AccessKeyMetadata } = await iam.listAccessKeys({})

      expect(AccessKeyMetadata).toEqual([
        { AccessKeyId: platform.credentials.accessKeyId, Status: 'Active', CreateDate: expect.any(Date) },
      ])
      expect(await iamFailure(iam.createAccessKey({}))).toBe(
        '400 IAMServiceException: Must specify userName when calling with non-User credentials',
      )
      expect((await iam.getUser({})).User).toEqual({
        UserId: accountId,
        Arn: `arn:aws:iam::${accountId}:root`,
        CreateDate: expect.any(Date),
      })
    })

    it('tell when they were used last', async () => {
      const { iam, platform, newUser } = server()
      const UserName = await newUser()
      const { AccessKey } = await iam.createAccessKey({ UserName })
      const { AccessKeyId = '', SecretAccessKey = '' } = AccessKey ?? {}

      expect((await iam.getAccessKeyLastUsed({ AccessKeyId })).AccessKeyLastUsed).toEqual({ Region: 'N/A', ServiceName: 'N/A' })
      const before = Date.now()
      const credentials = { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey }
      const ecr = new ECR({ endpoint: platform.url, region: 'us-east-1', credentials, maxAttempts: 1 })
      // Whether it may do this is another question: it was this key that asked.
      await ecr.describeRepositories({}).catch(() => undefined)
      ecr.destroy()

      await expect
        .poll(async () => (await iam.getAccessKeyLastUsed({ AccessKeyId })).AccessKeyLastUsed, { timeout: 20_000 })
        .toMatchObject({ Region: 'us-east-1', ServiceName: 'ecr' })
      const used = await iam.getAccessKeyLastUsed({ AccessKeyId })
      expect(used.UserName).toBe(UserName)
      expect(used.AccessKeyLastUsed?.LastUsedDate?.getTime()).toBeGreaterThanOrEqual(before - 1000)
      expect(await iamFailure(iam.getAccessKeyLastUsed({ AccessKeyId: 'AKIAUNKNOWNUNKNOWN22' }))).toMatch(
        /^404 NoSuchEntityException/,
      )
    })

    it('without a policy open nothing', async () => {
      const { iam, platform, newUser } = server()
      const UserName = await newUser()
      const { AccessKey } = await iam.createAccessKey({ UserName })
      const { AccessKeyId: accessKeyId = '', SecretAccessKey: secretAccessKey = '' } = AccessKey ?? {}
      const own = iamClientOf(platform, { accessKeyId, secretAccessKey })

      expect(await iamFailure(own.listUsers({}))).toContain(
        `is not authorized to perform: iam:ListUsers on resource: arn:aws:iam::${accountId}:user/`,
      )
      expect(await iamFailure(own.getUser({}))).toContain(`iam:GetUser on resource: user ${UserName} because`)
      own.destroy()
    })

    it('are told by no refusal who is there, nor whose an access key is', async () => {
      const { iam, platform, newUser } = server()
      const keysOf = async (UserName: string) => {
        const { AccessKeyId: accessKeyId = '', SecretAccessKey: secretAccessKey = '' } = (await iam.createAccessKey({ UserName })).AccessKey ?? {}
        return { accessKeyId, secretAccessKey }
      }
      const own = iamClientOf(platform, await keysOf(await newUser()))
      await iam.createUser({ UserName: 'present-but-hidden', Path: '/hidden/' })
      const { accessKeyId: AccessKeyId } = await keysOf('present-but-hidden')

      const asked = (UserName: string) => iamFailure(own.getUser({ UserName })).then((text) => text.replaceAll(UserName, '…'))
      expect(await asked('present-but-hidden')).toBe(await asked('absent'))
      expect(await iamFailure(own.getAccessKeyLastUsed({ AccessKeyId }))).toContain(`on resource: access key ${AccessKeyId} because`)
      own.destroy()
    })
  })
})
