import { hash } from 'node:crypto'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import {
  DescribeRepositoriesCommand,
  ECRClient,
  ListImagesCommand,
  PutImageCommand,
  RepositoryNotFoundException,
  UploadLayerPartCommand,
} from '@aws-sdk/client-ecr'
import { IAMClient, ListUsersCommand, ServiceFailureException } from '@aws-sdk/client-iam'
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PlatformError } from '../../internal/platform-error.ts'
import { rootPrincipal } from '../../iam/index.ts'
import { accessKeyId, accountId, region, secretAccessKey, send, startEndpoint, type TestEndpoint } from './aws.test-support.ts'
import { operation, type AwsService } from './service.ts'
import { blob, integer, list, required, string, structure, validationError } from './shapes.ts'

const mebibyte = 1024 * 1024

/** Fails the next calls of ListImages, one each. */
let failures: Error[] = []
/** Resolves when the call of a slow operation was abandoned. */
let abandoned: PromiseWithResolvers<undefined>

const repositoryArn = (name: string): string => `arn:aws:ecr:${region}:${accountId}:repository/${name}`

const ecr: AwsService = {
  name: 'ecr',
  signingName: 'ecr',
  protocol: 'json',
  targetPrefix: 'AmazonEC2ContainerRegistry_V20150921',
  operations: {
    DescribeRepositories: operation({
      action: 'ecr:DescribeRepositories',
      resource: () => '*',
      input: structure({
        repositoryNames: list(string({ min: 2 }), { min: 1, max: 100 }),
        maxResults: integer({ min: 1, max: 1000 }),
      }),
      handler: async ({ context }, { repositoryNames }) => {
        if (repositoryNames?.includes('absent') === true) {
          throw new PlatformError('repository-unknown', 'no such repository', { detail: { repositoryName: 'absent' } })
        }
        return {
          repositories: [{ repositoryName: 'café', registryId: context.registry.accountId, createdAt: new Date(1_790_856_000_123) }],
          nextToken: undefined,
        }
      },
    }),
    ListImages: operation({
      action: 'ecr:ListImages',
      resource: ({ repositoryName }) => repositoryArn(repositoryName),
      input: structure({ repositoryName: required(string({ min: 2 })) }),
      handler: async () => {
        const failure = failures.shift()
        if (failure !== undefined) throw failure
        return { imageIds: [] }
      },
    }),
    PutImage: operation({
      action: 'ecr:PutImage',
      resource: ({ repositoryName }) => repositoryArn(repositoryName),
      input: structure({ repositoryName: required(string()), imageManifest: required(string({ max: 4 * mebibyte })) }),
      maxBodyBytes: 8 * mebibyte,
      handler: async (call, { imageManifest }) => {
        await call.authorize('ecr:TagResource', 'arn:aws:ecr:eu-central-1:210987654321:repository/other')
        return { image: { imageManifest } }
      },
    }),
    UploadLayerPart: operation({
      action: 'ecr:UploadLayerPart',
      resource: ({ repositoryName }) => repositoryArn(repositoryName),
      input: structure({ repositoryName: required(string()), uploadId: required(string()), layerPartBlob: required(blob({ max: 20 * mebibyte })) }),
      maxBodyBytes: 28 * mebibyte,
      errors: { 'digest-mismatch': { type: 'InvalidLayerException', status: 400 } },
      handler: async ({ signal }, { uploadId, layerPartBlob }) => {
        if (uploadId === 'bad') throw new PlatformError('digest-mismatch', 'not these bytes')
        if (uploadId === 'late') {
          throw new PlatformError('upload-range-invalid', 'out of order', { detail: { sizeBytes: 100 } })
        }
        if (uploadId === 'slow') {
          await new Promise((resolve) => {
            signal.addEventListener('abort', resolve)
          })
          abandoned.resolve(undefined)
        }
        return { uploadId, lastByteReceived: layerPartBlob.length - 1 }
      },
    }),
  },
}

const sts: AwsService = {
  name: 'sts',
  signingName: 'sts',
  protocol: 'query',
  apiVersion: '2011-06-15',
  xmlns: 'https://sts.amazonaws.com/doc/2011-06-15/',
  invalidInput: validationError('ValidationError'),
  operations: {
    GetCallerIdentity: operation({
      action: 'sts:GetCallerIdentity',
      resource: () => '*',
      input: structure({}),
      openToEveryCaller: true,
      handler: async ({ context }) => ({
        Arn: context.actor.arn,
        UserId: context.actor.userId,
        Account: context.actor.accountId,
      }),
    }),
    AssumeRole: operation({
      action: 'sts:AssumeRole',
      resource: ({ RoleArn }) => RoleArn,
      input: structure({ RoleArn: required(string({ min: 20 })), RoleSessionName: required(string({ min: 2 })) }),
      handler: async (_, { RoleSessionName }) => {
        if (RoleSessionName === 'failing') throw new Error('secret detail')
        return { Credentials: { AccessKeyId: 'ASIA', SecretAccessKey: 's', SessionToken: 't', Expiration: new Date(0) }, AssumedRoleUser: {} }
      },
    }),
  },
}

const iam: AwsService = {
  name: 'iam',
  signingName: 'iam',
  protocol: 'query',
  apiVersion: '2010-05-08',
  xmlns: 'https://iam.amazonaws.com/doc/2010-05-08/',
  serverFault: 'ServiceFailure',
  operations: {
    ListUsers: operation({
      action: 'iam:ListUsers',
      resource: () => '*',
      input: structure({}),
      handler: () => Promise.reject(new Error('secret detail')),
    }),
  },
}

let endpoint: TestEndpoint

beforeEach(async () => {
  failures = []
  abandoned = Promise.withResolvers()
  endpoint = await startEndpoint([ecr, sts])
})

afterEach(async () => {
  await endpoint[Symbol.asyncDispose]()
})

const credentials = { accessKeyId, secretAccessKey }

function ecrClient(options: { credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } } = {}): ECRClient {
  return new ECRClient({ endpoint: endpoint.url, region, credentials, ...options })
}

function stsClient(options: { credentials?: { accessKeyId: string; secretAccessKey: string } } = {}): STSClient {
  return new STSClient({ endpoint: endpoint.url, region, credentials, ...options })
}

async function failureOf(promise: Promise<unknown>): Promise<Error & { $metadata?: { httpStatusCode?: number; requestId?: string; attempts?: number }; [member: string]: unknown }> {
  try {
    await promise
  } catch (error) {
    return error as Error & Record<string, unknown>
  }
  throw new Error('nothing was thrown')
}

const json = { 'content-type': 'application/x-amz-json-1.1' }
const target = (name: string) => ({ ...json, 'x-amz-target': `AmazonEC2ContainerRegistry_V20150921.${name}` })
const form = { 'content-type': 'application/x-www-form-urlencoded' }

describe('the ECR SDK', () => {
  it('gets its answers', async () => {
    const answer = await ecrClient().send(new DescribeRepositoriesCommand({ maxResults: 10 }))

    expect(answer.repositories).toEqual([{ repositoryName: 'café', registryId: accountId, createdAt: new Date(1_790_856_000_123) }])
    expect(answer.$metadata).toMatchObject({ httpStatusCode: 200, requestId: 'request-1' })
    expect(endpoint.metas[0]).toMatchObject({ protocol: 'ecr', operation: 'DescribeRepositories', actorArn: `arn:aws:iam::${accountId}:root` })
  })

  it('gets domain errors as its typed exceptions', async () => {
    const error = await failureOf(ecrClient().send(new DescribeRepositoriesCommand({ repositoryNames: ['absent'] })))

    expect(error).toBeInstanceOf(RepositoryNotFoundException)
    expect(error.message).toBe(`The repository with name 'absent' does not exist in the registry with id '${accountId}'`)
    expect(error.$metadata).toMatchObject({ httpStatusCode: 400, requestId: 'request-1' })
  })

  it("gets an operation's own errors, and their members", async () => {
    const part = { repositoryName: 'app', partFirstByte: 0, partLastByte: 2, layerPartBlob: Buffer.from('abc') }

    const bad = await failureOf(ecrClient().send(new UploadLayerPartCommand({ ...part, uploadId: 'bad' })))
    const late = await failureOf(ecrClient().send(new UploadLayerPartCommand({ ...part, uploadId: 'late' })))

    expect(bad).toMatchObject({ name: 'InvalidLayerException', message: 'not these bytes' })
    expect(late).toMatchObject({ name: 'InvalidLayerPartException', lastValidByteReceived: 99, repositoryName: 'app', uploadId: 'late' })
  })

  it('gets broken constraints as ECR words them', async () => {
    const error = await failureOf(ecrClient().send(new ListImagesCommand({ repositoryName: 'a' })))

    expect(error).toMatchObject({
      name: 'InvalidParameterException',
      message: "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Member must have length greater than or equal to 2'",
    })
  })

  it('sends 20 MiB parts', async () => {
    const part = { repositoryName: 'app', uploadId: 'u', partFirstByte: 0, partLastByte: 1, layerPartBlob: Buffer.alloc(20 * mebibyte, 7) }

    const answer = await ecrClient().send(new UploadLayerPartCommand(part))

    expect(answer.lastByteReceived).toBe(20 * mebibyte - 1)
  })

  it('tries again after a failure of the server, and not after its own', async () => {
    const busy = new PlatformError('storage-unavailable', 'disk sda1 failed')
    failures = [busy, busy]
    const answer = await ecrClient().send(new ListImagesCommand({ repositoryName: 'app' }))
    expect(answer.$metadata.attempts).toBe(3)

    failures = [new PlatformError('too-many-tags', 'too many')]
    const error = await failureOf(ecrClient().send(new ListImagesCommand({ repositoryName: 'app' })))
    expect(error).toMatchObject({ name: 'TooManyTagsException', message: 'too many', $metadata: { attempts: 1 } })
  })

  it('learns nothing of what went wrong inside; the log does', async () => {
    failures = Array.from({ length: 3 }, () => new Error('password=hunter2'))

    const error = await failureOf(ecrClient().send(new ListImagesCommand({ repositoryName: 'app' })))

    expect(error).toMatchObject({ name: 'ServerException', $metadata: { httpStatusCode: 500 } })
    expect(error.message).not.toContain('hunter2')
    expect(endpoint.logLines.filter((line) => line.includes('"requestId":"request-1"'))).toHaveLength(1)
  })

  it('corrects its clock by ours', async () => {
    endpoint.clock.offsetMs = 3 * 60 * 60_000

    const answer = await ecrClient().send(new DescribeRepositoriesCommand({}))

    expect(answer.$metadata.attempts).toBe(2)
  })

  it('is refused with an unknown key, an inactive one and a wrong secret', async () => {
    endpoint.credentials.set('AKIAINACTIVE00000000', {
      secretAccessKey,
      principal: rootPrincipal(accountId, 'AKIAINACTIVE00000000'),
      status: 'inactive',
    })
    const call = (id: string, secret: string): Promise<Error> =>
      failureOf(
        ecrClient({ credentials: { accessKeyId: id, secretAccessKey: secret } }).send(new DescribeRepositoriesCommand({})),
      )
    const unknown = { name: 'UnrecognizedClientException', message: 'The security token included in the request is invalid.' }

    expect(await call('AKIAUNKNOWN000000000', secretAccessKey)).toMatchObject(unknown)
    expect(await call('AKIAINACTIVE00000000', secretAccessKey)).toMatchObject(unknown)
    expect(await call(accessKeyId, 'wrong')).toMatchObject({ name: 'InvalidSignatureException' })
    expect(endpoint.logLines.join('')).toContain(endpoint.host)
  })

  it('is slowed down after many wrong secrets, even with the right one', async () => {
    const wrong = ecrClient({ credentials: { accessKeyId, secretAccessKey: 'wrong' } })
    for (let attempt = 0; attempt < 6; attempt++) await failureOf(wrong.send(new DescribeRepositoriesCommand({})))

    const { headers, text } = await send(endpoint, { headers: target('DescribeRepositories'), service: 'ecr', body: '{}' })

    expect(headers['x-amzn-errortype']).toBe('ThrottlingException')
    expect(text).toContain('Rate exceeded')
  })

  it('needs the session token of a temporary key, and no other', async () => {
    const id = 'ASIATEMPORARY0000000'
    endpoint.credentials.set(id, { secretAccessKey, sessionTokenSha256: hash('sha256', 'token', 'buffer'), principal: rootPrincipal(accountId, id), status: 'active' })
    const call = (token?: string): Promise<unknown> =>
      ecrClient({
        credentials: { accessKeyId: id, secretAccessKey, ...(token !== undefined && { sessionToken: token }) },
      }).send(new DescribeRepositoriesCommand({}))

    await call('token')

    expect(await failureOf(call('other'))).toMatchObject({ name: 'UnrecognizedClientException' })
    expect(await failureOf(call())).toMatchObject({ name: 'UnrecognizedClientException' })
    const permanent = ecrClient({ credentials: { ...credentials, sessionToken: 'token' } })
    expect(await failureOf(permanent.send(new DescribeRepositoriesCommand({})))).toMatchObject({ name: 'UnrecognizedClientException' })
  })

  it('is refused what it has no right to', async () => {
    const error = await failureOf(ecrClient().send(new PutImageCommand({ repositoryName: 'app', imageManifest: '{}' })))

    expect(error).toMatchObject({ name: 'AccessDeniedException', $metadata: { httpStatusCode: 400 } })
    expect(error.message).toMatch(
      `User: arn:aws:iam::${accountId}:root is not authorized to perform: ecr:TagResource on resource: arn:aws:ecr:eu-central-1:210987654321:repository/other`,
    )
  })
})

describe('the IAM SDK', () => {
  it('gets failures of the server by the name that its model has for them', async () => {
    await using own = await startEndpoint([iam])
    const client = new IAMClient({ endpoint: own.url, region, credentials, maxAttempts: 1 })

    const error = await failureOf(client.send(new ListUsersCommand({})))

    expect(error).toBeInstanceOf(ServiceFailureException)
    expect(error).toMatchObject({ Code: 'ServiceFailure', $metadata: { httpStatusCode: 500 } })
    expect(error.message).not.toContain('secret detail')
  })
})

describe('the STS SDK', () => {
  it('gets its answers', async () => {
    const answer = await stsClient().send(new GetCallerIdentityCommand({}))

    expect(answer).toMatchObject({ Arn: `arn:aws:iam::${accountId}:root`, UserId: accountId, Account: accountId })
    expect(answer.$metadata).toMatchObject({ httpStatusCode: 200, requestId: 'request-1' })
  })

  it('sends structures and reads times', async () => {
    const role = `arn:aws:iam::${accountId}:role/deploy`

    const answer = await stsClient().send(new AssumeRoleCommand({ RoleArn: role, RoleSessionName: 'ci' }))

    expect(answer.Credentials?.Expiration).toEqual(new Date(0))
  })

  it('gets errors in its own names', async () => {
    const role = `arn:aws:iam::${accountId}:role/deploy`
    const wrong = stsClient({ credentials: { accessKeyId, secretAccessKey: 'wrong' } })
    const unknown = stsClient({ credentials: { accessKeyId: 'AKIAUNKNOWN000000000', secretAccessKey } })

    expect(await failureOf(wrong.send(new GetCallerIdentityCommand({})))).toMatchObject({ name: 'SignatureDoesNotMatch', $metadata: { httpStatusCode: 403 } })
    expect(await failureOf(unknown.send(new GetCallerIdentityCommand({})))).toMatchObject({ name: 'InvalidClientTokenId' })
    expect(await failureOf(stsClient().send(new AssumeRoleCommand({ RoleArn: 'short', RoleSessionName: 'x' })))).toMatchObject({
      name: 'ValidationError',
      message: expect.stringMatching(/^2 validation errors detected: Value at 'RoleArn' failed/),
    })
    expect(
      await failureOf(stsClient().send(new AssumeRoleCommand({ RoleArn: role.replace(accountId, '210987654321'), RoleSessionName: 'ci' }))),
    ).toMatchObject({ name: 'AccessDenied', $metadata: { httpStatusCode: 403 } })
    const failing = await failureOf(stsClient().send(new AssumeRoleCommand({ RoleArn: role, RoleSessionName: 'failing' })))
    expect(failing).toMatchObject({ name: 'InternalFailure', $metadata: { httpStatusCode: 500 } })
    expect(failing.message).not.toContain('secret detail')
  })

  it('may presign a GET', async () => {
    const query = { Action: 'GetCallerIdentity', Version: '2011-06-15' }

    const answer = await send(endpoint, { method: 'GET', query, service: 'sts', presign: true })

    expect(answer.status).toBe(200)
    expect(answer.text).toContain(`<Account>${accountId}</Account>`)
    expect(answer.text).toContain('<RequestId>request-1</RequestId>')
  })

  it.each([
    ['another version', 'Action=GetCallerIdentity&Version=2010-05-08'],
    ['no version', 'Action=GetCallerIdentity'],
    ['another action', 'Action=GetFederationToken&Version=2011-06-15'],
    ['an action of the prototype', 'Action=constructor&Version=2011-06-15'],
    ['no action', 'Version=2011-06-15'],
  ])('is told that there is no %s', async (_, body) => {
    const answer = await send(endpoint, { headers: form, body, service: 'sts' })

    expect(answer.status).toBe(400)
    expect(answer.text).toContain('<Code>InvalidAction</Code>')
  })
})

describe('operations that are not there', () => {
  it.each(['DescribeNothing', 'constructor', '__proto__', ''])('%j', async (name) => {
    const answer = await send(endpoint, { headers: target(name), body: '{}', service: 'ecr' })

    expect(answer.status).toBe(404)
    expect(JSON.parse(answer.text)).toEqual({ __type: 'UnknownOperationException', message: 'Unknown operation' })
    expect(answer.headers).toMatchObject({ 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': 'request-1', 'x-amzn-errortype': 'UnknownOperationException' })
  })
})

describe('bodies', () => {
  const describeAll = target('DescribeRepositories')

  it('may be gzipped; the signature covers them as sent', async () => {
    const headers = { ...describeAll, 'content-encoding': 'gzip' }
    const absent = gzipSync(JSON.stringify({ repositoryNames: ['absent'] }))

    expect((await send(endpoint, { headers, body: absent, service: 'ecr' })).text).toContain('RepositoryNotFoundException')
    expect((await send(endpoint, { headers, body: Buffer.from('{}'), service: 'ecr' })).text).toContain('SerializationException')
    expect((await send(endpoint, { headers, body: gzipSync('{}').subarray(0, -4), service: 'ecr' })).text).toContain('SerializationException')
    const brotli = { ...describeAll, 'content-encoding': 'br' }
    expect(await send(endpoint, { headers: brotli, body: '{}', service: 'ecr' })).toMatchObject({ status: 415 })
  })

  it('may not inflate to more than the operation takes', async () => {
    const headers = { ...describeAll, 'content-encoding': 'gzip' }

    const answer = await send(endpoint, { headers, body: gzipSync(Buffer.alloc(20 * mebibyte, 0x20)), service: 'ecr' })

    expect(answer.status).toBe(413)
  })

  it.each([
    ['declared', false],
    ['chunked', true],
  ])('may not be larger than the operation takes (%s)', async (_, chunked) => {
    const body = `{"maxResults":1}${' '.repeat(mebibyte)}`
    const answer = await send(endpoint, { headers: describeAll, body, service: 'ecr', chunked })

    expect(answer).toMatchObject({ status: 413 })
    expect(answer.text).toContain('RequestEntityTooLarge')
    expect((await send(endpoint, { headers: describeAll, body: '{}', service: 'ecr' })).status).toBe(200)
  })

  it('may be chunked', async () => {
    expect((await send(endpoint, { headers: describeAll, body: '{}', service: 'ecr', chunked: true })).status).toBe(200)
  })

  it('must be a JSON object in UTF-8', async () => {
    for (const body of ['[]', '{', Buffer.from([0x7b, 0xff, 0x7d])]) {
      expect((await send(endpoint, { headers: describeAll, body, service: 'ecr' })).text).toContain('SerializationException')
    }
  })

  it('are not waited for where the head is wrong already', async () => {
    const head = `POST / HTTP/1.1\r\nHost: ${endpoint.host}\r\nContent-Length: 1000\r\nX-Amz-Target: AmazonEC2ContainerRegistry_V20150921.ListImages\r\n`

    expect(await answerToHead(`${head.replace('1000', '1048577')}\r\n`)).toContain('RequestEntityTooLarge')
    expect(await answerToHead(`${head}\r\n`)).toContain('MissingAuthenticationTokenException')
    expect(await answerToHead(`${head}Authorization: Basic eDp5\r\n\r\n`)).toContain('IncompleteSignatureException')
    const date = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
    const unknownKey = `X-Amz-Date: ${date}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIAUNKNOWN000000000/${date.slice(0, 8)}/${region}/ecr/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=${'0'.repeat(64)}\r\n\r\n`
    expect(await answerToHead(head + unknownKey)).toContain('UnrecognizedClientException')
    expect(await answerToHead(head + unknownKey.replace('/ecr/', '/sts/'))).toContain("scoped to correct service: 'ecr'")
  })

  it('wait for memory in turn', async () => {
    const small = await startEndpoint([ecr], { unverifiedBytesLimit: mebibyte })
    const body = JSON.stringify({ repositoryName: 'app', uploadId: 'u', layerPartBlob: Buffer.alloc(600_000).toString('base64') })

    const answers = await Promise.all(
      Array.from({ length: 8 }, () => send(small, { headers: target('UploadLayerPart'), body, service: 'ecr' })),
    )

    expect(answers.map((answer) => answer.status)).toEqual(Array.from({ length: 8 }, () => 200))
    await small[Symbol.asyncDispose]()
  })

  it('that are compressed count as what they may become', async () => {
    let inHand = 0
    let mostInHand = 0
    const counting: AwsService = {
      ...ecr,
      operations: {
        ListImages: operation({
          action: 'ecr:ListImages',
          resource: () => '*',
          input: structure({}),
          handler: async () => {
            mostInHand = Math.max(mostInHand, ++inHand)
            await new Promise((resolve) => setTimeout(resolve, 20))
            inHand--
          },
        }),
      },
    }
    await using small = await startEndpoint([counting], { unverifiedBytesLimit: 2 * mebibyte })
    const headers = { ...target('ListImages'), 'content-encoding': 'gzip' }
    const body = gzipSync(Buffer.alloc(mebibyte, 0x20).fill('{}', 0, 2))

    const answers = await Promise.all(Array.from({ length: 8 }, () => send(small, { headers, body, service: 'ecr' })))

    expect(answers.map((answer) => answer.status)).toEqual(Array.from({ length: 8 }, () => 200))
    expect(mostInHand).toBeLessThanOrEqual(2)
  })

  it('that are abandoned end the call', async () => {
    const controller = new AbortController()
    const part = { repositoryName: 'app', uploadId: 'slow', partFirstByte: 0, partLastByte: 2, layerPartBlob: Buffer.from('abc') }
    const call = ecrClient().send(new UploadLayerPartCommand(part), { abortSignal: controller.signal })
    const failure = failureOf(call)
    while (endpoint.metas[0]?.actorArn === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
    controller.abort()

    await abandoned.promise
    expect((await failure).name).toBe('AbortError')
  })
})

describe('services that are not here', () => {
  const advice = 'AWS_ENDPOINT_URL_ECR and AWS_ENDPOINT_URL_STS instead of AWS_ENDPOINT_URL'

  it.each([
    ['S3', { method: 'GET', path: '/bucket/key', service: 's3' }, 501, 'Amazon S3', '<Code>NotImplemented</Code>'],
    ['DynamoDB', { headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'DynamoDB_20120810.GetItem' }, body: '{}', service: 'dynamodb' }, 404, 'Amazon DynamoDB', '"__type":"UnknownOperationException"'],
    ['an unsigned target', { headers: { ...json, 'x-amz-target': 'Logs_20140328.PutLogEvents' }, body: '{}' }, 404, "'Logs'", 'UnknownOperationException'],
    ['EC2', { headers: form, body: 'Action=DescribeInstances&Version=2016-11-15', service: 'ec2' }, 400, 'Amazon EC2', '<Response><Errors><Error><Code>InvalidAction</Code>'],
    ['SNS', { headers: form, body: 'Action=Publish&Version=2010-03-31', service: 'sns' }, 400, 'Amazon SNS', '<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code>'],
    ['Lambda', { method: 'GET', path: '/2015-03-31/functions', service: 'lambda' }, 404, 'AWS Lambda', 'UnknownOperationException'],
    ['CloudWatch', { path: '/service/GraniteServiceVersion20100801/operation/PutMetricData', headers: { 'smithy-protocol': 'rpc-v2-cbor', 'content-type': 'application/cbor' }, body: 'x', service: 'monitoring' }, 404, 'Amazon CloudWatch', 'UnknownOperationException'],
    ['Route 53', { method: 'GET', path: '/2013-04-01/hostedzone', service: 'route53' }, 400, "'route53'", '<Code>InvalidAction</Code>'],
  ])('%s', async (_, request, status, name, code) => {
    const answer = await send(endpoint, request)

    expect(answer.status).toBe(status)
    expect(answer.text.replaceAll('&apos;', "'")).toContain(name)
    expect(answer.text).toContain(code)
    expect(answer.text).toContain(advice)
    expect(answer.headers['x-amzn-requestid']).toBe('request-1')
  })

  it('get no body for HEAD', async () => {
    expect(await send(endpoint, { method: 'HEAD', path: '/bucket', service: 's3' })).toMatchObject({ status: 501, text: '' })
  })
})

describe('requests without a signature', () => {
  it.each([
    ['a JSON operation', { headers: target('ListImages'), body: '{}' }, 400, 'MissingAuthenticationTokenException'],
    ['a form', { headers: form, body: 'Action=GetCallerIdentity&Version=2011-06-15' }, 403, '<Code>MissingAuthenticationToken</Code>'],
    ['a GET with an action', { method: 'GET', query: { Action: 'GetCallerIdentity' } }, 403, '<Code>MissingAuthenticationToken</Code>'],
    ['anything else', { method: 'GET', path: '/favicon.ico' }, 400, 'MissingAuthenticationTokenException'],
  ])('%s', async (_, request, status, code) => {
    const answer = await send(endpoint, request)

    expect(answer.status).toBe(status)
    expect(answer.text).toContain(code)
  })
})

/** What the server says to a request whose body never comes. */
async function answerToHead(head: string): Promise<string> {
  const [hostname, port] = endpoint.host.split(':')
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname)
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (!text.endsWith('}')) return
      socket.destroy()
      resolve(text)
    })
    socket.on('error', reject)
    socket.write(head)
  })
}
