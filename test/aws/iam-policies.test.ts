import { describe, expect, it } from 'vitest'
import { managedPolicies } from '../../src/iam/index.ts'
import { accountId, iamFailure, iamOnEveryDatabase, pullPolicy } from './iam-under-test.ts'

/** White space and characters that a URL cannot hold, to see that documents come back as they were sent. */
const spacedPolicy = `{
  "Version": "2012-10-17",
  "Statement": [{ "Sid": "A1", "Effect": "Allow", "Action": "ecr:*", "Resource": "arn:aws:ecr:*:*:repository/t(e)am'!*" }]
}`

const decoded = (document: string | undefined): string => decodeURIComponent(document ?? '')

iamOnEveryDatabase((server) => {
  describe('managed policies', () => {
    it('are made, read and listed', async () => {
      const { iam, freeName } = server()
      const PolicyName = freeName('Policy')
      const Tags = [{ Key: 'team', Value: 'platform' }]

      const { Policy } = await iam.createPolicy({
        PolicyName,
        Path: '/ci/',
        PolicyDocument: spacedPolicy,
        Description: 'What CI may do',
        Tags,
      })

      const Arn = `arn:aws:iam::${accountId}:policy/ci/${PolicyName}`
      expect(Policy).toEqual({
        PolicyName,
        PolicyId: expect.stringMatching(/^ANPA[A-Z2-7]{17}$/),
        Arn,
        Path: '/ci/',
        DefaultVersionId: 'v1',
        AttachmentCount: 0,
        PermissionsBoundaryUsageCount: 0,
        IsAttachable: true,
        Description: 'What CI may do',
        CreateDate: expect.any(Date),
        UpdateDate: Policy?.CreateDate,
        Tags,
      })
      expect((await iam.getPolicy({ PolicyArn: Arn })).Policy).toEqual(Policy)
      const { PolicyVersion } = await iam.getPolicyVersion({ PolicyArn: Arn, VersionId: 'v1' })
      expect(PolicyVersion).toMatchObject({ VersionId: 'v1', IsDefaultVersion: true })
      expect(PolicyVersion?.Document).toMatch(/^[A-Za-z0-9%._~-]+$/)
      expect(decoded(PolicyVersion?.Document)).toBe(spacedPolicy)
      const { Policies } = await iam.listPolicies({ Scope: 'Local', PathPrefix: '/ci/' })
      const listed = Policies?.find((policy) => policy.Arn === Arn)
      expect(listed).toMatchObject({ PolicyName, AttachmentCount: 0 })
      expect(listed?.Tags).toBeUndefined()
      expect(await iamFailure(iam.createPolicy({ PolicyName: PolicyName.toUpperCase(), PolicyDocument: pullPolicy }))).toBe(
        `409 EntityAlreadyExistsException: A policy called ${PolicyName.toUpperCase()} already exists. Duplicate names are not allowed.`,
      )
      await iam.untagPolicy({ PolicyArn: Arn, TagKeys: ['TEAM'] })
      await iam.tagPolicy({ PolicyArn: Arn, Tags: [{ Key: 'k', Value: 'v' }] })
      expect((await iam.listPolicyTags({ PolicyArn: Arn })).Tags).toEqual([{ Key: 'k', Value: 'v' }])
      await iam.deletePolicy({ PolicyArn: Arn })
      expect(await iamFailure(iam.getPolicy({ PolicyArn: Arn }))).toBe(`404 NoSuchEntityException: Policy ${Arn} was not found.`)
    })

    it('have five versions at most, one of which holds', async () => {
      const { iam, newPolicy } = server()
      const PolicyArn = await newPolicy()
      const document = (sid: string): string => pullPolicy.replace('"Effect"', `"Sid":"${sid}","Effect"`)

      for (const sid of ['b', 'c', 'd', 'e']) {
        await iam.createPolicyVersion({ PolicyArn, PolicyDocument: document(sid), SetAsDefault: sid === 'c' })
      }

      expect(await iamFailure(iam.createPolicyVersion({ PolicyArn, PolicyDocument: pullPolicy }))).toBe(
        '409 LimitExceededException: A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.',
      )
      expect((await iam.getPolicy({ PolicyArn })).Policy?.DefaultVersionId).toBe('v3')
      const versions = await iam.listPolicyVersions({ PolicyArn })
      expect(versions.Versions?.map(({ VersionId, IsDefaultVersion }) => [VersionId, IsDefaultVersion])).toEqual([
        ['v5', false],
        ['v4', false],
        ['v3', true],
        ['v2', false],
        ['v1', false],
      ])
      const first = await iam.listPolicyVersions({ PolicyArn, MaxItems: 2 })
      const rest = await iam.listPolicyVersions({ PolicyArn, Marker: first.Marker })
      expect([...(first.Versions ?? []), ...(rest.Versions ?? [])]).toEqual(versions.Versions)

      expect(await iamFailure(iam.deletePolicyVersion({ PolicyArn, VersionId: 'v3' }))).toBe(
        '409 DeleteConflictException: Cannot delete the default version of a policy.',
      )
      await iam.setDefaultPolicyVersion({ PolicyArn, VersionId: 'v5' })
      await iam.deletePolicyVersion({ PolicyArn, VersionId: 'v3' })
      expect(await iamFailure(iam.getPolicyVersion({ PolicyArn, VersionId: 'v3' }))).toMatch(/^404 NoSuchEntityException/)
      expect(await iamFailure(iam.setDefaultPolicyVersion({ PolicyArn, VersionId: 'v3' }))).toMatch(/^404 NoSuchEntity/)
      const { PolicyVersion } = await iam.createPolicyVersion({ PolicyArn, PolicyDocument: document('f') })
      expect(PolicyVersion).toMatchObject({ VersionId: 'v6', IsDefaultVersion: false })
      expect(await iamFailure(iam.deletePolicy({ PolicyArn }))).toMatch(
        /^409 DeleteConflictException: This policy has more than one version/,
      )
      for (const VersionId of ['v1', 'v2', 'v4', 'v6']) await iam.deletePolicyVersion({ PolicyArn, VersionId })
      await iam.deletePolicy({ PolicyArn })
    })

    it('of AWS are there for everybody and belong to nobody', async () => {
      const { iam, newUser } = server()
      const UserName = await newUser()
      const PolicyArn = 'arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly'

      await iam.attachUserPolicy({ UserName, PolicyArn })

      const { Policy } = await iam.getPolicy({ PolicyArn })
      expect(Policy).toMatchObject({ PolicyName: 'AmazonEC2ContainerRegistryPullOnly', AttachmentCount: 1, Path: '/' })
      const { PolicyVersion } = await iam.getPolicyVersion({ PolicyArn, VersionId: Policy?.DefaultVersionId })
      expect(JSON.parse(decoded(PolicyVersion?.Document))).toMatchObject({ Version: '2012-10-17' })
      const { Policies } = await iam.listPolicies({ Scope: 'AWS' })
      expect(Policies?.map((policy) => policy.Arn)).toEqual(managedPolicies().map(({ arn }) => arn))
      const attached = await iam.listPolicies({ Scope: 'AWS', OnlyAttached: true })
      expect(attached.Policies?.map((policy) => policy.Arn)).toEqual([PolicyArn])
      expect(await iamFailure(iam.deletePolicy({ PolicyArn }))).toMatch(/^404 NoSuchEntityException/)
      expect(await iamFailure(iam.createPolicyVersion({ PolicyArn, PolicyDocument: pullPolicy }))).toMatch(
        /^404 NoSuchEntityException/,
      )
      await iam.detachUserPolicy({ UserName, PolicyArn })
    })

    it('are listed page by page, the own ones first', async () => {
      const { iam } = server()
      for (const PolicyName of ['zz-3', 'ZZ-1', 'zz-2']) await iam.createPolicy({ PolicyName, PolicyDocument: pullPolicy })

      const whole = await iam.listPolicies({})
      const names: (string | undefined)[] = []
      let Marker: string | undefined
      do {
        const page = await iam.listPolicies({ MaxItems: 2, Marker })
        expect(page.Policies?.length).toBeLessThanOrEqual(2)
        names.push(...(page.Policies ?? []).map(({ PolicyName }) => PolicyName))
        Marker = page.Marker
      } while (Marker !== undefined)

      expect(names).toEqual(whole.Policies?.map(({ PolicyName }) => PolicyName))
      expect(names.slice(-managedPolicies().length)).toEqual(managedPolicies().map(({ name }) => name))
      expect(names.indexOf('ZZ-1')).toBeLessThan(names.indexOf('zz-2'))
    })

    it('are refused where the document is none, or too long', async () => {
      const { iam, freeName, newUser, newRole } = server()
      const PolicyName = freeName('policy')
      const UserName = await newUser()
      const long = pullPolicy.replace('"Effect"', `"Sid":"${'x'.repeat(6144)}","Effect"`)

      for (const PolicyDocument of ['{', '[]', '{}', '{"Version":"2012-10-17"}', pullPolicy.replace('Allow', 'Perhaps')]) {
        expect(await iamFailure(iam.createPolicy({ PolicyName, PolicyDocument }))).toMatch(/^400 MalformedPolicyDocumentException: ./)
        expect(await iamFailure(iam.putUserPolicy({ UserName, PolicyName, PolicyDocument }))).toMatch(
          /^400 MalformedPolicyDocumentException: ./,
        )
      }
      expect(await iamFailure(iam.createPolicy({ PolicyName, PolicyDocument: long }))).toBe(
        '409 LimitExceededException: Cannot exceed quota for PolicySize: 6144',
      )
      expect(await iamFailure(iam.putUserPolicy({ UserName, PolicyName, PolicyDocument: long }))).toBe(
        `409 LimitExceededException: Maximum policy size of 2048 bytes exceeded for user ${UserName}`,
      )
      expect((await iam.listUserPolicies({ UserName })).PolicyNames).toEqual([])
      const RoleName = await newRole()
      expect(await iamFailure(iam.updateAssumeRolePolicy({ RoleName, PolicyDocument: pullPolicy }))).toMatch(
        /^400 MalformedPolicyDocumentException: ./,
      )
    })

    it('cannot go while somebody has them or is bounded by them', async () => {
      const { iam, newUser, newRole, newPolicy } = server()
      const PolicyArn = await newPolicy()
      const [UserName, RoleName] = [await newUser(), await newRole()]

      await iam.attachRolePolicy({ RoleName, PolicyArn })
      await iam.putUserPermissionsBoundary({ UserName, PermissionsBoundary: PolicyArn })

      expect((await iam.getPolicy({ PolicyArn })).Policy).toMatchObject({ AttachmentCount: 1, PermissionsBoundaryUsageCount: 1 })
      expect(await iamFailure(iam.deletePolicy({ PolicyArn }))).toBe(
        '409 DeleteConflictException: Cannot delete a policy attached to entities.',
      )
      await iam.detachRolePolicy({ RoleName, PolicyArn })
      expect(await iamFailure(iam.deletePolicy({ PolicyArn }))).toMatch(/^409 DeleteConflictException/)
      const bounding = await iam.listPolicies({ PolicyUsageFilter: 'PermissionsBoundary', OnlyAttached: true })
      expect(bounding.Policies?.map(({ Arn }) => Arn)).toContain(PolicyArn)
      await iam.deleteUserPermissionsBoundary({ UserName })
      await iam.deletePolicy({ PolicyArn })
    })
  })

  describe.each([
    { kind: 'user', quota: 'User' },
    { kind: 'group', quota: 'Group' },
    { kind: 'role', quota: 'Role' },
  ] as const)('the policies of a $kind', ({ kind, quota }) => {
    /** The calls for one kind, under one name. */
    async function owner() {
      const { iam, newUser, newRole, freeName } = server()
      if (kind === 'user') {
        const UserName = await newUser()
        return {
          name: UserName,
          attach: (PolicyArn: string) => iam.attachUserPolicy({ UserName, PolicyArn }),
          detach: (PolicyArn: string) => iam.detachUserPolicy({ UserName, PolicyArn }),
          attached: (page: object = {}) => iam.listAttachedUserPolicies({ UserName, ...page }),
          put: (PolicyName: string, PolicyDocument: string) => iam.putUserPolicy({ UserName, PolicyName, PolicyDocument }),
          get: (PolicyName: string) => iam.getUserPolicy({ UserName, PolicyName }),
          list: (page: object = {}) => iam.listUserPolicies({ UserName, ...page }),
          drop: (PolicyName: string) => iam.deleteUserPolicy({ UserName, PolicyName }),
        }
      }
      if (kind === 'role') {
        const RoleName = await newRole()
        return {
          name: RoleName,
          attach: (PolicyArn: string) => iam.attachRolePolicy({ RoleName, PolicyArn }),
          detach: (PolicyArn: string) => iam.detachRolePolicy({ RoleName, PolicyArn }),
          attached: (page: object = {}) => iam.listAttachedRolePolicies({ RoleName, ...page }),
          put: (PolicyName: string, PolicyDocument: string) => iam.putRolePolicy({ RoleName, PolicyName, PolicyDocument }),
          get: (PolicyName: string) => iam.getRolePolicy({ RoleName, PolicyName }),
          list: (page: object = {}) => iam.listRolePolicies({ RoleName, ...page }),
          drop: (PolicyName: string) => iam.deleteRolePolicy({ RoleName, PolicyName }),
        }
      }
      const GroupName = freeName('group')
      await iam.createGroup({ GroupName })
      return {
        name: GroupName,
        attach: (PolicyArn: string) => iam.attachGroupPolicy({ GroupName, PolicyArn }),
        detach: (PolicyArn: string) => iam.detachGroupPolicy({ GroupName, PolicyArn }),
        attached: (page: object = {}) => iam.listAttachedGroupPolicies({ GroupName, ...page }),
        put: (PolicyName: string, PolicyDocument: string) => iam.putGroupPolicy({ GroupName, PolicyName, PolicyDocument }),
        get: (PolicyName: string) => iam.getGroupPolicy({ GroupName, PolicyName }),
        list: (page: object = {}) => iam.listGroupPolicies({ GroupName, ...page }),
        drop: (PolicyName: string) => iam.deleteGroupPolicy({ GroupName, PolicyName }),
      }
    }

    it('are attached, listed and detached', async () => {
      const { iam, newPolicy } = server()
      const { attach, detach, attached, name } = await owner()
      const arns = [await newPolicy(), 'arn:aws:iam::aws:policy/ReadOnlyAccess']

      expect(await attached()).toMatchObject({ AttachedPolicies: [], IsTruncated: false })
      for (const arn of arns) await attach(arn)
      await attach(arns[0] ?? '')

      const { AttachedPolicies } = await attached()
      expect(AttachedPolicies?.map(({ PolicyArn }) => PolicyArn).toSorted()).toEqual(arns.toSorted())
      expect(AttachedPolicies).toContainEqual({ PolicyName: 'ReadOnlyAccess', PolicyArn: arns[1] })
      const first = await attached({ MaxItems: 1 })
      const second = await attached({ MaxItems: 1, Marker: first.Marker })
      expect([...(first.AttachedPolicies ?? []), ...(second.AttachedPolicies ?? [])]).toEqual(AttachedPolicies)
      expect(second.IsTruncated).toBe(false)
      const { Policy } = await iam.createPolicy({ PolicyName: 'ReadOnlyAccess', Path: `/${'own/'.repeat(100)}${name}/`, PolicyDocument: pullPolicy })
      await attach(Policy?.Arn ?? '')
      const paged: (string | undefined)[] = []
      let Marker: string | undefined
      do {
        const page = await attached({ MaxItems: 1, ...(Marker !== undefined && { Marker }) })
        paged.push(...(page.AttachedPolicies ?? []).map(({ PolicyArn }) => PolicyArn))
        Marker = page.Marker
      } while (Marker !== undefined)
      expect(paged.toSorted()).toEqual([...arns, Policy?.Arn].toSorted())
      await detach(Policy?.Arn ?? '')
      await iam.deletePolicy({ PolicyArn: Policy?.Arn })
      const holders = await iam.listEntitiesForPolicy({ PolicyArn: arns[0] })
      const found = [
        ...(holders.PolicyUsers ?? []).map(({ UserName }) => UserName),
        ...(holders.PolicyGroups ?? []).map(({ GroupName }) => GroupName),
        ...(holders.PolicyRoles ?? []).map(({ RoleName }) => RoleName),
      ]
      expect(found).toEqual([name])
      await detach(arns[0] ?? '')
      expect(await iamFailure(detach(arns[0] ?? ''))).toBe(`404 NoSuchEntityException: Policy ${arns[0]} was not found.`)
      expect((await attached()).AttachedPolicies).toHaveLength(1)
    })

    it('are ten managed ones at most, of those that there are', async () => {
      const { newPolicy } = server()
      const { attach } = await owner()
      for (let count = 0; count < 10; count += 1) await attach(await newPolicy())

      expect(await iamFailure(attach(await newPolicy()))).toBe(
        `409 LimitExceededException: Cannot exceed quota for PoliciesPer${quota}: 10`,
      )
      for (const arn of [
        `arn:aws:iam::${accountId}:policy/not-there`,
        'arn:aws:iam::111111111111:policy/of-others',
        'arn:aws:iam::aws:policy/NotOfAws',
      ]) {
        expect(await iamFailure(attach(arn))).toBe(`404 NoSuchEntityException: Policy ${arn} does not exist or is not attachable.`)
      }
    })

    it('may stand in it', async () => {
      const { put, get, list, drop, name } = await owner()

      await put('b', pullPolicy)
      await put('a', pullPolicy)
      await put('b', spacedPolicy)

      const got = await get('b')
      expect(decoded(got.PolicyDocument)).toBe(spacedPolicy)
      expect(Object.values(got)).toContain(name)
      expect((await list()).PolicyNames).toEqual(['a', 'b'])
      const first = await list({ MaxItems: 1 })
      expect(first).toMatchObject({ PolicyNames: ['a'], IsTruncated: true })
      expect((await list({ Marker: first.Marker })).PolicyNames).toEqual(['b'])
      await drop('b')
      const unknown = `404 NoSuchEntityException: The ${kind} policy with name b cannot be found.`
      expect(await iamFailure(drop('b'))).toBe(unknown)
      expect(await iamFailure(get('b'))).toBe(unknown)
    })
  })

  it('a policy that is being deleted is attached to nobody', async () => {
    const { iam, newUser, newPolicy } = server()
    const users = await Promise.all(Array.from({ length: 4 }, () => newUser()))

    for (let round = 0; round < 5; round += 1) {
      const PolicyArn = await newPolicy()
      const [deleted, ...attached] = await Promise.allSettled([
        iam.deletePolicy({ PolicyArn }),
        ...users.map((UserName) => iam.attachUserPolicy({ UserName, PolicyArn })),
      ])
      const outcomes = new Set(attached.map(({ status }) => status))
      expect(deleted.status === 'fulfilled' ? !outcomes.has('fulfilled') : outcomes.has('fulfilled')).toBe(true)
      const failed = [deleted, ...attached].flatMap((each) => (each.status === 'rejected' ? [each.reason.name] : []))
      expect(failed.every((name) => name === 'NoSuchEntityException' || name === 'DeleteConflictException')).toBe(true)
      for (const UserName of users) {
        for (const { PolicyArn: arn } of (await iam.listAttachedUserPolicies({ UserName })).AttachedPolicies ?? []) {
          expect((await iam.getPolicy({ PolicyArn: arn })).Policy?.Arn).toBe(arn)
          await iam.detachUserPolicy({ UserName, PolicyArn: arn })
        }
      }
    }
  })
})
