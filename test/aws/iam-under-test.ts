import { IAM, IAMServiceException } from '@aws-sdk/client-iam'
import { afterAll, beforeAll, describe } from 'vitest'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'

/** A running server with the AWS SDK as its root. */
export interface IamUnderTest {
  readonly platform: TestPlatform
  readonly iam: IAM
  /** A name that no other test uses. */
  freeName(prefix?: string): string
  newUser(): Promise<string>
  newRole(): Promise<string>
  /** A managed policy that allows pulling; answers its ARN. */
  newPolicy(): Promise<string>
}

export const accountId = '000000000000'

export const pullPolicy = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'], Resource: '*' }],
})

export const trustPolicy = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${accountId}:root` }, Action: 'sts:AssumeRole' }],
})

/** A client that repeats nothing: what a test sees is the first answer. */
export function iamClientOf(
  platform: TestPlatform,
  credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } = platform.credentials,
): IAM {
  return new IAM({ endpoint: platform.url, region: 'us-east-1', credentials, maxAttempts: 1 })
}

/** Defines the same tests for each database. `server` may be called inside tests only. */
export function iamOnEveryDatabase(define: (server: () => IamUnderTest) => void): void {
  describe.each(['sqlite', 'postgres'] as const)('on %s', (database) => {
    let started: IamUnderTest | undefined
    let release: () => Promise<void> = async () => undefined

    beforeAll(async () => {
      const platform = await startTestPlatform({ database })
      const iam = iamClientOf(platform)
      release = async () => {
        iam.destroy()
        await platform.stop()
      }
      started = underTest(platform, iam)
    })

    afterAll(() => release())

    define(() => {
      if (started === undefined) throw new Error('the server is not running yet')
      return started
    })
  })
}

function underTest(platform: TestPlatform, iam: IAM): IamUnderTest {
  let names = 0
  const freeName = (prefix = 'name'): string => `${prefix}-${++names}`
  return {
    platform,
    iam,
    freeName,
    async newUser() {
      const UserName = freeName('user')
      await iam.createUser({ UserName })
      return UserName
    },
    async newRole() {
      const RoleName = freeName('role')
      await iam.createRole({ RoleName, AssumeRolePolicyDocument: trustPolicy })
      return RoleName
    },
    async newPolicy() {
      const { Policy } = await iam.createPolicy({ PolicyName: freeName('policy'), PolicyDocument: pullPolicy })
      return Policy?.Arn ?? ''
    },
  }
}

/** How a call failed: the typed exception's class and IAM's own code, status and text. @throws when it succeeded. */
export async function iamFailure(call: Promise<unknown>): Promise<string> {
  try {
    await call
  } catch (error) {
    if (!(error instanceof IAMServiceException)) throw error
    return `${error.$metadata.httpStatusCode} ${error.constructor.name}: ${error.message}`
  }
  throw new Error('the call succeeded')
}
