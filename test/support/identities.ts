import { createHash, createHmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import { IAM } from '@aws-sdk/client-iam'

export interface Keys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

export interface TestUser extends Keys {
  readonly name: string
  readonly arn: string
  /** As docker logs in with them. */
  readonly credentials: { readonly username: string; readonly password: string }
}

export interface PolicyStatement {
  readonly Effect?: 'Allow' | 'Deny'
  readonly Principal?: unknown
  readonly Action: string | readonly string[]
  readonly Resource?: string | readonly string[]
  readonly Condition?: unknown
}

/** A policy document; statements allow unless they say otherwise. */
export function policyOf(...statements: PolicyStatement[]): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: statements.map((statement) => ({ Effect: 'Allow', ...statement })) })
}

export function iamClient(url: string, credentials: Keys): IAM {
  return new IAM({ endpoint: url, region: 'us-east-1', credentials, maxAttempts: 1 })
}

let serial = 0

/** A user with an inline policy of these statements, made by the IAM API as the account's root. */
export async function newUser(iam: IAM, ...statements: PolicyStatement[]): Promise<TestUser> {
  const name = `user-${++serial}`
  const { User } = await iam.createUser({ UserName: name })
  if (statements.length > 0) await iam.putUserPolicy({ UserName: name, PolicyName: 'rights', PolicyDocument: policyOf(...statements) })
  const { AccessKey } = await iam.createAccessKey({ UserName: name })
  const { AccessKeyId: accessKeyId = '', SecretAccessKey: secretAccessKey = '' } = AccessKey ?? {}
  return { name, arn: User?.Arn ?? '', accessKeyId, secretAccessKey, credentials: { username: accessKeyId, password: secretAccessKey } }
}

/** A role, made by the IAM API as its account's root; answers its ARN. */
export async function newRole(
  iam: IAM,
  role: {
    readonly name: string
    readonly path?: string
    readonly trustPolicy: object
    readonly maxSessionSeconds?: number
    /** Its one inline policy. */
    readonly policy?: object
  },
): Promise<string> {
  const { Role } = await iam.createRole({
    RoleName: role.name,
    Path: role.path,
    AssumeRolePolicyDocument: JSON.stringify(role.trustPolicy),
    MaxSessionDuration: role.maxSessionSeconds,
  })
  if (role.policy !== undefined) await iam.putRolePolicy({ RoleName: role.name, PolicyName: 'rights', PolicyDocument: JSON.stringify(role.policy) })
  return Role?.Arn ?? ''
}

/** Calls an operation of the Stowage service, which no SDK knows. */
export async function callStowage(
  url: string,
  credentials: Keys,
  operation: string,
  input: object,
): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
  const { host, hostname } = new URL(url)
  const body = JSON.stringify(input)
  const signer = new SignatureV4({ credentials, region: 'us-east-1', service: 'stowage', sha256: Sha256 })
  const { headers } = await signer.sign({
    method: 'POST',
    protocol: 'http:',
    hostname,
    path: '/',
    query: {},
    headers: { host, 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `Stowage_V1.${operation}` },
    body,
  })
  const answer = await fetch(url, { method: 'POST', headers, body })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

/** The root's keys of a new account. */
export async function newAccount(url: string, root: Keys, accountId: string): Promise<Keys> {
  const { body } = await callStowage(url, root, 'CreateAccount', { accountId, name: `account ${accountId}` })
  return body['rootCredential'] as Keys
}

/** Node's hash in the form that the signer takes. */
class Sha256 {
  readonly #hash: { update(data: Uint8Array): unknown; digest(): Buffer }

  constructor(secret?: string | Uint8Array | ArrayBuffer | ArrayBufferView) {
    const key = secret === undefined || typeof secret === 'string' ? secret : Buffer.from(secret as Uint8Array)
    this.#hash = key === undefined ? createHash('sha256') : createHmac('sha256', key)
  }
  update(data: Uint8Array): void {
    this.#hash.update(data)
  }
  reset(): void {
    throw new Error('not used by the signer')
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest())
  }
}
