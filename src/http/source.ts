import type { IncomingHttpHeaders } from 'node:http'
import { BlockList } from 'node:net'
import { normalizeIp, type NetworkRange } from '../config/index.ts'

/** Where a request came from and where it was meant to go. */
export interface RequestSource {
  readonly sourceIp: string
  /** Lower case, with the port where one was given. Undefined where the request names no usable host. */
  readonly host: string | undefined
  readonly secure: boolean
}

export interface SourceInput {
  /** The address at the other end of the connection. */
  readonly peer: string | undefined
  /** True if that connection is encrypted. */
  readonly encrypted: boolean
  readonly headers: IncomingHttpHeaders
}

/** Gateways with more hops than this do not exist; a longer list is somebody playing. */
const maxHops = 32

/** What a connection whose peer has already gone is known by. */
const unknownPeer = '0.0.0.0'

/**
 * Tells a request's source, believing `X-Forwarded-*` only as far as trusted proxies wrote it: from the right of
 * the list, each trusted hop vouches for the one before it, and the first hop that is not trusted is the client.
 */
export function createSourceReader(trustedProxies: readonly NetworkRange[]): (input: SourceInput) => RequestSource {
  const trusted = new BlockList()
  for (const { address, prefix, family } of trustedProxies) trusted.addSubnet(address, prefix, family)
  const isTrusted = (address: string): boolean => trusted.check(address, address.includes(':') ? 'ipv6' : 'ipv4')

  return ({ peer, encrypted, headers }) => {
    const peerIp = normalizeIp(peer ?? '') ?? unknownPeer
    const direct: RequestSource = { sourceIp: peerIp, host: parseHost(headers.host), secure: encrypted }
    if (!isTrusted(peerIp)) return direct

    const hops = listOf(headers['x-forwarded-for'])
    let sourceIp = peerIp
    let sourceIndex = hops.length
    for (let index = hops.length - 1; index >= Math.max(0, hops.length - maxHops); index -= 1) {
      const hop = parseHop(hops[index]!)
      // A hop that is no address was hidden or made up: what vouches for it is the last thing known.
      if (hop === undefined) break
      sourceIp = hop
      sourceIndex = index
      if (!isTrusted(hop)) break
    }
    const protocol = forwardedValue(listOf(headers['x-forwarded-proto']), hops.length, sourceIndex)?.toLowerCase()
    const forwardedHost = forwardedValue(listOf(headers['x-forwarded-host']), hops.length, sourceIndex)
    return {
      sourceIp,
      host: forwardedHost === undefined ? direct.host : parseHost(forwardedHost),
      secure: protocol === 'https' || (protocol !== 'http' && encrypted),
    }
  }
}

/**
 * Of a header with one value per hop, the one that the first trusted proxy wrote, which stands where the client's
 * address does. A header with another number of values was set by the last proxy alone, or forged before it.
 */
function forwardedValue(values: readonly string[], hopCount: number, sourceIndex: number): string | undefined {
  return values.length === hopCount && sourceIndex < hopCount ? values[sourceIndex] : values.at(-1)
}

function listOf(header: string | readonly string[] | undefined): readonly string[] {
  if (header === undefined) return []
  const text = typeof header === 'string' ? header : header.join(',')
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

/** An address as proxies write it: bare, `address:port` or `[IPv6]:port`. */
function parseHop(text: string): string | undefined {
  const bare = normalizeIp(text)
  if (bare !== undefined) return bare
  const bracketed = /^\[([^\]]+)\](?::\d{1,5})?$/u.exec(text)?.[1]
  const withPort = /^([\d.]+):\d{1,5}$/u.exec(text)?.[1]
  return normalizeIp(bracketed ?? withPort ?? '')
}

const maxHostLength = 260

/** The value of a Host header; undefined where it is missing or holds what no host has. */
function parseHost(text: string | undefined): string | undefined {
  if (text === undefined || text.length > maxHostLength) return undefined
  // Without the u flag, under which ſ and the Kelvin sign would pass for s and k.
  return /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i.test(text) ? text.toLowerCase() : undefined
}
