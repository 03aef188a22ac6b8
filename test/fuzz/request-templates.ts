import { gzipSync } from 'node:zlib'
import { digestOf } from '../support/images.ts'
import type { FuzzWorld } from './fuzz-world.ts'
import type { Random } from './random.ts'

/** A request before it is damaged, and before it is signed. */
export interface FuzzRequest {
  method: string
  path: string
  /** Not encoded. */
  query: [string, string][]
  headers: [string, string][]
  body: Buffer
  auth: 'basic' | 'token' | 'signed' | 'presigned' | 'none'
  /** What it is signed for. */
  service: string
}

type Template = (random: Random, world: FuzzWorld) => Partial<FuzzRequest> & { path: string }

const target = 'AmazonEC2ContainerRegistry_V20150921'
const manifestType = 'application/vnd.oci.image.manifest.v1+json'

const repositoryOf = (random: Random, world: FuzzWorld): string => random.pick([...world.repositories, 'fuzz/absent'])
const blobOf = (world: FuzzWorld): string => world.image.blobs[1]!.digest

const ranges = ['bytes=0-99', 'bytes=-10', 'bytes=5-', 'bytes=0-1,5-9', 'bytes=99999-', 'items=1', `bytes=${'1-1,'.repeat(65)}2-2`]
const chunkRanges = ['0-4', '5-9', '0-9007199254740991', 'bytes 0-4/5', '4-0', 'x']

const policies = [
  '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:BatchGetImage"}]}',
  '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":{"AWS":["000000000000"]},"Action":["ecr:PutImage"],"Condition":{"Null":{"aws:userid":"true"}}}}',
  '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*"}]}',
  '[[[[',
]

/** Of an issuer that nobody registered: tokens that nobody can have signed. */
const webIdentityTokens = [
  'eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoicmVwbzphL2IifQ.AAAA',
  'eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwOi8vMTY5LjI1NC4xNjkuMjU0In0.',
  'eyJhbGciOiJIUzI1NiJ9.bnVsbA.AA',
]

/** A call of STS as a form. */
function sts(parameters: Readonly<Record<string, string>>, auth: FuzzRequest['auth']): Partial<FuzzRequest> & { path: string } {
  const form = { Version: '2011-06-15', RoleArn: 'arn:aws:iam::000000000000:role/ci/push', RoleSessionName: 'fuzz', ...parameters }
  return {
    method: 'POST',
    path: '/',
    headers: [['content-type', 'application/x-www-form-urlencoded']],
    body: Buffer.from(new URLSearchParams(form).toString()),
    auth,
    service: 'sts',
  }
}

const oci: readonly Template[] = [
  () => ({ path: '/v2/' }),
  (random) => ({ path: '/v2/_catalog', query: [['n', random.pick(['1', '0', '-1', '1e9', '18446744073709551616'])], ['last', 'a']] }),
  (random, world) => ({ path: `/v2/${repositoryOf(random, world)}/tags/list`, query: [['n', '10']] }),
  (random, world) => ({ method: random.pick(['GET', 'HEAD']), path: `/v2/${repositoryOf(random, world)}/manifests/${random.pick(['latest', world.image.manifest.digest])}` }),
  (random, world) => ({
    method: 'PUT',
    path: `/v2/${repositoryOf(random, world)}/manifests/${random.pick(['latest', 'v2', world.image.manifest.digest])}`,
    headers: [['Content-Type', random.pick([manifestType, 'application/json', 'application/vnd.oci.image.index.v1+json', 'text/html'])]],
    body: world.image.manifest.bytes,
  }),
  (random, world) => ({
    method: random.pick(['GET', 'HEAD']),
    path: `/v2/${repositoryOf(random, world)}/blobs/${blobOf(world)}`,
    headers: [['Range', random.pick(ranges)], ['If-None-Match', random.pick(['*', 'x', `"${blobOf(world)}"`])]].slice(0, random.integer(3)) as [string, string][],
  }),
  (random, world) => ({ path: `/v2/${world.repositories[0]!}/blobs/${blobOf(world)}`, headers: [['Range', random.pick(ranges)]] }),
  (random, world) => ({ method: 'POST', path: `/v2/${repositoryOf(random, world)}/blobs/uploads/` }),
  (random) => ({ method: 'POST', path: `/v2/made/${random.pick(['app', 'by/app'])}/blobs/uploads/` }),
  (random, world) => ({ method: 'POST', path: `/v2/${repositoryOf(random, world)}/blobs/uploads/`, query: [['mount', blobOf(world)], ['from', world.repositories[1]!]] }),
  (random, world) => {
    const body = random.bytes(random.integer(200))
    return { method: 'POST', path: `/v2/${repositoryOf(random, world)}/blobs/uploads/`, query: [['digest', digestOf(body)]], body }
  },
  (random, world) => ({
    method: 'PATCH',
    path: `/v2/${world.repositories[0]!}/blobs/uploads/${random.pick(world.uploadIds)}`,
    headers: random.chance(0.5) ? [['Content-Range', random.pick(chunkRanges)]] : [],
    body: random.bytes(5),
  }),
  (random, world) => {
    const body = random.bytes(random.integer(50))
    return { method: 'PUT', path: `/v2/${world.repositories[0]!}/blobs/uploads/${random.pick(world.uploadIds)}`, query: [['digest', digestOf(body)]], body }
  },
  (random, world) => ({ method: random.pick(['GET', 'DELETE']), path: `/v2/${world.repositories[0]!}/blobs/uploads/${random.pick(world.uploadIds)}` }),
  (random, world) => ({ path: `/v2/${repositoryOf(random, world)}/referrers/${world.image.manifest.digest}`, query: [['artifactType', 'application/vnd.example+json']] }),
  (random, world) => ({ method: 'DELETE', path: `/v2/${world.repositories[1]!}/${random.pick([`manifests/latest`, `blobs/${blobOf(world)}`])}` }),
  (_, world) => ({ path: world.layerLink, auth: 'none' }),
  (random) => ({ path: random.pick(['/healthz', '/readyz', '/metrics']), auth: 'none' }),
]

function call(operation: string, input: unknown): Partial<FuzzRequest> & { path: string } {
  return {
    method: 'POST',
    path: '/',
    headers: [['x-amz-target', `${target}.${operation}`], ['content-type', 'application/x-amz-json-1.1']],
    body: Buffer.from(JSON.stringify(input)),
    auth: 'signed',
    service: 'ecr',
  }
}

const aws: readonly Template[] = [
  (random, world) => call('DescribeRepositories', { repositoryNames: [repositoryOf(random, world)], maxResults: random.pick([1, 0, 1e9]) }),
  (random, world) => call('ListImages', { repositoryName: repositoryOf(random, world), filter: { tagStatus: 'ANY' }, nextToken: random.pick([undefined, 'x']) }),
  (random, world) =>
    call('DescribeImages', {
      repositoryName: repositoryOf(random, world),
      filter: { tagStatus: random.pick(['TAGGED', 'UNTAGGED']), imageStatus: random.pick(['ANY', 'ARCHIVED', 'x']) },
      maxResults: random.pick([1, 0, 1001]),
    }),
  (random, world) =>
    call('ListImageReferrers', {
      repositoryName: repositoryOf(random, world),
      subjectId: { imageDigest: random.pick([world.image.manifest.digest, 'sha256:0', '']) },
      filter: { artifactTypes: random.pick([undefined, [], ['application/vnd.example+json', 'x']]), artifactStatus: 'ANY' },
      maxResults: random.pick([undefined, 50, 51]),
    }),
  (random, world) => call('BatchGetImage', { repositoryName: repositoryOf(random, world), imageIds: [{ imageTag: 'latest' }, { imageDigest: world.image.manifest.digest }] }),
  (random, world) => call('BatchDeleteImage', { repositoryName: world.repositories[1]!, imageIds: [{ imageTag: random.pick(['latest', 'no']) }] }),
  (random, world) => call('BatchCheckLayerAvailability', { repositoryName: repositoryOf(random, world), layerDigests: [blobOf(world), 'x:0', ''] }),
  (random, world) => call('PutImage', { repositoryName: repositoryOf(random, world), imageManifest: world.image.manifest.bytes.toString(), imageTag: random.pick(['a', 'b']) }),
  (random, world) => call('InitiateLayerUpload', { repositoryName: repositoryOf(random, world) }),
  (random, world) =>
    call('UploadLayerPart', {
      repositoryName: world.repositories[0]!,
      uploadId: random.pick(world.uploadIds),
      partFirstByte: 0,
      partLastByte: 4,
      layerPartBlob: random.bytes(5).toString('base64'),
    }),
  (random, world) => call('CompleteLayerUpload', { repositoryName: world.repositories[0]!, uploadId: random.pick(world.uploadIds), layerDigests: [blobOf(world)] }),
  (random, world) => call('GetDownloadUrlForLayer', { repositoryName: repositoryOf(random, world), layerDigest: blobOf(world) }),
  (random) => call('CreateRepository', { repositoryName: `fuzz/${random.integer(50)}`, tags: [{ Key: 'a', Value: 'b' }], imageTagMutability: 'IMMUTABLE' }),
  (random) => call('DeleteRepository', { repositoryName: `fuzz/${random.integer(50)}`, force: random.chance(0.5) }),
  (random, world) => call('PutImageTagMutability', { repositoryName: repositoryOf(random, world), imageTagMutability: 'MUTABLE' }),
  () => call('GetAuthorizationToken', {}),
  () => call('DescribeRegistry', {}),
  (random, world) =>
    call('SetRepositoryPolicy', { repositoryName: repositoryOf(random, world), policyText: random.pick(policies), force: random.chance(0.5) }),
  (random, world) => call(random.pick(['GetRepositoryPolicy', 'DeleteRepositoryPolicy']), { repositoryName: repositoryOf(random, world) }),
  (random) => call(random.pick(['GetRegistryPolicy', 'DeleteRegistryPolicy', 'PutRegistryPolicy']), { policyText: random.pick(policies) }),
  (random) =>
    call(random.pick(['GetAccountSetting', 'PutAccountSetting']), {
      name: random.pick(['BLOB_MOUNTING', 'REGISTRY_POLICY_SCOPE', 'toString']),
      value: random.pick(['ENABLED', 'V2', 'DISABLED']),
    }),
  (random) =>
    call(random.pick(['CreateRepositoryCreationTemplate', 'UpdateRepositoryCreationTemplate']), {
      prefix: random.pick(['made', 'made/', 'made/by']),
      appliedFor: ['CREATE_ON_PUSH'],
      imageTagMutability: random.pick(['IMMUTABLE', 'MUTABLE']),
      resourceTags: [{ Key: random.pick(['a', '__proto__']), Value: 'b' }],
      repositoryPolicy: random.pick(['', ...policies]),
      customRoleArn: random.pick(['arn:aws:iam::000000000000:role/r', '']),
    }),
  (random) =>
    call(random.pick(['DeleteRepositoryCreationTemplate', 'DescribeRepositoryCreationTemplates']), { prefix: 'made', prefixes: ['made'] }),
  (random) => call('InitiateLayerUpload', { repositoryName: `made/${random.integer(50)}` }),
  (random) =>
    call(random.pick(['RegisterPullTimeUpdateExclusion', 'DeregisterPullTimeUpdateExclusion', 'ListPullTimeUpdateExclusions']), {
      principalArn: random.pick(['arn:aws:iam::000000000000:role/a/b', 'arn:aws:iam::000000000000:user/u', 'arn:aws:iam::000000000000:root']),
    }),
  (random, world) =>
    call(random.pick(['StartImageScan', 'DescribeImageScanFindings', 'PutImageScanningConfiguration']), {
      repositoryName: repositoryOf(random, world),
      imageId: random.pick([{ imageTag: 'latest' }, { imageDigest: world.image.manifest.digest }, {}]),
      imageScanningConfiguration: { scanOnPush: random.chance(0.5) },
    }),
  (_, world) => call('TagResource', { resourceArn: `arn:aws:ecr:us-east-1:000000000000:repository/${world.repositories[0]!}`, tags: [{ Key: 'k', Value: 'v' }] }),
  (random) => ({
    method: 'POST',
    path: '/',
    headers: [['content-type', 'application/x-www-form-urlencoded']],
    body: Buffer.from(random.pick(['Action=GetCallerIdentity&Version=2011-06-15', 'Action=AssumeRole&Version=2011-06-15&RoleArn=a', 'Action=GetCallerIdentity&A.member.1.B=2'])),
    auth: 'signed',
    service: 'sts',
  }),
  () => ({ path: '/', query: [['Action', 'GetCallerIdentity'], ['Version', '2011-06-15']], auth: 'presigned', service: 'sts' }),
  (random) => sts({ Action: 'AssumeRoleWithWebIdentity', WebIdentityToken: random.pick(webIdentityTokens) }, 'none'),
  (random) => ({ path: '/', query: [['Action', 'AssumeRoleWithWebIdentity'], ['Version', '2011-06-15'], ['WebIdentityToken', random.pick(webIdentityTokens)]], auth: 'none' }),
  (random) => sts({ Action: 'AssumeRole', Policy: random.pick(policies), 'Tags.member.1.Key': random.pick(['a', '__proto__', 'aws:x']), 'Tags.member.1.Value': 'b', 'TransitiveTagKeys.member.1': 'a' }, 'signed'),
  (random) => sts({ Action: 'GetSessionToken', DurationSeconds: random.pick(['900', '1e3', '129600', '-1']), MinimumSessionTokenSize: random.pick(['0', '4096', '99999']) }, 'signed'),
  (random) => sts({ Action: 'GetAccessKeyInfo', AccessKeyId: random.pick(['ASIAAAAAAAAAAAAAAAAA', 'AKIA']) }, 'signed'),
  (random) => ({ path: random.pick(['/bucket/key', '/2015-03-31/functions']), auth: 'signed', service: random.pick(['s3', 'lambda', 'dynamodb', 'route53', 'ec2']) }),
  (random, world) => {
    const { body = Buffer.alloc(0), headers = [], ...rest } = call('ListImages', { repositoryName: repositoryOf(random, world) })
    const bomb = Buffer.concat([body, Buffer.alloc(random.pick([0, 100, 3_000_000]), 0x20)])
    return { ...rest, headers: [...headers, ['content-encoding', random.pick(['gzip', 'gzip', 'br', 'GZIP'])]], body: gzipSync(bomb) }
  },
]

/** A request as a client would send it. */
export function goodRequest(random: Random, world: FuzzWorld): FuzzRequest {
  const template = random.pick(random.chance(0.5) ? oci : aws)
  const auth = random.pick(['basic', 'token'] as const)
  return { method: 'GET', query: [], headers: [], body: Buffer.alloc(0), auth, service: '', ...template(random, world) }
}
