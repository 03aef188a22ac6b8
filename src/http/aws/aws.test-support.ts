import { createHash, createHmac, type Hash } from 'node:crypto'
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignatureV4 } from '@smithy/signature-v4'
import { pino } from 'pino'
import { CredentialThrottle, RequestRateLimit, rootPrincipal } from '../../iam/index.ts'
import { evaluate } from '../../iam/policy/index.ts'
import type { Clock } from '../../internal/clock.ts'
import { parseAccountId } from '../../values/account.ts'
import { FairShare } from '../../internal/fair-share.ts'
import { Admission } from '../admission.ts'
import { UnsignedAdmission } from '../unsigned-admission.ts'
import type { RequestMeta } from '../request-meta.ts'
import { createAwsHandler, type AwsHandlerOptions, type SigningCredential } from './dispatch.ts'
import type { AwsService } from './service.ts'

/** Node's hash in the form that the AWS signer takes. */
export class Sha256 {
  readonly #hash: Hash | ReturnType<typeof createHmac>

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

export const accountId = parseAccountId('123456789012')
export const accessKeyId = 'AKIAIOSFODNN7EXAMPLE'
export const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
export const region = 'eu-central-1'

export interface TestEndpoint extends AsyncDisposable {
  readonly url: string
  readonly host: string
  readonly clock: Clock & { offsetMs: number }
  /** By access key id; holds one active key of a root at first. */
  readonly credentials: Map<string, SigningCredential>
  /** What the handler was told about each request, in order. */
  readonly metas: RequestMeta[]
  /** What the handler logged. */
  readonly logLines: string[]
}

/** A listening server whose only edge is the AWS handler with these services. */
export async function startEndpoint(
  services: readonly AwsService[],
  options: Partial<Pick<AwsHandlerOptions, 'unverifiedBytesLimit'>> = {},
): Promise<TestEndpoint> {
  const clock = { offsetMs: 0, now: () => Date.now() + clock.offsetMs }
  const credentials = new Map<string, SigningCredential>([
    [accessKeyId, { secretAccessKey, principal: rootPrincipal(accountId, accessKeyId), status: 'active' }],
  ])
  const rates = new RequestRateLimit({ rates: {}, clock })
  const turns = new FairShare({ limit: 16, perTurn: 4 })
  const metas: RequestMeta[] = []
  const logLines: string[] = []
  const handler = createAwsHandler({
    services,
    credentials: { findAccessKey: (id) => Promise.resolve(credentials.get(id)), isEndedSession: () => false },
    recordKeyUse: () => undefined,
    throttle: new CredentialThrottle({ clock }),
    authorizer: {
      // Nobody has a policy here: a root may do everything in its own account, and nothing elsewhere.
      authorize(request) {
        const evaluation = evaluate({ ...request, context: {} }, { identity: [] })
        return evaluation.allowed ? evaluation : { ...evaluation, isExplicit: false }
      },
      visibleRepositories: async () => undefined,
    },
    admission: new Admission({ rates, turns }),
    unsignedAdmission: new UnsignedAdmission({ ofAccounts: rates, ofSources: rates, turns }),
    findRegistry: (account, place) => Promise.resolve({ id: 1, accountId: account, region: place }),
    clock,
    logger: pino({ level: 'debug' }, { write: (line: string) => void logLines.push(line) }),
    ...options,
  })
  const server = createServer((request, response) => {
    const meta: RequestMeta = {
      requestId: `request-${metas.length + 1}`,
      sourceIp: '192.0.2.1',
      host: request.headers.host?.toLowerCase() ?? '',
      secure: false,
      startedAt: clock.now(),
    }
    metas.push(meta)
    void handler(request, response, meta)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: `http://${host}`,
    host,
    clock,
    credentials,
    metas,
    logLines,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export interface RawRequest {
  readonly method?: string
  readonly path?: string
  readonly query?: Record<string, string>
  readonly headers?: Record<string, string>
  readonly body?: string | Buffer
  /** The signing name; absent: the request is not signed. */
  readonly service?: string
  readonly presign?: boolean
  /** Sends the body without a Content-Length. */
  readonly chunked?: boolean
}

export interface RawResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** A request as no SDK sends it, signed by the AWS signer if a service is given. */
export async function send(endpoint: TestEndpoint, raw: RawRequest): Promise<RawResponse> {
  const { method = 'POST', path = '/', query = {}, body = '', service } = raw
  const unsigned = { method, path, query, body, headers: { host: endpoint.host, ...raw.headers }, protocol: 'http:', hostname: endpoint.host }
  const signer = new SignatureV4({ credentials: { accessKeyId, secretAccessKey }, region, service: service ?? '', sha256: Sha256 })
  const signed =
    service === undefined ? unsigned : raw.presign === true ? await signer.presign(unsigned) : await signer.sign(unsigned)
  const parameters = new URLSearchParams(signed.query as Record<string, string>).toString()
  const target = parameters === '' ? path : `${path}?${parameters}`
  const length = raw.chunked === true ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(Buffer.byteLength(body)) }
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(endpoint.url, { method, path: target, headers: { ...signed.headers, ...length } }, (response) => {
      let text = ''
      response.setEncoding('latin1')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}
