import { isIP } from 'node:net'

/** The name of a registry as it stands in front of an image's name. */
export interface RegistryHost {
  /** Lower case, with its port if it has one. */
  readonly name: string
  /** True for this machine itself: docker speaks plain HTTP to it where there is no TLS. */
  readonly isLoopback: boolean
  /** Of a name of ECR's form, `<account>.dkr.ecr.<region>.<domain>`. */
  readonly ecr: { readonly accountId: string; readonly region: string; readonly domain: string } | undefined
}

const hostPattern = /^(?:[a-z\d](?:[a-z\d.-]{0,251}[a-z\d])?|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/u
const ecrPattern = /^(\d{12})\.dkr\.ecr\.([a-z\d-]{2,25})\.(.+)$/u

/** Reads a host as docker and kubelets write it, with or without a scheme and a path; undefined for what is none. */
export function parseRegistryHost(text: string): RegistryHost | undefined {
  const name = text
    .trim()
    .toLowerCase()
    .replace(/^https?:\/\//u, '')
    .replace(/\/.*$/su, '')
  if (!hostPattern.test(name)) return undefined
  const [, accountId, region, domain] = ecrPattern.exec(name) ?? []
  return {
    name,
    isLoopback: isLoopbackHost(name.replace(/:\d+$/u, '')),
    ecr: accountId === undefined || region === undefined || domain === undefined ? undefined : { accountId, region, domain },
  }
}

/**
 * The registry's host in an image's name; undefined where the name has none and means Docker Hub: the part before the
 * first slash is a host only if it has a dot or a colon, or is `localhost`.
 */
export function registryHostOfImage(image: string): RegistryHost | undefined {
  const slash = image.indexOf('/')
  const first = slash === -1 ? '' : image.slice(0, slash)
  return first === 'localhost' || /[.:]/u.test(first) ? parseRegistryHost(first) : undefined
}

function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'))
}
