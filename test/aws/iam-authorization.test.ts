import type { IAM } from '@aws-sdk/client-iam'
import { afterEach, describe, expect, it } from 'vitest'
import { accountId, iamClientOf, iamFailure, iamOnEveryDatabase, trustPolicy, type IamUnderTest } from './iam-under-test.ts'

/** A statement that allows, unless it says otherwise. */
interface Statement {
  readonly Effect?: 'Allow' | 'Deny'
  readonly Action: string | readonly string[]
  readonly Resource: string | readonly string[]
  readonly Condition?: object
}

const arn = (resource: string): string => `arn:aws:iam::${accountId}:${resource}`

const clients: IAM[] = []

/** A client of a new user with just these statements. */
async function userWith({ iam, platform, freeName }: IamUnderTest, ...statements: Statement[]): Promise<{ iam: IAM; name: string }> {
  const name = freeName('caller')
  await iam.createUser({ UserName: name })
  const PolicyDocument = JSON.stringify({
    Version: '2012-10-17',
    Statement: statements.map((statement) => ({ Effect: 'Allow', ...statement })),
  })
  await iam.putUserPolicy({ UserName: name, PolicyName: 'own', PolicyDocument })
  const { AccessKey } = await iam.createAccessKey({ UserName: name })
  const { AccessKeyId: accessKeyId = '', SecretAccessKey: secretAccessKey = '' } = AccessKey ?? {}
  const client = iamClientOf(platform, { accessKeyId, secretAccessKey })
  clients.push(client)
  return { iam: client, name }
}

afterEach(() => {
  for (const client of clients.splice(0)) client.destroy()
})

const denied = (action: string, resource: string): RegExp =>
  new RegExp(`^403 IAMServiceException: User: \\S+ is not authorized to perform: iam:${action} on resource: ${resource} because `)

iamOnEveryDatabase((server) => {
  describe('calls of IAM', () => {
    it('are allowed by the path of what they are about', async () => {
      const { iam: root } = server()
      const { iam } = await userWith(server(), { Action: 'iam:*', Resource: [arn('user/ci/*'), arn('role/ci/*')] })
      await root.createUser({ UserName: 'outside' })

      await iam.createUser({ UserName: 'inside', Path: '/ci/' })
      expect((await iam.getUser({ UserName: 'INSIDE' })).User?.Path).toBe('/ci/')
      expect(await iamFailure(iam.createUser({ UserName: 'elsewhere' }))).toMatch(denied('CreateUser', arn('user/elsewhere')))
      expect(await iamFailure(iam.getUser({ UserName: 'outside' }))).toMatch(denied('GetUser', 'user outside'))
      // Neither out of the path nor into it.
      expect(await iamFailure(iam.updateUser({ UserName: 'inside', NewPath: '/' }))).toMatch(denied('UpdateUser', 'user inside'))
      expect(await iamFailure(iam.updateUser({ UserName: 'outside', NewPath: '/ci/' }))).toMatch(denied('UpdateUser', 'user outside'))
      await iam.updateUser({ UserName: 'inside', NewUserName: 'within' })
      // Who may not ask learns nothing of who is there.
      expect(await iamFailure(iam.getUser({ UserName: 'nobody' }))).toMatch(denied('GetUser', 'user nobody'))
      expect(await iamFailure(iam.listUsers({}))).toMatch(denied('ListUsers', arn('user/')))
      await iam.createRole({ RoleName: 'builder', Path: '/ci/', AssumeRolePolicyDocument: trustPolicy })
      await iam.deleteRole({ RoleName: 'builder' })
      await iam.deleteUser({ UserName: 'within' })
    })

    it('let users look after their own keys, as AWS’s example policy has it', async () => {
      const { iam: root } = server()
      const { iam, name } = await userWith(server(), {
        Action: ['iam:GetUser', 'iam:*AccessKey', 'iam:ListAccessKeys'],
        Resource: arn('user/${aws:username}'),
      })
      await root.createUser({ UserName: `${name}2` })

      expect((await iam.getUser({})).User?.UserName).toBe(name)
      const { AccessKey } = await iam.createAccessKey({})
      expect((await iam.listAccessKeys({})).AccessKeyMetadata).toHaveLength(2)
      await iam.updateAccessKey({ AccessKeyId: AccessKey?.AccessKeyId, Status: 'Inactive' })
      await iam.deleteAccessKey({ AccessKeyId: AccessKey?.AccessKeyId })
      expect(await iamFailure(iam.createAccessKey({ UserName: `${name}2` }))).toMatch(denied('CreateAccessKey', `user ${name}2`))
    })

    it('are bound to the policies that may be given', async () => {
      const { iam: root, newUser, newPolicy } = server()
      const [given, other] = [await newPolicy(), await newPolicy()]
      const UserName = await newUser()
      const { iam } = await userWith(server(), {
        Action: ['iam:AttachUserPolicy', 'iam:DetachUserPolicy'],
        Resource: '*',
        Condition: { ArnEquals: { 'iam:PolicyARN': given } },
      })

      await iam.attachUserPolicy({ UserName, PolicyArn: given })
      expect(await iamFailure(iam.attachUserPolicy({ UserName, PolicyArn: other }))).toMatch(denied('AttachUserPolicy', `user ${UserName}`))
      await iam.detachUserPolicy({ UserName, PolicyArn: given })
      expect((await root.listAttachedUserPolicies({ UserName })).AttachedPolicies).toEqual([])
    })

    it('make users only within the boundary that is asked for, and leave it there', async () => {
      const { newPolicy, freeName } = server()
      const boundary = await newPolicy()
      const UserName = freeName('bounded')
      const { iam } = await userWith(server(), {
        Action: ['iam:CreateUser', 'iam:PutUserPermissionsBoundary', 'iam:AttachUserPolicy', 'iam:DeleteUser'],
        Resource: '*',
        Condition: { StringEquals: { 'iam:PermissionsBoundary': boundary } },
      })
      const PolicyArn = 'arn:aws:iam::aws:policy/AdministratorAccess'

      expect(await iamFailure(iam.createUser({ UserName }))).toMatch(denied('CreateUser', arn(`user/${UserName}`)))
      expect(await iamFailure(iam.createUser({ UserName, PermissionsBoundary: PolicyArn }))).toMatch(denied('CreateUser', arn(`user/${UserName}`)))
      await iam.createUser({ UserName, PermissionsBoundary: boundary })
      await iam.attachUserPolicy({ UserName, PolicyArn })
      expect(await iamFailure(iam.putUserPermissionsBoundary({ UserName, PermissionsBoundary: PolicyArn }))).toMatch(
        denied('PutUserPermissionsBoundary', `user ${UserName}`),
      )
      const unbounded = await server().newUser()
      expect(await iamFailure(iam.attachUserPolicy({ UserName: unbounded, PolicyArn }))).toMatch(
        denied('AttachUserPolicy', `user ${unbounded}`),
      )
    })

    it('are bound to tags, those that are given and those that are there', async () => {
      const { iam: root, freeName } = server()
      const UserName = freeName('tagged')
      const { iam } = await userWith(
        server(),
        { Action: ['iam:CreateUser', 'iam:TagUser'], Resource: '*', Condition: { StringEquals: { 'aws:RequestTag/team': 'a' } } },
        { Action: ['iam:DeleteUser', 'iam:UntagUser'], Resource: '*', Condition: { StringEquals: { 'iam:ResourceTag/team': 'a' } } },
        { Effect: 'Deny', Action: 'iam:UntagUser', Resource: '*', Condition: { 'ForAnyValue:StringEquals': { 'aws:TagKeys': 'team' } } },
      )
      const other = freeName('tagged')
      await root.createUser({ UserName: other, Tags: [{ Key: 'team', Value: 'b' }] })

      expect(await iamFailure(iam.createUser({ UserName }))).toMatch(denied('CreateUser', arn(`user/${UserName}`)))
      expect(await iamFailure(iam.createUser({ UserName, Tags: [{ Key: 'team', Value: 'b' }] }))).toMatch(denied('CreateUser', arn(`user/${UserName}`)))
      await iam.createUser({ UserName, Tags: [{ Key: 'team', Value: 'a' }, { Key: 'x', Value: '' }] })
      await iam.untagUser({ UserName, TagKeys: ['x'] })
      expect(await iamFailure(iam.untagUser({ UserName, TagKeys: ['x', 'team'] }))).toContain('explicit deny')
      expect(await iamFailure(iam.deleteUser({ UserName: other }))).toMatch(denied('DeleteUser', `user ${other}`))
      await iam.deleteUser({ UserName })
    })

    it('go by the tags of the user or role that a call is about, whichever call it is', async () => {
      const { iam: root, newUser, newRole } = server()
      const Action = ['iam:ListGroupsForUser', 'iam:ListMFADevices', 'iam:GetLoginProfile', 'iam:GetAccessKeyLastUsed', 'iam:ListInstanceProfilesForRole', 'iam:SimulatePrincipalPolicy']
      const { iam } = await userWith(server(), { Action, Resource: '*', Condition: { StringEquals: { 'aws:ResourceTag/team': 'a' } } })
      const [UserName, RoleName] = [await newUser(), await newRole()]
      const { AccessKey } = await root.createAccessKey({ UserName })
      const calls = [
        () => iam.listGroupsForUser({ UserName }),
        () => iam.listMFADevices({ UserName }),
        () => iam.getAccessKeyLastUsed({ AccessKeyId: AccessKey?.AccessKeyId }),
        () => iam.listInstanceProfilesForRole({ RoleName }),
        () => iam.simulatePrincipalPolicy({ PolicySourceArn: arn(`user/${UserName}`), ActionNames: ['ecr:PutImage'] }),
        () => iam.simulatePrincipalPolicy({ PolicySourceArn: arn(`role/${RoleName}`), ActionNames: ['ecr:PutImage'] }),
      ]

      for (const call of calls) expect(await iamFailure(call())).toContain('is not authorized to perform')
      expect(await iamFailure(iam.getLoginProfile({ UserName }))).toContain('is not authorized to perform')
      await root.tagUser({ UserName, Tags: [{ Key: 'Team', Value: 'a' }] })
      await root.tagRole({ RoleName, Tags: [{ Key: 'Team', Value: 'a' }] })
      for (const call of calls) await call()
      expect(await iamFailure(iam.getLoginProfile({ UserName }))).toMatch(/^404 NoSuchEntityException/)
    })

    it('need the right to tag, too, where something is made with tags', async () => {
      const { freeName } = server()
      const UserName = freeName('tagged')
      const { iam } = await userWith(server(), { Action: 'iam:CreateUser', Resource: '*' })

      expect(await iamFailure(iam.createUser({ UserName, Tags: [{ Key: 'a', Value: 'b' }] }))).toMatch(denied('TagUser', `user ${UserName}`))
      await iam.createUser({ UserName })
    })

    it('hold from the next request on: rights that are given, and rights that are taken away', async () => {
      const { iam: root, newPolicy, freeName } = server()
      const { iam, name: UserName } = await userWith(server(), { Action: 'iam:ListGroups', Resource: '*' })
      const refused = denied('ListUsers', arn('user/'))
      const GroupName = freeName('group')
      const PolicyArn = await newPolicy()
      const listing = (Effect: string): string =>
        JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect, Action: 'iam:ListUsers', Resource: '*' }] })
      await root.createGroup({ GroupName })
      await root.attachGroupPolicy({ GroupName, PolicyArn })

      expect(await iamFailure(iam.listUsers({}))).toMatch(refused)
      await root.addUserToGroup({ GroupName, UserName })
      expect(await iamFailure(iam.listUsers({}))).toMatch(refused)
      await root.createPolicyVersion({ PolicyArn, PolicyDocument: listing('Allow'), SetAsDefault: true })
      await iam.listUsers({})
      await root.setDefaultPolicyVersion({ PolicyArn, VersionId: 'v1' })
      expect(await iamFailure(iam.listUsers({}))).toMatch(refused)
      await root.setDefaultPolicyVersion({ PolicyArn, VersionId: 'v2' })
      await iam.listUsers({})
      await root.removeUserFromGroup({ GroupName, UserName })
      expect(await iamFailure(iam.listUsers({}))).toMatch(refused)
      await root.putUserPolicy({ UserName, PolicyName: 'more', PolicyDocument: listing('Allow') })
      await iam.listUsers({})
      await root.putUserPermissionsBoundary({ UserName, PermissionsBoundary: 'arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly' })
      expect(await iamFailure(iam.listUsers({}))).toMatch(refused)
      await root.deleteUserPermissionsBoundary({ UserName })
      await iam.listUsers({})
      await root.deleteUserPolicy({ UserName, PolicyName: 'more' })
      expect(await iamFailure(iam.listUsers({}))).toMatch(refused)
    })
  })
})
