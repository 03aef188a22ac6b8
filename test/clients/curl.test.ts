import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createAwsClient } from '../support/aws.ts'
import { buildImage, digestOf, randomContent } from '../support/images.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

let stowage: Stowage
let dir: TempDir
let repository: string
let repositories = 0

beforeAll(async () => {
  stowage = await startStowage()
  dir = createTempDir('curl')
})

afterAll(async () => {
  dir?.remove()
  await stowage?.stop()
})

beforeEach(async () => {
  repositories += 1
  repository = `curl/app-${repositories}`
  await createAwsClient(stowage).json('ecr', 'create-repository', '--repository-name', repository)
})

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** Runs `curl <options> <url>` with the root keys as user and password. */
async function curl(path: string, ...options: string[]): Promise<Answer> {
  return anonymousCurl(path, '--user', `${stowage.keys.accessKeyId}:${stowage.keys.secretAccessKey}`, ...options)
}

async function anonymousCurl(path: string, ...options: string[]): Promise<Answer> {
  const headersFile = join(dir.path, 'headers')
  const bodyFile = join(dir.path, 'body')
  writeFileSync(bodyFile, '')
  const url = new URL(path, stowage.url).toString()
  await run(ensureTool('curl'), ['--silent', '--show-error', '--dump-header', headersFile, '--output', bodyFile, ...options, url])
  // The last of the blocks: one for "100 Continue" may come first.
  const [statusLine = '', ...lines] = readFileSync(headersFile, 'utf8').trim().split(/\r\n\r\n/).at(-1)?.split('\r\n') ?? []
  const headers = lines.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
  })
  return { status: Number(statusLine.split(' ')[1]), headers: Object.fromEntries(headers), body: readFileSync(bodyFile) }
}

function bodyFrom(bytes: Buffer | string): string[] {
  const path = join(dir.path, 'request-body')
  writeFileSync(path, bytes)
  return ['--header', 'Content-Type: application/octet-stream', '--data-binary', `@${path}`]
}

async function beginUpload(): Promise<string> {
  const begun = await curl(`/v2/${repository}/blobs/uploads/`, '--request', 'POST')
  expect(begun.status).toBe(202)
  return begun.headers['location'] ?? ''
}

function withQuery(location: string, query: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}${query}`
}

/** Sends a blob as POST and one PUT. */
async function pushBlob(bytes: Buffer): Promise<string> {
  const digest = digestOf(bytes)
  const put = await curl(withQuery(await beginUpload(), `digest=${digest}`), '--request', 'PUT', ...bodyFrom(bytes))
  expect(put.status).toBe(201)
  return digest
}

test('the ping challenges with Basic, and takes the keys and the ECR token', async () => {
  const challenged = await anonymousCurl('/v2/')
  const token = await createAwsClient(stowage).text('ecr', 'get-login-password')

  expect(challenged.status).toBe(401)
  expect(challenged.headers['www-authenticate']).toMatch(/^Basic realm="[^"]+",service="ecr\.amazonaws\.com"$/)
  expect(challenged.headers['docker-distribution-api-version']).toBe('registry/2.0')
  expect((await curl('/v2/')).status).toBe(200)
  expect((await anonymousCurl('/v2/', '--user', `AWS:${token}`)).status).toBe(200)
  expect((await anonymousCurl('/v2/', '--user', 'AWS:wrong')).status).not.toBe(200)
})

test('a blob is sent in one PUT, by percent-encoded digest, and read back', async () => {
  const bytes = randomContent(100_000, 'one PUT')
  const digest = digestOf(bytes)
  const location = withQuery(await beginUpload(), `digest=${encodeURIComponent(digest)}`)

  const put = await curl(location, '--request', 'PUT', ...bodyFrom(bytes))
  const head = await curl(`/v2/${repository}/blobs/${digest}`, '--head')
  const get = await curl(`/v2/${repository}/blobs/${digest}`)

  expect(put.status).toBe(201)
  expect(put.headers['docker-content-digest']).toBe(digest)
  expect(put.headers['location']).toContain(`/v2/${repository}/blobs/${digest}`)
  expect(head.status).toBe(200)
  expect(head.headers).toMatchObject({ 'content-length': '100000', 'docker-content-digest': digest })
  expect(get.body).toEqual(bytes)
})

test('a blob is sent in the POST itself, or the server asks for the next step', async () => {
  const bytes = randomContent(1000, 'POST with digest')
  const digest = digestOf(bytes)

  const posted = await curl(`/v2/${repository}/blobs/uploads/?digest=${digest}`, '--request', 'POST', ...bodyFrom(bytes))

  expect([201, 202]).toContain(posted.status)
  if (posted.status === 201) expect((await curl(`/v2/${repository}/blobs/${digest}`)).body).toEqual(bytes)
})

test('chunks of one upload follow each other, gaps are refused, and the status tells where to go on', async () => {
  const bytes = randomContent(30_000, 'chunks')
  const digest = digestOf(bytes)
  const location = await beginUpload()

  const first = await curl(location, '--request', 'PATCH', '--header', 'Content-Range: 0-9999', ...bodyFrom(bytes.subarray(0, 10_000)))
  const gap = await curl(
    ...([first.headers['location'] ?? '', '--request', 'PATCH'] as const),
    ...['--header', 'Content-Range: 20000-29999', ...bodyFrom(bytes.subarray(20_000))],
  )
  const status = await curl(first.headers['location'] ?? '')
  const rest = await curl(
    ...([first.headers['location'] ?? '', '--request', 'PATCH'] as const),
    ...['--header', 'Content-Range: 10000-29999', ...bodyFrom(bytes.subarray(10_000))],
  )
  const put = await curl(withQuery(rest.headers['location'] ?? '', `digest=${digest}`), '--request', 'PUT')

  expect([first.status, gap.status, status.status, rest.status, put.status]).toEqual([202, 416, 204, 202, 201])
  expect([first, gap, status].map((answer) => answer.headers['range'])).toEqual(['0-9999', '0-9999', '0-9999'])
  expect(rest.headers['range']).toBe('0-29999')
  expect((await curl(`/v2/${repository}/blobs/${digest}`)).body).toEqual(bytes)
})

test('a stream of unknown length is taken', async () => {
  const bytes = randomContent(3_000_000, 'stream')
  const path = join(dir.path, 'stream')
  writeFileSync(path, bytes)

  // curl sends what it uploads chunked when told to.
  const patched = await curl(
    await beginUpload(),
    ...['--request', 'PATCH', '--header', 'Transfer-Encoding: chunked', '--upload-file', path],
  )
  const put = await curl(withQuery(patched.headers['location'] ?? '', `digest=${digestOf(bytes)}`), '--request', 'PUT')

  expect([patched.status, put.status]).toEqual([202, 201])
  expect((await curl(`/v2/${repository}/blobs/${digestOf(bytes)}`)).body).toEqual(bytes)
})

test.each([0, 1])('a blob of %i bytes is a blob like any other', async (sizeBytes) => {
  const bytes = randomContent(sizeBytes, 'tiny')

  const digest = await pushBlob(bytes)

  const get = await curl(`/v2/${repository}/blobs/${digest}`)
  expect(get.status).toBe(200)
  expect(get.headers['content-length']).toBe(String(sizeBytes))
  expect(get.body).toEqual(bytes)
})

test('ranges: first bytes, from the middle, the last ones, and beyond the end', async () => {
  const bytes = randomContent(1000, 'ranges')
  const digest = await pushBlob(bytes)
  const path = `/v2/${repository}/blobs/${digest}`

  const answers = await Promise.resolve([
    await curl(path, '--header', 'Range: bytes=0-9'),
    await curl(path, '--header', 'Range: bytes=990-'),
    await curl(path, '--header', 'Range: bytes=-10'),
    await curl(path, '--header', 'Range: bytes=500-5000'),
    await curl(path, '--header', 'Range: bytes=1000-'),
  ])

  expect(answers.map((answer) => answer.status)).toEqual([206, 206, 206, 206, 416])
  expect(answers.map((answer) => answer.headers['content-range'])).toEqual([
    'bytes 0-9/1000',
    'bytes 990-999/1000',
    'bytes 990-999/1000',
    'bytes 500-999/1000',
    'bytes */1000',
  ])
  expect(answers.slice(0, 4).map((answer) => answer.body)).toEqual([
    bytes.subarray(0, 10),
    bytes.subarray(990),
    bytes.subarray(990),
    bytes.subarray(500),
  ])
  expect((await curl(path, '--head')).headers['accept-ranges']).toBe('bytes')
})

test('a download that was cut off is resumed', async () => {
  const bytes = randomContent(200_000, 'resumed')
  const digest = await pushBlob(bytes)
  const partial = join(dir.path, 'partial')
  writeFileSync(partial, bytes.subarray(0, 70_000))

  await run(ensureTool('curl'), [
    ...['--silent', '--show-error', '--fail', '--continue-at', '-', '--output', partial],
    ...['--user', `${stowage.keys.accessKeyId}:${stowage.keys.secretAccessKey}`],
    `${stowage.url}/v2/${repository}/blobs/${digest}`,
  ])

  expect(readFileSync(partial)).toEqual(bytes)
})

test('a wrong digest is refused, and nothing of the blob remains', async () => {
  const wrong = digestOf(Buffer.from('something else'))

  const put = await curl(withQuery(await beginUpload(), `digest=${wrong}`), '--request', 'PUT', ...bodyFrom('some bytes'))

  expect(put.status).toBe(400)
  expect(JSON.parse(put.body.toString()).errors).toMatchObject([{ code: 'DIGEST_INVALID' }])
  expect((await curl(`/v2/${repository}/blobs/${wrong}`)).status).toBe(404)
  expect((await curl(`/v2/${repository}/blobs/${digestOf(Buffer.from('some bytes'))}`)).status).toBe(404)
})

test('a cancelled upload is gone', async () => {
  const location = await beginUpload()

  const cancelled = await curl(location, '--request', 'DELETE')

  expect(cancelled.status).toBe(204)
  expect((await curl(location)).status).toBe(404)
})

test('a manifest is pushed, found by tag and digest, listed and deleted', async () => {
  const image = buildImage({ seed: repository })
  for (const blob of image.blobs) await pushBlob(blob.bytes)
  const base = `/v2/${repository}/manifests`
  const path = join(dir.path, 'manifest')
  writeFileSync(path, image.manifest.bytes)

  const put = await curl(
    ...([`${base}/v1`, '--request', 'PUT'] as const),
    ...['--header', `Content-Type: ${image.manifest.mediaType}`, '--data-binary', `@${path}`],
  )
  const head = await curl(`${base}/v1`, '--head', '--header', `Accept: ${image.manifest.mediaType}`)
  const byDigest = await curl(`${base}/${image.manifest.digest}`)
  const tags = await curl(`/v2/${repository}/tags/list`)
  const deleted = await curl(`${base}/${image.manifest.digest}`, '--request', 'DELETE')
  const gone = await curl(`${base}/v1`)

  expect([put.status, head.status, byDigest.status, deleted.status, gone.status]).toEqual([201, 200, 200, 202, 404])
  expect(put.headers['docker-content-digest']).toBe(image.manifest.digest)
  expect(head.headers).toMatchObject({
    'content-type': image.manifest.mediaType,
    'content-length': String(image.manifest.bytes.length),
    'docker-content-digest': image.manifest.digest,
  })
  expect(byDigest.body).toEqual(image.manifest.bytes)
  expect(JSON.parse(tags.body.toString())).toEqual({ name: repository, tags: ['v1'] })
  expect(JSON.parse(gone.body.toString()).errors).toMatchObject([{ code: 'MANIFEST_UNKNOWN' }])
})
