import type { LookupAddress } from 'node:dns'
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { request } from 'node:https'
import type { LookupFunction } from 'node:net'
import type { SecureContext } from 'node:tls'
import { bareHostName, createAddressGuard, UnusableAddress, type AddressGuardOptions } from './address-guard.ts'
import { TrustedAuthorities } from './trusted-authorities.ts'

export { UnusableAddress } from './address-guard.ts'

export interface GuardedHttpsOptions extends AddressGuardOptions {
  /** Authorities that are trusted beside the system's, a file in PEM; read for every request, so that it may change. */
  readonly caFile: string | undefined
}

export interface GuardedRequest {
  readonly method: 'GET' | 'POST'
  readonly headers: OutgoingHttpHeaders
  readonly body?: string
  /** The account whose address it is. */
  readonly askedBy: string
  readonly signal: AbortSignal
}

/** Resolves with the head of the answer, whatever its status: a redirect is followed by nobody. */
export type GuardedHttps = (url: string, request: GuardedRequest) => Promise<IncomingMessage>

/**
 * Sends requests to addresses that users chose, so that nothing inside the operator's network can be reached with it: HTTPS
 * only, public addresses only unless the operator opened the host to the account, connected to the very address that was looked
 * at, without following redirects. Rejects with `UnusableAddress`, or what the system says of a connection.
 */
export function createGuardedHttps(options: GuardedHttpsOptions, guard = createAddressGuard(options)): GuardedHttps {
  const trusted = new TrustedAuthorities(options.caFile, ['default'])
  return async (text, { askedBy, ...outgoing }) => {
    const url = URL.parse(text)
    if (url === null || url.protocol !== 'https:' || url.username !== '' || url.password !== '') {
      throw new UnusableAddress('only https is asked')
    }
    const addresses = await guard(bareHostName(url.hostname), url.port === '' ? 443 : Number(url.port), askedBy)
    const secureContext = await trusted.context()
    outgoing.signal.throwIfAborted()
    return send(url, addresses, secureContext, outgoing)
  }
}

function send(url: URL, addresses: readonly LookupAddress[], secureContext: SecureContext | undefined, { method, headers, body, signal }: Omit<GuardedRequest, 'askedBy'>): Promise<IncomingMessage> {
  // Answers with what was looked at, so that no second look-up can lead elsewhere.
  const lookup: LookupFunction = (_hostName, { all }, callback) => {
    const [first] = addresses
    if (all === true) callback(null, [...addresses])
    else callback(null, first?.address ?? '', first?.family)
  }
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
    const outgoing = request(url, { method, agent: false, lookup, signal, headers: { ...headers, ...length }, ...(secureContext && { secureContext }) }, resolve)
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}
