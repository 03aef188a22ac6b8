import { CloudWatchClient, GetMetricStatisticsCommand } from '@aws-sdk/client-cloudwatch'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, it } from 'vitest'
import { isChangeBody, type RequestBody } from '../../src/audit/trail-record.ts'
import { openObserveStore, observeTarget } from '../../src/storage/metadata/observe/store.ts'
import { readWholeTrail } from '../support/audit-trail.ts'
import { createDockerClient, useDockerEngine, type DockerEngine } from '../support/docker-engine.ts'
import { helloProgram } from '../support/hello-program.ts'
import { callStowage, iamClient, newUser } from '../support/identities.ts'
import { createDatabase } from '../support/postgres.ts'
import { startRecordingProxy, type Recorded, type RecordingProxy } from '../support/recording-proxy.ts'
import { databases, tamper } from '../support/registry.ts'
import { run } from '../support/run.ts'
import { freePort } from '../support/server-process.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'
import { startWebhookReceiver } from '../support/webhook-receiver.ts'

/*
 * A day with real clients: nodes pull with containerd, CI builds and pushes with buildah, a scanner pulls with skopeo, people use docker and
 * the aws command, while servers are stopped and killed. Each kind has a proxy of its own, which knows what was asked and answered.
 */

const kinds = ['workload', 'ci', 'scanner', 'person'] as const
type Kind = (typeof kinds)[number]

const repository = 'day/app'
const namespace = 'day'
const keys = { accessKeyId: 'AKIADAYDAYDAYDAYDAY2', secretAccessKey: 'day-day-day-day-day-day' }

const releases: (() => unknown)[] = []
afterEach(async () => {
  for (const release of releases.splice(0).reverse()) await release()
})

let engine: DockerEngine

beforeAll(async () => {
  engine = await useDockerEngine()
})

it.each(databases)('on %s a day with real clients is told by the audit trail, by metrics and by events as their proxies saw it', async (database) => {
  const receiver = await startWebhookReceiver()
  releases.push(() => receiver.stop())
  const dir = createTempDir('clients-day')
  releases.push(() => dir.remove())
  const databaseUrl = database === 'postgres' ? (await createDatabase()).url : undefined
  const ports = await Promise.all(Array.from({ length: database === 'postgres' ? 2 : 1 }, () => freePort()))
  const proxies = Object.fromEntries(await Promise.all(kinds.map(async (kind) => [kind, await startRecordingProxy()] as const))) as Record<Kind, RecordingProxy>
  releases.push(() => Promise.all(Object.values(proxies).map((proxy) => proxy.stop())))

  const alive = new Map<number, Stowage>()
  const point = (): void => {
    for (const proxy of Object.values(proxies)) proxy.pointTo([...alive.keys()])
  }
  const start = async (port: number): Promise<Stowage> => {
    const stowage = await startStowage({
      port,
      dataDir: dir.path,
      keys,
      ...(databaseUrl === undefined ? {} : { databaseUrl }),
      env: {
        ...{ STOWAGE_EVENTS_PRIVATE_HOSTS: receiver.host, STOWAGE_EVENTS_CA_FILE: receiver.caFile, STOWAGE_EVENTS_LONGEST_WAIT_MS: '200' },
        STOWAGE_CLIENT_KINDS: 'scanner=principal:user/user-*',
      },
    })
    alive.set(port, stowage)
    point()
    return stowage
  }
  const end = async (how: 'stop' | 'kill', port = ports[0]!): Promise<void> => {
    const stowage = alive.get(port)!
    alive.delete(port)
    if (how === 'kill') stowage.kill('SIGKILL')
    // Nobody is sent to one that has said that it ends.
    point()
    await (how === 'kill' ? stowage.exited : stowage.stop())
    await start(port)
  }
  releases.push(async () => {
    for (const stowage of alive.values()) await stowage.stop()
  })
  for (const port of ports) await start(port)

  const aws = async (...words: string[]): Promise<void> => {
    await run(ensureTool('aws'), words, { env: { ...[...alive.values()][0]!.awsEnv, AWS_ENDPOINT_URL: proxies.person.url } })
  }
  const docker = createDockerClient(engine)
  releases.push(() => docker.remove())
  const buildah = (args: readonly string[], mayFail = false) => {
    const storage = ['--root', join(dir.path, 'ci/storage'), '--runroot', join(dir.path, 'ci/run'), '--storage-driver', 'vfs']
    return run(ensureTool('buildah'), [...storage, ...args], { env: { BUILDAH_ISOLATION: 'chroot', HOME: join(dir.path, 'ci') }, mayFail })
  }
  const credentials = `${keys.accessKeyId}:${keys.secretAccessKey}`
  const image = (kind: Kind, tag: string): string => `${proxies[kind].host}/${repository}:${tag}`
  mkdirSync(join(dir.path, 'ci'))
  /** What each kind does, once. */
  const scanner = await newUser(iamClient(proxies.person.url, keys), { Action: ['ecr:GetAuthorizationToken', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'], Resource: '*' })
  const work: Readonly<Record<Kind, (tag: string, round: number, mayFail: boolean) => Promise<void>>> = {
    async workload(tag, _, mayFail) {
      const ctr = ['--address', engine.containerd, '--namespace', namespace]
      await run(ensureTool('ctr'), [...ctr, 'content', 'fetch', '--plain-http', '--user', credentials, image('workload', tag)], { mayFail })
      await run(ensureTool('ctr'), [...ctr, 'images', 'rm', '--sync', image('workload', tag)], { mayFail: true })
    },
    async ci(tag, round, mayFail) {
      writeFileSync(join(dir.path, 'ci/hello'), helloProgram(`round ${round}`), { mode: 0o755 })
      writeFileSync(join(dir.path, 'ci/Dockerfile'), 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n')
      const built = image('ci', `built-${round}`)
      await buildah(['bud', '--quiet', '--tag', built, join(dir.path, 'ci')])
      await buildah(['push', '--quiet', '--creds', credentials, '--tls-verify=false', built], mayFail)
      await buildah(['pull', '--quiet', '--creds', credentials, '--tls-verify=false', '--policy', 'always', image('ci', tag)], mayFail)
    },
    async scanner(tag, _, mayFail) {
      const folder = join(dir.path, 'scanned')
      await run(ensureTool('skopeo'), ['copy', '--src-creds', `${scanner.accessKeyId}:${scanner.secretAccessKey}`, '--src-tls-verify=false', `docker://${image('scanner', tag)}`, `dir:${folder}`], { mayFail })
      rmSync(folder, { recursive: true, force: true })
      // Is allowed no more than that.
      await run(ensureTool('skopeo'), ['delete', '--creds', `${scanner.accessKeyId}:${scanner.secretAccessKey}`, '--tls-verify=false', `docker://${image('scanner', tag)}`], { mayFail: true })
    },
    async person(tag, round, mayFail) {
      await docker.docker(['pull', image('person', tag)], { mayFail })
      await docker.docker(['rmi', image('person', tag)], { mayFail })
      const script: readonly (readonly string[])[] = [
        ['batch-get-image', '--image-ids', `imageTag=${tag}`],
        ['set-repository-policy', '--policy-text', policyOf(round)],
      ]
      for (const [operation = '', ...options] of script) {
        await aws('ecr', operation, '--repository-name', repository, ...options).catch((error: unknown) => {
          if (!mayFail) throw error
        })
      }
    },
  }

  // Before the day: what tells of it, and the first image.
  const made = await callStowage(proxies.person.url, keys, 'CreateEventDestination', { destinationName: 'hook', url: receiver.url })
  expect(made.status).toBe(200)
  for (const [name, pattern] of [['images', '{"source":["aws.ecr"]}'], ['pulls', '{"detail-type":["Stowage Image Pull"]}']] as const) {
    await aws('events', 'put-rule', '--name', name, '--event-pattern', pattern)
    await aws('events', 'put-targets', '--rule', name, '--targets', `Id=1,Arn=${String(made.body['destinationArn'])}`)
  }
  await aws('ecr', 'create-repository', '--repository-name', repository)
  writeFileSync(join(dir.path, 'ci/hello'), helloProgram('the first'), { mode: 0o755 })
  const container = (await buildah(['from', 'scratch'])).stdout.trim()
  await buildah(['copy', '--quiet', container, join(dir.path, 'ci/hello'), '/hello'])
  await buildah(['commit', '--quiet', container, image('ci', 'first')])
  await buildah(['push', '--quiet', '--creds', credentials, '--tls-verify=false', image('ci', 'first')])
  // The engine sends its password in each request from now on.
  await docker.docker(['login', '--username', keys.accessKeyId, '--password-stdin', proxies.person.host], { input: keys.secretAccessKey })

  const round = (number: number, mayFail = false) => Promise.all(kinds.map((kind) => work[kind]('first', number, mayFail)))
  await round(1)
  await end('stop')
  await round(2)
  // The one is killed that has just been given what CI pushes.
  const killed = Promise.withResolvers<undefined>()
  proxies.ci.onRequest = ({ method }, port) => {
    if (method === 'GET' || method === 'HEAD') return
    proxies.ci.onRequest = undefined
    end('kill', port).then(() => killed.resolve(undefined), killed.reject)
  }
  await Promise.all([round(3, true), killed.promise])
  await round(4)
  for (const stowage of alive.values()) await stowage.stop()
  alive.clear()
  point()

  const all = kinds.flatMap((kind) => proxies[kind].recorded.map((record) => ({ ...record, kind })))
  const answered = all.filter(({ status }) => status !== undefined)
  // For so long others leave alone what a killed server was sending.
  if (databaseUrl !== undefined) await tamper({ url: databaseUrl }, 'update event_lane set leased_until = 1 where leased_until is not null')
  const again = await start(ports[0]!)
  await expect.poll(() => readdirSync(join(dir.path, 'audit/journal')), { timeout: 60_000 }).toEqual([])
  const store = openObserveStore(observeTarget(dir.path, databaseUrl === undefined ? { file: '' } : { url: databaseUrl }), { connections: 1, readOnly: true })
  releases.push(() => store.close())
  const bodies = await readWholeTrail(store.reader)
  const requests = bodies.filter((body): body is RequestBody => !isChangeBody(body))
  const byId = new Map(requests.map((body) => [body.id, body]))
  expect(byId.size).toBe(requests.length)
  const shown = ({ status, agent }: { readonly status: number | undefined; readonly agent?: string }) => ({ status, agent })
  expect(answered.map(({ requestId = '' }) => shown(byId.get(requestId) ?? { status: undefined }))).toEqual(answered.map(shown))
  const known = new Set(answered.map(({ requestId }) => requestId))
  const unanswered = requests.filter(({ id }) => !known.has(id))
  expect(unanswered.length).toBeLessThanOrEqual(all.length - answered.length)

  const cloudWatch = new CloudWatchClient({ endpoint: again.url, region: again.region, credentials: keys })
  releases.push(() => cloudWatch.destroy())
  const sum = async (Namespace: string, MetricName: string, dimension?: readonly [Name: string, Value: string]): Promise<number> => {
    const to = Date.now() + 60_000
    const Dimensions = dimension && [{ Name: dimension[0], Value: dimension[1] }]
    const { Datapoints = [] } = await cloudWatch.send(
      new GetMetricStatisticsCommand({ Namespace, MetricName, Dimensions, StartTime: new Date(to - 60 * 60_000), EndTime: new Date(to), Period: 60, Statistics: ['Sum'] }),
    )
    return Datapoints.reduce((total, { Sum = 0 }) => total + Sum, 0)
  }
  // What was cut may be in the trail: then it is counted everywhere.
  const more = (names: (body: RequestBody) => boolean): number => unanswered.filter((body) => body.status < 300 && names(body)).length
  const pulls = (kind: Kind): number => answered.filter((record) => record.kind === kind && isPull(record)).length
  for (const kind of kinds) {
    // The least: each kind gets the image in three rounds that nothing cuts.
    expect(pulls(kind)).toBeGreaterThanOrEqual(3)
    expect([kind, await sum('Stowage', 'PullCount', ['ClientKind', kind])]).toEqual([kind, pulls(kind) + more(({ client, pulls: count = 0 }) => client === kind && count > 0)])
  }
  const pulled = requests.filter(({ pulls: count = 0 }) => count > 0)
  expect(await sum('AWS/ECR', 'RepositoryPullCount', ['RepositoryName', repository])).toBe(pulled.length)
  expect(await sum('Stowage', 'PushCount', ['RepositoryName', repository])).toBe(answered.filter(isPush).length + more(({ name }) => name === 'PutImage'))
  expect(await sum('Stowage', '4xxErrors')).toBe(answered.filter(({ status = 0 }) => status >= 400 && status < 500).length + unanswered.filter(({ status }) => status >= 400 && status < 500).length)
  expect(answered.filter(({ kind, method, status }) => kind === 'scanner' && method === 'DELETE' && status === 403).length).toBeGreaterThanOrEqual(3)

  const told = () => [...new Map(receiver.accepted.map(({ headers, body }) => [headers['webhook-id'], JSON.parse(body) as { 'detail-type': string; detail: Record<string, unknown> }])).values()]
  const toldOf = (type: string) => told().filter((event) => event['detail-type'] === type).map(({ detail }) => detail)
  await expect.poll(() => toldOf('Stowage Image Pull').length, { timeout: 60_000 }).toBeGreaterThanOrEqual(pulled.length)
  expect(toldOf('Stowage Image Pull').map((detail) => [detail['client-kind'], detail['user-agent']])).toEqual(pulled.map(({ client, agent }) => [client, agent]))
  const pushed = bodies.flatMap((body) => (isChangeBody(body) ? [body.change] : (body.changes ?? []))).filter(({ action }) => action === 'PutImage').length
  await expect.poll(() => toldOf('ECR Image Action').length, { timeout: 60_000 }).toBeGreaterThanOrEqual(pushed)
  expect(toldOf('ECR Image Action').length).toBeLessThanOrEqual(pushed + all.length - answered.length)
})

function isPull({ method, path, target, status }: Recorded): boolean {
  if (status !== 200) return false
  return (method === 'GET' && path.startsWith(`/v2/${repository}/manifests/`)) || target?.endsWith('.BatchGetImage') === true
}

function isPush({ method, path, status }: Recorded): boolean {
  return method === 'PUT' && path.startsWith(`/v2/${repository}/manifests/`) && status === 201
}

function policyOf(round: number): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: [{ Sid: `Round${round}`, Effect: 'Allow', Principal: { AWS: 'arn:aws:iam::000000000000:root' }, Action: ['ecr:BatchGetImage'] }] })
}
