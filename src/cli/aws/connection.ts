import { readFileSync } from 'node:fs'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import tls from 'node:tls'
import { awsServiceNames, type AwsServiceName } from '../../config/aws-environment.ts'
import { awsClientError, toAwsClientError } from './errors.ts'
import type { AwsSettings } from './settings.ts'

/** Long enough for a server that is busy, short enough for somebody who waits at a terminal. */
const connectTimeoutMs = 10_000
const answerTimeoutMs = 60_000

/** What every client of an AWS SDK takes, but for who asks. */
export interface AwsConnectionConfig {
  readonly endpoint: string
  readonly region: string
  readonly requestHandler: {
    readonly httpAgent: HttpAgent
    readonly httpsAgent: HttpsAgent
    readonly connectionTimeout: number
    readonly requestTimeout: number
  }
  readonly maxAttempts: number
}

export interface ConnectionOptions {
  /** Where a service is when the settings do not say: a registry is asked at its own host. */
  readonly defaultEndpoint?: string | undefined
  /** Files of further certificates to trust beside the machine's own; those that are absent are done without. */
  readonly certificateFiles?: readonly string[]
  /** Where the settings do not say one. */
  readonly region?: string | undefined
}

/** How to reach the services. */
export interface AwsConnection {
  readonly settings: AwsSettings
  /** @throws `aws-endpoint-missing` where nobody says where the service is; it is never Amazon's own. */
  endpointOf(service: AwsServiceName): string
  configOf(service: AwsServiceName): AwsConnectionConfig
  /** Calls a service, and tells a failure in terms of the endpoint. @throws `aws-unreachable`, `aws-refused` */
  call<Result>(service: AwsServiceName, send: () => Promise<Result>): Promise<Result>
}

/** Opens no connection yet. The certificates are read with the first configuration. @throws `aws-settings-invalid` */
export function createAwsConnection(settings: AwsSettings, options: ConnectionOptions = {}): AwsConnection {
  let agents: { readonly httpAgent: HttpAgent; readonly httpsAgent: HttpsAgent } | undefined
  const connection: AwsConnection = {
    settings,
    endpointOf(service) {
      const endpoint = settings.endpointOf(service) ?? options.defaultEndpoint
      if (endpoint !== undefined) return endpoint
      // A server has all of its services at one address: where one is, the others are.
      const another = awsServiceNames.map((name) => settings.endpointOf(name)).find((url) => url !== undefined)
      if (another !== undefined) return another
      throw awsClientError(
        'aws-endpoint-missing',
        'it is not said where the server is.\n  Say so: export AWS_ENDPOINT_URL=http://localhost:5050   (or --endpoint-url, or endpoint_url in the profile)',
      )
    },
    configOf(service) {
      agents ??= createAgents(settings, options.certificateFiles ?? [])
      return {
        endpoint: connection.endpointOf(service),
        // IAM and STS are the same in every region; what depends on it asks for one first.
        region: settings.region ?? options.region ?? 'us-east-1',
        requestHandler: { ...agents, connectionTimeout: connectTimeoutMs, requestTimeout: answerTimeoutMs },
        maxAttempts: 3,
      }
    },
    async call(service, send) {
      try {
        return await send()
      } catch (error) {
        throw toAwsClientError(error, connection.endpointOf(service))
      }
    },
  }
  return connection
}

function createAgents(settings: AwsSettings, certificateFiles: readonly string[]): { httpAgent: HttpAgent; httpsAgent: HttpsAgent } {
  const proxyEnv = settings.environment.proxy
  return {
    httpAgent: new HttpAgent({ proxyEnv }),
    httpsAgent: new HttpsAgent({ proxyEnv, ca: trustedCertificates(settings.caBundle, certificateFiles) }),
  }
}

/** A bundle stands alone, as it does for the aws command. Without one: what Node, the machine and docker trust. */
function trustedCertificates(caBundle: string | undefined, certificateFiles: readonly string[]): string[] {
  if (caBundle !== undefined) {
    try {
      return [readFileSync(caBundle, 'utf8')]
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      throw awsClientError(
        'aws-settings-invalid',
        `the certificates in ${caBundle} cannot be read (${code ?? 'unknown'}).\n  Set AWS_CA_BUNDLE to a file that this user may read, or unset it.`,
      )
    }
  }
  const further = certificateFiles.flatMap((file) => {
    try {
      return [readFileSync(file, 'utf8')]
    } catch {
      return []
    }
  })
  return [...tls.getCACertificates('default'), ...tls.getCACertificates('system'), ...further]
}
