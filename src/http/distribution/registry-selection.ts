import { parseAccountId, parseRegion, type AccountId, type Region } from '../../values/account.ts'
import type { Caller } from './authenticate.ts'
import { distributionError } from './errors.ts'

/** A registry by its owner and place, before anybody knows whether it exists. */
export interface RegistryAddress {
  readonly accountId: AccountId
  readonly region: Region
}

/** The longest host name of DNS. */
const maxHostLength = 253

/**
 * The registry that a host names: `<account>.dkr.ecr.<region>.<domain>`, as ECR's hosts are formed. Any other host names
 * none. `domain` undefined: any domain will do, for an installation that was not told its own.
 */
export function registryOfHost(host: string | undefined, domain: string | undefined): RegistryAddress | undefined {
  if (host === undefined || host.length > maxHostLength + ':65535'.length) return undefined
  const [account = '', dkr, ecr, region = '', ...rest] = withoutPort(host).toLowerCase().split('.')
  if (dkr !== 'dkr' || ecr !== 'ecr' || rest.length === 0) return undefined
  if (domain !== undefined && rest.join('.') !== withoutPort(domain).toLowerCase()) return undefined
  try {
    return { accountId: parseAccountId(account), region: parseRegion(region) }
  } catch {
    return undefined
  }
}

/**
 * The registry that a request works on: the one of its host, else the caller's own in the region of its token, else in
 * the installation's default region.
 *
 * @throws `token-region-mismatch`: a token opens the registries of its own region only
 */
export function selectRegistry(
  named: RegistryAddress | undefined,
  caller: Caller,
  defaultRegion: Region,
): RegistryAddress {
  if (named === undefined) return { accountId: caller.principal.accountId, region: caller.region ?? defaultRegion }
  if (caller.region !== undefined && caller.region !== named.region) {
    throw distributionError(
      'token-region-mismatch',
      `The authorization token is for region ${caller.region} and cannot be used in ${named.region}.`,
    )
  }
  return named
}

function withoutPort(host: string): string {
  const colon = host.lastIndexOf(':')
  return colon === -1 || host.endsWith(']') ? host : host.slice(0, colon)
}
