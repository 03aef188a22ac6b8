import type { AwsEnvironment, AwsServiceName } from '../../config/aws-environment.ts'
import { awsClientError } from './errors.ts'

/** What a command line says, and what then goes before the environment and the files. */
export interface AwsOptions {
  readonly endpointUrl?: string | undefined
  readonly region?: string | undefined
  readonly profile?: string | undefined
}

/** Where the services are, and how to speak to them: the command line, the environment and the profile in one. */
export interface AwsSettings {
  readonly environment: AwsEnvironment
  /** The profile that was asked for; undefined means `default`. */
  readonly profile: string | undefined
  /** True where the command line named the profile: it then goes before access keys in the environment. */
  readonly profileIsAsked: boolean
  readonly region: string | undefined
  /** Where a service is said to be; undefined where nobody says so. Never an address of Amazon's by default. */
  endpointOf(service: AwsServiceName): string | undefined
  /** A file of certificates in the place of the machine's own. */
  readonly caBundle: string | undefined
}

type Section = Readonly<Record<string, string | undefined>>

/**
 * Resolves them as the aws command does.
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
 *
 * @throws `aws-settings-invalid` for a profile that no file has, and for an endpoint that is no URL
 */
export async function resolveAwsSettings(environment: AwsEnvironment, options: AwsOptions = {}): Promise<AwsSettings> {
  const profile = options.profile ?? environment.profile
  const { loadSharedConfigFiles } = await import('@smithy/core/config')
  const { configFile, credentialsFile } = await loadSharedConfigFiles({
    filepath: environment.credentialsFile,
    configFilepath: environment.configFile,
  })
  const name = profile ?? 'default'
  if (profile !== undefined && configFile[name] === undefined && credentialsFile[name] === undefined) {
    throw awsClientError(
      'aws-settings-invalid',
      `there is no profile ${JSON.stringify(name)} in ${environment.configFile} or ${environment.credentialsFile}.\n  Add it: aws configure --profile ${name}`,
    )
  }
  const section: Section = { ...configFile[name], ...credentialsFile[name] }
  const services: Section = (section['services'] === undefined ? undefined : configFile[`services.${section['services']}`]) ?? {}

  const configuredEndpoint = (service: AwsServiceName): string | undefined => {
    if (environment.ignoresConfiguredEndpoints) return undefined
    return (
      environment.serviceEndpointUrls[service] ??
      environment.endpointUrl ??
      services[`${service}.endpoint_url`] ??
      section['endpoint_url']
    )
  }
  return {
    environment,
    profile,
    profileIsAsked: options.profile !== undefined,
    region: options.region ?? environment.region ?? section['region'],
    endpointOf(service) {
      const text = options.endpointUrl ?? configuredEndpoint(service)
      return text === undefined ? undefined : parseEndpoint(text)
    },
    caBundle: environment.caBundle ?? section['ca_bundle'],
  }
}

/** An http or https URL, without the slash at its end. */
function parseEndpoint(text: string): string {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '' || url.search !== '') {
    throw awsClientError('aws-settings-invalid', `${JSON.stringify(text)} is no endpoint: write a URL such as https://registry.example.com`)
  }
  return url.href.replace(/\/$/u, '')
}
