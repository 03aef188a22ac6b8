import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createServer as createTlsServer } from 'node:tls'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type JournalRecord } from '../../src/audit/index.ts'
import { encodeLine } from '../../src/audit/journal-record.ts'
import { exportOutlet, putInFolder, type PutFile } from '../../src/audit/outlets/export-outlet.ts'
import { Follower } from '../../src/audit/outlets/follower.ts'
import { otlpOutlet } from '../../src/audit/outlets/otlp-outlet.ts'
import type { Outlet } from '../../src/audit/outlets/outlet.ts'
import { syslogOutlet } from '../../src/audit/outlets/syslog-outlet.ts'
import { filesOfTime } from '../../src/audit/outlets/trail-files.ts'
import { webhookOutlet } from '../../src/audit/outlets/webhook-outlet.ts'
import { removeOldEvents } from '../../src/audit/retention.ts'
import { Sealer } from '../../src/audit/sealer.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { TrustedAuthorities } from '../../src/internal/outbound/trusted-authorities.ts'
import { signatureHeaders, signingKeyOf } from '../../src/internal/outbound/webhook-signature.ts'
import { migrateMetadata } from '../../src/storage/metadata/migrate.ts'
import { openMetadataReader } from '../../src/storage/metadata/open.ts'
import type { MetadataReader } from '../../src/storage/metadata/reader.ts'
import { openObserveStore, observeTarget, prepareObserveStore, type ObserveStore } from '../../src/storage/metadata/observe/store.ts'
import { createCertificate } from '../support/certificates.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases } from '../support/registry.ts'
import { baseEnv } from '../support/run.ts'
import { freePort, startServerProcess } from '../support/server-process.ts'
import { ensureTool } from '../support/tools.ts'

const begin = Date.UTC(2027, 2, 1, 12, 34)

function record(n: number, more: Partial<JournalRecord> = {}): JournalRecord {
  return { id: systemIds.uuid(), at: begin + n, account: '000000000000', region: 'us-east-1', protocol: 'oci', source: 'ecr.amazonaws.com', name: 'BatchGetImage', reads: true, ip: '192.0.2.1', status: 200, ms: 1, ...more }
}

let dir: string
let store: ObserveStore
let metadata: MetadataReader
let seal: (records: readonly JournalRecord[]) => Promise<void>
const followers: Follower[] = []
const servers: (Server | TcpServer)[] = []

async function start(kind: (typeof databases)[number]): Promise<void> {
  const target = kind === 'sqlite' ? { file: join(dir, 'stowage.db') } : { url: (await createDatabase()).url }
  await migrateMetadata(target, { check: false })
  metadata = await openMetadataReader(target, { onConnectionLost: () => undefined })
  const observe = observeTarget(dir, target)
  await prepareObserveStore(observe)
  store = openObserveStore(observe, { connections: 4, readOnly: false })
  const folder = mkdtempSync(join(dir, 'journal-'))
  const sealer = new Sealer({ store, metadata: metadata.reader, folder, serverId: 'this', leftBehind: new Set(), now: Date.now, forget: () => Promise.resolve(), onDamage: () => undefined })
  let segments = 0
  seal = async (records) => {
    writeFileSync(join(folder, `${(segments += 1)}.lines`), records.map(encodeLine).join(''))
    await sealer.sealSegments()
  }
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'stowage-outlets-'))
})
afterEach(async () => {
  for (const follower of followers.splice(0)) await follower.stop()
  for (const server of servers.splice(0)) server.close()
  await store.close()
  await metadata.close()
  rmSync(dir, { recursive: true })
})

function follow(outlet: Outlet, owner = 'this'): Follower & { readonly gaps: number[] } {
  const gaps: number[] = []
  const settings = { lookIntervalMs: 5, firstWaitMs: 5, longestWaitMs: 20, turnTimeoutMs: 2_000 }
  const follower = new Follower(outlet, { store, owner, now: Date.now, onError: () => undefined, onGap: (records) => gaps.push(records), settings })
  followers.push(follower)
  follower.start()
  return Object.assign(follower, { gaps })
}

async function listen(handler: (request: IncomingMessage, body: Buffer, response: ServerResponse) => void): Promise<string> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => handler(request, Buffer.concat(chunks), response))
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function filesUnder(folder: string): Map<string, Record<string, unknown>[]> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && entry.name.endsWith('.gz'))
  return new Map(names.map(({ parentPath, name }) => {
    const path = join(parentPath, name)
    return [path.slice(folder.length + 1), (JSON.parse(gunzipSync(readFileSync(path)).toString()) as { Records: Record<string, unknown>[] }).Records]
  }))
}

const settled = async (check: () => boolean): Promise<void> => {
  await expect.poll(check, { timeout: 5_000, interval: 5 }).toBe(true)
}

describe.each(databases)('exports on %s', (kind) => {
  beforeEach(() => start(kind))

  it('put each record into one file of CloudTrail’s layout, also after a crash behind the write', async () => {
    const records = [record(1), record(2, { account: '111111111111' }), record(3), record(60_000)]
    await seal(records)
    const folder = join(dir, 'out')
    let crashes = 1
    const put: PutFile = async (file, signal) => {
      await putInFolder(folder)(file, signal)
      if (crashes-- > 0) {
        // More comes before it is tried again.
        await seal([record(70_000)])
        throw new Error('killed')
      }
    }
    follow(exportOutlet(put, 0))
    await settled(() => filesUnder(folder).size === 3)
    const files = filesUnder(folder)
    expect([...files.keys()].map((path) => path.replace(/_[0-9a-f]{16}\.json\.gz$/u, '')).toSorted()).toEqual([
      'AWSLogs/000000000000/CloudTrail/us-east-1/2027/03/01/000000000000_CloudTrail_us-east-1_20270301T1234Z',
      'AWSLogs/000000000000/CloudTrail/us-east-1/2027/03/01/000000000000_CloudTrail_us-east-1_20270301T1235Z',
      'AWSLogs/111111111111/CloudTrail/us-east-1/2027/03/01/111111111111_CloudTrail_us-east-1_20270301T1234Z',
    ])
    const ids = [...files.values()].flat().map(({ eventID }) => eventID)
    expect([ids.length, new Set(ids).size]).toEqual([5, 5])
    expect([...files.values()].flat()).toContainEqual(expect.objectContaining({ eventName: 'BatchGetImage', sourceIPAddress: '192.0.2.1', eventTime: '2027-03-01T12:34:00Z' }))

    // On request, of a time: the same files each time.
    const names = async (from: number): Promise<string[]> => {
      const found: string[] = []
      for await (const { path, records: count } of filesOfTime(store.reader, { from, to: begin + 60_001 })) found.push(`${path} ${count}`)
      return found
    }
    expect(await names(0)).toEqual(await names(0))
    expect((await names(begin + 3)).map((name) => name.replace(/.* /u, ''))).toEqual(['2'])
  })

  it('are made by one server of several, and by another when that is gone', async () => {
    const sent: string[] = []
    const outlet = (owner: string) => exportOutlet(() => Promise.resolve(void sent.push(owner)), 0)
    await seal([record(1)])
    const [first] = [follow(outlet('a'), 'a')]
    await settled(() => sent.length === 1)
    follow(outlet('b'), 'b')
    await seal([record(2)])
    await settled(() => sent.length === 2)
    await first.stop()
    await seal([record(3)])
    await settled(() => sent.length === 3)
    expect(sent).toEqual(['a', 'a', 'b'])
  })

  it('tell what was removed for its age before, and go on behind it', async () => {
    const sent: number[] = []
    await seal([record(1), record(2)])
    await removeOldEvents(store, 1, begin + 1000)
    await seal([record(5)])
    const follower = follow(exportOutlet(({ records }) => Promise.resolve(void sent.push(records)), 0))
    await settled(() => sent.length === 1)
    expect([sent, follower.gaps]).toEqual([[1], [2]])
  })
})

/** Messages by their lengths, as RFC 6587 and 5425 have them. */
function framesOf(bytes: Buffer): string[] {
  const frames: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(' ', at)
    const size = Number(bytes.subarray(at, space).toString())
    frames.push(bytes.subarray(space + 1, space + 1 + size).toString())
    at = space + 1 + size
  }
  return frames
}

describe.each(['tcp', 'tls'] as const)('syslog over %s', (transport) => {
  beforeEach(() => start('sqlite'))

  it('gets messages of RFC 5424 in order, all of them after it was away, while another that hangs holds nothing up', async () => {
    const frames: string[] = []
    const { certFile, keyFile } = transport === 'tls' ? await createCertificate(dir) : { certFile: undefined, keyFile: '' }
    const onSocket = (socket: Socket): void => {
      const chunks: Buffer[] = []
      socket.on('data', (chunk: Buffer) => chunks.push(chunk))
      socket.on('error', () => undefined)
      socket.on('end', () => {
        frames.push(...framesOf(Buffer.concat(chunks)))
        socket.end()
      })
    }
    const receiver = transport === 'tcp' ? createTcpServer(onSocket) : createTlsServer({ cert: readFileSync(certFile!), key: readFileSync(keyFile) }, onSocket)
    servers.push(receiver)
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
    const { port } = receiver.address() as AddressInfo
    await new Promise<void>((resolve) => receiver.close(() => resolve()))
    const silent = await listen(() => undefined)
    const hanging = follow(otlpOutlet({ endpoint: silent, headers: {}, trusted: new TrustedAuthorities(undefined, ['default', 'system']), version: '1', now: Date.now, onRejected: () => undefined }))
    const follower = follow(syslogOutlet({ transport, host: 'localhost', port, trusted: new TrustedAuthorities(certFile, ['default', 'system']), hostName: 'registry host', processId: 7 }))
    await seal([record(0)])
    await new Promise((resolve) => setTimeout(resolve, 50))
    const records = [record(1), record(2, { name: 'PutImage', error: 'AccessDenied', message: 'nö 🙂', status: 403 })]
    await seal(records)
    await settled(() => follower.progress.failures > 1)
    await new Promise<void>((resolve) => receiver.listen(port, '127.0.0.1', resolve))
    await settled(() => frames.length >= 2 && follower.progress.waiting === 0)

    const [first, second] = frames.slice(-2)
    expect(first).toMatch(/^<109>1 2027-03-01T12:34:00\.001Z registry_host stowage 7 BatchGetImage \[meta sequenceId="2"\] \{/u)
    expect(second).toMatch(/^<108>1 2027-03-01T12:34:00\.002Z registry_host stowage 7 PutImage \[meta sequenceId="3"\] [\x20-\x7e]+$/u)
    const told = JSON.parse(second!.slice(second!.indexOf('] ') + 2)) as Record<string, unknown>
    expect(told).toMatchObject({ eventID: records[1]!.id, errorCode: 'AccessDenied', errorMessage: 'nö 🙂' })
    expect(hanging.progress).toMatchObject({ sent: 0 })
  })
})

describe.each(['tcp', 'udp'] as const)('rsyslog over %s', (transport) => {
  beforeEach(() => start('sqlite'))

  it('reads every message as it was meant, also those of a time when it was not there', async () => {
    const port = await freePort()
    const file = join(dir, 'received')
    const module = transport === 'tcp' ? 'imtcp' : 'imudp'
    const properties = ['syslogfacility', 'syslogseverity', 'timestamp:::date-rfc3339', 'hostname', 'app-name', 'procid', 'msgid', 'structured-data', 'msg'].map((name) => `%${name}%`)
    writeFileSync(join(dir, 'rsyslog.conf'), `
      global(workDirectory="${dir}" maxMessageSize="64k")
      module(load="${module}")
      input(type="${module}" address="127.0.0.1" port="${port}")
      template(name="line" type="string" string="${properties.join('|')}\n")
      action(type="omfile" file="${file}" template="line")`)
    const follower = follow(syslogOutlet({ transport, host: '127.0.0.1', port, trusted: new TrustedAuthorities(undefined, ['default', 'system']), hostName: 'registry host', processId: 7 }))
    await settled(() => new DatabaseSync(join(dir, 'observe.db'), { readOnly: true }).prepare('select count(*) as n from audit_cursor').get()!['n'] === 1)
    const long = { values: 'x'.repeat(6000), more: 'y'.repeat(6000) }
    const records = [record(1), record(2, { name: 'PutImage', error: 'AccessDenied', message: 'nö 🙂', status: 403 }), record(3, { answered: long, message: 'long' }), ...Array.from({ length: 300 }, (_, n) => record(n + 4))]
    await seal(records)
    await settled(() => follower.progress.failures > 0)
    const server = await startServerProcess({
      name: 'rsyslogd',
      command: ensureTool('rsyslogd'),
      args: ['-n', '-f', join(dir, 'rsyslog.conf'), '-i', join(dir, 'rsyslog.pid')],
      env: baseEnv(),
      ready: () => Promise.resolve(existsSync(join(dir, 'rsyslog.pid'))),
    })
    try {
      const lines = (): string[] => (existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [])
      // What was not taken at first is sent again, the first of it twice.
      await settled(() => new Set(lines()).size === records.length && follower.progress.waiting === 0)
      const read = [...new Set(lines())].map((line) => {
        const [facility, severity, time, host, app, process, messageId, data, ...text] = line.split('|')
        return { facility, severity, time, host, app, process, messageId, data, told: JSON.parse(text.join('|')) as Record<string, unknown>, sizeBytes: line.length }
      })
      expect(read.map(({ told }) => told['eventID'])).toEqual(records.map(({ id }) => id))
      const common = { facility: '13', host: 'registry_host', app: 'stowage', process: '7' }
      expect(read[0]).toMatchObject({ ...common, severity: '5', time: '2027-03-01T12:34:00.001Z', messageId: 'BatchGetImage', data: '[meta sequenceId="1"]' })
      expect(read[1]).toMatchObject({ ...common, severity: '4', messageId: 'PutImage', told: { errorMessage: 'nö 🙂' } })
      expect(read[2]).toMatchObject({ told: { errorMessage: 'long', responseElements: transport === 'tcp' ? long : { omitted: true, reason: 'too long for a datagram' } } })
      if (transport === 'udp') expect(Math.max(...read.map(({ sizeBytes }) => sizeBytes))).toBeLessThanOrEqual(8192)
    } finally {
      await server.stop()
    }
  })
})

describe('forwarding over HTTP', () => {
  beforeEach(() => start('sqlite'))

  it('sends logs of OpenTelemetry, with what a collector refused for good told and not repeated', async () => {
    const received: { readonly path: string | undefined; readonly key: unknown; readonly body: Record<string, never> }[] = []
    const rejected: (number | string)[] = []
    const endpoint = await listen((request, body, response) => {
      received.push({ path: request.url, key: request.headers['api-key'], body: JSON.parse(body.toString()) as Record<string, never> })
      response.writeHead(received.length === 1 ? 503 : 200, { 'content-type': 'application/json' })
      response.end(received.length === 1 ? '' : '{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"too long"}}')
    })
    const follower = follow(otlpOutlet({ endpoint, headers: { 'api-key': 'abc' }, trusted: new TrustedAuthorities(undefined, ['default', 'system']), version: '1.2.3', now: () => begin + 5_000, onRejected: (records, reason) => rejected.push(records, reason) }))
    await settled(() => new DatabaseSync(join(dir, 'observe.db'), { readOnly: true }).prepare('select count(*) as n from audit_cursor').get()!['n'] === 1)
    await seal([record(1, { repository: 'team/app', actor: { arn: 'arn:aws:iam::000000000000:user/ci', account: '000000000000', kind: 'user', userId: 'AIDA', keyId: 'AKIA' } })])
    await settled(() => follower.progress.sent === 1)
    expect(rejected).toEqual([1, 'too long'])
    expect(received.map(({ path, key }) => [path, key])).toEqual([['/v1/logs', 'abc'], ['/v1/logs', 'abc']])
    expect(received[1]!.body).toEqual(received[0]!.body)
    expect(received[1]!.body).toMatchObject({
      resourceLogs: [{
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'stowage' } }, { key: 'service.version', value: { stringValue: '1.2.3' } }] },
        scopeLogs: [{ logRecords: [{ timeUnixNano: `${begin + 1}000000`, observedTimeUnixNano: `${begin + 5_000}000000`, severityNumber: 9, eventName: 'BatchGetImage' }] }],
      }],
    })
    const [{ attributes, body }] = (received[1]!.body as unknown as { resourceLogs: { scopeLogs: { logRecords: [{ attributes: { key: string; value: object }[]; body: { stringValue: string } }] }[] }[] }).resourceLogs[0]!.scopeLogs[0]!.logRecords
    expect(attributes).toContainEqual({ key: 'user.name', value: { stringValue: 'ci' } })
    expect(attributes).toContainEqual({ key: 'stowage.resource', value: { stringValue: 'team/app' } })
    expect(JSON.parse(body.stringValue)).toMatchObject({ eventName: 'BatchGetImage' })
  })

  it('posts to a webhook in bounded batches, signed, each record at least once and in order', async () => {
    const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
    const key = signingKeyOf(secret)!
    const ids: unknown[] = []
    const sizes: number[] = []
    const url = await listen((request, bytes, response) => {
      const body = bytes.toString()
      const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature } = request.headers as Record<string, string>
      expect(signatureHeaders(key, id!, Number(timestamp) * 1000, body)['webhook-signature']).toBe(signature)
      const { Records: records } = JSON.parse(body) as { Records: { eventID: string }[] }
      sizes.push(records.length)
      if (sizes.length === 2) return void response.writeHead(500).end()
      ids.push(...records.map(({ eventID }) => eventID))
      response.writeHead(204).end()
    })
    const follower = follow(webhookOutlet({ url, key, trusted: new TrustedAuthorities(undefined, ['default', 'system']), now: Date.now }))
    await settled(() => new DatabaseSync(join(dir, 'observe.db'), { readOnly: true }).prepare('select count(*) as n from audit_cursor').get()!['n'] === 1)
    const records = Array.from({ length: 450 }, (_, n) => record(n))
    await seal(records)
    await settled(() => follower.progress.sent === 450)
    expect(ids).toEqual(records.map(({ id }) => id))
    expect(Math.max(...sizes)).toBe(200)
    expect(follower.progress).toMatchObject({ failures: 1, waiting: 0, oldestAt: undefined })
  })
})
