import { ECR, ECRServiceException, type CreateRepositoryCommandInput, type Repository } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe } from 'vitest'
import { pushImage, type Image } from '../support/images.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'

/** What a client is told when a call fails. */
export interface Failure {
  readonly name: string
  readonly message: string
  readonly status: number | undefined
  /** Members beside the message. */
  readonly error: Readonly<Record<string, unknown>>
}

/** A running server with the AWS SDK as its root. */
export interface EcrUnderTest {
  readonly platform: TestPlatform
  readonly ecr: ECR
  readonly accountId: string
  /** Makes an empty repository that no other test uses; answers its name. */
  newRepository(settings?: Omit<CreateRepositoryCommandInput, 'repositoryName'>): Promise<string>
  /** As `newRepository`, with ECR's description of it. */
  createdRepository(settings?: Omit<CreateRepositoryCommandInput, 'repositoryName'>): Promise<Repository>
  /** A name that no other test uses, of no repository. */
  freeName(): string
  /** Uploads a layer in one part. */
  pushLayer(repositoryName: string, bytes: Uint8Array, digest: string): Promise<void>
  /** Pushes by the OCI protocol. */
  pushImage(repositoryName: string, image: Image, reference?: string): Promise<void>
}

const region = 'us-east-1'
export const defaultAccountId = '000000000000'

/** Defines the same tests for each database. `server` may be called inside tests only; `settings` are by their environment names. */
export function onEveryDatabase(define: (server: () => EcrUnderTest) => void, settings: Readonly<Record<string, string>> = {}): void {
  describe.each(['sqlite', 'postgres'] as const)('on %s', (database) => {
    let started: EcrUnderTest | undefined
    let release: () => Promise<void> = async () => undefined

    beforeAll(async () => {
      const platform = await startTestPlatform({ database, settings })
      const ecr = clientOf(platform)
      release = async () => {
        ecr.destroy()
        await platform.stop()
      }
      started = underTest(platform, ecr)
    })

    afterAll(() => release())

    define(() => {
      if (started === undefined) throw new Error('the server is not running yet')
      return started
    })
  })
}

/** A client that repeats nothing: what a test sees is the first answer. */
export function clientOf(
  platform: TestPlatform,
  credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } = platform.credentials,
): ECR {
  return new ECR({ endpoint: platform.url, region, credentials, maxAttempts: 1 })
}

function underTest(platform: TestPlatform, ecr: ECR): EcrUnderTest {
  let names = 0
  const freeName = (): string => `team/app-${++names}`
  const createdRepository: EcrUnderTest['createdRepository'] = async (settings = {}) => {
    const { repository } = await ecr.createRepository({ repositoryName: freeName(), ...settings })
    if (repository === undefined) throw new Error('the answer has no repository')
    return repository
  }
  return {
    platform,
    ecr,
    accountId: defaultAccountId,
    freeName,
    createdRepository,
    newRepository: async (settings) => (await createdRepository(settings)).repositoryName ?? '',
    async pushLayer(repositoryName, bytes, digest) {
      const { uploadId } = await ecr.initiateLayerUpload({ repositoryName })
      await ecr.uploadLayerPart({
        repositoryName,
        uploadId,
        partFirstByte: 0,
        partLastByte: bytes.length - 1,
        layerPartBlob: bytes,
      })
      await ecr.completeLayerUpload({ repositoryName, uploadId, layerDigests: [digest] })
    },
    pushImage: (repository, image, reference) => {
      const { accessKeyId: username, secretAccessKey: password } = platform.credentials
      return pushImage({ url: platform.url, repository, auth: { username, password } }, image, reference)
    },
  }
}

/** How a call failed. @throws when it did not, or failed without the server's word. */
export async function failureOf(call: Promise<unknown>): Promise<Failure> {
  try {
    await call
  } catch (error) {
    if (!(error instanceof ECRServiceException)) throw error
    return {
      name: error.name,
      message: error.message,
      status: error.$metadata.httpStatusCode,
      error: { ...error } as unknown as Record<string, unknown>,
    }
  }
  throw new Error('the call succeeded')
}

/** For the many calls that fail with status 400. */
export async function refusalOf(call: Promise<unknown>): Promise<string> {
  const { name, message, status } = await failureOf(call)
  return status === 400 ? `${name}: ${message}` : `${status} ${name}: ${message}`
}

export function absentRepository(name: string, accountId: string = defaultAccountId): string {
  return `RepositoryNotFoundException: The repository with name '${name}' does not exist in the registry with id '${accountId}'`
}

/** How a broken constraint is told. */
export function broken(field: string, constraint: string): string {
  return `InvalidParameterException: Invalid parameter at '${field}' failed to satisfy constraint: '${constraint}'`
}
