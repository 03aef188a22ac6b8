import type { AccountId, Region } from '../../../../values/index.ts'

export interface AddressSettings {
  /** Scheme and host that clients use; without it, those of each request. */
  readonly publicUrl?: string | undefined
  /** The domain of hosts that name a registry: `<account>.dkr.ecr.<region>.<domain>`. */
  readonly registryDomain?: string | undefined
}

/** What an answer's addresses depend on: the request, and the registry that it works on. */
export interface Addressed {
  readonly host: string
  readonly secure: boolean
  readonly context: { readonly registry: { readonly accountId: AccountId; readonly region: Region } }
}

/** Where clients find a registry. */
export interface Addresses {
  /** Scheme and host, for `docker login` and download URLs. */
  proxyEndpoint(call: Addressed): string
  /** What stands before a repository's name in an image's name. */
  repositoryHost(call: Addressed): string
}

/**
 * A registry's own host where there is a domain for such hosts; else the configured address, else the one that the
 * client itself used, which it can surely reach.
 */
export function createAddresses({ publicUrl, registryDomain }: AddressSettings): Addresses {
  const configured = publicUrl === undefined ? undefined : new URL(publicUrl)

  const repositoryHost = ({ host, context }: Addressed): string => {
    const reached = configured?.host ?? host
    if (registryDomain === undefined) return reached
    const { accountId, region } = context.registry
    return `${accountId}.dkr.ecr.${region}.${registryDomain}${portOf(reached)}`
  }

  return {
    repositoryHost,
    proxyEndpoint(call) {
      const scheme = configured?.protocol ?? (call.secure ? 'https:' : 'http:')
      return `${scheme}//${repositoryHost(call)}`
    },
  }
}

/** With its colon; empty for the scheme's own port. */
function portOf(host: string): string {
  return /:\d+$/.exec(host)?.[0] ?? ''
}
