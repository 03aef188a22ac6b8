import { ECR } from '@aws-sdk/client-ecr'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDistributionClient, type DistributionClient } from '../support/distribution-client.ts'
import { iamClient, newUser } from '../support/identities.ts'
import { buildImage, pushImage, type Image } from '../support/images.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { createDatabase } from '../support/postgres.ts'

/*
 * On PostgreSQL, where a test can hold the repository's lock: the deletion has been allowed then, and waits. What the
 * command itself does on either database is tested in test/registry/images.test.ts.
 */
describe('a tag that is set while its image is being deleted', () => {
  let platform: TestPlatform
  let database: Awaited<ReturnType<typeof createDatabase>>
  let client: DistributionClient
  let holder: pg.Client
  /** Apart from the transaction of the other, in which what is waited for is as it was first seen. */
  let watcher: pg.Client
  let ecr: ECR
  let serial = 0

  beforeAll(async () => {
    database = await createDatabase()
    platform = await startTestPlatform({ database: 'postgres', databaseUrl: database.url })
    const iam = iamClient(platform.url, platform.credentials)
    const cleaner = await newUser(
      iam,
      { Action: 'ecr:BatchDeleteImage', Resource: '*' },
      { Effect: 'Deny', Action: 'ecr:BatchDeleteImage', Resource: '*', Condition: { StringLike: { 'stowage:ImageTag': 'prod-*' } } },
    )
    iam.destroy()
    client = createDistributionClient(platform.url, cleaner.credentials)
    ecr = new ECR({ endpoint: platform.url, region: 'us-east-1', credentials: cleaner, maxAttempts: 1 })
    holder = new pg.Client({ connectionString: database.url })
    await holder.connect()
    watcher = new pg.Client({ connectionString: database.url })
    await watcher.connect()
  })
  afterAll(async () => {
    await holder.end()
    await watcher.end()
    ecr.destroy()
    client.close()
    await platform.stop()
    await database.drop()
  })

  async function pushed(): Promise<{ repository: string; image: Image }> {
    const repository = `race/r${(serial += 1)}`
    const image = buildImage()
    const { accessKeyId: username, secretAccessKey: password } = platform.credentials
    await platform.createRepository(repository)
    await pushImage({ url: platform.url, repository, auth: { username, password } }, image, 'dev-1')
    return { repository, image }
  }

  /** Runs `remove`, and sets the tag when it waits for the repository. */
  async function withTagSetMeanwhile<Result>(repository: string, tag: string, remove: () => Promise<Result>): Promise<Result> {
    await holder.query('begin')
    const { rows } = await holder.query<{ id: string }>('select id from repository where name = $1 for update', [repository])
    const removal = remove()
    await expect
      .poll(async () => {
        const waiting = await watcher.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
        return waiting.rowCount
      }, { timeout: 20_000 })
      .toBe(1)
    await holder.query(
      'insert into tag (repository_id, name, manifest_id, tagged_at) select repository_id, $2, id, 1 from manifest where repository_id = $1',
      [rows[0]?.id, tag],
    )
    await holder.query('commit')
    return removal
  }

  async function tagsOf(repository: string): Promise<string[]> {
    const { rows } = await holder.query<{ name: string }>(
      'select tag.name from tag join repository on repository.id = tag.repository_id where repository.name = $1 order by tag.name',
      [repository],
    )
    return rows.map(({ name }) => name)
  }

  it('stays, with the image, where the caller may not take it', async () => {
    const [byOci, byApi] = [await pushed(), await pushed()]

    const { status } = await withTagSetMeanwhile(byOci.repository, 'prod-1', () =>
      client.request('DELETE', `/v2/${byOci.repository}/manifests/${byOci.image.manifest.digest}`),
    )
    const outcome = await withTagSetMeanwhile(byApi.repository, 'prod-1', () =>
      ecr
        .batchDeleteImage({ repositoryName: byApi.repository, imageIds: [{ imageDigest: byApi.image.manifest.digest }] })
        .then(() => 'deleted', (error: Error) => error.name),
    )

    expect([status, outcome]).toEqual([403, 'AccessDeniedException'])
    expect(await tagsOf(byOci.repository)).toEqual(['dev-1', 'prod-1'])
    expect(await tagsOf(byApi.repository)).toEqual(['dev-1', 'prod-1'])
  })

  it('goes with the image where the caller may take it', async () => {
    const [byOci, byApi] = [await pushed(), await pushed()]

    const { status } = await withTagSetMeanwhile(byOci.repository, 'dev-2', () =>
      client.request('DELETE', `/v2/${byOci.repository}/manifests/${byOci.image.manifest.digest}`),
    )
    const { imageIds } = await withTagSetMeanwhile(byApi.repository, 'dev-2', () =>
      ecr.batchDeleteImage({ repositoryName: byApi.repository, imageIds: [{ imageDigest: byApi.image.manifest.digest }] }),
    )

    expect(status).toBe(202)
    expect(imageIds?.map(({ imageTag }) => imageTag)).toEqual(['dev-1', 'dev-2'])
    expect([await tagsOf(byOci.repository), await tagsOf(byApi.repository)]).toEqual([[], []])
  })
})
