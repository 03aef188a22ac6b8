import type { Logger } from 'pino'
import type { Authorizer } from '../../iam/index.ts'
import type { FairShare } from '../../internal/fair-share.ts'
import type { IdSource } from '../../internal/ids.ts'
import type { RegistryRef, RequestContext } from '../../registry/context.ts'
import type { Registry, RepositoryVisibility } from '../../registry/types.ts'
import type { AccountId, Region } from '../../values/account.ts'
import type { Tag } from '../../values/reference.ts'
import type { RepositoryName } from '../../values/repository-name.ts'
import type { Admission } from '../admission.ts'
import { userAgentOf, type EdgeHandler, type RequestMeta } from '../request-meta.ts'
import { admissionRule } from './admission-rules.ts'
import { answerJson } from './answer.ts'
import { authenticate, type Authentication } from './authenticate.ts'
import { CallerRights, conditionsOf } from './caller-rights.ts'
import type { Exchange } from './exchange.ts'
import { answerFailure } from './failure.ts'
import { runOperation } from './handlers.ts'
import { createManifestBodies } from './manifest-body.ts'
import { blockedPullAction, mountSourceAction, operationOf, operations, type OperationName } from './operations.ts'
import { parseDistributionPath, type DistributionRoute } from './path.ts'
import type { ListPositions } from './list-positions.ts'
import { parseQuery, type Query } from './query.ts'
import { registryOfHost, selectRegistry } from './registry-selection.ts'

export { ListPositions } from './list-positions.ts'
export { createLayerDownloadHandler, type LayerDownloadOptions } from './layer-download.ts'

export interface DistributionOptions extends Authentication {
  readonly registry: Registry
  /**
   * The registry of an account in a region; one without anything in it where there is no such account, so that nobody
   * learns from an answer which accounts there are. Asked with every request.
   */
  readonly findRegistry: (accountId: AccountId, region: Region) => RegistryRef | Promise<RegistryRef>
  readonly authorizer: Pick<Authorizer, 'authorize' | 'visibleRepositories'>
  readonly positions: ListPositions
  readonly admission: Pick<Admission, 'run'>
  /** Of the accounts that download, chunk by chunk. */
  readonly downloadTurns: Pick<FairShare, 'run'>
  /** Told of every request with valid credentials. */
  readonly recordKeyUse: (accessKeyId: string, use: { service: string; region: string; atMs: number }) => void
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
        meta.repository = repositoryOf(parsed.route)
        meta.parameters = parametersOf(parsed)
      } catch (error) {
        // Said only to those who are known: to everybody else every path looks the same.
        problem = error
      }
      const named = registryOfHost(meta.host, options.registryDomain)
      meta.registry = named
      const caller = await authenticate(options, request.headers.authorization, meta.sourceIp)
      meta.actorArn = caller.principal.arn
      meta.principal = caller.principal
      if (parsed === undefined) throw problem
      const address = selectRegistry(named, caller, options.defaultRegion)
      meta.registry = address
      options.recordKeyUse(caller.principal.accessKeyId, { service: 'ecr', region: address.region, atMs: options.clock.now() })
      const { route, query, operation } = parsed
      if (operation === 'ping') {
        await answerJson(exchange, 200, {})
        return
      }
      const found = options.findRegistry(address.accountId, address.region)
      const context: RequestContext = {
        actor: caller.principal,
        registry: found instanceof Promise ? await found : found,
        requestId: meta.requestId,
        sourceIp: meta.sourceIp,
        userAgent: userAgentOf(request),
        protocol: 'oci',
        clock,
      }
      const rights = new CallerRights(options.authorizer, context, meta.secure)
      const { actions, scope } = operations[operation]
      let knownTags: readonly Tag[] | undefined
      const onTagsRead = (tags: readonly Tag[]): void => {
        knownTags = tags
      }
      const requireRights = (): Promise<void> => {
        knownTags = undefined
        const conditions = () => conditionsOf(operation, route, query, { registry, context, onTagsRead })
        return rights.require(actions, repositoryOf(route), conditions)
      }
      let visibility: RepositoryVisibility | undefined
      if (scope === 'registry') {
        visibility = await rights.visibleRepositories(actions[0])
      } else {
        await requireRights()
      }
      const work: Exchange = {
        request,
        response,
        query,
        context,
        registry,
        ids,
        manifestBodies,
        visibility,
        positions: options.positions,
        mayPullFrom: (repository) => rights.has(mountSourceAction, repository),
        mayCreate: (repository, tags, role) => rights.mayCreate(repository, tags, role),
        mayPullBlocked: (repository) => rights.has(blockedPullAction, repository),
        downloadShare: {
          accountId: caller.principal.accountId,
          turn: (work) => options.downloadTurns.run(caller.principal.accountId, work),
        },
        knownTags: () => knownTags,
        requireRightsAnew: async () => {
          // Whoever looks for a key looks at the IAM generation: what was changed a moment ago counts.
          await options.credentials.findAccessKey(caller.principal.accessKeyId)
          await requireRights()
        },
      }
      await options.admission.run(context, admissionRule(operation, request), () => runOperation(operation, route, work))
    } catch (error) {
      const realm = `${options.publicUrl ?? requestedOrigin(meta)}/`
      await answerFailure(exchange, error, { meta, realm }, logger)
    }
  }
}

function parseRequest(method: string, url: string): ParsedRequest {
  const { route, query: text } = parseDistributionPath(method, url)
  const query = parseQuery(text)
  return { route, query, operation: operationOf(method, route, query) }
}

function repositoryOf(route: DistributionRoute): RepositoryName | undefined {
  return 'repository' in route ? route.repository : undefined
}

/** What the audit trail tells of what was asked for, in ECR's words. */
function parametersOf({ route, query }: ParsedRequest): RequestMeta['parameters'] {
  switch (route.kind) {
    case 'manifest': {
      const { reference } = route
      return { repositoryName: route.repository, ...(reference.kind === 'tag' ? { imageTag: reference.tag } : { imageDigest: reference.digest }) }
    }
    case 'blob':
      return { repositoryName: route.repository, layerDigest: route.digest }
    case 'referrers':
      return { repositoryName: route.repository, subjectDigest: route.digest }
    case 'upload':
      return { repositoryName: route.repository, uploadId: route.uploadId }
    case 'uploadStart': {
      const [mount] = query.get('mount') ?? []
      return { repositoryName: route.repository, ...(mount === undefined ? {} : { layerDigest: mount.slice(0, 160) }) }
    }
    case 'tags':
      return { repositoryName: route.repository }
    case 'ping':
    case 'catalog':
      return undefined
  }
}

function requestedOrigin({ secure, host }: RequestMeta): string {
  return `${secure ? 'https' : 'http'}://${host}`
}
