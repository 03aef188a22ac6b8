import type { AwsServiceName } from '../../config/aws-environment.ts'
import { createAwsConnection, type AwsConnection, type AwsConnectionConfig, type ConnectionOptions } from './connection.ts'
import { resolveCredentials, type AwsCredentials } from './credentials.ts'
import type { AwsSettings } from './settings.ts'

/** What every client of an AWS SDK takes. */
export interface AwsClientConfig extends AwsConnectionConfig {
  readonly credentials: () => Promise<AwsCredentials>
}

/** How to reach the services, and as whom. */
export interface AwsAccess extends AwsConnection {
  clientConfig(service: AwsServiceName): AwsClientConfig
}

/** Opens no connection yet. `credentials` goes before those that the settings lead to, and is asked once. */
export function createAwsAccess(
  settings: AwsSettings,
  options: ConnectionOptions & { readonly credentials?: (connection: AwsConnection) => Promise<AwsCredentials> } = {},
): AwsAccess {
  const connection = createAwsConnection(settings, options)
  let credentials: Promise<AwsCredentials> | undefined
  return {
    ...connection,
    clientConfig: (service) => ({
      ...connection.configOf(service),
      credentials: () => (credentials ??= (options.credentials ?? resolveCredentials)(connection)),
    }),
  }
}
