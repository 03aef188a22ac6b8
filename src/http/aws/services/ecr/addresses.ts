import type { AccountId, Region } from '../../../../values/index.ts'

export interface AddressSettings {
  /** Scheme and host that clients use; without it, those of each request. */
  readonly publicUrl?: string | undefined
  /** The domain of hosts that name a registry: `<account>.dkr.ecr.<region>.<domain>`. */
  readonly registryDomain?: string | undefined
}

/** What an answer's addresses depend on: the request, who made it, and the registry that it works on. */
export interface Addressed {
  readonly host: string
  readonly secure: boolean
  readonly context: {
    readonly actor: { readonly accountId: AccountId }
    readonly registry: { readonly accountId: AccountId; readonly region: Region }
  }
}

/** Where clients find a registry. */
export interface Addresses {
  /** Scheme and host for `docker login`: of an account's registry, or of the one that the call works on. */
  proxyEndpoint(call: Addressed, accountId?: AccountId): string
  /** What stands before a repository's name in an image's name. */
  repositoryHost(call: Addressed): string
  /** Scheme and host of links that say themselves what they are for. */
  linkOrigin(call: Addressed): string
}

/** `<account>.dkr.ecr.<region>.` before a domain. */
const registryPrefix = /^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.(?=.)/

/**
 * A registry's own host where there is a domain for such hosts; else the configured address, else the one that the
 * client itself used, which it can surely reach. That one leads everybody to the registry of their own account: another
 * account's has its name before it even where no domain is set.
 */
export function createAddresses({ publicUrl, registryDomain }: AddressSettings): Addresses {
  const configured = publicUrl === undefined ? undefined : new URL(publicUrl)

  const reachedHost = ({ host }: Addressed): string => configured?.host ?? host
  const schemeOf = ({ secure }: Addressed): string => configured?.protocol ?? (secure ? 'https:' : 'http:')

  const registryHost = (call: Addressed, accountId: AccountId): string => {
    const { actor, registry } = call.context
    const reached = reachedHost(call)
    const prefix = `${accountId}.dkr.ecr.${registry.region}.`
    if (registryDomain !== undefined) return prefix + registryDomain + portOf(reached)
    const shared = reached.replace(registryPrefix, '')
    return shared === reached && accountId === actor.accountId ? reached : prefix + shared
  }

  const repositoryHost = (call: Addressed): string => registryHost(call, call.context.registry.accountId)

  return {
    repositoryHost,
    proxyEndpoint(call, accountId = call.context.registry.accountId) {
      return `${schemeOf(call)}//${registryHost(call, accountId)}`
    },
    linkOrigin(call) {
      return `${schemeOf(call)}//${registryDomain === undefined ? reachedHost(call) : repositoryHost(call)}`
    },
  }
}

/** With its colon; empty for the scheme's own port. */
function portOf(host: string): string {
  return /:\d+$/.exec(host)?.[0] ?? ''
}
