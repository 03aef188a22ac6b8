import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { afterEach, describe, expect, it } from 'vitest'
import { filesUnder } from '../repo/tree.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildRandomImage, pushImage } from '../support/images.ts'
import { freePort } from '../support/server-process.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { projectDir } from '../support/tools.ts'

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: number }
}

interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly attributes: readonly Attribute[]
  readonly status: { readonly code?: number; readonly message?: string }
}

interface Export {
  readonly resourceSpans: readonly { readonly resource: { readonly attributes: readonly Attribute[] }; readonly scopeSpans: readonly { readonly spans: readonly Span[] }[] }[]
}

const repository = 'traced/app'
const image = buildRandomImage([10_000], 'traces')
const traceId = '0af7651916cd43dd8448eb211c80319c'
const callerSpanId = 'b7ad6b7169203331'

let stowage: Stowage | undefined
let collector: Server | undefined
afterEach(async () => {
  await stowage?.stop()
  stowage = undefined
  collector?.closeAllConnections()
  collector?.close()
  collector = undefined
})

interface Received {
  readonly path: string | undefined
  readonly tenant: string | undefined
  readonly text: string
}

/** A collector that takes what comes, or does with it what `answer` does. */
async function startCollector(status: number | 'never'): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = []
  collector = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      received.push({ path: request.url, tenant: request.headers['x-tenant'] as string | undefined, text: Buffer.concat(chunks).toString() })
      if (status !== 'never') response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>((resolve) => collector?.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`, received }
}

function exportsOf(received: readonly Received[]): Export[] {
  return received.map(({ text }) => JSON.parse(text) as Export)
}

function spansOf(received: readonly Received[]): Span[] {
  return exportsOf(received).flatMap(({ resourceSpans }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)))
}

async function spansOnce(received: readonly Received[], isEnough: (spans: readonly Span[]) => boolean): Promise<Span[]> {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    const spans = spansOf(received)
    if (isEnough(spans)) return spans
    await sleep(25)
  }
  throw new Error(`the collector has only ${JSON.stringify(spansOf(received).map(({ name }) => name))}`)
}

function attributesOf(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]))
}

async function start(env: Readonly<Record<string, string>>): Promise<Stowage> {
  stowage = await startStowage({ env })
  return stowage
}

async function use(server: Stowage): Promise<void> {
  const ecr = new ECRClient({ endpoint: server.url, region: server.region, credentials: server.keys, maxAttempts: 1 })
  await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
  ecr.destroy()
  await pushImage({ url: server.url, repository, auth: server.credentials }, image, 'one')
}

describe('traces', () => {
  it('tell what a request did, under the trace of its caller', async () => {
    const { url, received } = await startCollector(200)
    const server = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/`, OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=registry%20one' })
    await use(server)
    const client = createDistributionClient(server.url, server.credentials)
    const traced = await client.request('GET', `/v2/${repository}/blobs/${image.blobs[0]?.digest}?token=a-secret-parameter`, { headers: { traceparent: `00-${traceId}-${callerSpanId}-01` } })
    const unsampled = await client.request('GET', `/v2/${repository}/manifests/one`, { headers: { traceparent: `00-${'a'.repeat(32)}-${callerSpanId}-00` } })
    expect([traced.status, unsampled.status]).toEqual([200, 200])
    await client.request('GET', '/readyz')
    client.close()

    const spans = await spansOnce(received, (seen) => seen.some((span) => span.traceId === traceId && span.name === 'getBlob'))

    const request = spans.find((span) => span.traceId === traceId && span.name === 'getBlob')
    expect(request).toMatchObject({ parentSpanId: callerSpanId, kind: 2 })
    expect(attributesOf(request?.attributes ?? [])).toMatchObject({
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'url.path': `/v2/${repository}/blobs/${image.blobs[0]?.digest}?token=REDACTED`,
      'stowage.repository': repository,
      'stowage.request_id': traced.headers['x-request-id'],
      'user.id': 'arn:aws:iam::000000000000:root',
      'client.address': '127.0.0.1',
    })
    expect(spans.filter(({ parentSpanId }) => parentSpanId === request?.spanId).map(({ name }) => name)).toEqual(['blobs open'])
    const push = spans.find(({ name }) => name === 'putManifest')
    expect(spans.filter(({ parentSpanId }) => parentSpanId === push?.spanId).map(({ name }) => name)).toContain('command put-manifest')
    const upload = spans.find(({ name }) => name === 'completeUpload')
    expect(spans.filter((span) => span.traceId === upload?.traceId).map(({ name }) => name)).toContain('blobs publish')
    expect(spans.find(({ name }) => name === 'CreateRepository')?.parentSpanId ?? '').toBe('')
    // Neither what its caller does not keep, nor probes, nor what the server does by itself.
    expect(spans.filter((span) => span.traceId === 'a'.repeat(32))).toEqual([])
    expect(spans.filter(({ kind, parentSpanId = '' }) => kind !== 2 && parentSpanId === '')).toEqual([])
    expect(spans.some(({ attributes }) => attributesOf(attributes)['url.path'] === '/readyz')).toBe(false)

    expect(received[0]).toMatchObject({ path: '/v1/traces', tenant: 'registry one' })
    expect(attributesOf(exportsOf(received)[0]?.resourceSpans[0]?.resource.attributes ?? [])).toMatchObject({ 'service.name': 'stowage' })
    const everything = received.map(({ text }) => text).join('\n')
    for (const secret of ['a-secret-parameter', server.keys.secretAccessKey]) expect(everything.includes(secret)).toBe(false)
    expect(server.logs()).toContain(`"traceId":"${traceId}"`)
  })

  it('are those of a part of the requests where that is asked for', async () => {
    const { url, received } = await startCollector(200)
    const server = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: url, STOWAGE_TRACE_RATIO: '0' })
    await use(server)
    const client = createDistributionClient(server.url, server.credentials)
    await client.request('GET', `/v2/${repository}/manifests/one`, { headers: { traceparent: `00-${traceId}-${callerSpanId}-01` } })
    client.close()

    const spans = await spansOnce(received, (seen) => seen.length > 0)

    expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([traceId]))
  })

  it.each([
    ['answers 500', 500 as const],
    ['never answers', 'never' as const],
    ['is not there', undefined],
  ])('cost no request anything where the collector %s', async (_, status) => {
    const url = status === undefined ? `http://127.0.0.1:${await freePort()}` : (await startCollector(status)).url
    const server = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: url })

    await use(server)
    const client = createDistributionClient(server.url, server.credentials)
    for (let n = 0; n < 200; n += 1) expect((await client.request('GET', `/v2/${repository}/manifests/one`)).status).toBe(200)
    client.close()
    const exit = await server.stop()
    stowage = undefined

    expect(exit).toEqual({ exitCode: 0, signal: null })
  })

  it('are loaded only by who asks for them', () => {
    const text = (path: string): string => readFileSync(join(projectDir, path), 'utf8')
    expect(text('src/platform-tracing.ts')).toContain("await import('./tracing/index.ts')")
    // Of what is loaded in any case no file imports what is loaded on demand alone.
    const importers = filesUnder('src/', '.ts').filter((path) => /^import .*(?:\/tracing\/|@opentelemetry\/)/mu.test(text(path)))
    expect(importers.filter((path) => !path.startsWith('src/tracing/'))).toEqual([])
    expect(importers).not.toEqual([])
  })
})
