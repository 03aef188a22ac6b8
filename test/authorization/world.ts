import { pushImage } from '../support/images.ts'
import { startOidcIssuer, type OidcIssuer } from '../support/oidc-issuer.ts'
import { startTestPlatform } from '../support/platform.ts'
import { callers, roleRights, type CallerName, type CallerWithLogins, type Unknown } from './callers.ts'
import { ControlPlane, keysOf, signedBy, type Keys } from './control-plane.ts'
import { Exchange, type Login } from './exchange.ts'
import { accountArn, excludedArn, guestName, homeAccount, image, otherAccount, presentName, presentPath, presentSource, presentTemplate, region, repositoryPlaces, type RepositoryPlace, type ResourcePolicy } from './places.ts'
import { splitCallers } from './split-callers.ts'
import { distrustfulRole, roleArn, trustingRole } from './sts-entries.ts'

/** A server with everything in it that the matrix asks about, and everybody who asks. */
export interface World {
  readonly exchange: Exchange
  readonly callers: readonly CallerWithLogins[]
  /** Puts back what a cell may have changed. */
  mend(place: RepositoryPlace): Promise<void>
  /** Of the other account's registry; undefined: none. */
  setRegistryPolicy(policy: ResourcePolicy | undefined): Promise<void>
  stop(): Promise<void>
}

/** A clock that runs with the system's and can be moved: some callers' time has to be over. */
class MovedClock {
  offsetMs = 0
  now(): number {
    return Date.now() + this.offsetMs
  }
}

/** Longer than a registry token, and than any session that the matrix makes. */
const longAgoMs = 13 * 60 * 60 * 1000

const administratorAccess = { PolicyArn: 'arn:aws:iam::aws:policy/AdministratorAccess' }

export async function makeWorld(database: 'sqlite' | 'postgres'): Promise<World> {
  const clock = new MovedClock()
  clock.offsetMs = -longAgoMs
  const issuer = await startOidcIssuer()
  const settings = { STOWAGE_OIDC_PRIVATE_HOSTS: issuer.host, STOWAGE_OIDC_CA_FILE: issuer.caFile }
  const platform = await startTestPlatform({ database, clock, settings })
  const exchange = new Exchange(platform.url, () => clock.now())
  const plane = new ControlPlane(exchange, platform.credentials)
  await plane.createAccount(otherAccount)
  // Before the repositories, whose policies name some of them.
  await makeIdentities(plane)
  await makeRepositories(plane, platform)
  const ended = await callersWhoseTimeEnds(plane)
  clock.offsetMs = 0
  const present = [...(await callersOfNow(plane)), await webIdentity(plane, issuer)]
  return {
    exchange,
    callers: [...present, ...ended],
    mend: (place) => setRepositoryPolicy(plane, place),
    async setRegistryPolicy(policy) {
      const owner = plane.root(otherAccount)
      if (policy === undefined) await plane.ecr('DeleteRegistryPolicy', {}, owner)
      else await plane.ecr('PutRegistryPolicy', { policyText: JSON.stringify(policy.document) }, owner)
    },
    async stop() {
      exchange.close()
      await platform.stop()
      await issuer.stop()
    },
  }
}

async function makeRepositories(plane: ControlPlane, server: { readonly url: string; readonly host: string }): Promise<void> {
  for (const place of repositoryPlaces) {
    const root = plane.root(place.accountId)
    await plane.ecr('CreateRepository', { repositoryName: place.repository }, root)
    const auth = { username: root.keys.accessKeyId, password: root.keys.secretAccessKey }
    await pushImage({ url: server.url, repository: place.repository, auth, host: `${place.accountId}.dkr.ecr.${region}.${server.host}` }, image, 'v1')
    await setRepositoryPolicy(plane, place)
  }
  for (const accountId of [homeAccount, otherAccount]) {
    await plane.ecr('RegisterPullTimeUpdateExclusion', { principalArn: excludedArn(accountId) }, plane.root(accountId))
    await plane.ecr('CreateRepositoryCreationTemplate', { prefix: presentTemplate, appliedFor: ['REPLICATION'] }, plane.root(accountId))
    const source = { sourceName: presentSource, principalArn: accountArn(accountId), environment: 'matrix', scope: ['nothing'], intervalSeconds: 60 }
    await plane.stowage('RegisterUsageSource', source, plane.root(accountId))
  }
}

async function setRepositoryPolicy(plane: ControlPlane, { accountId, repository, policy }: RepositoryPlace): Promise<void> {
  if (policy === undefined) return
  await plane.ecr('SetRepositoryPolicy', { repositoryName: repository, policyText: JSON.stringify(policy.document) }, plane.root(accountId))
}

function trustIn(...accountIds: string[]): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: accountIds.map(accountArn) }, Action: 'sts:AssumeRole' }] })
}

async function makeIdentities(plane: ControlPlane): Promise<void> {
  for (const accountId of [homeAccount, otherAccount]) await makePresentNames(plane, accountId)

  for (const [name, accountId] of [['full', homeAccount], ['revoked', homeAccount], ['deleted', homeAccount], ['bounded', homeAccount], ['full', otherAccount]] as const) {
    await plane.iam('CreateUser', { UserName: name }, accountId)
    await plane.iam('AttachUserPolicy', { UserName: name, ...administratorAccess }, accountId)
  }
  const bound = await plane.managedPolicy('bound', roleRights['far-puller'].document)
  await plane.iam('PutUserPermissionsBoundary', { UserName: 'bounded', PermissionsBoundary: bound })
  await plane.iam('CreateUser', { UserName: guestName })

  // Each gets its rights in another of the ways that there are.
  await plane.iam('CreateUser', { UserName: 'puller' })
  await plane.iam('CreateGroup', { GroupName: 'pullers' })
  await plane.iam('PutGroupPolicy', { GroupName: 'pullers', PolicyName: 'pull', PolicyDocument: JSON.stringify(roleRights.puller.document) })
  await plane.iam('AddUserToGroup', { GroupName: 'pullers', UserName: 'puller' })
  await plane.iam('CreateUser', { UserName: 'ci-pusher' })
  await plane.iam('PutUserPolicy', { UserName: 'ci-pusher', PolicyName: 'push', PolicyDocument: JSON.stringify(roleRights['ci-pusher'].document) })
  await plane.iam('CreateUser', { UserName: 'auditor' })
  await plane.iam('AttachUserPolicy', { UserName: 'auditor', PolicyArn: await plane.managedPolicy('audit', roleRights.auditor.document) })

  await plane.iam('CreateUser', { UserName: 'curator' })
  await plane.iam('CreateGroup', { GroupName: 'curators' })
  await plane.iam('AttachGroupPolicy', { GroupName: 'curators', PolicyArn: await plane.managedPolicy('curate', roleRights.curator.document) })
  await plane.iam('AddUserToGroup', { GroupName: 'curators', UserName: 'curator' })

  for (const name of ['deployer', 'session', trustingRole]) {
    await plane.iam('CreateRole', { RoleName: name, AssumeRolePolicyDocument: trustIn(homeAccount, otherAccount) })
  }
  await plane.iam('CreateRole', { RoleName: distrustfulRole, AssumeRolePolicyDocument: trustIn('444455556666') })
  await plane.iam('PutRolePolicy', { RoleName: 'deployer', PolicyName: 'deploy', PolicyDocument: JSON.stringify(roleRights.deployer.document) })
  await plane.iam('AttachRolePolicy', { RoleName: 'session', ...administratorAccess })
}

/** What is there where the matrix asks for what is not. */
async function makePresentNames(plane: ControlPlane, accountId: string): Promise<void> {
  const Path = presentPath
  await plane.iam('CreateUser', { UserName: presentName, Path }, accountId)
  await plane.iam('CreateGroup', { GroupName: presentName, Path }, accountId)
  await plane.iam('CreateRole', { RoleName: presentName, Path, AssumeRolePolicyDocument: trustIn(accountId) }, accountId)
  await plane.iam('CreatePolicy', { PolicyName: presentName, Path, PolicyDocument: JSON.stringify(roleRights.puller.document) }, accountId)
  await plane.iam('CreateOpenIDConnectProvider', { Url: `https://${presentName}.example`, 'ThumbprintList.member.1': '0'.repeat(40) }, accountId)
  await plane.iam('GenerateCredentialReport', {}, accountId)
}

async function callersWhoseTimeEnds(plane: ControlPlane): Promise<CallerWithLogins[]> {
  const full = await plane.newKey('full')
  const session = await assumed(plane, 'session', full)
  return [
    { caller: callers['ended session'], aws: signedBy(session), oci: [await tokenLogin(plane, session, 'ended session')] },
    // Its key is as good as ever: the login alone is over.
    { caller: { ...callers['ended session'], name: 'ended login' }, aws: undefined, oci: [await tokenLogin(plane, full, 'ended token')] },
  ]
}

async function callersOfNow(plane: ControlPlane): Promise<CallerWithLogins[]> {
  const full = await plane.newKey('full')
  const puller = await plane.newKey('puller')
  const made: [CallerName, Keys][] = [
    ['root', plane.root().keys],
    ['full', full],
    ['puller', puller],
    ['ci-pusher', await plane.newKey('ci-pusher')],
    ['auditor', await plane.newKey('auditor')],
    ['deployer', await assumed(plane, 'deployer', full)],
    ['curator', await plane.newKey('curator')],
    ['bounded', await plane.newKey('bounded')],
    ['session', await assumed(plane, 'session', full, { Policy: JSON.stringify(roleRights['far-puller'].document) })],
    ['session of a user', keysOf(await plane.sts('GetSessionToken', {}, signedBy(puller)))],
    ["other account's root", plane.root(otherAccount).keys],
    ["other account's full", await plane.newKey('full', otherAccount)],
  ]
  const all: CallerWithLogins[] = []
  for (const [name, keys] of made) all.push(await withLogins(plane, name, keys))
  all.push(await guest(plane), await revoked(plane), await deleted(plane))
  all.push({ caller: callers.anonymous, aws: { kind: 'none' }, oci: [{ login: { kind: 'none' } }] })
  for (const { caller, document } of splitCallers()) {
    const UserName = caller.name
    await plane.iam('CreateUser', { UserName })
    await plane.iam('AttachUserPolicy', { UserName, PolicyArn: await plane.managedPolicy(UserName, document) })
    const login = signedBy(await plane.newKey(UserName))
    all.push({ caller, aws: login, oci: [{ login }] })
  }
  return all
}

/** Its logins are from a time when it had a policy: what counts is what it has now. */
async function guest(plane: ControlPlane): Promise<CallerWithLogins> {
  const policy = { UserName: guestName, PolicyName: 'once' }
  await plane.iam('PutUserPolicy', { ...policy, PolicyDocument: JSON.stringify(roleRights['ci-pusher'].document) })
  const made = await withLogins(plane, 'guest', await plane.newKey(guestName))
  await plane.iam('DeleteUserPolicy', policy)
  return made
}

async function revoked(plane: ControlPlane): Promise<CallerWithLogins> {
  const keys = await plane.newKey('revoked')
  const made = await withLogins(plane, 'revoked', keys)
  await plane.iam('UpdateAccessKey', { UserName: 'revoked', AccessKeyId: keys.accessKeyId, Status: 'Inactive' })
  return made
}

async function deleted(plane: ControlPlane): Promise<CallerWithLogins> {
  const UserName = 'deleted'
  const keys = await plane.newKey(UserName)
  const made = await withLogins(plane, 'of a deleted user', keys)
  await plane.iam('DeleteAccessKey', { UserName, AccessKeyId: keys.accessKeyId })
  await plane.iam('DetachUserPolicy', { UserName, ...administratorAccess })
  await plane.iam('DeleteUser', { UserName })
  return made
}

/** A build with a token of its build system, and no secret. */
async function webIdentity(plane: ControlPlane, issuer: OidcIssuer): Promise<CallerWithLogins> {
  const audience = 'sts.amazonaws.com'
  const subject = 'repo:octo-org/octo-repo:ref:refs/heads/main'
  await plane.iam('CreateOpenIDConnectProvider', { Url: issuer.issuer, 'ClientIDList.member.1': audience, 'ThumbprintList.member.1': '0'.repeat(40) })
  const trust = {
    Effect: 'Allow',
    Principal: { Federated: `arn:aws:iam::${homeAccount}:oidc-provider/${issuer.url}` },
    Action: 'sts:AssumeRoleWithWebIdentity',
    Condition: { StringEquals: { [`${issuer.url}:aud`]: audience, [`${issuer.url}:sub`]: subject } },
  }
  const RoleName = 'web-identity'
  await plane.iam('CreateRole', { RoleName, AssumeRolePolicyDocument: JSON.stringify({ Version: '2012-10-17', Statement: [trust] }) })
  await plane.iam('PutRolePolicy', { RoleName, PolicyName: 'push', PolicyDocument: JSON.stringify(roleRights['ci-pusher'].document) })
  const WebIdentityToken = await issuer.sign({ sub: subject, aud: audience })
  const request = { RoleArn: roleArn(homeAccount, RoleName), RoleSessionName: 'build', WebIdentityToken }
  return withLogins(plane, 'web identity', keysOf(await plane.sts('AssumeRoleWithWebIdentity', request, { kind: 'none' })))
}

async function assumed(plane: ControlPlane, role: string, by: Keys, parameters: Readonly<Record<string, string>> = {}): Promise<Keys> {
  return keysOf(await plane.sts('AssumeRole', { RoleArn: roleArn(homeAccount, role), RoleSessionName: 'matrix', ...parameters }, signedBy(by)))
}

async function withLogins(plane: ControlPlane, name: CallerName, keys: Keys): Promise<CallerWithLogins> {
  const aws = signedBy(keys)
  // Basic has no place for the session token of a temporary key.
  const withKey = { login: aws, ...(keys.sessionToken === undefined ? {} : { unknown: 'unknown key' as const }) }
  // Not everybody may ask for a login of docker's own.
  const mayAsk = callers[name].may('ecr:GetAuthorizationToken', '*') || name === 'guest' || 'unknown' in callers[name]
  return { caller: callers[name], aws, oci: [withKey, ...(mayAsk ? [await tokenLogin(plane, keys)] : [])] }
}

async function tokenLogin(plane: ControlPlane, keys: Keys, unknown?: Unknown): Promise<{ login: Login; unknown?: Unknown }> {
  const authorizationToken = await plane.registryToken(keys)
  return { login: { kind: 'token', authorizationToken }, ...(unknown === undefined ? {} : { unknown }) }
}
