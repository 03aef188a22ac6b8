import { readFile } from 'node:fs/promises'
import type { AwsConnection } from './connection.ts'
import { awsClientError } from './errors.ts'

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}

/** A token of an identity provider, and the role that it is to be exchanged for. */
export interface WebIdentity {
  readonly roleArn: string
  readonly token: string
  /** Shown in the session's ARN and in audit records. */
  readonly sessionName: string
}

/**
 * Finds credentials where the aws command does, in its order: a profile named on the command line; access keys in the
 * environment; a web identity in the environment; the profile's, which may be keys, a role of another profile, a web
 * identity or a program. It asks no machine's or container's metadata service: what is there is Amazon's.
 *
 * @throws `aws-credentials-missing`, and the errors of the STS calls that some need
 */
export async function resolveCredentials(connection: AwsConnection): Promise<AwsCredentials> {
  const { environment, profileIsAsked } = connection.settings
  if (!profileIsAsked) {
    const { accessKeyId, secretAccessKey, sessionToken, webIdentity } = environment
    if (accessKeyId !== undefined && secretAccessKey !== undefined) {
      return { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) }
    }
    if (accessKeyId !== undefined || secretAccessKey !== undefined) {
      const [present, absent] = accessKeyId === undefined ? ['AWS_SECRET_ACCESS_KEY', 'AWS_ACCESS_KEY_ID'] : ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']
      throw awsClientError('aws-credentials-missing', `${present} is set and ${absent} is not.\n  Set both, or neither.`)
    }
    if (webIdentity !== undefined) {
      return assumeRoleWithWebIdentity(connection, {
        roleArn: webIdentity.roleArn,
        token: await readTokenFile(webIdentity.tokenFile),
        sessionName: webIdentity.sessionName ?? 'stowage',
      })
    }
  }
  return credentialsOfProfile(connection)
}

/**
 * Exchanges a token for the temporary credentials of a role: an unsigned call, open to whoever holds the token.
 *
 * @throws `aws-refused` with STS's words, `aws-unreachable`
 */
export async function assumeRoleWithWebIdentity(connection: AwsConnection, identity: WebIdentity): Promise<AwsCredentials> {
  const { STSClient, AssumeRoleWithWebIdentityCommand } = await import('@aws-sdk/client-sts')
  const client = new STSClient(connection.configOf('sts'))
  try {
    const { Credentials: issued } = await connection.call('sts', () =>
      client.send(
        new AssumeRoleWithWebIdentityCommand({
          RoleArn: identity.roleArn,
          RoleSessionName: identity.sessionName,
          WebIdentityToken: identity.token,
        }),
      ),
    )
    if (issued?.AccessKeyId === undefined || issued.SecretAccessKey === undefined || issued.SessionToken === undefined) {
      throw awsClientError('aws-refused', `${connection.endpointOf('sts')} answered AssumeRoleWithWebIdentity without credentials`)
    }
    return {
      accessKeyId: issued.AccessKeyId,
      secretAccessKey: issued.SecretAccessKey,
      sessionToken: issued.SessionToken,
      ...(issued.Expiration !== undefined && { expiration: issued.Expiration }),
    }
  } finally {
    client.destroy()
  }
}

async function credentialsOfProfile(connection: AwsConnection): Promise<AwsCredentials> {
  const { environment, profile } = connection.settings
  const { fromIni } = await import('@aws-sdk/credential-provider-ini')
  const provider = fromIni({
    profile: profile ?? 'default',
    filepath: environment.credentialsFile,
    configFilepath: environment.configFile,
    clientConfig: connection.configOf('sts'),
  })
  try {
    return await connection.call('sts', () => provider())
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'CredentialsProviderError') throw error
    const where = profile === undefined ? 'there are no credentials in the environment or the default profile' : `profile ${JSON.stringify(profile)} gives no credentials: ${error.message}`
    throw awsClientError(
      'aws-credentials-missing',
      `${where}.\n  Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run: aws configure`,
      { cause: error },
    )
  }
}

async function readTokenFile(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw awsClientError(
      'aws-credentials-missing',
      `the token in ${path} cannot be read (${code ?? 'unknown'}).\n  AWS_WEB_IDENTITY_TOKEN_FILE has to name a file that this user may read.`,
    )
  }
}
