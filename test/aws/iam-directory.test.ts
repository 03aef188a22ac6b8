import { describe, expect, it } from 'vitest'
import { accountId, iamFailure, iamOnEveryDatabase, pullPolicy, trustPolicy } from './iam-under-test.ts'

const statement = (Effect: string, Action: string, Resource: string, more: object = {}): string =>
  JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect, Action, Resource, ...more }] })

iamOnEveryDatabase((server) => {
  describe('groups', () => {
    it('have members, and go once they have none', async () => {
      const { iam, newUser } = server()
      const users = [await newUser(), await newUser(), await newUser()].toSorted()
      const { Group } = await iam.createGroup({ GroupName: 'Developers', Path: '/teams/' })

      expect(Group).toEqual({
        Path: '/teams/',
        GroupName: 'Developers',
        GroupId: expect.stringMatching(/^AGPA[A-Z2-7]{17}$/),
        Arn: `arn:aws:iam::${accountId}:group/teams/Developers`,
        CreateDate: expect.any(Date),
      })
      for (const UserName of users) await iam.addUserToGroup({ GroupName: 'developers', UserName })
      await iam.addUserToGroup({ GroupName: 'developers', UserName: users[0] })

      const whole = await iam.getGroup({ GroupName: 'DEVELOPERS' })
      expect(whole.Group).toEqual(Group)
      expect(whole.Users?.map(({ UserName }) => UserName)).toEqual(users)
      const first = await iam.getGroup({ GroupName: 'Developers', MaxItems: 2 })
      const second = await iam.getGroup({ GroupName: 'Developers', Marker: first.Marker })
      expect([...(first.Users ?? []), ...(second.Users ?? [])]).toEqual(whole.Users)
      expect((await iam.listGroupsForUser({ UserName: users[0] })).Groups).toEqual([Group])
      expect((await iam.listGroups({ PathPrefix: '/teams/' })).Groups).toEqual([Group])

      expect(await iamFailure(iam.deleteGroup({ GroupName: 'Developers' }))).toBe(
        '409 DeleteConflictException: Cannot delete entity, must remove users from group first.',
      )
      await iam.updateGroup({ GroupName: 'Developers', NewGroupName: 'Builders', NewPath: '/' })
      for (const UserName of users) await iam.removeUserFromGroup({ GroupName: 'Builders', UserName })
      expect(await iamFailure(iam.removeUserFromGroup({ GroupName: 'Builders', UserName: users[0] }))).toMatch(
        /^404 NoSuchEntityException/,
      )
      expect((await iam.getGroup({ GroupName: 'Builders' })).Users).toEqual([])
      await iam.deleteGroup({ GroupName: 'Builders' })
      expect(await iamFailure(iam.getGroup({ GroupName: 'Builders' }))).toBe(
        '404 NoSuchEntityException: The group with name Builders cannot be found.',
      )
    })

    it('of a user are ten at most', async () => {
      const { iam, newUser, freeName } = server()
      const UserName = await newUser()
      const groups = Array.from({ length: 11 }, () => freeName('group'))
      for (const GroupName of groups) await iam.createGroup({ GroupName })
      for (const GroupName of groups.slice(0, 10)) await iam.addUserToGroup({ GroupName, UserName })

      expect(await iamFailure(iam.addUserToGroup({ GroupName: groups[10], UserName }))).toBe(
        '409 LimitExceededException: Cannot exceed quota for GroupsPerUser: 10',
      )
      const first = await iam.listGroupsForUser({ UserName, MaxItems: 4 })
      const rest = await iam.listGroupsForUser({ UserName, Marker: first.Marker })
      expect([...(first.Groups ?? []), ...(rest.Groups ?? [])]).toHaveLength(10)
      expect(await iamFailure(iam.createGroup({ GroupName: groups[0]?.toUpperCase() }))).toBe(
        `409 EntityAlreadyExistsException: Group with name ${groups[0]?.toUpperCase()} already exists.`,
      )
    })
  })

  describe('roles', () => {
    it('are made, read, changed and deleted, as Terraform does it', async () => {
      const { iam, newPolicy } = server()
      const boundary = await newPolicy()
      const { Role } = await iam.createRole({
        RoleName: 'Builder',
        Path: '/ci/',
        AssumeRolePolicyDocument: trustPolicy,
        Description: 'Builds',
        MaxSessionDuration: 7200,
        PermissionsBoundary: boundary,
        Tags: [{ Key: 'team', Value: 'ci' }],
      })

      expect(Role).toEqual({
        Path: '/ci/',
        RoleName: 'Builder',
        RoleId: expect.stringMatching(/^AROA[A-Z2-7]{17}$/),
        Arn: `arn:aws:iam::${accountId}:role/ci/Builder`,
        CreateDate: expect.any(Date),
        AssumeRolePolicyDocument: encodeURIComponent(trustPolicy),
        Description: 'Builds',
        MaxSessionDuration: 7200,
        PermissionsBoundary: { PermissionsBoundaryType: 'Policy', PermissionsBoundaryArn: boundary },
        Tags: [{ Key: 'team', Value: 'ci' }],
        RoleLastUsed: {},
      })
      expect((await iam.getRole({ RoleName: 'builder' })).Role).toEqual(Role)
      const listed = (await iam.listRoles({ PathPrefix: '/ci/' })).Roles
      expect(listed).toHaveLength(1)
      expect(listed?.[0]).toMatchObject({ Arn: Role?.Arn, AssumeRolePolicyDocument: Role?.AssumeRolePolicyDocument })
      expect(listed?.[0]?.Tags).toBeUndefined()

      await iam.updateRole({ RoleName: 'Builder', MaxSessionDuration: 3600 })
      const described = await iam.updateRoleDescription({ RoleName: 'Builder', Description: '' })
      expect(described.Role).toMatchObject({ MaxSessionDuration: 3600, Description: '' })
      const other = trustPolicy.replace('"Effect"', '"Sid":"Two","Effect"')
      await iam.updateAssumeRolePolicy({ RoleName: 'Builder', PolicyDocument: other })
      await iam.putRolePolicy({ RoleName: 'Builder', PolicyName: 'pull', PolicyDocument: pullPolicy })
      await iam.attachRolePolicy({ RoleName: 'Builder', PolicyArn: boundary })
      await iam.tagRole({ RoleName: 'Builder', Tags: [{ Key: 'env', Value: 'prod' }] })
      await iam.untagRole({ RoleName: 'Builder', TagKeys: ['team'] })
      await iam.deleteRolePermissionsBoundary({ RoleName: 'Builder' })
      const changed = (await iam.getRole({ RoleName: 'Builder' })).Role
      expect(changed).toMatchObject({ AssumeRolePolicyDocument: encodeURIComponent(other), Tags: [{ Key: 'env', Value: 'prod' }] })
      expect(changed?.PermissionsBoundary).toBeUndefined()
      expect((await iam.getRole({ RoleName: 'Builder' })).Role).toEqual(changed)

      expect((await iam.listInstanceProfilesForRole({ RoleName: 'Builder' })).InstanceProfiles).toEqual([])
      expect(await iamFailure(iam.deleteRole({ RoleName: 'Builder' }))).toBe(
        '409 DeleteConflictException: Cannot delete entity, must detach all policies first.',
      )
      await iam.detachRolePolicy({ RoleName: 'Builder', PolicyArn: boundary })
      expect(await iamFailure(iam.deleteRole({ RoleName: 'Builder' }))).toBe(
        '409 DeleteConflictException: Cannot delete entity, must delete policies first.',
      )
      await iam.deleteRolePolicy({ RoleName: 'Builder', PolicyName: 'pull' })
      await iam.deleteRole({ RoleName: 'Builder' })
      expect(await iamFailure(iam.getRole({ RoleName: 'Builder' }))).toBe(
        '404 NoSuchEntityException: The role with name Builder cannot be found.',
      )
      const again = await iam.createRole({ RoleName: 'Builder', AssumeRolePolicyDocument: trustPolicy })
      expect(again.Role?.RoleId).not.toBe(Role?.RoleId)
      expect(again.Role?.Tags).toBeUndefined()
      await iam.deleteRole({ RoleName: 'Builder' })
    })

    it('are refused with a trust that is none, or sessions that are too long', async () => {
      const { iam, newRole } = server()
      const RoleName = await newRole()

      expect(await iamFailure(iam.createRole({ RoleName: 'x', AssumeRolePolicyDocument: pullPolicy }))).toMatch(
        /^400 MalformedPolicyDocumentException/,
      )
      expect(await iamFailure(iam.createRole({ RoleName: 'x', AssumeRolePolicyDocument: trustPolicy, MaxSessionDuration: 43_201 }))).toMatch(
        /^400 IAMServiceException: 1 validation error/,
      )
      expect(await iamFailure(iam.createRole({ RoleName: RoleName.toUpperCase(), AssumeRolePolicyDocument: trustPolicy }))).toBe(
        `409 EntityAlreadyExistsException: Role with name ${RoleName.toUpperCase()} already exists.`,
      )
      expect(await iamFailure(iam.getRole({ RoleName: 'x' }))).toMatch(/^404/)
    })
  })

  describe('OpenID Connect providers', () => {
    const thumbprint = 'ABCDEF0123456789ABCDEF0123456789ABCDEF01'

    it('are made, read, changed and deleted', async () => {
      const { iam } = server()
      const { OpenIDConnectProviderArn: arn, Tags } = await iam.createOpenIDConnectProvider({
        Url: 'https://token.example.com/path',
        ClientIDList: ['sts.amazonaws.com', 'sts.amazonaws.com'],
        ThumbprintList: [thumbprint],
        Tags: [{ Key: 'team', Value: 'ci' }],
      })

      expect(arn).toBe(`arn:aws:iam::${accountId}:oidc-provider/token.example.com/path`)
      expect(Tags).toEqual([{ Key: 'team', Value: 'ci' }])
      const OpenIDConnectProviderArn = arn ?? ''
      await iam.addClientIDToOpenIDConnectProvider({ OpenIDConnectProviderArn, ClientID: 'other' })
      await iam.addClientIDToOpenIDConnectProvider({ OpenIDConnectProviderArn, ClientID: 'other' })
      expect(await iam.getOpenIDConnectProvider({ OpenIDConnectProviderArn })).toMatchObject({
        Url: 'token.example.com/path',
        ClientIDList: ['sts.amazonaws.com', 'other'],
        ThumbprintList: [thumbprint.toLowerCase()],
        CreateDate: expect.any(Date),
        Tags: [{ Key: 'team', Value: 'ci' }],
      })
      await iam.removeClientIDFromOpenIDConnectProvider({ OpenIDConnectProviderArn, ClientID: 'sts.amazonaws.com' })
      await iam.updateOpenIDConnectProviderThumbprint({ OpenIDConnectProviderArn, ThumbprintList: [] })
      await iam.untagOpenIDConnectProvider({ OpenIDConnectProviderArn, TagKeys: ['team'] })
      await iam.tagOpenIDConnectProvider({ OpenIDConnectProviderArn, Tags: [{ Key: 'k', Value: 'v' }] })
      expect((await iam.listOpenIDConnectProviderTags({ OpenIDConnectProviderArn })).Tags).toEqual([{ Key: 'k', Value: 'v' }])
      const changed = await iam.getOpenIDConnectProvider({ OpenIDConnectProviderArn })
      expect(changed).toMatchObject({ ClientIDList: ['other'], ThumbprintList: [] })
      expect((await iam.listOpenIDConnectProviders({})).OpenIDConnectProviderList).toEqual([{ Arn: arn }])
      expect(await iamFailure(iam.createOpenIDConnectProvider({ Url: 'https://token.example.com/path' }))).toBe(
        '409 EntityAlreadyExistsException: Provider with url https://token.example.com/path already exists.',
      )
      await iam.deleteOpenIDConnectProvider({ OpenIDConnectProviderArn })
      const unknown = `404 NoSuchEntityException: OpenIDConnect Provider not found for arn ${arn}`
      expect(await iamFailure(iam.getOpenIDConnectProvider({ OpenIDConnectProviderArn }))).toBe(unknown)
      expect(await iamFailure(iam.deleteOpenIDConnectProvider({ OpenIDConnectProviderArn }))).toBe(unknown)
      expect((await iam.listOpenIDConnectProviders({})).OpenIDConnectProviderList).toEqual([])
    })

    it.each(['http://token.example.com', 'token.example.com', 'https://', 'https://a@token.example.com', 'https://token.example.com/?q=1', 'ftp://token.example.com'])(
      'are refused at %s',
      async (Url) => {
        const { iam } = server()

        expect(await iamFailure(iam.createOpenIDConnectProvider({ Url }))).toBe(
          '400 IAMServiceException: Invalid Open ID Connect Provider URL',
        )
      },
    )

    it('have a hundred client ids at most', async () => {
      const { iam } = server()
      const ClientIDList = Array.from({ length: 100 }, (_, index) => `client-${index}`)
      const { OpenIDConnectProviderArn } = await iam.createOpenIDConnectProvider({ Url: 'https://many.example.com', ClientIDList })

      const full = '409 LimitExceededException: Cannot exceed quota for ClientIdsPerOpenIDConnectProvider: 100'
      expect(await iamFailure(iam.addClientIDToOpenIDConnectProvider({ OpenIDConnectProviderArn, ClientID: 'more' }))).toBe(full)
      expect(
        await iamFailure(iam.createOpenIDConnectProvider({ Url: 'https://more.example.com', ClientIDList: [...ClientIDList, 'more'] })),
      ).toBe(full)
      await iam.deleteOpenIDConnectProvider({ OpenIDConnectProviderArn })
    })
  })

  describe('the account', () => {
    it('has one alias at most', async () => {
      const { iam } = server()

      expect((await iam.listAccountAliases({})).AccountAliases).toEqual([])
      await iam.createAccountAlias({ AccountAlias: 'acme' })
      await iam.createAccountAlias({ AccountAlias: 'acme-prod' })
      expect((await iam.listAccountAliases({})).AccountAliases).toEqual(['acme-prod'])
      expect(await iamFailure(iam.deleteAccountAlias({ AccountAlias: 'acme' }))).toBe(
        '404 NoSuchEntityException: The Account Alias acme cannot be found.',
      )
      expect(await iamFailure(iam.createAccountAlias({ AccountAlias: 'a--b' }))).toMatch(/^400/)
      await iam.deleteAccountAlias({ AccountAlias: 'acme-prod' })
      expect((await iam.listAccountAliases({})).AccountAliases).toEqual([])
    })

    it('reports its credentials, how old they are and when they were used', async () => {
      const { iam, freeName } = server()
      const UserName = freeName('with,comma')
      await iam.createUser({ UserName, Path: '/ci/' })
      const keys = [await iam.createAccessKey({ UserName }), await iam.createAccessKey({ UserName })]
      await iam.updateAccessKey({ UserName, AccessKeyId: keys[1]?.AccessKey?.AccessKeyId, Status: 'Inactive' })

      expect(await iam.generateCredentialReport({})).toMatchObject({ State: 'COMPLETE' })
      const { Content, ReportFormat, GeneratedTime } = await iam.getCredentialReport({})

      expect(ReportFormat).toBe('text/csv')
      expect(GeneratedTime).toBeInstanceOf(Date)
      const [header, root, ...users] = Buffer.from(Content ?? []).toString().trimEnd().split('\n')
      expect(header).toMatch(/^user,arn,user_creation_time,password_enabled,.*,access_key_1_last_used_service,access_key_2_active,/)
      const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00`
      expect(root).toMatch(
        new RegExp(`^<root_account>,arn:aws:iam::${accountId}:root,${time},false,N/A,N/A,N/A,false,true,${time},`),
      )
      const mine = users.filter((line) => line.startsWith('"with,comma'))
      const key = `${time},N/A,N/A,N/A`
      expect(mine).toEqual([
        expect.stringMatching(
          new RegExp(
            `^"${UserName}","arn:aws:iam::${accountId}:user/ci/${UserName}",${time},false,N/A,N/A,N/A,false,true,${key},false,${key},false,N/A,false,N/A$`,
          ),
        ),
      ])
      expect(users.length).toBe((await iam.listUsers({})).Users?.length)
    })

    it('shows everything that its people may do, page by page', async () => {
      const { iam, newUser, newRole, newPolicy, freeName } = server()
      const [UserName, RoleName, GroupName, PolicyArn] = [await newUser(), await newRole(), freeName('group'), await newPolicy()]
      await iam.createGroup({ GroupName })
      await iam.addUserToGroup({ UserName, GroupName })
      await iam.putUserPolicy({ UserName, PolicyName: 'own', PolicyDocument: pullPolicy })
      await iam.attachRolePolicy({ RoleName, PolicyArn })
      await iam.attachGroupPolicy({ GroupName, PolicyArn: 'arn:aws:iam::aws:policy/ReadOnlyAccess' })
      await iam.tagRole({ RoleName, Tags: [{ Key: 'a', Value: 'b' }] })

      const whole = await iam.getAccountAuthorizationDetails({ MaxItems: 1000 })

      expect(whole.IsTruncated).toBe(false)
      expect(whole.UserDetailList?.find((user) => user.UserName === UserName)).toMatchObject({
        UserPolicyList: [{ PolicyName: 'own', PolicyDocument: encodeURIComponent(pullPolicy).replaceAll('*', '%2A') }],
        GroupList: [GroupName],
        AttachedManagedPolicies: [],
      })
      expect(whole.GroupDetailList?.find((group) => group.GroupName === GroupName)).toMatchObject({
        AttachedManagedPolicies: [{ PolicyName: 'ReadOnlyAccess' }],
      })
      expect(whole.RoleDetailList?.find((role) => role.RoleName === RoleName)).toMatchObject({
        AttachedManagedPolicies: [{ PolicyArn }],
        Tags: [{ Key: 'a', Value: 'b' }],
      })
      expect(whole.Policies?.find((policy) => policy.Arn === PolicyArn)?.PolicyVersionList).toMatchObject([{ VersionId: 'v1' }])
      expect(whole.Policies?.map(({ PolicyName }) => PolicyName)).toContain('ReadOnlyAccess')
      const names = (page: typeof whole): (string | undefined)[] => [
        ...(page.UserDetailList ?? []).map((user) => user.UserName),
        ...(page.GroupDetailList ?? []).map((group) => group.GroupName),
        ...(page.RoleDetailList ?? []).map((role) => role.RoleName),
        ...(page.Policies ?? []).map((policy) => policy.Arn),
      ]
      const collected: (string | undefined)[] = []
      let Marker: string | undefined
      do {
        const page = await iam.getAccountAuthorizationDetails({ MaxItems: 3, Marker })
        expect(names(page).length).toBeLessThanOrEqual(3)
        collected.push(...names(page))
        Marker = page.Marker
      } while (Marker !== undefined)
      expect(collected).toEqual(names(whole))
      const roles = await iam.getAccountAuthorizationDetails({ Filter: ['Role'], MaxItems: 1000 })
      expect(names(roles)).toEqual(whole.RoleDetailList?.map((role) => role.RoleName))
    })

    it('foretells what policies decide', async () => {
      const { iam, newUser, freeName } = server()
      const [UserName, GroupName] = [await newUser(), freeName('group')]
      const { User } = await iam.getUser({ UserName })
      await iam.createGroup({ GroupName })
      await iam.addUserToGroup({ UserName, GroupName })
      await iam.putGroupPolicy({ GroupName, PolicyName: 'g', PolicyDocument: statement('Allow', 'ecr:*', '*') })
      await iam.putUserPolicy({ UserName, PolicyName: 'u', PolicyDocument: statement('Deny', 'ecr:Delete*', '*') })
      const conditional = statement('Allow', 'iam:GetUser', '*', { Condition: { Bool: { 'aws:SecureTransport': 'true' } } })
      await iam.putUserPolicy({ UserName, PolicyName: 'c', PolicyDocument: conditional })
      const simulated = async (input: object = {}) => {
        const { EvaluationResults } = await iam.simulatePrincipalPolicy({
          PolicySourceArn: User?.Arn,
          ActionNames: ['ecr:PutImage', 'ecr:DeleteRepository', 'iam:GetUser', 'iam:ListUsers'],
          ...input,
        })
        return EvaluationResults?.map(({ EvalActionName, EvalDecision }) => `${EvalActionName} ${EvalDecision}`)
      }

      expect(await simulated()).toEqual([
        'ecr:PutImage allowed',
        'ecr:DeleteRepository explicitDeny',
        'iam:GetUser implicitDeny',
        'iam:ListUsers implicitDeny',
      ])
      const ContextEntries = [{ ContextKeyName: 'aws:SecureTransport', ContextKeyValues: ['true'], ContextKeyType: 'boolean' }]
      expect(await simulated({ ContextEntries, PolicyInputList: [statement('Allow', 'iam:List*', '*')] })).toEqual([
        'ecr:PutImage allowed',
        'ecr:DeleteRepository explicitDeny',
        'iam:GetUser allowed',
        'iam:ListUsers allowed',
      ])
      await iam.putUserPermissionsBoundary({ UserName, PermissionsBoundary: 'arn:aws:iam::aws:policy/IAMReadOnlyAccess' })
      const bounded = await iam.simulatePrincipalPolicy({ PolicySourceArn: User?.Arn, ActionNames: ['ecr:PutImage', 'iam:GetUser'] })
      expect(bounded.EvaluationResults).toMatchObject([
        { EvalDecision: 'implicitDeny', PermissionsBoundaryDecisionDetail: { AllowedByPermissionsBoundary: false } },
        { MissingContextValues: ['aws:securetransport'], PermissionsBoundaryDecisionDetail: { AllowedByPermissionsBoundary: true } },
      ])

      const custom = {
        PolicyInputList: [statement('Allow', 'ecr:PutImage', 'arn:aws:ecr:*:*:repository/a/*')],
        ActionNames: ['ecr:PutImage'],
        ResourceArns: ['a/x', 'b/x', 'a/y'].map((name) => `arn:aws:ecr:us-east-1:${accountId}:repository/${name}`),
      }
      const first = await iam.simulateCustomPolicy({ ...custom, MaxItems: 2 })
      const second = await iam.simulateCustomPolicy({ ...custom, Marker: first.Marker })
      const results = [...(first.EvaluationResults ?? []), ...(second.EvaluationResults ?? [])]
      expect(results.map(({ EvalDecision }) => EvalDecision)).toEqual(['allowed', 'implicitDeny', 'allowed'])
      expect(await iamFailure(iam.simulateCustomPolicy({ ...custom, PolicyInputList: ['{}'] }))).toMatch(/^400 InvalidInputException/)
      expect(await iamFailure(iam.simulatePrincipalPolicy({ PolicySourceArn: `${User?.Arn}x`, ActionNames: ['ecr:PutImage'] }))).toMatch(
        /^404 NoSuchEntityException/,
      )
      // The right to ask about one path is none to ask about another.
      const elsewhere = User?.Arn?.replace(':user/', ':user/elsewhere/')
      expect(await iamFailure(iam.simulatePrincipalPolicy({ PolicySourceArn: elsewhere, ActionNames: ['ecr:PutImage'] }))).toMatch(
        /^404 NoSuchEntityException/,
      )
      const foreign = 'arn:aws:iam::111111111111:user/x'
      expect(await iamFailure(iam.simulatePrincipalPolicy({ PolicySourceArn: foreign, ActionNames: ['ecr:PutImage'] }))).toMatch(
        /^403 IAMServiceException: .*is not authorized to perform/,
      )
    })

    it('tells which condition keys policies ask for', async () => {
      const { iam, newUser, freeName } = server()
      const [UserName, GroupName] = [await newUser(), freeName('keys')]
      const { User } = await iam.getUser({ UserName })
      await iam.createGroup({ GroupName })
      await iam.addUserToGroup({ GroupName, UserName })
      await iam.putGroupPolicy({ GroupName, PolicyName: 'g', PolicyDocument: statement('Allow', 'ecr:*', 'arn:aws:ecr:*:*:repository/${aws:username}/*') })
      await iam.putUserPolicy({ UserName, PolicyName: 'u', PolicyDocument: statement('Deny', 'ecr:*', '*', { Condition: { Bool: { 'aws:SecureTransport': 'false' } } }) })
      const PolicyInputList = [statement('Allow', 'ecr:*', '*', { Condition: { StringLike: { 'stowage:ImageTag': 'a' } } })]

      expect((await iam.getContextKeysForPrincipalPolicy({ PolicySourceArn: User?.Arn })).ContextKeyNames).toEqual(['aws:SecureTransport', 'aws:username'])
      expect((await iam.getContextKeysForPrincipalPolicy({ PolicySourceArn: User?.Arn, PolicyInputList })).ContextKeyNames).toHaveLength(3)
      expect((await iam.getContextKeysForCustomPolicy({ PolicyInputList })).ContextKeyNames).toEqual(['stowage:ImageTag'])
    })

    it('tells which statements a simulated decision follows from, and where they stand', async () => {
      const { iam, newUser, freeName } = server()
      const [UserName, GroupName] = [await newUser(), freeName('simulated')]
      const { User } = await iam.getUser({ UserName })
      await iam.createGroup({ GroupName })
      await iam.addUserToGroup({ GroupName, UserName })
      const inline = `{\n "Version": "2012-10-17",\n "Statement": [\n  {"Effect":"Allow","Action":"ecr:PutImage","Resource":"*"},\n  {"Effect":"Deny","Action":"ecr:Delete*","Resource":"*"}\n ]\n}`
      await iam.putUserPolicy({ UserName, PolicyName: 'mine', PolicyDocument: inline })
      await iam.putGroupPolicy({ GroupName, PolicyName: 'ours', PolicyDocument: statement('Allow', 'ecr:*', '*') })
      await iam.attachUserPolicy({ UserName, PolicyArn: 'arn:aws:iam::aws:policy/ReadOnlyAccess' })
      const matched = async (action: string, input: object = {}) => {
        const { EvaluationResults } = await iam.simulatePrincipalPolicy({ PolicySourceArn: User?.Arn, ActionNames: [action], ...input })
        return EvaluationResults?.[0]?.MatchedStatements
      }
      const ids = async (...asked: Parameters<typeof matched>) => (await matched(...asked))?.map(({ SourcePolicyId }) => SourcePolicyId).toSorted()

      expect(await matched('ecr:DeleteRepository')).toEqual([
        {
          SourcePolicyId: `user_${UserName}_mine`,
          SourcePolicyType: 'IAM Policy',
          StartPosition: { Line: 4, Column: inline.split('\n')[3]!.length },
          EndPosition: { Line: 5, Column: inline.split('\n')[4]!.length + 1 },
        },
      ])
      expect(await ids('ecr:PutImage')).toEqual([`group_${GroupName}_ours`, `user_${UserName}_mine`])
      expect(await ids('ecr:DescribeImages')).toEqual(['ReadOnlyAccess', `group_${GroupName}_ours`])
      expect(await ids('iam:CreateUser')).toEqual([])
      expect(await ids('iam:CreateUser', { PolicyInputList: [pullPolicy, statement('Allow', 'iam:*', '*')] })).toEqual(['PolicyInputList.2'])
      const PermissionsBoundaryPolicyInputList = [statement('Deny', 'ecr:PutImage', '*')]
      expect(await ids('ecr:PutImage', { PermissionsBoundaryPolicyInputList })).toEqual(['PermissionsBoundaryPolicyInputList.1'])
      const ResourcePolicy = statement('Allow', 'sqs:SendMessage', '*', { Principal: { AWS: User?.Arn } })
      const ResourceArns = [`arn:aws:sqs:us-east-1:${accountId}:queue`]
      expect(await matched('sqs:SendMessage', { ResourcePolicy, ResourceArns })).toMatchObject([{ SourcePolicyId: 'ResourcePolicy', SourcePolicyType: 'Resource Policy' }])
    })

    it('has none of what is not there, and says so to who asks before deleting a user', async () => {
      const { iam, newUser } = server()
      const UserName = await newUser()

      expect(await iam.listMFADevices({ UserName })).toMatchObject({ MFADevices: [], IsTruncated: false })
      expect((await iam.listMFADevices({})).MFADevices).toEqual([])
      expect((await iam.listSSHPublicKeys({ UserName })).SSHPublicKeys).toEqual([])
      expect((await iam.listSigningCertificates({ UserName })).Certificates).toEqual([])
      expect((await iam.listServiceSpecificCredentials({ UserName })).ServiceSpecificCredentials).toEqual([])
      expect((await iam.listVirtualMFADevices({ AssignmentStatus: 'Any' })).VirtualMFADevices).toEqual([])
      expect((await iam.listInstanceProfiles({})).InstanceProfiles).toEqual([])
      expect((await iam.listServerCertificates({})).ServerCertificateMetadataList).toEqual([])
      expect((await iam.listSAMLProviders({})).SAMLProviderList).toEqual([])
      const profile = `404 NoSuchEntityException: Login Profile for User ${UserName} cannot be found.`
      expect(await iamFailure(iam.getLoginProfile({ UserName }))).toBe(profile)
      expect(await iamFailure(iam.deleteLoginProfile({ UserName }))).toBe(profile)
      expect(await iamFailure(iam.listMFADevices({ UserName: 'nobody' }))).toMatch(/^404 NoSuchEntityException/)
      expect(await iamFailure(iam.getAccountPasswordPolicy({}))).toBe(
        `404 NoSuchEntityException: The Password Policy with domain name ${accountId} cannot be found.`,
      )
    })

    it('says how much of everything it has', async () => {
      const { iam, newUser, newPolicy } = server()
      const before = (await iam.getAccountSummary({})).SummaryMap ?? {}
      await newUser()
      await newPolicy()

      const after = (await iam.getAccountSummary({})).SummaryMap ?? {}

      expect(after.Users).toBe((before.Users ?? 0) + 1)
      expect(after.Policies).toBe((before.Policies ?? 0) + 1)
      expect(after).toMatchObject({ UsersQuota: 5000, AccessKeysPerUserQuota: 2, AccountAccessKeysPresent: 1 })
    })
  })
})
