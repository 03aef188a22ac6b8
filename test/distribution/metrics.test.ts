import { BatchGetImageCommand, CreateRepositoryCommand, DescribeImagesCommand, ECRClient } from '@aws-sdk/client-ecr'
import { describe, expect, it } from 'vitest'
import { declaredMetrics, isList, type MetricDeclaration } from '../../src/metrics/index.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildRandomImage, pushImage } from '../support/images.ts'
import { createDatabase } from '../support/postgres.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { ensureTool } from '../support/tools.ts'

const repository = 'team/app'
const declared: Readonly<Record<string, MetricDeclaration>> = declaredMetrics

async function scrape(stowage: Stowage): Promise<string> {
  return (await fetch(`${stowage.url}/metrics`)).text()
}

/** The value of a series; undefined where there is none. */
function valueOf(text: string, series: string): number | undefined {
  const line = text.split('\n').find((each) => each.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

describe.each(['sqlite', 'postgres'] as const)('metrics on %s', (databaseKind) => {
  it('count what happened, under declared names and values only, as promtool wants them', async () => {
    const database = databaseKind === 'postgres' ? await createDatabase() : undefined
    const stowage = await startStowage(database === undefined ? {} : { databaseUrl: database.url })
    const client = createDistributionClient(stowage.url, stowage.credentials)
    const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys, maxAttempts: 1 })
    try {
      await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
      const image = buildRandomImage([10_000, 20_000], 'metrics')
      await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, 'one')
      for (let n = 0; n < 3; n += 1) expect((await client.request('GET', `/v2/${repository}/manifests/one`)).status).toBe(200)
      const imageIds = [{ imageTag: 'one' }, { imageDigest: image.manifest.digest }, { imageTag: 'none' }]
      await ecr.send(new BatchGetImageCommand({ repositoryName: repository, imageIds }))
      expect((await client.request('GET', `/v2/${repository}/blobs/${image.blobs[0]?.digest}`)).status).toBe(200)
      expect((await client.request('GET', `/v2/${repository}/manifests/none`)).status).toBe(404)
      await expect(ecr.send(new DescribeImagesCommand({ repositoryName: 'not/there' }))).rejects.toThrow()
      await client.request('GET', '/nothing/here')
      await client.request('POST', `/v2/${repository}/blobs/uploads/`)

      const text = await scrape(stowage)

      expect(valueOf(text, 'stowage_image_pulls_total{protocol="oci"}')).toBe(3)
      // The tag and the digest are one image, given once for each.
      expect(valueOf(text, 'stowage_image_pulls_total{protocol="ecr"}')).toBe(2)
      expect(valueOf(text, 'stowage_image_pushes_total{protocol="oci"}')).toBe(1)
      expect(valueOf(text, 'stowage_uploads_completed_total{protocol="oci"}')).toBe(image.blobs.length)
      expect(valueOf(text, 'stowage_http_requests_total{protocol="oci",operation="getManifest",status="2xx"}')).toBe(3)
      expect(valueOf(text, 'stowage_http_requests_total{protocol="oci",operation="getManifest",status="4xx"}')).toBe(1)
      expect(valueOf(text, 'stowage_http_requests_total{protocol="oci",operation="getBlob",status="2xx"}')).toBe(1)
      expect(valueOf(text, 'stowage_http_request_duration_seconds_count{protocol="ecr",operation="BatchGetImage",status="2xx"}')).toBe(1)
      expect(valueOf(text, 'stowage_http_errors_total{protocol="oci",code="MANIFEST_UNKNOWN"}')).toBe(1)
      expect(valueOf(text, 'stowage_http_errors_total{protocol="ecr",code="RepositoryNotFoundException"}')).toBe(1)
      expect(valueOf(text, 'stowage_http_requests_total{protocol="none",operation="none",status="4xx"}')).toBe(1)
      expect(valueOf(text, 'stowage_uploads_open')).toBe(1)
      expect(valueOf(text, 'stowage_repositories')).toBe(1)
      expect(valueOf(text, 'stowage_images')).toBe(1)
      expect(valueOf(text, 'stowage_image_bytes')).toBeGreaterThan(30_000)
      expect(valueOf(text, 'stowage_database_commands_total{outcome="done"}')).toBeGreaterThan(5)
      expect(valueOf(text, 'stowage_database_command_duration_seconds_count')).toBeGreaterThan(5)
      expect(valueOf(text, 'stowage_database_commands_waiting')).toBe(0)
      expect(valueOf(text, 'stowage_database_connections{pool="write",state="idle"}')).toEqual(databaseKind === 'postgres' ? expect.any(Number) : undefined)
      expect(valueOf(text, 'process_open_fds')).toBeGreaterThan(5)
      expect(valueOf(text, 'stowage_event_loop_lag_seconds_count')).toBeGreaterThanOrEqual(0)

      requireDeclared(text)
      // It answers nothing where all is well.
      const checked = await run(ensureTool('promtool'), ['check', 'metrics'], { input: text })
      expect(`${checked.stdout}${checked.stderr}`).toBe('')
    } finally {
      client.close()
      ecr.destroy()
      await stowage.stop()
      await database?.drop()
    }
  })
})

/** Every series has a declared name, type and labels with declared values, and every metric of the declarations that has no labels is there. */
function requireDeclared(text: string): void {
  const told = new Set<string>()
  for (const line of text.split('\n').filter((each) => each !== '' && !each.startsWith('#'))) {
    const [, series = '', labelText = ''] = /^([a-z_]+)(?:\{(.*)\})? \S+$/u.exec(line) ?? []
    const name = declared[series] === undefined ? series.replace(/_(?:bucket|sum|count)$/u, '') : series
    const declaration = declared[name]
    expect(declaration, line).toBeDefined()
    told.add(name)
    const labels = [...labelText.matchAll(/([a-z]+)="([^"]*)"/gu)].map(([, label = '', value = '']) => ({ label, value })).filter(({ label }) => label !== 'le')
    expect(labels.map(({ label }) => label)).toEqual(Object.keys(declaration?.labels ?? {}))
    for (const { label, value } of labels) {
      const values = declaration?.labels[label] ?? []
      if (isList(values)) expect(values, line).toContain(value)
      else expect(value, line).toMatch(/^[\w.:-]+$/u)
    }
  }
  const missing = Object.entries(declared).filter(([name, { labels }]) => Object.keys(labels).length === 0 && !told.has(name))
  expect(missing.map(([name]) => name)).toEqual([])
}
