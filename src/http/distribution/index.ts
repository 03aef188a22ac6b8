import type { Logger } from 'pino'
import { iamError, type AuthorizationRequest, type Decision } from '../../iam/index.ts'
import type { IdSource } from '../../internal/ids.ts'
import type { RegistryRef, RequestContext } from '../../registry/context.ts'
import { registryError } from '../../registry/errors.ts'
import type { Registry } from '../../registry/types.ts'
import type { AccountId, Region } from '../../values/account.ts'
import type { RepositoryName } from '../../values/repository-name.ts'
import type { EdgeHandler, RequestMeta } from '../request-meta.ts'
import { answerJson } from './answer.ts'
import { authenticate, type Authentication, type Caller } from './authenticate.ts'
import { answerFailure } from './failure.ts'
import { runOperation } from './handlers.ts'
import { createManifestBodies } from './manifest-body.ts'
import { mountSourceAction, operationOf, operationResource, operations, type OperationName } from './operations.ts'
import { parseDistributionPath, type DistributionRoute } from './path.ts'
import { parseQuery, type Query } from './query.ts'
import { registryOfHost, selectRegistry, type RegistryAddress } from './registry-selection.ts'

export { createLayerDownloadHandler, type LayerDownloadOptions } from './layer-download.ts'

export interface DistributionOptions extends Authentication {
  readonly registry: Registry
  /** The registry of an account in a region, or undefined where there is none. Asked with every request. */
  readonly findRegistry: (
    accountId: AccountId,
    region: Region,
  ) => RegistryRef | undefined | Promise<RegistryRef | undefined>
  readonly authorize: (request: AuthorizationRequest) => Decision
  /** The region of logins with an access key at a host that names none. */
  readonly defaultRegion: Region
  /** Scheme and host that clients use; without it the challenge names the host that was asked for. */
  readonly publicUrl?: string | undefined
  /** The domain of hosts that name a registry; without it any domain does. */
  readonly registryDomain?: string | undefined
  readonly ids: IdSource
  readonly logger: Logger
}

interface ParsedRequest {
  readonly route: DistributionRoute
  readonly query: Query
  readonly operation: OperationName
}

/** The OCI distribution API: `/v2/` and everything below it. */
export function createDistributionHandler(options: DistributionOptions): EdgeHandler {
  const { registry, clock, ids, logger } = options
  const manifestBodies = createManifestBodies()

  return async (request, response, meta) => {
    const exchange = { request, response }
    meta.protocol = 'oci'
    try {
      let parsed: ParsedRequest | undefined
      let problem: unknown
      try {
        parsed = parseRequest(request.method ?? '', request.url ?? '')
        meta.operation = parsed.operation
      } catch (error) {
        // Said only to those who are known: to everybody else every path looks the same.
        problem = error
      }
      const caller = await authenticate(options, request.headers.authorization, meta.sourceIp)
      meta.actorArn = caller.principal.arn
      if (parsed === undefined) throw problem
      const address = selectRegistry(registryOfHost(meta.host, options.registryDomain), caller, options.defaultRegion)
      const { route, query, operation } = parsed
      assertAllowed(options, caller, address, operation, repositoryOf(route))

      if (operation === 'ping') {
        await answerJson(exchange, 200, {})
        return
      }
      const found = await options.findRegistry(address.accountId, address.region)
      if (found === undefined) throw noRepositories(address, repositoryOf(route))
      const context: RequestContext = {
        actor: caller.principal,
        registry: found,
        requestId: meta.requestId,
        sourceIp: meta.sourceIp,
        userAgent: request.headers['user-agent'] ?? '',
        protocol: 'oci',
        clock,
      }
      const mayPullFrom = pullRight(options, caller, address)
      await runOperation(operation, route, {
        request,
        response,
        query,
        context,
        registry,
        ids,
        manifestBodies,
        mayPullFrom,
      })
    } catch (error) {
      const realm = `${options.publicUrl ?? requestedOrigin(meta)}/`
      await answerFailure(exchange, error, { requestId: meta.requestId, realm }, logger)
    }
  }
}

function parseRequest(method: string, url: string): ParsedRequest {
  const { route, query: text } = parseDistributionPath(method, url)
  const query = parseQuery(text)
  return { route, query, operation: operationOf(method, route, query) }
}

function assertAllowed(
  { authorize }: DistributionOptions,
  { principal }: Caller,
  address: RegistryAddress,
  operation: OperationName,
  repository: RepositoryName | undefined,
): void {
  const actions: readonly string[] = operations[operation].actions
  const resource = operationResource(address, repository)
  for (const action of actions) {
    const decision = authorize({ principal, action, resource, accountId: address.accountId, context: {} })
    if (!decision.allowed) throw iamError('access-denied', decision.message)
  }
}

function pullRight(
  { authorize }: DistributionOptions,
  { principal }: Caller,
  address: RegistryAddress,
): (repository: RepositoryName) => boolean {
  return (repository) =>
    authorize({
      principal,
      action: mountSourceAction,
      resource: operationResource(address, repository),
      accountId: address.accountId,
      context: {},
    }).allowed
}

function repositoryOf(route: DistributionRoute): RepositoryName | undefined {
  return 'repository' in route ? route.repository : undefined
}

function noRepositories({ accountId }: RegistryAddress, repository: RepositoryName | undefined): Error {
  const subject = repository === undefined ? 'No repository exists' : `The repository with name '${repository}' does not exist`
  return registryError('repository-unknown', `${subject} in the registry with id '${accountId}'`, { registryId: accountId })
}

function requestedOrigin({ secure, host }: RequestMeta): string {
  return `${secure ? 'https' : 'http'}://${host}`
}
