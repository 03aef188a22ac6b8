import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import { isTokenOfKey, type Authorizer, type Principal, type RequestOrigin, type ThrottleDecision } from '../../iam/index.ts'
import { iamError } from '../../iam/errors.ts'
import type { Clock } from '../../internal/clock.ts'
import { isPlatformError, type ErrorDetail } from '../../internal/platform-error.ts'
import type { RegistryRef, RepositoryVisibility, RequestContext } from '../../registry/index.ts'
import { parseRegion, type AccountId, type Region } from '../../values/account.ts'
import type { Admission } from '../admission.ts'
import type { UnsignedAdmission } from '../unsigned-admission.ts'
import { acceptBody, type RequestMeta, userAgentOf } from '../request-meta.ts'
import { admissionRule } from './admission-rules.ts'
import { splitTarget } from './canonical-request.ts'
import { CallRights } from './call-rights.ts'
import { AwsError, toAwsError, unexpectedError, type FailedOperation } from './errors.ts'
import { decodeCbor, encodeCborError, encodeCborResult } from './protocols/cbor.ts'
import { decodeJson, encodeJsonError, encodeJsonResult, jsonVersion, type JsonVersion } from './protocols/json.ts'
import { decodeQueryInput, encodeEc2Error, encodeQueryError, encodeQueryResult, parseQueryForm, type QueryForm } from './protocols/query.ts'
import type { WireResponse } from './protocols/response.ts'
import { encodeRestXmlError } from './protocols/rest-xml-error.ts'
import { recordedInput, recordedOutput } from './recorded-values.ts'
import { BodyBudget, bodyError, declaredLength, decodeContent, readBody, requireDeclaredWithin } from './request-body.ts'
import { Router, type Route } from './route.ts'
import type { AwsCall, AwsOperation, AwsService, QueryService, UnsignedOperation } from './service.ts'
import { checkInput, invalidParameter } from './shapes.ts'
import { parseSignature, requireScopedTo, SigningKeys, verifySignature, type RequestSignature, type SignableRequest } from './sigv4.ts'
import { unservedAnswer } from './unserved.ts'

/** What a signature is checked against. */
export interface SigningCredential {
  readonly secretAccessKey: string
  /** Temporary keys have one, and every request made with them has to show the token that it is the hash of. */
  readonly sessionTokenSha256?: Uint8Array | undefined
  readonly principal: Principal
  readonly status: 'active' | 'inactive'
}

export interface AwsHandlerOptions {
  readonly services: readonly AwsService[]
  readonly credentials: {
    findAccessKey(accessKeyId: string): Promise<SigningCredential | undefined>
    /** True for a token that was given to this key and is past its time. */
    isEndedSession(accessKeyId: string, sessionToken: string, now: number): boolean
  }
  readonly throttle: {
    check(sourceIp: string, keyId: string): ThrottleDecision
    recordFailure(sourceIp: string, keyId: string): void
    recordSuccess(sourceIp: string, keyId: string): void
  }
  /** Told of every request with a right signature. */
  recordKeyUse(accessKeyId: string, use: { service: string; region: string; atMs: number }): void
  readonly authorizer: Pick<Authorizer, 'authorize' | 'visibleRepositories'>
  /**
   * The registry of an account in a region; one without anything in it where there is no such account, so that nobody
   * learns from an answer which accounts there are.
   */
  findRegistry(accountId: AccountId, region: Region): RegistryRef | Promise<RegistryRef>
  readonly admission: Pick<Admission, 'run'>
  readonly unsignedAdmission: Pick<UnsignedAdmission, 'run'>
  readonly clock: Clock
  readonly logger: Logger
  /** For request bodies whose signature has not been checked, all requests together. */
  readonly unverifiedBytesLimit?: number
}

/** AWS's own limit for the JSON and Query services that set none. */
const defaultMaxBodyBytes = 1024 * 1024

/** Two of the largest bodies there are (an UploadLayerPart of 20 MiB in base64) and small ones beside them. */
const defaultUnverifiedBytesLimit = 64 * 1024 * 1024

/** For bodies that nobody signs, all together: sixty-four of the largest. */
const unsignedBytesLimit = 4 * 1024 * 1024

/** A web identity token has 20,000 characters at most, a session policy 2,048, and a form may write each as three. */
const maxUnsignedBodyBytes = 64 * 1024

/** A request on its way through the dispatcher. */
interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly meta: RequestMeta
  readonly signable: SignableRequest
  readonly route: Route
  /** Filled in as it becomes known, for the form and the texts of errors. */
  xmlns: string | undefined
  operation: Pick<AwsOperation, 'errors'> | undefined
  facts: ErrorDetail
}

interface Verified {
  readonly principal: Principal
  readonly region: Region
  /** As sent, still compressed if it was. */
  readonly body: Buffer
}

/**
 * The AWS endpoint: from an HTTP request to a service's operation and back, for every AWS protocol.
 *
 * What costs least is checked first: declared size, signature's form, scope and date, the key's existence;
 * only then is the body read, and nothing in it is looked at before the signature was found right.
 *
 * The handler answers every request, errors included, and rejects only on a bug of its own.
 */
export function createAwsHandler(
  options: AwsHandlerOptions,
): (request: IncomingMessage, response: ServerResponse, meta: RequestMeta) => Promise<void> {
  const { clock, logger, credentials, throttle } = options
  const router = new Router(options.services)
  const served = [...new Set(options.services.map((service) => (service.settingsName ?? service.name).toUpperCase()))]
  const signingKeys = new SigningKeys()
  const budget = new BodyBudget({ limitBytes: options.unverifiedBytesLimit ?? defaultUnverifiedBytesLimit })
  // Of their own: who has no key at all takes nothing from those who have one.
  const unsignedBudget = new BodyBudget({ limitBytes: unsignedBytesLimit })

  return async (request, response, meta) => {
    const signable = signableRequest(request, meta.host)
    const route = router.route(signable)
    if ('service' in route && typeof route.service !== 'string') meta.protocol = route.service.name
    const exchange: Exchange = { request, response, meta, signable, route, xmlns: route.kind === 'query' ? route.service.xmlns : undefined, operation: undefined, facts: {} }
    let answer: WireResponse
    try {
      answer = await serve(exchange)
    } catch (error) {
      answer = failure(exchange, error)
    }
    send(exchange, answer)
  }

  async function serve(exchange: Exchange): Promise<WireResponse> {
    const { route } = exchange
    switch (route.kind) {
      case 'json':
        return serveJson(exchange, route)
      case 'cbor':
        return serveCbor(exchange, route)
      case 'query':
        return serveQuery(exchange, route)
      case 'unsigned-query':
        return serveUnsigned(exchange)
      case 'unserved':
        return unserved(exchange, route)
      case 'unknown':
        throw iamError('unauthenticated', 'Missing Authentication Token')
    }
  }

  function unserved({ signable, request, meta }: Exchange, route: Route & { kind: 'unserved' }): WireResponse {
    const { path } = splitTarget(signable.target)
    const { service, style } = route
    return unservedAnswer({ service, style, jsonVersion: versionOf(request), path, requestId: meta.requestId }, served)
  }

  async function serveJson(exchange: Exchange, route: Route & { kind: 'json' }): Promise<WireResponse> {
    const { service } = route
    const operation = findOperation(service, route.operation)
    if (operation === undefined) throw new AwsError('UnknownOperationException', 'Unknown operation', { status: 404 })
    exchange.operation = operation
    exchange.meta.operation = route.operation
    return withVerifiedBody(exchange, service, operation.maxBodyBytes ?? defaultMaxBodyBytes, async (verified) => {
      const body = await decodedBody(exchange, verified.body, operation.maxBodyBytes ?? defaultMaxBodyBytes)
      const output = await run(exchange, service, operation, verified, decodeJson(body, operation.maxInputValues))
      return encodeJsonResult(output, versionOf(exchange.request))
    })
  }

  async function serveCbor(exchange: Exchange, route: Route & { kind: 'cbor' }): Promise<WireResponse> {
    const { service } = route
    const operation = findOperation(service, route.operation)
    if (operation === undefined) throw new AwsError('UnknownOperationException', 'Unknown operation', { status: 404 })
    exchange.operation = operation
    exchange.meta.operation = route.operation
    const limitBytes = operation.maxBodyBytes ?? defaultMaxBodyBytes
    return withVerifiedBody(exchange, service, limitBytes, async (verified) => {
      const body = await decodedBody(exchange, verified.body, limitBytes)
      const output = await run(exchange, service, operation, verified, decodeCbor(body, operation.maxInputValues))
      return encodeCborResult(output, service.integers)
    })
  }

  async function serveQuery(exchange: Exchange, route: Route & { kind: 'query' }): Promise<WireResponse> {
    const { service } = route
    return withVerifiedBody(exchange, service, defaultMaxBodyBytes, async (verified) => {
      const isGet = exchange.request.method === 'GET'
      const body = isGet
        ? Buffer.from(splitTarget(exchange.signable.target).query, 'latin1')
        : await decodedBody(exchange, verified.body, defaultMaxBodyBytes)
      const form = parseQueryForm(body, service.maxParameters)
      const action = form.action ?? ''
      const unsigned = findUnsigned(service, form)
      if (unsigned !== undefined) return runUnsigned(exchange, service, unsigned, form)
      const operation = form.version === service.apiVersion ? findOperation(service, action) : undefined
      if (operation === undefined) {
        throw new AwsError('InvalidAction', 'Could not find the operation named by Action in the API version named by Version.')
      }
      exchange.operation = operation
      exchange.meta.operation = action
      const output = await run(exchange, service, operation, verified, decodeQueryInput(form, operation.input))
      return encodeQueryResult(output, { action, xmlns: service.xmlns, requestId: exchange.meta.requestId })
    })
  }

  /** What is no operation that takes unsigned requests is answered as any unsigned request is. */
  async function serveUnsigned(exchange: Exchange): Promise<WireResponse> {
    const { request, response, signable } = exchange
    requireDeclaredWithin(request, maxUnsignedBodyBytes)
    const release = await unsignedBudget.reserve(memoryBytes(request, maxUnsignedBodyBytes))
    try {
      acceptBody(response)
      const { bytes } = await readBody(request, maxUnsignedBodyBytes)
      // Nothing that nobody signed is inflated.
      if (request.headers['content-encoding'] !== undefined) throw iamError('unauthenticated', 'Missing Authentication Token')
      const form = parseQueryForm(request.method === 'GET' ? Buffer.from(splitTarget(signable.target).query, 'latin1') : bytes)
      for (const service of options.services) {
        if (service.protocol !== 'query') continue
        const operation = findUnsigned(service, form)
        if (operation === undefined) continue
        exchange.meta.protocol = service.name
        return await runUnsigned(exchange, service, operation, form)
      }
      throw iamError('unauthenticated', 'Missing Authentication Token')
    } finally {
      release()
    }
  }

  async function runUnsigned(
    exchange: Exchange,
    service: QueryService,
    operation: UnsignedOperation,
    form: QueryForm,
  ): Promise<WireResponse> {
    const { meta, request } = exchange
    const action = form.action ?? ''
    exchange.xmlns = service.xmlns
    exchange.operation = operation
    meta.operation = action
    const { input, violations } = checkInput(operation.input, decodeQueryInput(form, operation.input))
    if (violations.length > 0) throw (service.invalidInput ?? invalidParameter)(violations)
    const { requestId, sourceIp, secure } = meta
    meta.parameters = recordedInput(input)
    meta.registry = undefined
    const work = (): Promise<unknown> => operation.handler({ requestId, sourceIp, secure, userAgent: userAgentOf(request) }, input)
    const output = await options.unsignedAdmission.run({ accountId: operation.accountOf(input), sourceIp }, operation.calls ?? [], work)
    return encodeQueryResult(output, { action, xmlns: service.xmlns, requestId })
  }

  /** Everything up to the right signature; then `use`, during which the body still counts as memory in use. */
  async function withVerifiedBody(
    exchange: Exchange,
    service: AwsService,
    limitBytes: number,
    use: (verified: Verified) => Promise<WireResponse>,
  ): Promise<WireResponse> {
    const { request, response, signable, meta } = exchange
    requireDeclaredWithin(request, limitBytes)
    const signature = parseSignature(signable, clock.now())
    requireScopedTo(signature, service.signingName)
    meta.claimedKeyId = signature.accessKeyId
    const credential = await findCredential(signature, meta.sourceIp)

    const release = await budget.reserve(memoryBytes(request, limitBytes))
    try {
      acceptBody(response)
      const { bytes, sha256 } = await readBody(request, limitBytes)
      try {
        verifySignature(signature, signable, sha256, credential.secretAccessKey, signingKeys)
      } catch (error) {
        throttle.recordFailure(meta.sourceIp, signature.accessKeyId)
        throw error
      }
      throttle.recordSuccess(meta.sourceIp, signature.accessKeyId)
      meta.actorArn = credential.principal.arn
      meta.principal = credential.principal
      const region = parseRegion(signature.scope.region)
      meta.registry = { accountId: credential.principal.accountId, region }
      options.recordKeyUse(signature.accessKeyId, { service: service.signingName, region, atMs: clock.now() })
      return await use({ principal: credential.principal, region, body: bytes })
    } finally {
      release()
    }
  }

  async function findCredential(signature: RequestSignature, sourceIp: string): Promise<SigningCredential> {
    const { accessKeyId, sessionToken } = signature
    const decision = throttle.check(sourceIp, accessKeyId)
    if (!decision.allowed) {
      throw iamError('throttled', 'Too many wrong credentials.', { retryAfterMs: decision.retryAfterMs })
    }
    const credential = await credentials.findAccessKey(accessKeyId)
    const now = clock.now()
    if (credential !== undefined && isTokenOfKey(sessionToken, credential.sessionTokenSha256)) {
      // A key that was taken away or has ended is no attempt at guessing, so the throttle does not count it.
      if (credential.status !== 'active') throw iamError('access-key-unknown', 'The access key is not active.')
      if (now < (credential.principal.session?.expiresAt ?? Number.POSITIVE_INFINITY)) return credential
      throw iamError('token-expired', 'The session token has expired.')
    }
    if (sessionToken !== undefined && credentials.isEndedSession(accessKeyId, sessionToken, now)) {
      throw iamError('token-expired', 'The session token has expired.')
    }
    throttle.recordFailure(sourceIp, accessKeyId)
    throw iamError('access-key-unknown', 'The access key is unknown, or the session token is not its own.')
  }

  async function run(
    exchange: Exchange,
    service: AwsService,
    operation: AwsOperation,
    verified: Verified,
    decoded: unknown,
  ): Promise<unknown> {
    const { meta, request, response } = exchange
    const { input, violations } = checkInput(operation.input, decoded)
    exchange.facts = factsOf(decoded)
    if (violations.length > 0) throw (service.invalidInput ?? invalidParameter)(violations)
    // Checked against the input's shape, so that it is a name.
    meta.repository = typeof exchange.facts['repositoryName'] === 'string' ? exchange.facts['repositoryName'] : undefined
    meta.parameters = recordedInput(input)

    const { principal, region } = verified
    requireOpenToSession(service, meta.operation ?? '', principal)
    const registry = await options.findRegistry(service.accountOf?.(input) ?? principal.accountId, region)
    exchange.facts = { ...exchange.facts, registryId: registry.accountId }
    meta.registry = registry
    const context: RequestContext = {
      actor: principal,
      registry,
      requestId: meta.requestId,
      sourceIp: meta.sourceIp,
      userAgent: userAgentOf(request),
      protocol: service.name,
      clock,
    }
    const origin: RequestOrigin = {
      sourceIp: context.sourceIp,
      secure: meta.secure,
      userAgent: context.userAgent,
      region,
      nowMs: clock.now(),
    }
    const gone = new AbortController()
    const onClose = (): void => gone.abort(bodyError('body-aborted', 'The client went away.'))
    response.once('close', onClose)
    try {
      const rights = new CallRights(options.authorizer, context, origin, (action, resource) => service.resourceText?.(action, resource, input))
      let visibility: RepositoryVisibility | undefined
      const call: AwsCall = {
        context,
        host: meta.host,
        secure: meta.secure,
        signal: gone.signal,
        get visibility() {
          return visibility
        },
        authorize: (action, resource, conditions) => rights.require(action, resource, conditions),
        allows: (action, resource, asked) => rights.has(action, resource, asked),
        async requireAnew() {
          // Whoever looks for a key looks at the IAM generation: what was changed a moment ago counts.
          await credentials.findAccessKey(principal.accessKeyId)
          await rights.require(operation.action, await operation.resource(input, call), conditions)
        },
      }
      const conditions = operation.conditions && (() => operation.conditions?.(input, call) ?? [])
      if (operation.openToEveryCaller !== true) {
        const resource = await operation.resource(input, call)
        if (operation.listsRepositories?.(input) === true) visibility = await rights.visibleRepositories(operation.action, resource)
        else await rights.require(operation.action, resource, conditions)
      }
      const rule = admissionRule(service.name, meta.operation)
      const output = await options.admission.run(context, rule, () => operation.handler(call, input))
      meta.answered = recordedOutput(output)
      meta.pulls = operation.pulls?.(output)
      return output
    } finally {
      response.off('close', onClose)
    }
  }

  function failure(exchange: Exchange, error: unknown): WireResponse {
    const { meta, route, operation, facts } = exchange
    const serverFault = 'service' in route && typeof route.service === 'object' ? route.service.serverFault : undefined
    const failed: FailedOperation = { names: errorNames(route), serverFault, errors: operation?.errors, facts }
    const known = toAwsError(error, failed)
    const answer = known ?? unexpectedError(failed, error)
    meta.errorCode = answer.type
    meta.errorMessage = answer.message
    if (answer.status >= 500) {
      logger.error({ err: error, requestId: meta.requestId, operation: meta.operation }, 'an AWS request failed')
    } else if (isPlatformError(error, 'signature-mismatch')) {
      // Behind a proxy the usual cause is another host than the one the client signed; this is where to see it.
      logger.info({ reason: error.message, ...error.detail, requestId: meta.requestId }, 'a request signature was refused')
    } else if (isPlatformError(error) && route.kind === 'unsigned-query' && operation !== undefined) {
      // Callers are told little, since nobody knows them: the operator sees which token it was and what was wrong with it.
      logger.info({ refusal: error.message, ...error.detail, requestId: meta.requestId }, 'a request without a signature was refused')
    }
    return encodeFailure(exchange, answer)
  }

  /** Does nothing where the client has gone. */
  function send({ response, meta }: Exchange, answer: WireResponse): void {
    if (response.headersSent || response.destroyed) return
    const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body
    response.writeHead(answer.status, {
      ...answer.headers,
      'Content-Length': body.length,
      'x-amzn-RequestId': meta.requestId,
      // SDKs correct their clock by this, so it has to be the clock that signatures are judged by.
      Date: new Date(clock.now()).toUTCString(),
    })
    response.end(body)
  }
}

function signableRequest(request: IncomingMessage, host: string): SignableRequest {
  const sent = request.headers.host
  return {
    method: request.method ?? '',
    target: request.url ?? '/',
    headers: request.headersDistinct,
    // The host arrives in lower case, but was signed as it was written.
    host: sent?.toLowerCase() === host ? sent : host,
  }
}

async function decodedBody({ request }: Exchange, bytes: Buffer, limitBytes: number): Promise<Buffer> {
  return decodeContent(bytes, request.headers['content-encoding'], limitBytes)
}

/** What a body may take, at most: one that is compressed says nothing of the size it will have. */
function memoryBytes(request: IncomingMessage, limitBytes: number): number {
  const isEncoded = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase() !== 'identity'
  return isEncoded ? limitBytes : (declaredLength(request) ?? limitBytes)
}

/** https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html, "Permissions". */
function requireOpenToSession({ openToSessionTokens }: AwsService, operation: string, principal: Principal): void {
  if (openToSessionTokens === undefined || principal.session === undefined || principal.kind === 'assumed-role') return
  if (openToSessionTokens.includes(operation)) return
  throw iamError('access-key-unknown', 'Credentials from GetSessionToken are not for this operation.')
}

function findUnsigned({ apiVersion, unsignedOperations = {} }: QueryService, form: QueryForm): UnsignedOperation | undefined {
  const name = form.action ?? ''
  return form.version === apiVersion && Object.hasOwn(unsignedOperations, name) ? unsignedOperations[name] : undefined
}

function findOperation(service: AwsService, name: string): AwsOperation | undefined {
  return Object.hasOwn(service.operations, name) ? service.operations[name] : undefined
}

/** What error texts repeat of an input: names only, never contents. */
function factsOf(decoded: unknown): ErrorDetail {
  const facts: Record<string, unknown> = {}
  if (typeof decoded !== 'object' || decoded === null) return facts
  for (const name of ['repositoryName', 'uploadId']) {
    const value: unknown = Object.hasOwn(decoded, name) ? (decoded as Record<string, unknown>)[name] : undefined
    if (typeof value === 'string') facts[name] = value
  }
  return facts
}

function versionOf(request: IncomingMessage): JsonVersion {
  return jsonVersion(request.headers['content-type'])
}

function errorNames(route: Route): FailedOperation['names'] {
  if (route.kind === 'json' || route.kind === 'query') return route.kind
  if (route.kind === 'cbor') return 'json'
  if (route.kind === 'unsigned-query') return 'query'
  return route.style === 'json' || route.style === 'rest-json' || route.style === 'cbor' ? 'json' : 'query'
}

function encodeFailure({ request, route, xmlns, signable, meta }: Exchange, error: AwsError): WireResponse {
  const { requestId } = meta
  const codes = 'service' in route && typeof route.service === 'object' ? route.service.queryCodes : undefined
  const code = codes?.[error.type] ?? error.type
  if (route.kind === 'query' || xmlns !== undefined) return encodeQueryError(error, { xmlns, requestId, code })
  if (route.kind === 'json' || route.kind === 'cbor') {
    const answer = route.kind === 'json' ? encodeJsonError(error, versionOf(request)) : encodeCborError(error)
    if (codes === undefined) return answer
    return { ...answer, headers: { ...answer.headers, 'x-amzn-query-error': `${code};${error.status >= 500 ? 'Receiver' : 'Sender'}` } }
  }
  switch (route.style) {
    case 'query':
      return encodeQueryError(error, { requestId })
    case 'ec2':
      return encodeEc2Error(error, requestId)
    case 'rest-xml':
      return encodeRestXmlError(error, { resource: splitTarget(signable.target).path, requestId })
    case 'json':
    case 'rest-json':
    case 'cbor':
      return encodeJsonError(error, versionOf(request))
  }
}
