import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Environment } from './load.ts'

/** The services that the `stowage` command calls, by the names that the settings of AWS's clients have for them. */
export const awsServiceNames = ['ecr', 'iam', 'sts', 'cloudtrail', 'eventbridge', 'cloudwatch', 'cloudwatch_logs', 'stowage'] as const

export type AwsServiceName = (typeof awsServiceNames)[number]

/**
 * What the aws command and the AWS SDKs read from the environment, unresolved: files are not opened, and a variable that
 * is unset or empty is undefined.
 * https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html
 */
export interface AwsEnvironment {
  readonly accessKeyId: string | undefined
  readonly secretAccessKey: string | undefined
  readonly sessionToken: string | undefined
  readonly profile: string | undefined
  readonly region: string | undefined
  readonly credentialsFile: string
  readonly configFile: string
  readonly endpointUrl: string | undefined
  readonly serviceEndpointUrls: Readonly<Partial<Record<AwsServiceName, string>>>
  /** AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: neither the environment nor the files say where a service is. */
  readonly ignoresConfiguredEndpoints: boolean
  /** AWS_ROLE_ARN, also where no token's file goes with it. */
  readonly roleArn: string | undefined
  readonly webIdentity: { readonly tokenFile: string; readonly roleArn: string; readonly sessionName: string | undefined } | undefined
  /** Certificates that servers are checked with, in the place of the machine's own. */
  readonly caBundle: string | undefined
  /** HTTP_PROXY and its kin, in the form that Node's agents take. */
  readonly proxy: Readonly<Record<string, string>>
  /** Where a user's programs keep what they can make anew. */
  readonly cacheDir: string
  readonly homeDir: string
}

const proxyNames = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'] as const

/** Reads them. Like the aws command, AWS_REGION goes before AWS_DEFAULT_REGION. */
export function readAwsEnvironment(environment: Environment = process.env): AwsEnvironment {
  const text = (name: string): string | undefined => {
    const value = environment[name]
    return value === undefined || value === '' ? undefined : value
  }
  const home = text('HOME') ?? homedir()
  const tokenFile = text('AWS_WEB_IDENTITY_TOKEN_FILE')
  const roleArn = text('AWS_ROLE_ARN')
  const serviceUrls = awsServiceNames.flatMap((name) => {
    const url = text(`AWS_ENDPOINT_URL_${name.toUpperCase()}`)
    return url === undefined ? [] : [[name, url] as const]
  })
  const proxies = proxyNames.flatMap((name) => {
    const value = text(name.toLowerCase()) ?? text(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    accessKeyId: text('AWS_ACCESS_KEY_ID'),
    secretAccessKey: text('AWS_SECRET_ACCESS_KEY'),
    sessionToken: text('AWS_SESSION_TOKEN'),
    profile: text('AWS_PROFILE') ?? text('AWS_DEFAULT_PROFILE'),
    region: text('AWS_REGION') ?? text('AWS_DEFAULT_REGION'),
    credentialsFile: text('AWS_SHARED_CREDENTIALS_FILE') ?? join(home, '.aws/credentials'),
    configFile: text('AWS_CONFIG_FILE') ?? join(home, '.aws/config'),
    endpointUrl: text('AWS_ENDPOINT_URL'),
    serviceEndpointUrls: Object.fromEntries(serviceUrls),
    ignoresConfiguredEndpoints: text('AWS_IGNORE_CONFIGURED_ENDPOINT_URLS')?.toLowerCase() === 'true',
    roleArn,
    webIdentity:
      tokenFile === undefined || roleArn === undefined
        ? undefined
        : { tokenFile, roleArn, sessionName: text('AWS_ROLE_SESSION_NAME') },
    caBundle: text('AWS_CA_BUNDLE'),
    proxy: Object.fromEntries(proxies),
    cacheDir: text('XDG_CACHE_HOME') ?? join(home, '.cache'),
    homeDir: home,
  }
}
