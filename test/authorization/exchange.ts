import { createDistributionClient, type DistributionClient } from '../support/distribution-client.ts'
import { signedHeaders, type SigningKeysOfClient } from '../fuzz/signer.ts'
import { region } from './places.ts'

/** A request of one of the protocols, without the name of whoever makes it. */
export type MatrixRequest =
  | { readonly protocol: 'json'; readonly service: 'ecr' | 'cloudtrail' | 'events' | 'logs' | 'monitoring' | 'stowage'; readonly target: string; readonly input: object }
  | { readonly protocol: 'query'; readonly service: 'iam' | 'sts'; readonly parameters: Readonly<Record<string, string>> }
  | {
      readonly protocol: 'oci'
      readonly method: string
      readonly path: string
      /** Whose registry: part of the host's name. */
      readonly accountId: string
      readonly contentType?: string
      readonly body?: Buffer
    }

/** How a request is made somebody's. */
export type Login =
  /** Signature Version 4 for AWS's protocols; for OCI, a login with the access key. */
  | { readonly kind: 'key'; readonly keys: SigningKeysOfClient }
  /** A login with what GetAuthorizationToken gave; OCI only. */
  | { readonly kind: 'token'; readonly authorizationToken: string }
  | { readonly kind: 'none' }

export interface Answer {
  readonly status: number
  /** The error's name in the words of the request's protocol; undefined for a success, and for an answer without a body. */
  readonly code: string | undefined
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

const queryVersions = { iam: '2010-05-08', sts: '2011-06-15' } as const

/** Sends requests as one client. */
export class Exchange {
  readonly #url: string
  readonly #client: DistributionClient
  readonly #nowMs: () => number
  #strangers = 0

  /** @param nowMs the server's time, which signatures are judged by */
  constructor(url: string, nowMs: () => number = Date.now) {
    this.#url = url
    this.#client = createDistributionClient(url)
    this.#nowMs = nowMs
  }

  async send(request: MatrixRequest, login: Login): Promise<Answer> {
    return this.#sendBy(this.#client, request, login)
  }

  /** As another client each time: who shows credentials that are none is slowed down, and this is not what is asked here. */
  async sendAsStranger(request: MatrixRequest, login: Login): Promise<Answer> {
    const count = this.#strangers++
    const localAddress = `127.${20 + Math.floor(count / 60_000)}.${Math.floor(count / 250) % 240}.${1 + (count % 250)}`
    const client = createDistributionClient(this.#url, null, { localAddress })
    try {
      return await this.#sendBy(client, request, login)
    } finally {
      client.close()
    }
  }

  close(): void {
    this.#client.close()
  }

  async #sendBy(client: DistributionClient, request: MatrixRequest, login: Login): Promise<Answer> {
    const { method, path, headers, body } = this.#written(request, login)
    const response = await client.request(method, path, { headers, ...(body === undefined ? {} : { body }) })
    const text = response.body.toString()
    return { status: response.status, code: response.status < 400 ? undefined : codeOf(request, text), headers: response.headers, body: text }
  }

  #written(request: MatrixRequest, login: Login): { method: string; path: string; headers: Record<string, string>; body: Buffer | undefined } {
    const { host } = new URL(this.#url)
    if (request.protocol === 'oci') {
      const { method, path, accountId, contentType, body } = request
      const headers = {
        host: `${accountId}.dkr.ecr.${region}.${host}`,
        ...(contentType === undefined ? {} : { 'content-type': contentType }),
        ...ociAuthorization(login),
      }
      return { method, path, headers, body }
    }
    const { headers, body } = awsContent(request)
    if (login.kind === 'none') return { method: 'POST', path: '/', headers: { ...headers, host }, body }
    if (login.kind === 'token') throw new Error('a registry token signs nothing')
    const toSign = { method: 'POST', path: '/', query: [], host, headers, body, service: request.service, region, signedAtMs: this.#nowMs() }
    return { method: 'POST', path: '/', headers: { ...signedHeaders(toSign, login.keys), host }, body }
  }
}

function ociAuthorization(login: Login): Record<string, string> {
  switch (login.kind) {
    case 'none':
      return {}
    case 'token':
      return { authorization: `Basic ${login.authorizationToken}` }
    case 'key':
      return { authorization: `Basic ${Buffer.from(`${login.keys.accessKeyId}:${login.keys.secretAccessKey}`).toString('base64')}` }
  }
}

function awsContent(request: Exclude<MatrixRequest, { protocol: 'oci' }>): { headers: Record<string, string>; body: Buffer } {
  if (request.protocol === 'json') {
    const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': request.target }
    return { headers, body: Buffer.from(JSON.stringify(request.input)) }
  }
  const form = new URLSearchParams({ Version: queryVersions[request.service], ...request.parameters })
  return { headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }, body: Buffer.from(form.toString()) }
}

function codeOf({ protocol }: MatrixRequest, body: string): string | undefined {
  switch (protocol) {
    case 'json':
      return body === '' ? undefined : (JSON.parse(body) as { __type?: string }).__type
    case 'query':
      return elementOf(body, 'Code')
    case 'oci':
      return body.startsWith('{') ? (JSON.parse(body) as { errors?: { code: string }[] }).errors?.[0]?.code : undefined
  }
}

/** The text of the first element of a name in an answer of the Query protocol. */
export function elementOf(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1]
  return text?.replace(/&(amp|lt|gt|quot|apos|#x?[0-9a-f]+);/gi, (whole, entity: string) => entities[entity] ?? whole)
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
