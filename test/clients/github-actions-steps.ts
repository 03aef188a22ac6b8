/*
 * What the steps of a GitHub workflow ask of AWS, in their order and with their settings: aws-actions/configure-aws-credentials
 * (v4 and later) with a role and the job's token, then aws-actions/amazon-ecr-login (v2). Endpoints and region come from the
 * environment, as they do there; the answer is what the second one hands to `docker login`.
 */
import { ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr'
import { AssumeRoleWithWebIdentityCommand, GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'

const { AWS_REGION: region = '', JOB_TOKEN: token = '', ROLE_TO_ASSUME: role = '' } = process.env

const configureUserAgent = 'configure-aws-credentials-for-github-actions'
const { Credentials: given } = await new STSClient({ region, customUserAgent: configureUserAgent }).send(
  new AssumeRoleWithWebIdentityCommand({
    RoleArn: role,
    RoleSessionName: 'GitHubActions',
    DurationSeconds: 3600,
    WebIdentityToken: token,
  }),
)
process.env['AWS_ACCESS_KEY_ID'] = given?.AccessKeyId ?? ''
process.env['AWS_SECRET_ACCESS_KEY'] = given?.SecretAccessKey ?? ''
process.env['AWS_SESSION_TOKEN'] = given?.SessionToken ?? ''
const identity = await new STSClient({ region, customUserAgent: configureUserAgent }).send(new GetCallerIdentityCommand({}))

const { authorizationData = [] } = await new ECRClient({ customUserAgent: 'amazon-ecr-login-for-github-actions' }).send(
  new GetAuthorizationTokenCommand({}),
)
const logins = authorizationData.map(({ authorizationToken = '', proxyEndpoint = '' }) => {
  const [username, password] = Buffer.from(authorizationToken, 'base64').toString('utf8').split(':', 2)
  return { username, password, registry: proxyEndpoint.replace(/^https?:\/\//, '') }
})
process.stdout.write(JSON.stringify({ account: identity.Account, arn: identity.Arn, logins }))
