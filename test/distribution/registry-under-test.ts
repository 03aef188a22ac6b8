import { afterAll, beforeAll, describe } from 'vitest'
import { createDistributionClient, type ClientResponse, type Credentials, type DistributionClient } from '../support/distribution-client.ts'
import { digestOf, pushImage, withDigest, type Image } from '../support/images.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { createDatabase } from '../support/postgres.ts'

/** A running server with one client that is logged in as the root. */
export interface RegistryUnderTest {
  readonly platform: TestPlatform
  readonly client: DistributionClient
  readonly credentials: Credentials
  /** Makes an empty repository that no other test uses; answers its name. */
  newRepository(prefix?: string): Promise<string>
  /** Uploads a blob with POST and PUT; answers its digest. */
  pushBlob(repository: string, bytes: Uint8Array | string): Promise<string>
  pushImage(repository: string, image: Image, reference?: string): Promise<void>
}

/** Defines the same tests for each database. `registry` may be called inside tests only; `settings` are by their environment names. */
export function onEveryDatabase(define: (registry: () => RegistryUnderTest) => void, settings: Readonly<Record<string, string>> = {}): void {
  describe.each(['sqlite', 'postgres'] as const)('on %s', (database) => {
    let started: RegistryUnderTest | undefined
    let release: () => Promise<void> = async () => undefined

    beforeAll(async () => {
      const external = database === 'postgres' ? await createDatabase() : undefined
      const platform = await startTestPlatform({
        database,
        settings,
        ...(external === undefined ? {} : { databaseUrl: external.url }),
      })
      const credentials = { username: platform.credentials.accessKeyId, password: platform.credentials.secretAccessKey }
      const client = createDistributionClient(platform.url, credentials)
      release = async () => {
        client.close()
        await platform.stop()
        await external?.drop()
      }
      started = underTest(platform, client, credentials)
    })

    afterAll(() => release())

    define(() => {
      if (started === undefined) throw new Error('the server is not running yet')
      return started
    })
  })
}

function underTest(platform: TestPlatform, client: DistributionClient, credentials: Credentials): RegistryUnderTest {
  let repositories = 0
  return {
    platform,
    client,
    credentials,
    async newRepository(prefix = 'team/app') {
      const name = `${prefix}-${++repositories}`
      await platform.createRepository(name)
      return name
    },
    async pushBlob(repository, bytes) {
      const body = Buffer.from(bytes)
      const digest = digestOf(body)
      const begun = await client.request('POST', `/v2/${repository}/blobs/uploads/`)
      const done = await client.request('PUT', withDigest(locationOf(begun), digest), { body })
      if (done.status !== 201) throw new Error(`the blob was not taken: ${done.status} ${done.body.toString()}`)
      return digest
    },
    pushImage: (repository, image, reference) =>
      pushImage({ url: platform.url, repository, auth: credentials }, image, reference),
  }
}

export function locationOf(response: ClientResponse): string {
  const { location } = response.headers
  if (location === undefined) throw new Error(`no Location in an answer of status ${response.status}`)
  return location
}

/** The code of the first error in an answer. */
export function errorCodeOf(response: ClientResponse): string | undefined {
  return errorOf(response)?.code
}

export function errorOf(response: ClientResponse): { code: string; message: string; detail?: unknown } | undefined {
  const document = response.json() as { errors?: { code: string; message: string; detail?: unknown }[] }
  return document.errors?.[0]
}
