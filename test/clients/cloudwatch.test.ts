import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloudWatchClient, GetMetricDataCommand, GetMetricStatisticsCommand, ListMetricsCommand, PutMetricDataCommand } from '@aws-sdk/client-cloudwatch'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { newAccount } from '../support/identities.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { ensureTool } from '../support/tools.ts'

const repository = 'metrics/app'
const maxAttempts = 60

/** The SDK's other protocols, as its client has them for itself. */
const { AwsJson1_0Protocol, AwsQueryProtocol, AwsSmithyRpcV2CborProtocol } = createRequire(createRequire(import.meta.url).resolve('@aws-sdk/client-cloudwatch'))('@aws-sdk/core/protocols') as Record<string, never>

let stowage: Stowage
let aws: AwsClient

beforeAll(async () => {
  stowage = await startStowage()
  aws = createAwsClient(stowage)
  await aws.json('ecr', 'create-repository', '--repository-name', repository)
  await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, buildImage({ seed: 'metrics' }), 'v1')
  const client = createDistributionClient(stowage.url, stowage.credentials)
  for (const agent of ['containerd/v2.1.0', 'containerd/v2.1.0', 'trivy/0.65.0']) {
    await client.request('GET', `/v2/${repository}/manifests/v1`, { headers: { 'user-agent': agent } })
  }
  await client.request('HEAD', `/v2/${repository}/manifests/v1`)
  await client.request('GET', `/v2/${repository}/manifests/absent`)
  client.close()
})
afterAll(() => stowage?.stop())

async function sumOf(namespace: string, name: string, dimension: string, value: string): Promise<number> {
  const now = Date.now()
  const span = ['--start-time', new Date(now - 3_600_000).toISOString(), '--end-time', new Date(now + 60_000).toISOString()]
  const { Datapoints } = await aws.json('cloudwatch', 'get-metric-statistics', '--namespace', namespace, '--metric-name', name, '--dimensions', `Name=${dimension},Value=${value}`, '--period', '60', '--statistics', 'Sum', ...span)
  return Datapoints.reduce((sum, { Sum = 0 }) => sum + Sum, 0)
}

test('the aws command tells how often a repository was pulled from, and by whom', async () => {
  let pulls = 0
  for (let attempt = 0; attempt < maxAttempts && pulls < 3; attempt += 1) {
    pulls = await sumOf('AWS/ECR', 'RepositoryPullCount', 'RepositoryName', repository)
    if (pulls < 3) await sleep(100)
  }
  expect(pulls).toBe(3)
  expect(await sumOf('Stowage', 'PullCount', 'ClientKind', 'workload')).toBe(2)
  expect(await sumOf('Stowage', 'PullCount', 'ClientKind', 'scanner')).toBe(1)
  expect(await sumOf('Stowage', 'PushCount', 'RepositoryName', repository)).toBe(1)
  const { Metrics } = await aws.json('cloudwatch', 'list-metrics', '--namespace', 'AWS/ECR')
  expect(Metrics).toEqual([{ Namespace: 'AWS/ECR', MetricName: 'RepositoryPullCount', Dimensions: [{ Name: 'RepositoryName', Value: repository }] }])
  await aws.json('cloudwatch', 'put-metric-data', '--namespace', 'Shell', '--metric-name', 'Backups', '--value', '3', '--unit', 'Count', '--dimensions', 'Host=a')
  expect(await sumOf('Shell', 'Backups', 'Host', 'a')).toBe(3)
  expect(await aws.failure('cloudwatch', 'put-metric-data', '--namespace', 'AWS/X', '--metric-name', 'x', '--value', '3')).toContain('(InvalidParameterValue)')
})

test.each([
  ['default', 'json'],
  ['smithy-rpc-v2-cbor', 'smithy-rpc-v2-cbor'],
  ['query', 'query'],
])('boto3 puts and reads metrics (protocol: %s)', async (asked, used) => {
  const env = { ...stowage.awsEnv, PYTHONDONTWRITEBYTECODE: '1' }
  const { stdout } = await run(ensureTool('python'), [join(import.meta.dirname, 'boto3_cloudwatch.py'), asked], { env })
  expect(stdout).toBe(`${used}\n`)
})

test.each([
  ['default', undefined, AwsJson1_0Protocol],
  ['CBOR', AwsSmithyRpcV2CborProtocol, AwsSmithyRpcV2CborProtocol],
  ['Query', AwsQueryProtocol, AwsQueryProtocol],
] as const)('the JavaScript SDK puts and reads metrics (protocol: %s)', async (name, protocol, used) => {
  // In CBOR this version of the SDK declares the length that a body has before it is compressed.
  const client = new CloudWatchClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys, maxAttempts: 1, ...(protocol === undefined ? {} : { protocol }), ...(name === 'CBOR' ? { disableRequestCompression: true } : {}) })
  try {
    expect(client.config.protocol).toBeInstanceOf(used)
    const minute = new Date(Math.floor(Date.now() / 60_000) * 60_000)
    const span = { StartTime: new Date(minute.getTime() - 600_000), EndTime: new Date(minute.getTime() + 60_000) }
    const metric = { Namespace: `JavaScript/${name}`, MetricName: 'Queue', Dimensions: [{ Name: 'Host', Value: 'a' }] }
    // Enough to be sent compressed by default.
    const data = Array.from({ length: 300 }, (_, n) => ({ MetricName: `n${n}`, Value: n, Timestamp: minute, Dimensions: metric.Dimensions }))
    await client.send(new PutMetricDataCommand({ Namespace: metric.Namespace, MetricData: [{ ...metric, Timestamp: minute, Values: [1, 2.5], Counts: [2, 4], Unit: 'Count' }, ...data] }))
    expect((await client.send(new GetMetricStatisticsCommand({ ...metric, ...span, Period: 60, Statistics: ['Sum', 'SampleCount'] }))).Datapoints).toEqual([{ Timestamp: minute, Sum: 12, SampleCount: 6, Unit: 'Count' }])
    const { Metrics = [], NextToken } = await client.send(new ListMetricsCommand({ Namespace: metric.Namespace }))
    expect(Metrics).toHaveLength(301)
    expect(NextToken).toBeUndefined()
    const { MetricDataResults } = await client.send(new GetMetricDataCommand({ ...span, MetricDataQueries: [{ Id: 'q', MetricStat: { Metric: metric, Period: 300, Stat: 'Maximum' } }] }))
    expect(MetricDataResults).toMatchObject([{ Id: 'q', Label: 'Queue', Values: [2.5], StatusCode: 'Complete' }])
    expect(MetricDataResults?.[0]?.Timestamps?.[0]).toBeInstanceOf(Date)
    await expect(client.send(new PutMetricDataCommand({ Namespace: 'AWS/ECR', MetricData: data }))).rejects.toMatchObject({ message: 'The value AWS/ECR for parameter Namespace is invalid.' })
  } finally {
    client.destroy()
  }
})

test('an account has its own metrics', async () => {
  const keys = await newAccount(stowage.url, stowage.keys, '222222222222')
  const other = createAwsClient(stowage, { AWS_ACCESS_KEY_ID: keys.accessKeyId, AWS_SECRET_ACCESS_KEY: keys.secretAccessKey })
  expect((await other.json('cloudwatch', 'list-metrics', '--namespace', 'Shell')).Metrics).toEqual([])
})
