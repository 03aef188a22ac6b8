import { elementOf, type Answer, type Exchange, type Login, type MatrixRequest } from './exchange.ts'
import { homeAccount } from './places.ts'

export interface Keys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

export type KeyLogin = Login & { readonly kind: 'key' }

export function signedBy(keys: Keys): KeyLogin {
  return { kind: 'key', keys }
}

/** Keys of an answer of IAM or STS. */
export function keysOf({ body }: Answer): Keys {
  const [accessKeyId, secretAccessKey] = [elementOf(body, 'AccessKeyId'), elementOf(body, 'SecretAccessKey')]
  if (accessKeyId === undefined || secretAccessKey === undefined) throw new Error('the answer has no keys')
  return { accessKeyId, secretAccessKey, sessionToken: elementOf(body, 'SessionToken') }
}

export function ecrRequest(operation: string, input: object): MatrixRequest {
  return { protocol: 'json', service: 'ecr', target: `AmazonEC2ContainerRegistry_V20150921.${operation}`, input }
}

export function queryRequest(service: 'iam' | 'sts', Action: string, parameters: Readonly<Record<string, string>> = {}): MatrixRequest {
  return { protocol: 'query', service, parameters: { Action, ...parameters } }
}

/** The API as those use it who set things up: what fails throws. */
export class ControlPlane {
  readonly exchange: Exchange
  /** The keys of each account's root. */
  readonly #roots = new Map<string, Keys>()

  constructor(exchange: Exchange, rootKeys: Keys) {
    this.exchange = exchange
    this.#roots.set(homeAccount, rootKeys)
  }

  root(accountId: string = homeAccount): KeyLogin {
    const keys = this.#roots.get(accountId)
    if (keys === undefined) throw new Error(`the account ${accountId} was not made yet`)
    return signedBy(keys)
  }

  async createAccount(accountId: string): Promise<void> {
    const { body } = await this.call({ protocol: 'json', service: 'stowage', target: 'Stowage_V1.CreateAccount', input: { accountId, name: `account-${accountId}` } }, this.root())
    this.#roots.set(accountId, (JSON.parse(body) as { rootCredential: Keys }).rootCredential)
  }

  ecr(operation: string, input: object, login: Login): Promise<Answer> {
    return this.call(ecrRequest(operation, input), login)
  }

  stowage(operation: string, input: object, login: Login): Promise<Answer> {
    return this.call({ protocol: 'json', service: 'stowage', target: `Stowage_V1.${operation}`, input }, login)
  }

  iam(action: string, parameters: Readonly<Record<string, string>>, accountId: string = homeAccount): Promise<Answer> {
    return this.call(queryRequest('iam', action, parameters), this.root(accountId))
  }

  sts(action: string, parameters: Readonly<Record<string, string>>, login: Login): Promise<Answer> {
    return this.call(queryRequest('sts', action, parameters), login)
  }

  async newKey(UserName: string, accountId: string = homeAccount): Promise<Keys> {
    return keysOf(await this.iam('CreateAccessKey', { UserName }, accountId))
  }

  /** What docker logs in with. */
  async registryToken(keys: Keys): Promise<string> {
    const { body } = await this.ecr('GetAuthorizationToken', {}, signedBy(keys))
    return (JSON.parse(body) as { authorizationData: { authorizationToken: string }[] }).authorizationData[0]!.authorizationToken
  }

  async managedPolicy(PolicyName: string, document: object): Promise<string> {
    const { body } = await this.iam('CreatePolicy', { PolicyName, PolicyDocument: JSON.stringify(document) })
    return elementOf(body, 'Arn') ?? ''
  }

  /** @throws for every answer that is no success */
  async call(request: MatrixRequest, login: Login): Promise<Answer> {
    const answer = await this.exchange.send(request, login)
    if (answer.status >= 300) throw new Error(`${JSON.stringify(request).slice(0, 300)} was answered ${answer.status} ${answer.body}`)
    return answer
  }
}
