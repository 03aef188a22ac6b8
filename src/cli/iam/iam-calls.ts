import { isDeepStrictEqual } from 'node:util'
import { isPlatformError } from '../../internal/platform-error.ts'
import type { AwsAccess } from '../aws/access.ts'
import type { PolicyDocument } from './permission-sets.ts'

export interface IamTag {
  readonly key: string
  readonly value: string
}

/** A user or a role, as far as the quick start looks at it. */
export interface IamPrincipal {
  readonly arn: string
  readonly tags: readonly IamTag[]
  /** Of a role. */
  readonly trustPolicy: unknown
}

export type PrincipalForm = 'user' | 'role'

/**
 * The IAM calls of the quick start: the same ones, with the same words, for a user and a role. What does not exist is
 * undefined; other refusals are thrown as `aws-refused`.
 */
export interface IamCalls {
  accountId(): Promise<string>
  findPrincipal(form: PrincipalForm, name: string): Promise<IamPrincipal | undefined>
  createUser(name: string, tags: readonly IamTag[]): Promise<void>
  createRole(name: string, trustPolicy: object, description: string, tags: readonly IamTag[]): Promise<void>
  updateTrust(name: string, trustPolicy: object): Promise<void>
  findInlinePolicy(form: PrincipalForm, name: string, policy: string): Promise<unknown>
  putInlinePolicy(form: PrincipalForm, name: string, policy: string, document: PolicyDocument): Promise<void>
  accessKeyIds(user: string): Promise<readonly string[]>
  createAccessKey(user: string): Promise<{ readonly accessKeyId: string; readonly secretAccessKey: string }>
  /** The audiences of an identity provider. */
  findProvider(arn: string): Promise<readonly string[] | undefined>
  createProvider(issuer: string, audience: string): Promise<void>
  addAudience(arn: string, audience: string): Promise<void>
  close(): void
}

export async function createIamCalls(access: AwsAccess): Promise<IamCalls> {
  const iam = await import('@aws-sdk/client-iam')
  const client = new iam.IAM(access.clientConfig('iam'))
  const call = <Result>(send: () => Promise<Result>): Promise<Result> => access.call('iam', send)
  const found = <Result>(send: () => Promise<Result>): Promise<Result | undefined> => call(send).catch(undefinedWhereMissing)

  return {
    async accountId() {
      const { STS } = await import('@aws-sdk/client-sts')
      const sts = new STS(access.clientConfig('sts'))
      try {
        const { Account: accountId } = await access.call('sts', () => sts.getCallerIdentity({}))
        return accountId ?? ''
      } finally {
        sts.destroy()
      }
    },
    async findPrincipal(form, name) {
      if (form === 'user') {
        const user = (await found(() => client.getUser({ UserName: name })))?.User
        if (user === undefined) return undefined
        return { arn: user.Arn ?? '', tags: tagsOf((await call(() => client.listUserTags({ UserName: name }))).Tags), trustPolicy: undefined }
      }
      const role = (await found(() => client.getRole({ RoleName: name })))?.Role
      if (role === undefined) return undefined
      return {
        arn: role.Arn ?? '',
        tags: tagsOf((await call(() => client.listRoleTags({ RoleName: name }))).Tags),
        trustPolicy: documentOf(role.AssumeRolePolicyDocument),
      }
    },
    async createUser(name, tags) {
      await call(() => client.createUser({ UserName: name, Tags: wireTags(tags) }))
    },
    async createRole(name, trustPolicy, description, tags) {
      await call(() =>
        client.createRole({ RoleName: name, AssumeRolePolicyDocument: JSON.stringify(trustPolicy), Description: description, Tags: wireTags(tags) }),
      )
    },
    async updateTrust(name, trustPolicy) {
      await call(() => client.updateAssumeRolePolicy({ RoleName: name, PolicyDocument: JSON.stringify(trustPolicy) }))
    },
    async findInlinePolicy(form, name, policy) {
      const answer = await found<{ PolicyDocument?: string | undefined }>(() =>
        form === 'user'
          ? client.getUserPolicy({ UserName: name, PolicyName: policy })
          : client.getRolePolicy({ RoleName: name, PolicyName: policy }),
      )
      return documentOf(answer?.PolicyDocument)
    },
    async putInlinePolicy(form, name, policy, document) {
      const text = JSON.stringify(document)
      await call<unknown>(() =>
        form === 'user'
          ? client.putUserPolicy({ UserName: name, PolicyName: policy, PolicyDocument: text })
          : client.putRolePolicy({ RoleName: name, PolicyName: policy, PolicyDocument: text }),
      )
    },
    async accessKeyIds(user) {
      const { AccessKeyMetadata: keys } = await call(() => client.listAccessKeys({ UserName: user }))
      return (keys ?? []).flatMap((key) => key.AccessKeyId ?? [])
    },
    async createAccessKey(user) {
      const { AccessKey: key } = await call(() => client.createAccessKey({ UserName: user }))
      return { accessKeyId: key?.AccessKeyId ?? '', secretAccessKey: key?.SecretAccessKey ?? '' }
    },
    async findProvider(arn) {
      return (await found(() => client.getOpenIDConnectProvider({ OpenIDConnectProviderArn: arn })).then((answer) => answer && (answer.ClientIDList ?? [])))
    },
    async createProvider(issuer, audience) {
      await call(() => client.createOpenIDConnectProvider({ Url: issuer, ClientIDList: [audience] }))
    },
    async addAudience(arn, audience) {
      await call(() => client.addClientIDToOpenIDConnectProvider({ OpenIDConnectProviderArn: arn, ClientID: audience }))
    },
    close() {
      client.destroy()
    },
  }
}

/** Whether two policies are the same document, however they are written. */
export function sameDocument(left: unknown, right: unknown): boolean {
  return isDeepStrictEqual(left, JSON.parse(JSON.stringify(right)))
}

function undefinedWhereMissing(error: unknown): undefined {
  if (isPlatformError(error, 'aws-refused') && String(error.detail['name']).startsWith('NoSuchEntity')) return undefined
  throw error
}

/** IAM answers documents percent-encoded. */
function documentOf(text: string | undefined): unknown {
  return text === undefined ? undefined : (JSON.parse(decodeURIComponent(text)) as unknown)
}

function tagsOf(tags: readonly { Key?: string | undefined; Value?: string | undefined }[] | undefined): IamTag[] {
  return (tags ?? []).map(({ Key: key = '', Value: value = '' }) => ({ key, value }))
}

function wireTags(tags: readonly IamTag[]): { Key: string; Value: string }[] {
  return tags.map(({ key, value }) => ({ Key: key, Value: value }))
}
