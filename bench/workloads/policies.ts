import { ECRClient, GetAuthorizationTokenCommand, SetRepositoryPolicyCommand } from '@aws-sdk/client-ecr'
import { AttachUserPolicyCommand, CreateAccessKeyCommand, CreatePolicyCommand, CreateUserCommand, IAMClient } from '@aws-sdk/client-iam'
import { manifestAccept, type RegistryClient } from '../registry-client.ts'
import { pushTaggedImage, repository, tag } from './manifests.ts'
import type { Workload } from './workload.ts'

/** The server whose requests are made under policies; on the other one the root makes them. */
export const underPolicies = 'policies'

const statementCount = 20

/**
 * As a team's policy is: most statements are about something else, some deny, most have conditions, and the one that
 * allows the pull comes last.
 */
function identityPolicy(): string {
  const arn = (name: string): string => `arn:aws:ecr:us-east-1:000000000000:repository/${name}`
  const about = (index: number): object => ({
    Sid: `Team${index}`,
    Effect: index % 4 === 0 ? 'Deny' : 'Allow',
    Action: index % 2 === 0 ? ['ecr:Batch*', 'ecr:GetDownloadUrlForLayer'] : 'ecr:*',
    Resource: index % 5 === 0 ? arn('*') : arn(`team-${index}/*`),
    Condition: index % 5 === 0 ? { StringLike: { 'stowage:ImageTag': `prod-${index}-*` } } : { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } },
  })
  const statements = [
    { Effect: 'Allow', Action: 'ecr:GetAuthorizationToken', Resource: '*' },
    ...Array.from({ length: statementCount - 2 }, (_, index) => about(index + 1)),
    {
      Effect: 'Allow',
      Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
      Resource: arn('bench/*'),
      Condition: { StringLike: { 'stowage:ImageTag': ['1.*', 'dev-*'] }, IpAddress: { 'aws:SourceIp': '127.0.0.0/8' }, DateGreaterThan: { 'aws:CurrentTime': '2020-01-01T00:00:00Z' } },
    },
  ]
  return JSON.stringify({ Version: '2012-10-17', Statement: statements })
}

const repositoryPolicy = JSON.stringify({
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Principal: { AWS: 'arn:aws:iam::111122223333:root' }, Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'] },
    { Effect: 'Deny', Principal: '*', Action: 'ecr:*', Condition: { StringEquals: { 'ecr:ResourceTag/state': 'frozen' } } },
  ],
})

/** Answers the Authorization header of a user with twenty statements, on a repository with a policy. */
async function loginUnderPolicies(registry: RegistryClient): Promise<string> {
  const { ecr: access, host, port } = registry.target
  if (access === null) throw new Error('the server has no policies')
  const settings = { endpoint: `http://${host}:${port}`, region: access.region }
  const iam = new IAMClient({ ...settings, credentials: access })
  const owner = new ECRClient({ ...settings, credentials: access })
  const UserName = 'bench'
  await iam.send(new CreateUserCommand({ UserName }))
  const { Policy } = await iam.send(new CreatePolicyCommand({ PolicyName: 'bench', PolicyDocument: identityPolicy() }))
  await iam.send(new AttachUserPolicyCommand({ UserName, PolicyArn: Policy?.Arn }))
  await owner.send(new SetRepositoryPolicyCommand({ repositoryName: repository, policyText: repositoryPolicy }))
  const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName }))
  const credentials = { accessKeyId: AccessKey?.AccessKeyId ?? '', secretAccessKey: AccessKey?.SecretAccessKey ?? '' }
  const user = new ECRClient({ ...settings, credentials })
  const { authorizationData } = await user.send(new GetAuthorizationTokenCommand({}))
  for (const client of [iam, owner, user]) client.destroy()
  return `Basic ${authorizationData?.[0]?.authorizationToken ?? ''}`
}

export const policyWorkloads: readonly Workload[] = [10, 32, 128].map((concurrency) => ({
  name: `policy-manifest-get-c${concurrency}`,
  title: 'Manifest GET by tag (wrk)',
  operation: 'GET',
  concurrency,
  unit: 'operations',
  roundMs: 1000,
  async open(registry) {
    await pushTaggedImage(registry)
    const authorization = registry.target.name === underPolicies ? await registry.once('login under policies', () => loginUnderPolicies(registry)) : undefined
    const headers = { accept: manifestAccept, ...(authorization === undefined ? {} : { authorization }) }
    return { prepareRound: async () => ({ kind: 'wrk', path: `/v2/${repository}/manifests/${tag}`, headers }) }
  },
}))
