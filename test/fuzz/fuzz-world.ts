import { CreateRepositoryCommand, ECRClient, GetAuthorizationTokenCommand, GetDownloadUrlForLayerCommand } from '@aws-sdk/client-ecr'
import { basicAuth, createDistributionClient } from '../support/distribution-client.ts'
import { buildImage, digestOf, pushImage, withDigest, type Image } from '../support/images.ts'
import type { Stowage } from '../support/start-stowage.ts'

/** What requests may name that is there. */
export interface FuzzWorld {
  readonly host: string
  readonly keys: Stowage['keys']
  readonly region: string
  /** An Authorization header with a docker login, and one with a token. */
  readonly basic: string
  readonly tokenBasic: string
  readonly repositories: readonly string[]
  readonly image: Image
  readonly uploadIds: readonly string[]
  /** The path of a download link. */
  readonly layerLink: string
}

const repositories = ['fuzz/app', 'fuzz/other']

/** How many upload sessions are open for requests to find. */
const openUploads = 20

/** Makes what requests can hit, again where earlier requests have removed it. */
export async function prepareWorld(stowage: Stowage): Promise<FuzzWorld> {
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys, maxAttempts: 1 })
  const client = createDistributionClient(stowage.url, stowage.credentials)
  try {
    const image = buildImage({ seed: 'fuzz', layers: [Buffer.alloc(3000, 'x')] })
    for (const repositoryName of repositories) {
      await ecr.send(new CreateRepositoryCommand({ repositoryName })).catch((error: unknown) => {
        if (!(error instanceof Error) || error.name !== 'RepositoryAlreadyExistsException') throw error
      })
      await pushImage({ url: stowage.url, repository: repositoryName, auth: stowage.credentials }, image, 'latest')
    }
    const begun = await Promise.all(Array.from({ length: openUploads }, () => client.request('POST', `/v2/${repositories[0]!}/blobs/uploads/`)))
    const layerDigest = image.blobs[1]!.digest
    const { downloadUrl } = await ecr.send(new GetDownloadUrlForLayerCommand({ repositoryName: repositories[0]!, layerDigest }))
    const { authorizationData } = await ecr.send(new GetAuthorizationTokenCommand({}))
    return {
      host: `127.0.0.1:${stowage.port}`,
      keys: stowage.keys,
      region: stowage.region,
      basic: basicAuth(stowage.credentials),
      tokenBasic: `Basic ${authorizationData?.[0]?.authorizationToken ?? ''}`,
      repositories,
      image,
      uploadIds: begun.map(({ headers }) => String(headers['docker-upload-uuid'])),
      layerLink: new URL(downloadUrl ?? '').pathname,
    }
  } finally {
    client.close()
    ecr.destroy()
  }
}

/** Pushes an image that nobody has and pulls it again, byte for byte. @throws when the server does not serve any more */
export async function requireServing(stowage: Stowage, seed: string): Promise<void> {
  const client = createDistributionClient(stowage.url, stowage.credentials)
  try {
    const image = buildImage({ seed })
    const repository = repositories[0]!
    await prepareWorld(stowage)
    await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, 'served')
    for (const { digest, bytes } of image.blobs) {
      const pulled = await client.request('GET', `/v2/${repository}/blobs/${digest}`)
      if (!pulled.body.equals(bytes)) throw new Error(`the blob ${digest} was not served: ${pulled.status}`)
    }
    const manifest = await client.request('GET', `/v2/${repository}/manifests/served`)
    if (digestOf(manifest.body) !== image.manifest.digest) throw new Error(`the manifest was not served: ${manifest.status}`)
    const begun = await client.request('POST', `/v2/${repository}/blobs/uploads/`)
    const body = Buffer.from(`${seed} in one piece`)
    const done = await client.request('PUT', withDigest(begun.headers.location ?? '', digestOf(body)), { body })
    if (done.status !== 201) throw new Error(`a blob was not taken: ${done.status}`)
  } finally {
    client.close()
  }
}
