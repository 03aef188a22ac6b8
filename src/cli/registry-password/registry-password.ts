import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AwsEnvironment } from '../../config/aws-environment.ts'
import type { Clock } from '../../internal/clock.ts'
import type { IdSource } from '../../internal/ids.ts'
import { isPlatformError } from '../../internal/platform-error.ts'
import { createAwsAccess } from '../aws/access.ts'
import { assumeRoleWithWebIdentity, type WebIdentity } from '../aws/credentials.ts'
import { awsClientError } from '../aws/errors.ts'
import { resolveAwsSettings, type AwsSettings } from '../aws/settings.ts'
import { PasswordCache, type RegistryPassword } from './password-cache.ts'
import type { RegistryHost } from './registry-host.ts'

export interface PasswordDependencies {
  readonly environment: AwsEnvironment
  readonly clock: Clock
  readonly ids: IdSource
}

/**
 * A password of a registry for whoever the AWS settings stand for, kept in the user's cache. A kept one is given out for the
 * first half of its life: whoever begins a long push with it has the other half.
 *
 * @throws the codes of aws/errors.ts
 */
export async function cachedRegistryPassword(deps: PasswordDependencies, host: RegistryHost): Promise<RegistryPassword> {
  const cache = new PasswordCache(deps.environment.cacheDir, deps.ids)
  const key = cacheKey(deps.environment, host)
  const now = deps.clock.now()
  const kept = cache.read(key)
  if (kept !== undefined && isFresh(kept, now)) return kept
  const password = await fetchRegistryPassword(deps, host)
  cache.sweep(now)
  cache.write(key, host.name, password)
  return password
}

/**
 * Asks for a password: as whoever the AWS settings stand for, or as a role that a web identity may take.
 *
 * The registry itself is asked, at its own host, unless the settings say where ECR's API is. What another server than the
 * registry's issued is not given out: docker would send it to the registry, whose owner could use it there.
 *
 * @throws the codes of aws/errors.ts
 */
export async function fetchRegistryPassword(deps: PasswordDependencies, host: RegistryHost, identity?: WebIdentity): Promise<RegistryPassword> {
  const settings = await resolveAwsSettings(deps.environment)
  const configured = settings.endpointOf('ecr')
  if (configured !== undefined) return requestPassword(deps, settings, host, configured, identity)
  try {
    return await requestPassword(deps, settings, host, `https://${host.name}`, identity)
  } catch (error) {
    const speaksPlainHttp = isPlatformError(error, 'aws-unreachable') && ['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER'].includes(String(error.detail['code']))
    if (!host.isLoopback || !speaksPlainHttp) throw error
    return requestPassword(deps, settings, host, `http://${host.name}`, identity)
  }
}

async function requestPassword(
  deps: PasswordDependencies,
  settings: AwsSettings,
  host: RegistryHost,
  endpoint: string,
  identity: WebIdentity | undefined,
): Promise<RegistryPassword> {
  const region = host.ecr?.region ?? settings.region
  if (region === undefined) {
    throw awsClientError(
      'aws-region-missing',
      `it is not said in which region ${host.name} is.\n  Say so: export AWS_REGION=us-east-1   (or region in the profile)`,
    )
  }
  const access = createAwsAccess(settings, {
    region,
    defaultEndpoint: endpoint,
    certificateFiles: dockerCertificateFiles(deps.environment, host),
    ...(identity !== undefined && { credentials: (connection) => assumeRoleWithWebIdentity(connection, identity) }),
  })
  const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr')
  // The region of the registry's name goes before that of the settings: a password is good in one region.
  const client = new ECRClient({ ...access.clientConfig('ecr'), region })
  const issuedAt = deps.clock.now()
  try {
    const { authorizationData } = await access.call('ecr', () => client.send(new GetAuthorizationTokenCommand({})))
    const { authorizationToken, expiresAt, proxyEndpoint } = authorizationData?.[0] ?? {}
    const pair = Buffer.from(authorizationToken ?? '', 'base64').toString()
    const colon = pair.indexOf(':')
    if (colon === -1 || expiresAt === undefined) {
      throw awsClientError('aws-refused', `${endpoint} answered GetAuthorizationToken without a password: is it a Stowage server?`)
    }
    requireSameServer(host, endpoint, proxyEndpoint)
    return { username: pair.slice(0, colon), secret: pair.slice(colon + 1), issuedAt, expiresAt: expiresAt.getTime() }
  } finally {
    client.destroy()
  }
}

/** @throws `aws-settings-invalid` where the API that was asked is not known to be the registry's own */
function requireSameServer(host: RegistryHost, endpoint: string, proxyEndpoint: string | undefined): void {
  const asked = URL.parse(endpoint)?.host
  const told = proxyEndpoint === undefined ? undefined : URL.parse(proxyEndpoint)?.host
  if (withPort(host.name) === withPort(asked) || withPort(host.name) === withPort(told)) return
  const toldDomain = /^\d{12}\.dkr\.ecr\.[a-z\d-]+\.(.+)$/u.exec(told ?? '')?.[1]
  if (host.ecr !== undefined && host.ecr.domain === toldDomain) return
  throw awsClientError(
    'aws-settings-invalid',
    `the settings say that ECR's API is at ${endpoint}, whose registry is ${told ?? 'unknown'}, not ${host.name}: its password is not given to ${host.name}.\n  Unset AWS_ENDPOINT_URL to ask ${host.name} itself, or set AWS_ENDPOINT_URL_ECR to where its API is.`,
  )
}

/** A host and its port; of an absent port, those of HTTPS and HTTP are the same here. */
function withPort(host: string | undefined): string | undefined {
  return host?.replace(/:(?:443|80)$/u, '')
}

function isFresh({ issuedAt, expiresAt }: RegistryPassword, now: number): boolean {
  return now >= issuedAt && now < issuedAt + (expiresAt - issuedAt) / 2
}

/** Where docker and podman look for the authority of a registry: what they trust is trusted here. */
function dockerCertificateFiles({ homeDir }: AwsEnvironment, { name }: RegistryHost): string[] {
  const folders = ['/etc/docker/certs.d', '/etc/containers/certs.d', join(homeDir, '.config/docker/certs.d'), join(homeDir, '.config/containers/certs.d')]
  return folders.map((folder) => join(folder, name, 'ca.crt'))
}

/**
 * What decides whose password it is and for which registry, as one digest. The files count with all of their text, so that
 * no change of theirs is missed; secrets are none of it but there, hashed with the rest.
 */
function cacheKey(environment: AwsEnvironment, host: RegistryHost): string {
  const { accessKeyId, profile, region, endpointUrl, serviceEndpointUrls, ignoresConfiguredEndpoints, webIdentity } = environment
  const facts = [
    // The first element changes with what an entry means.
    ...[1, host.name, accessKeyId, profile, region, endpointUrl, serviceEndpointUrls, ignoresConfiguredEndpoints],
    ...[webIdentity, textOf(webIdentity?.tokenFile), textOf(environment.credentialsFile), textOf(environment.configFile)],
  ]
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex')
}

function textOf(file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
