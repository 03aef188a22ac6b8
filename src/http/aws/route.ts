import { claimedService, type SignableRequest } from './sigv4.ts'
import { headerValues, queryParameters, splitTarget } from './canonical-request.ts'
import type { AwsService, CborService, JsonService, QueryService } from './service.ts'
import { serviceLabel, styleOf, type ErrorStyle } from './unserved.ts'

/** Where a request goes, as far as its head tells. */
export type Route =
  | { readonly kind: 'json'; readonly service: JsonService; readonly operation: string }
  | { readonly kind: 'cbor'; readonly service: CborService; readonly operation: string }
  /** The operation's name is in the form: in the body, or in the query string of a GET. */
  | { readonly kind: 'query'; readonly service: QueryService }
  /** A form that nobody signed: it may be for an operation that asks for no signature. */
  | { readonly kind: 'unsigned-query'; readonly style: ErrorStyle }
  | { readonly kind: 'unserved'; readonly service: string; readonly style: ErrorStyle }
  /** Nothing names a service, and nobody signed. */
  | { readonly kind: 'unknown'; readonly style: ErrorStyle }

/** The services of a handler, by what requests name them. */
export class Router {
  readonly #byTargetPrefix = new Map<string, JsonService>()
  /** By signing name; a service may have both protocols. */
  readonly #json = new Map<string, JsonService>()
  readonly #query = new Map<string, QueryService>()
  /** By the name in the path. */
  readonly #cbor = new Map<string, CborService>()
  readonly #takesUnsigned: boolean

  /** @throws Error where two services could not be told apart. */
  constructor(services: readonly AwsService[]) {
    this.#takesUnsigned = services.some((service) => service.protocol === 'query' && service.unsignedOperations !== undefined)
    for (const service of services) {
      if (service.protocol === 'json') {
        for (const prefix of [service.targetPrefix, ...(service.otherTargetPrefixes ?? [])]) {
          if (this.#byTargetPrefix.has(prefix)) throw new Error(`two services take ${prefix}`)
          this.#byTargetPrefix.set(prefix, service)
        }
        if (!this.#json.has(service.signingName)) this.#json.set(service.signingName, service)
      } else if (service.protocol === 'cbor') {
        if (this.#cbor.has(service.shapeName)) throw new Error(`two services take ${service.shapeName}`)
        this.#cbor.set(service.shapeName, service)
      } else {
        if (this.#query.has(service.signingName)) throw new Error(`two services take requests signed for ${service.signingName}`)
        this.#query.set(service.signingName, service)
      }
    }
    for (const name of this.#query.keys()) {
      const [json, query] = [this.#json.get(name), this.#query.get(name)]
      if (json !== undefined && json.name !== query?.name) throw new Error(`two services take requests signed for ${name}`)
    }
  }

  /** Judges nothing: the signature may be missing or wrong. */
  route(request: SignableRequest): Route {
    const signingName = claimedService(request)
    const { path, query: queryText } = splitTarget(request.target)
    const [contentType = ''] = headerValues(request, 'content-type')
    const [target] = headerValues(request, 'x-amz-target')

    if (target !== undefined) {
      const dot = target.lastIndexOf('.')
      const prefix = dot === -1 ? '' : target.slice(0, dot)
      const service = this.#byTargetPrefix.get(prefix) ?? (dot === -1 ? this.#jsonService(signingName) : undefined)
      if (service !== undefined) return { kind: 'json', service, operation: target.slice(dot + 1) }
      // A wrong prefix under a name that is served is as unknown as a wrong operation.
      const named = this.#jsonService(signingName)
      if (named !== undefined) return { kind: 'json', service: named, operation: '' }
      return { kind: 'unserved', service: serviceLabel(signingName, prefix), style: 'json' }
    }

    const [smithyProtocol] = headerValues(request, 'smithy-protocol')
    if (smithyProtocol === 'rpc-v2-cbor') {
      const [, shapeName = '', operation = ''] = /\/service\/(\w{1,128})\/operation\/(\w{1,128})$/u.exec(path) ?? []
      const service = this.#cbor.get(shapeName)
      if (service !== undefined) return { kind: 'cbor', service, operation }
      return { kind: 'unserved', service: serviceLabel(signingName, /^\/service\/([^/]+)\//.exec(path)?.[1]), style: 'cbor' }
    }

    const parameters = request.method === 'GET' ? queryParameters(queryText) : []
    const form =
      contentType.toLowerCase().startsWith('application/x-www-form-urlencoded') ||
      parameters.some((parameter) => parameter.name === 'Action')
    const json = contentType.toLowerCase().startsWith('application/x-amz-json')
    const query = signingName === undefined ? undefined : this.#query.get(signingName)
    const named = this.#jsonService(signingName)
    if (query !== undefined && (form || named === undefined)) return { kind: 'query', service: query }
    if (named !== undefined) return { kind: 'json', service: named, operation: '' }

    const style = styleOf(signingName, { form, json })
    if (signingName !== undefined) return { kind: 'unserved', service: serviceLabel(signingName, undefined), style }
    const hasAuthorization = headerValues(request, 'authorization').length > 0
    return { kind: form && !hasAuthorization && this.#takesUnsigned ? 'unsigned-query' : 'unknown', style }
  }

  #jsonService(signingName: string | undefined): JsonService | undefined {
    return signingName === undefined ? undefined : this.#json.get(signingName)
  }
}
