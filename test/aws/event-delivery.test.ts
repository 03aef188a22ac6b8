import { CloudWatchLogs } from '@aws-sdk/client-cloudwatch-logs'
import { ECR } from '@aws-sdk/client-ecr'
import { EventBridge } from '@aws-sdk/client-eventbridge'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { signedBy } from '../authorization/control-plane.ts'
import { Exchange } from '../authorization/exchange.ts'
import { iamClient, newUser } from '../support/identities.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { createDatabase } from '../support/postgres.ts'
import { isSignedWith, startWebhookReceiver, type Received, type WebhookReceiver } from '../support/webhook-receiver.ts'
import { newKeyring, serializeKeyring } from '../../src/iam/index.ts'
import { systemClock } from '../../src/internal/clock.ts'
import { systemIds } from '../../src/internal/ids.ts'

const account = '000000000000'
const manifestType = 'application/vnd.oci.image.index.v1+json'

interface Event {
  readonly id: string
  readonly 'detail-type': string
  readonly time: string
  readonly detail: Readonly<Record<string, unknown>>
}

interface DeadLetter {
  readonly deadLetterId: number
  readonly ruleName: string
  readonly reason: string
  readonly attempts: number
  readonly event: string
}

const targetPrefixes = { events: 'AWSEvents', monitoring: 'GraniteServiceVersion20100801', stowage: 'Stowage_V1' } as const

/** A server with what tests ask of it. */
class EventsUnderTest {
  readonly server: TestPlatform
  readonly ecr: ECR
  readonly #exchange: Exchange

  constructor(server: TestPlatform) {
    this.server = server
    this.ecr = new ECR({ endpoint: server.url, region: 'us-east-1', credentials: server.credentials, maxAttempts: 1 })
    this.#exchange = new Exchange(server.url)
  }

  async call(service: keyof typeof targetPrefixes, operation: string, input: object): Promise<Record<string, unknown>> {
    const target = `${targetPrefixes[service]}.${operation}`
    const { status, body } = await this.#exchange.send({ protocol: 'json', service, target, input }, signedBy(this.server.credentials))
    if (status !== 200) throw new Error(`${operation}: ${body}`)
    return JSON.parse(body) as Record<string, unknown>
  }

  /** A rule for what happens to the repositories under a name, sent to a webhook. Answers its secret. */
  async tell(name: string, url: string, target: object = {}, pattern: object = {}): Promise<string> {
    const made = await this.call('stowage', 'CreateEventDestination', { destinationName: name, url })
    const EventPattern = JSON.stringify({ detail: { 'repository-name': [{ prefix: `${name}/` }] }, ...pattern })
    await this.call('events', 'PutRule', { Name: name, EventPattern })
    await this.call('events', 'PutTargets', { Rule: name, Targets: [{ Id: 'hook', Arn: made['destinationArn'], ...target }] })
    return String(made['secret'])
  }

  async push(repositoryName: string, imageTag: string): Promise<string> {
    const imageManifest = JSON.stringify({ schemaVersion: 2, mediaType: manifestType, manifests: [], annotations: { imageTag } })
    const { image } = await this.ecr.putImage({ repositoryName, imageTag, imageManifest })
    return image!.imageId!.imageDigest!
  }

  async deadLetters(rule: string): Promise<DeadLetter[]> {
    const { deadLetters } = await this.call('stowage', 'ListEventDeadLetters', {})
    return (deadLetters as DeadLetter[]).filter(({ ruleName }) => ruleName === rule)
  }

  async stop(): Promise<void> {
    this.ecr.destroy()
    await this.server.stop()
  }
}

function eventsIn(received: readonly Received[]): Event[] {
  return received.map(({ body }) => JSON.parse(body) as Event)
}

function tagsIn(received: readonly Received[]): unknown[] {
  return eventsIn(received).map(({ detail }) => detail['image-tag'])
}

/** Those about one repository. */
function about(received: readonly Received[], repository: string): Received[] {
  return received.filter(({ body }) => body.includes(`"repository-name":"${repository}"`))
}

async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 30_000): Promise<void> {
  const endsAt = Date.now() + withinMs
  while (!(await holds())) {
    if (Date.now() > endsAt) throw new Error(`${what} has not come within ${withinMs / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

const tags = (count: number): string[] => Array.from({ length: count }, (_, index) => `v${index}`)

let receiver: WebhookReceiver

beforeAll(async () => {
  receiver = await startWebhookReceiver()
})
afterEach(() => {
  receiver.intercept = undefined
})
afterAll(() => receiver.stop())

const settings = (): Record<string, string> => ({
  STOWAGE_EVENTS_PRIVATE_HOSTS: receiver.host,
  STOWAGE_EVENTS_CA_FILE: receiver.caFile,
  STOWAGE_EVENTS_LONGEST_WAIT_MS: '200',
  STOWAGE_WATCH_INTERVAL_SECONDS: '1',
  STOWAGE_WATCH_LEARNING_DAYS: '0',
})

describe.each(['sqlite', 'postgres'] as const)('on %s', (database) => {
  let under: EventsUnderTest

  beforeAll(async () => {
    under = new EventsUnderTest(await startTestPlatform({ database, settings: settings() }))
  })
  afterAll(() => under?.stop())

  it('what happens to images is told as ECR tells it, signed, in its order', async () => {
    const name = `told-${database}`
    const secret = await under.tell(name, `${receiver.url}/hooks?from=registry`)
    await under.server.createRepository(`${name}/app`)
    const digest = await under.push(`${name}/app`, 'v1')
    await under.ecr.batchDeleteImage({ repositoryName: `${name}/app`, imageIds: [{ imageTag: 'v1' }] })
    const mine = () => about(receiver.accepted, `${name}/app`)
    await until('the deletion', () => mine().length >= 2)

    const [push, deletion] = eventsIn(mine())
    expect(push).toEqual({
      version: '0',
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u) as string,
      'detail-type': 'ECR Image Action',
      source: 'aws.ecr',
      account,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/u) as string,
      region: 'us-east-1',
      resources: [],
      detail: { result: 'SUCCESS', 'repository-name': `${name}/app`, 'image-digest': digest, 'action-type': 'PUSH', 'image-tag': 'v1', 'manifest-media-type': manifestType },
    })
    expect(deletion?.detail['action-type']).toBe('DELETE')
    for (const received of mine()) {
      expect(isSignedWith(secret, received)).toBe(true)
      expect(received).toMatchObject({ path: '/hooks?from=registry', headers: { 'webhook-id': (JSON.parse(received.body) as Event).id, 'content-type': 'application/json' } })
    }
  })

  it("an alarm's change is told as CloudWatch tells it, to rules that ask for it", async () => {
    const name = `alarm-${database}`
    await under.tell(name, `${receiver.url}/${name}`, {}, { source: ['aws.cloudwatch'], detail: { alarmName: [{ prefix: name }] } })
    const alarm = { Namespace: 'AWS/ECR', MetricName: 'RepositoryPullCount', Statistic: 'Sum', Period: 60, EvaluationPeriods: 1, Threshold: 1, ComparisonOperator: 'GreaterThanThreshold' }
    await under.call('monitoring', 'PutMetricAlarm', { ...alarm, AlarmName: `${name} 1` })
    await under.call('monitoring', 'PutMetricAlarm', { ...alarm, AlarmName: `other ${name}` })
    for (const AlarmName of [`other ${name}`, `${name} 1`]) await under.call('monitoring', 'SetAlarmState', { AlarmName, StateValue: 'ALARM', StateReason: 'a drill' })
    const mine = () => eventsIn(receiver.accepted.filter(({ path }) => path === `/${name}`))
    await until('the alarm', () => mine().length > 0)
    expect(mine()).toMatchObject([
      {
        version: '0',
        'detail-type': 'CloudWatch Alarm State Change',
        source: 'aws.cloudwatch',
        account,
        region: 'us-east-1',
        resources: [`arn:aws:cloudwatch:us-east-1:${account}:alarm:${name} 1`],
        detail: { alarmName: `${name} 1`, state: { value: 'ALARM', reason: 'a drill' }, previousState: { value: 'INSUFFICIENT_DATA' } },
      },
    ])
  })

  it('a receiver that fails, hangs and breaks off delays no push, and gets everything in order once it works', async () => {
    const name = `failing-${database}`
    await under.tell(name, receiver.url)
    await under.server.createRepository(`${name}/a`)
    await under.server.createRepository(`${name}/b`)
    let failures = 0
    receiver.intercept = ({ body }, response) => {
      if (!body.includes(`"repository-name":"${name}/a"`) || failures >= 8) return false
      failures++
      // No answer at all: it takes the whole time-out, so once is enough.
      if (failures === 1 && database === 'sqlite') return true
      if (failures % 3 === 0) response.destroy()
      else response.writeHead(failures % 2 === 0 ? 500 : 429).end()
      return true
    }
    for (const tag of tags(6)) {
      await under.push(`${name}/a`, tag)
      await under.push(`${name}/b`, tag)
    }
    // The other repository waits for nobody.
    await until('what happened in the other repository', () => about(receiver.accepted, `${name}/b`).length === 6)
    expect(failures).toBeLessThan(8)
    await until('the end of the failures', () => about(receiver.accepted, `${name}/a`).length === 6)

    expect(tagsIn(about(receiver.accepted, `${name}/a`))).toEqual(tags(6))
    expect(tagsIn(about(receiver.accepted, `${name}/b`))).toEqual(tags(6))
    expect(new Set(about(receiver.attempts, `${name}/a`).map(({ headers }) => headers['webhook-id'])).size).toBe(6)
    expect(await under.deadLetters(name)).toEqual([])
  })

  it('what is given up becomes a dead letter with the reason, lets the next pass, and can be sent again', async () => {
    const name = `given-up-${database}`
    await under.tell(name, receiver.url, { RetryPolicy: { MaximumRetryAttempts: 2 } })
    await under.server.createRepository(`${name}/a`)
    receiver.intercept = ({ body }, response) => {
      if (!body.includes('"image-tag":"bad"') || !body.includes(name)) return false
      response.writeHead(503).end()
      return true
    }
    await under.push(`${name}/a`, 'bad')
    await under.push(`${name}/a`, 'good')
    await until('the event behind it', () => tagsIn(about(receiver.accepted, `${name}/a`)).includes('good'))

    const [letter, ...more] = await under.deadLetters(name)
    expect(letter).toMatchObject({ ruleName: name, reason: 'status 503', attempts: 3 })
    expect(more).toEqual([])
    expect(about(receiver.attempts, `${name}/a`).filter(({ body }) => body.includes('"bad"'))).toHaveLength(3)

    receiver.intercept = undefined
    expect(await under.call('stowage', 'ReplayEventDeadLetters', { deadLetterIds: [letter!.deadLetterId] })).toEqual({ replayedIds: [letter!.deadLetterId], withoutTargetIds: [] })
    await until('the dead letter', () => tagsIn(about(receiver.accepted, `${name}/a`)).includes('bad'))
    expect(await under.deadLetters(name)).toEqual([])
    expect((await under.server.platform.metricsText()).match(/^stowage_events_dead_lettered_total (\d+)$/mu)?.[1]).toBe('1')
  })

  it('log groups are targets: each event is a line, in the order of its repository, also where the group is made later', async () => {
    const name = `logged-${database}`
    const logs = new CloudWatchLogs({ endpoint: under.server.url, region: 'us-east-1', credentials: under.server.credentials, maxAttempts: 1 })
    const group = `arn:aws:logs:us-east-1:${account}:log-group:/aws/events/${name}`
    const put = (Rule: string, Targets: object[]) => under.call('events', 'PutTargets', { Rule, Targets })
    try {
      const EventPattern = JSON.stringify({ detail: { 'repository-name': [{ prefix: `${name}/` }] } })
      for (const Name of [name, `${name}-lost`]) await under.call('events', 'PutRule', { Name, EventPattern })
      const InputTransformer = { InputPathsMap: { tag: '$.detail.image-tag' }, InputTemplate: '{"timestamp": 1700000000000, "message": "<tag> was pushed"}' }
      expect(await put(name, [{ Id: 'all', Arn: `${group}:*` }, { Id: 'short', Arn: `${group}-short`, InputTransformer }])).toMatchObject({ FailedEntryCount: 0 })
      await put(`${name}-lost`, [{ Id: 'lost', Arn: `${group}-lost`, RetryPolicy: { MaximumRetryAttempts: 1 } }])
      expect(await under.call('events', 'ListTargetsByRule', { Rule: name })).toMatchObject({ Targets: [{ Id: 'all', Arn: `${group}:*` }, { Id: 'short', Arn: `${group}-short` }] })
      expect((await under.call('stowage', 'ListEventDestinations', {}))['destinations']).not.toContainEqual(expect.objectContaining({ destinationName: expect.stringContaining(name) as string }))

      for (const repository of ['a', 'b']) await under.server.createRepository(`${name}/${repository}`)
      for (const tag of tags(5)) for (const repository of ['a', 'b']) await under.push(`${name}/${repository}`, tag)
      await until('the dead letters', async () => (await under.deadLetters(`${name}-lost`)).length === 10)
      expect((await under.deadLetters(`${name}-lost`))[0]).toMatchObject({ reason: 'The specified log group does not exist.', attempts: 2 })
      for (const logGroupName of [`/aws/events/${name}`, `/aws/events/${name}-short`]) await logs.createLogGroup({ logGroupName })
      const lines = async (more = '') => (await logs.filterLogEvents({ logGroupName: `/aws/events/${name}${more}` })).events ?? []
      await until('the lines', async () => (await lines()).length >= 10 && (await lines('-short')).length >= 10)
      const told = (await lines()).map(({ message, timestamp, logStreamName }) => ({ event: JSON.parse(message!) as Event, timestamp, logStreamName }))
      for (const repository of ['a', 'b']) {
        expect(told.filter(({ event }) => event.detail['repository-name'] === `${name}/${repository}`).map(({ event }) => event.detail['image-tag'])).toEqual(tags(5))
      }
      expect(told.every(({ event, timestamp, logStreamName }) => Date.parse(event.time) === timestamp && logStreamName === name)).toBe(true)
      expect((await lines('-short')).map(({ message }) => message).toSorted()).toEqual(tags(5).flatMap((tag) => [`${tag} was pushed`, `${tag} was pushed`]))

      // What no target sends to is no destination any more.
      await under.call('events', 'RemoveTargets', { Rule: name, Ids: ['all'] })
      expect(await under.call('events', 'ListRuleNamesByTarget', { TargetArn: `${group}:*` })).toMatchObject({ RuleNames: [] })
      expect(await under.call('events', 'ListRuleNamesByTarget', { TargetArn: `${group}-short` })).toMatchObject({ RuleNames: [name] })
      expect(await put(name, [{ Id: 'foreign', Arn: `arn:aws:logs:us-east-1:111111111111:log-group:x` }])).toMatchObject({ FailedEntryCount: 1, FailedEntries: [{ ErrorCode: 'ResourceNotFoundException' }] })
    } finally {
      logs.destroy()
    }
  })

  it('where nothing may be sent, or nobody takes it, it becomes a dead letter at once, and no redirect is followed', async () => {
    const closed = 'the host has no public address, and STOWAGE_EVENTS_PRIVATE_HOSTS does not open it to this account'
    const cases = {
      redirect: [`${receiver.url}/redirect`, 'status 302: redirects are not followed'],
      refusal: [`${receiver.url}/refusal`, 'status 400'],
      loopback: [`https://127.0.0.1:${receiver.port}/`, closed],
      mapped: [`https://[::ffff:127.0.0.1]:${receiver.port}/`, closed],
      metadata: ['https://169.254.169.254/latest', closed],
      'by-name': ['https://localhost:1/', closed],
    } as const
    receiver.intercept = ({ path }, response) => {
      if (path === '/redirect') response.writeHead(302, { location: `https://127.0.0.1:${receiver.port}/inside` }).end()
      else response.writeHead(400).end()
      return true
    }
    for (const [what, [url]] of Object.entries(cases)) {
      const name = `refused-${database}-${what}`
      await under.tell(name, url, { RetryPolicy: { MaximumRetryAttempts: 0 } })
      await under.server.createRepository(`${name}/a`)
      await under.push(`${name}/a`, 'v1')
    }
    for (const [what, [url, reason]] of Object.entries(cases)) {
      const name = `refused-${database}-${what}`
      await until(`the dead letter of ${what}`, async () => (await under.deadLetters(name)).length > 0)
      expect(await under.deadLetters(name)).toMatchObject([{ reason, attempts: 1 }])
      expect(about(receiver.attempts, `${name}/a`).length).toBe(url.startsWith(receiver.url) ? 1 : 0)
    }
    expect(receiver.attempts.filter(({ path }) => path === '/inside')).toEqual([])
  })

  it('what no rule takes is forgotten, and a target that was removed gets nothing more', async () => {
    const name = `removed-${database}`
    await under.tell(name, receiver.url, {}, { 'detail-type': ['ECR Image Action'], source: ['aws.ecr'] })
    await under.server.createRepository(`${name}/a`)
    receiver.intercept = (_, response) => {
      response.writeHead(500).end()
      return true
    }
    await under.push(`${name}/a`, 'v1')
    await until('an attempt', () => about(receiver.attempts, `${name}/a`).length > 0)
    await under.call('events', 'RemoveTargets', { Rule: name, Ids: ['hook'] })
    await under.push(`${name}/a`, 'v2')
    receiver.intercept = undefined
    await until('the end of all waiting', async () => /^stowage_events_waiting 0$/mu.test(await under.server.platform.metricsText()))
    expect(about(receiver.accepted, `${name}/a`)).toEqual([])
    await under.call('events', 'DeleteRule', { Name: name })
    await under.call('stowage', 'DeleteEventDestination', { destinationName: name })
  })

  it('pulls are told to whoever names them, once, and other rules get what else the audit trail tells', async () => {
    const name = `trail-${database}`
    const pulls = `pulls-${database}`
    await under.server.createRepository(`${name}/a`)
    const digest = await under.push(`${name}/a`, 'v1')
    await under.ecr.batchGetImage({ repositoryName: `${name}/a`, imageIds: [{ imageTag: 'v1' }] })
    await under.tell(name, `${receiver.url}/${name}`)
    await under.tell(pulls, `${receiver.url}/${pulls}`, {}, { 'detail-type': ['Stowage Image Pull'], detail: { 'repository-name': [{ prefix: `${name}/` }] } })
    await under.call('events', 'PutRule', { Name: `${name}-sources`, EventPattern: '{"source":["stowage"],"detail-type":["Stowage Usage Source Lost"]}' })
    await under.call('events', 'PutTargets', { Rule: `${name}-sources`, Targets: [{ Id: 'hook', Arn: `arn:aws:events:us-east-1:${account}:api-destination/${name}` }] })
    const authorization = `Basic ${Buffer.from(`${under.server.credentials.accessKeyId}:${under.server.credentials.secretAccessKey}`).toString('base64')}`
    const ask = (method: string) => fetch(`${under.server.url}/v2/${name}/a/manifests/v1`, { method, headers: { authorization, accept: manifestType, 'user-agent': 'docker/29' } })
    expect((await ask('HEAD')).status).toBe(200)
    expect((await ask('GET')).status).toBe(200)
    await under.ecr.batchGetImage({ repositoryName: `${name}/a`, imageIds: [{ imageDigest: digest }] })
    const moved = await under.push(`${name}/a`, 'v2')
    await under.ecr.putImage({ repositoryName: `${name}/a`, imageTag: 'v1', imageDigest: moved, imageManifest: (await under.ecr.batchGetImage({ repositoryName: `${name}/a`, imageIds: [{ imageTag: 'v2' }] })).images![0]!.imageManifest })
    await under.ecr.setRepositoryPolicy({ repositoryName: `${name}/a`, policyText: JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${account}:root` }, Action: 'ecr:BatchGetImage' }] }) })
    await under.ecr.deleteRepositoryPolicy({ repositoryName: `${name}/a` })
    const principalArn = `arn:aws:iam::${account}:root`
    await under.call('stowage', 'RegisterUsageSource', { sourceName: 'prod', principalArn, environment: 'prod', scope: [`${name}/*`], intervalSeconds: 60 })
    const snapshot = { sourceName: 'prod', snapshotNumber: 1, writer: 'test' }
    await under.call('stowage', 'BeginUsageSnapshot', snapshot)
    await expect(under.call('stowage', 'CompleteUsageSnapshot', { ...snapshot, expectedCount: 5 })).rejects.toThrow('UsageSnapshotIncompleteException')

    const at = (path: string) => eventsIn(receiver.accepted.filter((received) => received.path === `/${path}`)).filter(({ 'detail-type': type, detail }) => type === 'Stowage Usage Source Lost' || String(detail['repository-name']).startsWith(name))
    await until('the pulls', () => at(pulls).length >= 3)
    expect(at(pulls).map(({ detail }) => [detail['action-type'], detail['image-digest'], detail['image-tag'], detail['principal']])).toEqual([
      ['PULL', digest, 'v1', principalArn],
      ['PULL', digest, undefined, principalArn],
      // A call's record has what was asked for.
      ['PULL', undefined, 'v2', principalArn],
    ])
    expect(at(pulls)[0]!.detail['user-agent']).toBe('docker/29')
    await until('the rest', () => at(name).length >= 6)
    expect(at(name).map(({ 'detail-type': type, detail }) => [type, detail['action-type'] ?? detail['because'] ?? detail['source-name']]).toSorted()).toEqual([
      ['ECR Image Action', 'PUSH'],
      ['ECR Image Action', 'PUSH'],
      ['Stowage Policy Change', 'DELETE'],
      ['Stowage Policy Change', 'PUT'],
      ['Stowage Tag Moved', 'PUSH'],
      ['Stowage Usage Source Lost', 'prod'],
    ])
    expect(at(name).find(({ 'detail-type': type }) => type === 'Stowage Tag Moved')?.detail).toMatchObject({ 'image-tag': 'v1', 'image-digest': moved, 'previous-image-digest': digest })

    // What nobody asks for any more is not told when somebody asks again.
    for (const rule of [name, pulls, `${name}-sources`]) await under.call('events', 'DisableRule', { Name: rule })
    expect(new Set([...at(pulls), ...at(name)].map(({ id }) => id)).size).toBe(9)
  })

  it('a policy may say which targets somebody puts, each of a call by itself', async () => {
    const name = `narrow-${database}`
    await under.tell(name, receiver.url)
    await under.call('stowage', 'CreateEventDestination', { destinationName: `${name}-other`, url: receiver.url })
    const [own, other] = [name, `${name}-other`].map((each) => `arn:aws:events:us-east-1:${account}:api-destination/${each}`)
    const iam = iamClient(under.server.url, under.server.credentials)
    const user = await newUser(iam, { Action: 'events:PutTargets', Resource: '*', Condition: { ArnEquals: { 'events:TargetArn': own } } })
    iam.destroy()
    const client = new EventBridge({ endpoint: under.server.url, region: 'us-east-1', credentials: user, maxAttempts: 1 })
    const put = (...arns: (string | undefined)[]) => client.putTargets({ Rule: name, Targets: arns.map((Arn, index) => ({ Id: `t${index}`, Arn })) })
    expect(await put(own)).toMatchObject({ FailedEntryCount: 0 })
    await expect(put(other)).rejects.toMatchObject({ name: 'AccessDeniedException' })
    await expect(put(own, other)).rejects.toMatchObject({ name: 'AccessDeniedException' })
    client.destroy()
  })

  it('somebody whom the registry never saw is told of, once', async () => {
    const name = `unusual-${database}`
    await under.tell(name, `${receiver.url}/${name}`, {}, { 'detail-type': ['Stowage Unusual Use'], detail: { unusual: ['NEW_PRINCIPAL'] } })
    const told = () => eventsIn(receiver.accepted.filter(({ path }) => path === `/${name}`))
    await under.server.createRepository(`${name}/app`)
    await under.push(`${name}/app`, 'v1')
    const iam = iamClient(under.server.url, under.server.credentials)
    const names: string[] = []
    // Whoever came before the first look was learnt: that is a second after the first push.
    for (let n = 0; n < 5 && told().length === 0; n += 1) {
      const user = await newUser(iam, { Action: 'ecr:BatchGetImage', Resource: '*' })
      names.push(`${account}:user/${user.name}`)
      const ecr = new ECR({ endpoint: under.server.url, region: 'us-east-1', credentials: user, maxAttempts: 1 })
      await ecr.batchGetImage({ repositoryName: `${name}/app`, imageIds: [{ imageTag: 'v1' }] })
      ecr.destroy()
      await until('the event', () => told().length > 0, 6_000).catch(() => undefined)
    }
    iam.destroy()
    expect(told()).toHaveLength(1)
    expect(told()[0]).toMatchObject({ 'detail-type': 'Stowage Unusual Use', detail: { principal: names.at(-1), pulls: 1 } })
  })

  it('a target may be sent something else than the event', async () => {
    const name = `shaped-${database}`
    await under.tell(name, receiver.url, {
      InputTransformer: { InputPathsMap: { tag: '$.detail.image-tag', none: '$.detail.none' }, InputTemplate: '{"text": "pushed <tag><none> by <aws.events.rule-name>", "tag": <tag>, "none": <none>}' },
    })
    await under.server.createRepository(`${name}/a`)
    await under.push(`${name}/a`, 'v1')
    const wanted = { text: `pushed v1 by ${name}`, tag: 'v1', none: null }
    await until('the message', () => receiver.accepted.some(({ body }) => body === JSON.stringify(wanted).replaceAll('":', '": ').replaceAll(',"', ', "')))
  })
})

it('two servers with one database send everything once, in order', async () => {
  const { url: databaseUrl } = await createDatabase()
  const keyring = serializeKeyring(newKeyring(systemClock, systemIds))
  const options = { database: 'postgres', databaseUrl, settings: { ...settings(), STOWAGE_KEYRING: keyring } } as const
  const first = new EventsUnderTest(await startTestPlatform(options))
  const second = new EventsUnderTest(await startTestPlatform({ ...options, settings: { ...options.settings, STOWAGE_DATA_DIR: first.server.dataDir } }))
  try {
    await first.tell('shared', receiver.url)
    const repositories = ['shared/a', 'shared/b', 'shared/c']
    for (const name of repositories) await first.server.createRepository(name)
    let count = 0
    receiver.intercept = ({ body }, response) => {
      if (!body.includes('"repository-name":"shared/') || ++count % 4 !== 0) return false
      response.writeHead(500).end()
      return true
    }
    await second.call('events', 'EnableRule', { Name: 'shared' })
    await first.tell('shared-losses', receiver.url, {}, { 'detail-type': ['Stowage Usage Source Lost'] })
    await second.call('events', 'EnableRule', { Name: 'shared-losses' })
    // The second reads the trail for the rule before, and has not heard of this one.
    await first.tell('shared-pulls', receiver.url, {}, { 'detail-type': ['Stowage Image Pull'], detail: { 'repository-name': ['shared/a'] } })
    await Promise.all(
      repositories.map(async (name) => {
        for (const [index, tag] of tags(10).entries()) await (index % 2 === 0 ? first : second).push(name, tag)
      }),
    )
    await until('all of it', () => receiver.accepted.filter(({ body }) => body.includes('"repository-name":"shared/')).length >= 30)
    await until('the end', async () => /^stowage_events_waiting 0$/mu.test(await first.server.platform.metricsText()))
    for (const name of repositories) expect(tagsIn(about(receiver.accepted, name))).toEqual(tags(10))
    for (let n = 0; n < 6; n += 1) await second.ecr.batchGetImage({ repositoryName: 'shared/a', imageIds: [{ imageTag: `v${n}` }] })
    const pulled = (): unknown[] => eventsIn(receiver.accepted).filter(({ 'detail-type': type, detail }) => type === 'Stowage Image Pull' && detail['repository-name'] === 'shared/a').map(({ detail }) => detail['image-tag'])
    await until('the pulls', () => pulled().length >= 6)
    expect(pulled().toSorted()).toEqual(tags(6))
    const delivered = async (): Promise<number> => {
      const each = await Promise.all([first, second].map(async ({ server }) => Number((await server.platform.metricsText()).match(/^stowage_events_delivered_total (\d+)$/mu)?.[1])))
      return each.reduce((sum, count) => sum + count, 0)
    }
    await until('the count of all of it', async () => (await delivered()) >= 36)
    expect(await delivered()).toBe(36)
  } finally {
    await second.stop()
    await first.stop()
  }
})
