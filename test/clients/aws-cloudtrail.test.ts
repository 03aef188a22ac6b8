import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient, type AwsAnswer, type AwsClient } from '../support/aws.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { newAccount } from '../support/identities.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'

const repository = 'trail/app'
const image = buildImage({ seed: 'trail' })
const maxAttempts = 40

type Event = AwsAnswer['Events'][number]

let stowage: Stowage
let aws: AwsClient
const ids: Record<string, string> = {}

/** What the aws command finds, once it finds anything: records are sealed a moment after the answer. */
async function lookUp(key: string, value: string, ...options: string[]): Promise<readonly Event[]> {
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const { Events } = await aws.json('cloudtrail', 'lookup-events', '--lookup-attributes', `AttributeKey=${key},AttributeValue=${value}`, ...options)
    if (Events.length > 0) return Events
    await sleep(100)
  }
  throw new Error(`nothing has the ${key} ${value}`)
}

function recordOf(event: Event | undefined): Record<string, unknown> {
  return JSON.parse(event?.CloudTrailEvent ?? 'null') as Record<string, unknown>
}

beforeAll(async () => {
  stowage = await startStowage()
  aws = createAwsClient(stowage)
  await aws.json('ecr', 'create-repository', '--repository-name', repository)
  await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, 'v1.0.0')
  const client = createDistributionClient(stowage.url, stowage.credentials)
  const nobody = createDistributionClient(stowage.url, null)
  const requests = {
    pulled: await client.request('GET', `/v2/${repository}/manifests/v1.0.0`, { headers: { 'user-agent': 'containerd/2.0' } }),
    absent: await client.request('GET', `/v2/${repository}/manifests/v2`),
    refused: await nobody.request('GET', `/v2/${repository}/manifests/v1.0.0`),
  }
  for (const [name, { headers }] of Object.entries(requests)) ids[name] = String(headers['x-request-id'])
  client.close()
  nobody.close()
  // The last of them is sealed with the others, or after them.
  await lookUp('EventId', ids['refused']!)
})

afterAll(async () => {
  await stowage?.stop()
})

test('lookup-events tells who pulled an image, from where, and which it was', async () => {
  const [event] = await lookUp('EventId', ids['pulled']!)

  expect(event).toMatchObject({
    EventName: 'BatchGetImage',
    ReadOnly: 'true',
    EventSource: 'ecr.amazonaws.com',
    Username: 'root',
    AccessKeyId: stowage.keys.accessKeyId,
    Resources: [{ ResourceType: 'AWS::ECR::Repository', ResourceName: repository }],
  })
  expect(recordOf(event)).toMatchObject({
    eventName: 'BatchGetImage',
    eventType: 'AwsApiCall',
    awsRegion: 'us-east-1',
    recipientAccountId: '000000000000',
    userIdentity: { type: 'Root', arn: 'arn:aws:iam::000000000000:root', accessKeyId: stowage.keys.accessKeyId },
    sourceIPAddress: '127.0.0.1',
    userAgent: 'containerd/2.0',
    requestParameters: { repositoryName: repository, imageTag: 'v1.0.0' },
    responseElements: { imageDigest: image.manifest.digest },
    requestID: ids['pulled'],
    readOnly: true,
  })
})

test('a push has what it changed, and refused requests are there with their errors', async () => {
  const pushes = await lookUp('EventName', 'PutImage')
  expect(pushes).toHaveLength(1)
  expect(recordOf(pushes[0])).toMatchObject({
    readOnly: false,
    additionalEventData: { protocol: 'oci', httpStatus: 201, changes: [{ action: 'PutImage', imageDigest: image.manifest.digest, imageTags: ['v1.0.0'] }] },
  })
  expect(recordOf((await lookUp('EventId', ids['absent']!))[0])).toMatchObject({ errorCode: 'MANIFEST_UNKNOWN', requestParameters: { imageTag: 'v2' } })
  const [refused] = await lookUp('EventId', ids['refused']!)
  expect(refused).not.toHaveProperty('Username')
  expect(recordOf(refused)).toMatchObject({ errorCode: 'UNAUTHORIZED', userIdentity: { accountId: 'ANONYMOUS_PRINCIPAL' } })
})

test('every attribute finds what it should, in pages, the newest first', async () => {
  const every = await lookUp('ResourceName', repository)
  expect((await lookUp('ResourceName', `arn:aws:ecr:us-east-1:000000000000:repository/${repository}`)).map(({ EventId }) => EventId)).toEqual(every.map(({ EventId }) => EventId))
  const times = every.map((event) => Date.parse(String(recordOf(event)['eventTime'])))
  expect(times).toEqual(times.toSorted((a, b) => b - a))
  expect(every.map(({ EventName }) => EventName)).toEqual(expect.arrayContaining(['CreateRepository', 'InitiateLayerUpload', 'CompleteLayerUpload', 'PutImage', 'BatchGetImage']))

  expect((await lookUp('ReadOnly', 'false')).every(({ ReadOnly }) => ReadOnly === 'false')).toBe(true)
  for (const [key, value] of [['Username', 'root'], ['ResourceType', 'AWS::ECR::Repository'], ['EventSource', 'ecr.amazonaws.com'], ['AccessKeyId', stowage.keys.accessKeyId]] as const) {
    expect((await lookUp(key, value)).map(({ EventId }) => EventId)).toContain(ids['pulled'])
  }
  // The logs' calls and their changes have the name that CloudTrail gives the service.
  await aws.json('logs', 'create-log-group', '--log-group-name', 'trail')
  expect((await lookUp('EventSource', 'logs.amazonaws.com')).map(({ EventName }) => EventName)).toEqual(['CreateLogGroup'])
  // The command goes on from page to page by itself.
  const paged = await lookUp('ResourceName', repository, '--page-size', '2')
  expect(paged.map(({ EventId }) => EventId)).toEqual(every.map(({ EventId }) => EventId))
  const { Events: before } = await aws.json('cloudtrail', 'lookup-events', '--end-time', '2020-01-01')
  expect(before).toEqual([])
})

test('what cannot be looked up is refused in CloudTrail\'s words', async () => {
  const lookup = ['cloudtrail', 'lookup-events']
  expect(await aws.failure(...lookup, '--lookup-attributes', 'AttributeKey=EventName,AttributeValue=PutImage', 'AttributeKey=ReadOnly,AttributeValue=true')).toContain('InvalidLookupAttributesException')
  expect(await aws.failure(...lookup, '--start-time', '2026-02-01', '--end-time', '2026-01-01')).toContain('InvalidTimeRangeException')
  expect(await aws.failure(...lookup, '--no-paginate', '--next-token', 'of-somebody-else')).toContain('InvalidNextTokenException')
})

test('an account sees its own trail', async () => {
  const keys = await newAccount(stowage.url, stowage.keys, '222222222222')
  const other = createAwsClient(stowage, { AWS_ACCESS_KEY_ID: keys.accessKeyId, AWS_SECRET_ACCESS_KEY: keys.secretAccessKey })
  const { Events } = await other.json('cloudtrail', 'lookup-events')
  expect(Events.filter(({ Resources }) => Resources.some(({ ResourceName }) => ResourceName === repository))).toEqual([])
})
