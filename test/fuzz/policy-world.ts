import { ControlPlane, signedBy, type KeyLogin } from '../authorization/control-plane.ts'
import { Exchange, type Login } from '../authorization/exchange.ts'
import { accountArn, homeAccount, otherAccount, repositoryArn, userArn, type Place } from '../authorization/places.ts'
import { roleArn } from '../authorization/sts-entries.ts'
import { buildImage, pushImage } from '../support/images.ts'
import type { Stowage } from '../support/start-stowage.ts'
import type { PolicyNames } from './policy-texts.ts'

export const fuzzAccounts = [homeAccount, otherAccount] as const
export type FuzzAccount = (typeof fuzzAccounts)[number]

/** Stands in every name that its account tells nobody else. */
export const markers: Readonly<Record<FuzzAccount, string>> = { [homeAccount]: 'qzhomezq', [otherAccount]: 'qzotherzq' }

/** A user whose policies are fuzzed. */
export interface Member {
  readonly accountId: FuzzAccount
  readonly userName: string
  readonly aws: KeyLogin
  readonly oci: Login
}

/** What the cases of one lane have for themselves, so that lanes do not set each other's policies. */
export interface Lane {
  readonly members: readonly Member[]
  /** One in each account: its policy is fuzzed. */
  readonly openRepositories: readonly Place[]
  /** In both accounts: its trust policy is fuzzed. */
  readonly roleName: string
}

/** A role in each account that trusts both, for sessions with fuzzed policies. */
export const steadyRole = 'steady'

export interface PolicyWorld {
  readonly plane: ControlPlane
  readonly lanes: readonly Lane[]
  /** Users of each account that may do everything there. */
  readonly administrators: ReadonlyMap<FuzzAccount, KeyLogin>
  readonly names: PolicyNames
  /** What nobody but its own account may hear of; the same before and after. */
  hidden(): Promise<string>
  close(): void
}

const image = buildImage({ seed: 'policies' })

/** Two accounts, each with things of its own and with something that policies may open. */
export async function makePolicyWorld(stowage: Stowage, laneCount: number): Promise<PolicyWorld> {
  const url = `http://127.0.0.1:${stowage.port}`
  const exchange = new Exchange(url)
  const plane = new ControlPlane(exchange, stowage.keys)
  await plane.createAccount(otherAccount)
  const administrators = new Map<FuzzAccount, KeyLogin>()
  for (const accountId of fuzzAccounts) {
    await makeHidden(plane, stowage, accountId)
    administrators.set(accountId, await makeAdministrator(plane, accountId))
  }
  const lanes: Lane[] = []
  for (let index = 0; index < laneCount; index++) lanes.push(await makeLane(plane, stowage, index))
  const repositories = [...lanes.flatMap((lane) => lane.openRepositories)]
  return {
    plane,
    lanes,
    administrators,
    names: {
      accountIds: fuzzAccounts,
      principalArns: lanes.flatMap(({ members, roleName }) => [
        ...members.map(({ accountId, userName }) => userArn(accountId, userName)),
        ...fuzzAccounts.map((accountId) => roleArn(accountId, roleName)),
      ]),
      repositoryArns: repositories.map((place) => repositoryArn(place)),
    },
    hidden: () => describeHidden(plane),
    close: () => exchange.close(),
  }
}

async function makeHidden(plane: ControlPlane, stowage: Stowage, accountId: FuzzAccount): Promise<void> {
  const marker = markers[accountId]
  const repositoryName = `${marker}/app`
  await plane.ecr('CreateRepository', { repositoryName, tags: [{ Key: 'team', Value: marker }] }, plane.root(accountId))
  await push(plane, stowage, { accountId, repository: repositoryName }, `${marker}-tag`)
  await plane.iam('CreateUser', { UserName: `${marker}-user`, Path: `/${marker}/` }, accountId)
  await plane.iam('CreateGroup', { GroupName: `${marker}-group` }, accountId)
  await plane.iam('CreateRole', { RoleName: `${marker}-role`, AssumeRolePolicyDocument: trustIn(accountId) }, accountId)
}

function trustIn(...accountIds: string[]): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: accountIds.map(accountArn) }, Action: 'sts:AssumeRole' }] })
}

async function makeAdministrator(plane: ControlPlane, accountId: FuzzAccount): Promise<KeyLogin> {
  const administratorAccess = { PolicyArn: 'arn:aws:iam::aws:policy/AdministratorAccess' }
  await plane.iam('CreateUser', { UserName: 'administrator' }, accountId)
  await plane.iam('AttachUserPolicy', { UserName: 'administrator', ...administratorAccess }, accountId)
  await plane.iam('CreateRole', { RoleName: steadyRole, AssumeRolePolicyDocument: trustIn(...fuzzAccounts) }, accountId)
  await plane.iam('AttachRolePolicy', { RoleName: steadyRole, ...administratorAccess }, accountId)
  return signedBy(await plane.newKey('administrator', accountId))
}

async function makeLane(plane: ControlPlane, stowage: Stowage, index: number): Promise<Lane> {
  const members: Member[] = []
  const openRepositories: Place[] = []
  const roleName = `lane-${index}`
  for (const accountId of fuzzAccounts) {
    const place = { accountId, repository: `open/app-${index}` }
    await plane.ecr('CreateRepository', { repositoryName: place.repository }, plane.root(accountId))
    await push(plane, stowage, place, 'v1')
    openRepositories.push(place)
    const userName = `lane-${index}`
    await plane.iam('CreateUser', { UserName: userName, 'Tags.member.1.Key': 'team', 'Tags.member.1.Value': 'open' }, accountId)
    await plane.iam('AttachUserPolicy', { UserName: userName, PolicyArn: 'arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser' }, accountId)
    const keys = await plane.newKey(userName, accountId)
    const authorizationToken = await plane.registryToken(keys)
    await plane.iam('DetachUserPolicy', { UserName: userName, PolicyArn: 'arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser' }, accountId)
    members.push({ accountId, userName, aws: signedBy(keys), oci: { kind: 'token', authorizationToken } })
    await plane.iam('CreateRole', { RoleName: roleName, AssumeRolePolicyDocument: trustIn(accountId) }, accountId)
    await plane.iam('AttachRolePolicy', { RoleName: roleName, PolicyArn: 'arn:aws:iam::aws:policy/AdministratorAccess' }, accountId)
  }
  return { members, openRepositories, roleName }
}

async function push(plane: ControlPlane, stowage: Stowage, { accountId, repository }: Place, tag: string): Promise<void> {
  const { accessKeyId: username, secretAccessKey: password } = plane.root(accountId).keys
  const host = `${accountId}.dkr.ecr.us-east-1.127.0.0.1:${stowage.port}`
  await pushImage({ url: `http://127.0.0.1:${stowage.port}`, repository, auth: { username, password }, host }, image, tag)
}

async function describeHidden(plane: ControlPlane): Promise<string> {
  const described: string[] = []
  for (const accountId of fuzzAccounts) {
    const marker = markers[accountId]
    const root = plane.root(accountId)
    const repositoryName = `${marker}/app`
    const { body: images } = await plane.ecr('ListImages', { repositoryName }, root)
    const { body: tags } = await plane.ecr('ListTagsForResource', { resourceArn: repositoryArn({ accountId, repository: repositoryName }) }, root)
    const { body: role } = await plane.iam('GetRole', { RoleName: `${marker}-role` }, accountId)
    const { body: user } = await plane.iam('GetUser', { UserName: `${marker}-user` }, accountId)
    described.push(images, tags, ...[role, user].map((xml) => xml.replace(/<RequestId>[^<]*<\/RequestId>/, '')))
  }
  return described.join('\n')
}
