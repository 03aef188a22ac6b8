import { parseAccountId, type AccountId } from '../values/account.ts'

/** Whose providers may be at a host with a private address. */
export type HostUsers = 'home' | 'every' | ReadonlySet<AccountId>

/** By `host:port` in lower case, an IPv6 address without brackets. */
export type PrivateHosts = ReadonlyMap<string, HostUsers>

/**
 * Hosts with commas between them, each with a port where it is not 443 and, after `=`, with the accounts it is for:
 * `gitlab.corp.example:8443=123456789012+210987654321`, or `=*` for all of them. Undefined for any other text, and
 * where a host is written twice.
 */
export function parsePrivateHosts(text: string): PrivateHosts | undefined {
  const hosts = new Map<string, HostUsers>()
  for (const part of text.split(',').map((each) => each.trim())) {
    if (part === '') continue
    const [written = '', accounts, ...more] = part.split('=').map((each) => each.trim())
    const host = parseHost(written)
    const users = parseUsers(accounts)
    if (host === undefined || users === undefined || more.length > 0 || hosts.has(host)) return undefined
    hosts.set(host, users)
  }
  return hosts
}

/** @param host `host:port` in lower case */
export function mayUsePrivateHost(hosts: PrivateHosts, homeAccountId: AccountId, host: string, accountId: string): boolean {
  const users = hosts.get(host)
  if (users === undefined) return false
  if (users === 'every') return true
  return users === 'home' ? accountId === homeAccountId : users.has(accountId as AccountId)
}

function parseHost(text: string): string | undefined {
  const url = /^[^\s/?#@\\]+$/u.test(text) ? URL.parse(`https://${text}`) : null
  return url === null ? undefined : `${url.hostname.replace(/^\[|\]$/gu, '')}:${url.port === '' ? '443' : url.port}`
}

function parseUsers(text: string | undefined): HostUsers | undefined {
  if (text === undefined) return 'home'
  if (text === '*') return 'every'
  try {
    return new Set(text.split('+').map((account) => parseAccountId(account.trim())))
  } catch {
    return undefined
  }
}
