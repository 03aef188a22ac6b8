import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { basicAuth, createDistributionClient } from '../support/distribution-client.ts'
import { buildArtifact, digestOf, pushImage, withDigest } from '../support/images.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { startStowage, type RootKeys, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

/*
 * One account asks on very many connections at once, another on one right after: the other's answer must not wait for all
 * of the first's. Told by the order of the answers, not by time.
 */

const busyConnections = 150
const repository = 'fair/app'

interface Account {
  readonly id: string
  readonly keys: RootKeys
}

const [busy, quiet]: readonly [Account, Account] = [
  { id: '111111111111', keys: { accessKeyId: 'AKIABUSYBUSYBUSYBUSY', secretAccessKey: 'the-secret-of-the-busy-account' } },
  { id: '222222222222', keys: { accessKeyId: 'AKIAQUIETQUIETQUIETQ', secretAccessKey: 'the-secret-of-the-quiet-account' } },
]

describe.each(['sqlite', 'postgres'] as const)('two accounts on %s', (kind) => {
  let database: TestDatabase | undefined
  let dir: TempDir
  let stowage: Stowage

  beforeAll(async () => {
    dir = createTempDir('fairness')
    if (kind === 'postgres') database = await createDatabase()
    // Each start makes its own account's root; both stay.
    for (const account of [busy, quiet]) {
      await stowage?.stop()
      stowage = await startStowage({
        dataDir: dir.path,
        keys: account.keys,
        env: { STOWAGE_ACCOUNT_ID: account.id, STOWAGE_LOG_LEVEL: 'warn', STOWAGE_SCRUB_INTERVAL_DAYS: '0' },
        ...(database === undefined ? {} : { databaseUrl: database.url }),
      })
    }
    for (const { keys } of [busy, quiet]) {
      const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: keys })
      await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
      ecr.destroy()
      const auth = { username: keys.accessKeyId, password: keys.secretAccessKey }
      await pushImage({ url: stowage.url, repository, auth }, buildArtifact({ artifactType: 'test/fair' }), 'v1')
    }
  })

  afterAll(async () => {
    await stowage?.stop()
    await database?.drop()
    dir?.remove()
  })

  function requestOf({ keys }: Account): string {
    const authorization = basicAuth({ username: keys.accessKeyId, password: keys.secretAccessKey })
    return `GET /v2/${repository}/manifests/v1 HTTP/1.1\r\nHost: ${stowage.registryHost}\r\nAuthorization: ${authorization}\r\n\r\n`
  }

  async function open(): Promise<Socket> {
    const socket = connect({ port: stowage.port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return socket
  }

  /** How many answers the busy account had when the quiet one had its own. */
  async function answersBeforeQuiet(crowd: readonly Socket[], one: Socket): Promise<number> {
    let answered = 0
    const all = crowd.map(async (socket) => {
      const [data] = (await once(socket, 'data')) as [Buffer]
      expect(data.subarray(9, 12).toString()).toBe('200')
      answered += 1
    })
    for (const socket of crowd) socket.write(requestOf(busy))
    one.write(requestOf(quiet))
    const [data] = (await once(one, 'data')) as [Buffer]
    expect(data.subarray(9, 12).toString()).toBe('200')
    const before = answered
    await Promise.all(all)
    return before
  }

  it('the quiet one is answered among the first, though it asks last', async () => {
    const crowd = await Promise.all(Array.from({ length: busyConnections }, open))
    const one = await open()
    try {
      // The first rounds tell the server of both accounts.
      const rounds: number[] = []
      for (let n = 0; n < 12; n += 1) rounds.push(await answersBeforeQuiet(crowd, one))

      // Where this process had to wait for a processor between its writes, the server was done with most by then.
      expect(Math.min(...rounds)).toBeLessThan(busyConnections / 3)
      expect(rounds.toSorted((a, b) => a - b)[5]).toBeLessThan((busyConnections * 2) / 3)
    } finally {
      for (const socket of [...crowd, one]) socket.destroy()
    }
  })

  it('have equal parts of what is downloaded', async () => {
    const layer = Buffer.alloc(16 * 1024 * 1024, 'layer')
    const request: string[] = []
    for (const { keys } of [busy, quiet]) {
      const auth = { username: keys.accessKeyId, password: keys.secretAccessKey }
      const client = createDistributionClient(stowage.url, auth)
      const { headers } = await client.request('POST', `/v2/${repository}/blobs/uploads/`)
      expect((await client.request('PUT', withDigest(headers.location!, digestOf(layer)), { body: layer })).status).toBe(201)
      client.close()
      const blob = `/v2/${repository}/blobs/${digestOf(layer)}`
      request.push(`GET ${blob} HTTP/1.1\r\nHost: ${stowage.registryHost}\r\nAuthorization: ${basicAuth(auth)}\r\n\r\n`)
    }
    const crowd = await Promise.all(Array.from({ length: 40 }, open))
    const one = await open()
    let crowdBytes = 0
    let oneBytes = 0
    for (const socket of crowd) socket.on('data', (data: Buffer) => void (crowdBytes += data.length))
    one.on('data', (data: Buffer) => void (oneBytes += data.length))
    try {
      const rounds: number[] = []
      for (let n = 0; n < 8; n += 1) {
        const [crowdBefore, oneBefore] = [crowdBytes, oneBytes]
        for (const socket of crowd) socket.write(request[0]!)
        one.write(request[1]!)
        await expect.poll(() => oneBytes - oneBefore, { interval: 1, timeout: 30_000 }).toBeGreaterThan(layer.length)
        rounds.push((crowdBytes - crowdBefore) / layer.length)
        await expect.poll(() => crowdBytes - crowdBefore, { timeout: 30_000 }).toBeGreaterThan(crowd.length * layer.length)
      }

      // The bytes that the crowd had when the one was done, in layers: about all forty where each connection counts.
      expect(Math.min(...rounds)).toBeLessThan(12)
    } finally {
      for (const socket of [...crowd, one]) socket.destroy()
    }
  })

  it('an account that is alone is answered as before', async () => {
    const client = createDistributionClient(stowage.url, { username: busy.keys.accessKeyId, password: busy.keys.secretAccessKey })
    const answers = await Promise.all(Array.from({ length: 300 }, () => client.request('GET', `/v2/${repository}/manifests/v1`)))
    client.close()

    expect(answers.every(({ status }) => status === 200)).toBe(true)
  })
})
