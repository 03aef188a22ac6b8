import { isIP, isIPv4, SocketAddress } from 'node:net'

export interface ListenAddress {
  /** An IP address without brackets, or `localhost`. */
  readonly host: string
  /** 0 lets the system choose one. */
  readonly port: number
}

export interface NetworkRange {
  readonly address: string
  readonly prefix: number
  readonly family: 'ipv4' | 'ipv6'
}

const maxPort = 65_535

/** `host:port`, `[IPv6]:port`; undefined for anything else. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const colon = text.lastIndexOf(':')
  if (colon < 1) return undefined
  const portText = text.slice(colon + 1)
  if (!/^\d{1,5}$/u.test(portText) || Number(portText) > maxPort) return undefined
  const hostText = text.slice(0, colon)
  const bracketed = hostText.startsWith('[') && hostText.endsWith(']')
  const host = bracketed ? hostText.slice(1, -1) : hostText
  // An IPv6 address without brackets cannot be told from its port.
  const family = isIP(host)
  const valid = bracketed ? family === 6 : family === 4 || host === 'localhost'
  return valid ? { host, port: Number(portText) } : undefined
}

/** How an address is written in a URL: IPv6 in brackets. */
export function hostAndPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true
  const address = normalizeIp(host)
  return address !== undefined && (address === '::1' || (isIPv4(address) && address.startsWith('127.')))
}

/**
 * One spelling per address, so that addresses compare as text: IPv4 inside IPv6 (`::ffff:10.0.0.1`) becomes
 * IPv4, IPv6 takes its shortest form, and a zone (`%eth0`) is dropped. Undefined for what is no IP address.
 */
export function normalizeIp(text: string): string | undefined {
  const zone = text.indexOf('%')
  const address = zone === -1 ? text : text.slice(0, zone)
  const family = isIP(address)
  if (family === 0) return undefined
  if (family === 4) return address
  const short = new SocketAddress({ address, family: 'ipv6' }).address
  const mapped = short.startsWith('::ffff:') ? short.slice('::ffff:'.length) : ''
  return isIPv4(mapped) ? mapped : short
}

/** `10.0.0.0/8`, `fd00::/8`, or a single address; undefined for anything else. */
export function parseNetworkRange(text: string): NetworkRange | undefined {
  const [addressText, prefixText, ...rest] = text.split('/')
  if (addressText === undefined || rest.length > 0) return undefined
  const address = normalizeIp(addressText)
  if (address === undefined || addressText.includes('%')) return undefined
  const family = isIPv4(address) ? 'ipv4' : 'ipv6'
  const maxPrefix = family === 'ipv4' ? 32 : 128
  if (prefixText === undefined) return { address, prefix: maxPrefix, family }
  // An IPv4 range in IPv6 spelling counts its prefix from another start: refuse it rather than guess.
  if (family === 'ipv4' && addressText.includes(':')) return undefined
  if (!/^\d{1,3}$/u.test(prefixText) || Number(prefixText) > maxPrefix) return undefined
  return { address, prefix: Number(prefixText), family }
}
