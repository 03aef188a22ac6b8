import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { buildRandomImage, type Image } from '../support/images.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

/* The settings of ECR's control plane by the real aws command, each happy and unhappy. */

let stowage: Stowage
let aws: AwsClient
let dir: TempDir
let policyFile: string
let account: string

const policy = {
  Version: '2012-10-17',
  Statement: [{ Sid: 'everybody', Effect: 'Allow', Principal: '*', Action: 'ecr:BatchGetImage' }],
}

beforeAll(async () => {
  stowage = await startStowage()
  aws = createAwsClient(stowage)
  dir = createTempDir('aws-cli-settings')
  policyFile = join(dir.path, 'policy.json')
  writeFileSync(policyFile, JSON.stringify(policy, undefined, 4))
  account = (await aws.json('sts', 'get-caller-identity')).Account
})

afterAll(async () => {
  dir?.remove()
  await stowage?.stop()
})

const said = (text: string): unknown => JSON.parse(text)
const policyText = (...command: string[]): Promise<string> => aws.text('ecr', ...command, '--query', 'policyText')

test('policies of a repository and of the registry', async () => {
  const repository = ['--repository-name', 'settings/app']
  await aws.json('ecr', 'create-repository', ...repository)
  expect(await aws.failure('ecr', 'get-repository-policy', ...repository)).toContain('RepositoryPolicyNotFoundException')
  expect(await aws.failure('ecr', 'set-repository-policy', ...repository, '--policy-text', '{"Statement":')).toContain(
    'Invalid repository policy provided',
  )

  await aws.json('ecr', 'set-repository-policy', ...repository, '--policy-text', `file://${policyFile}`)
  expect(said(await policyText('get-repository-policy', ...repository))).toEqual(policy)
  expect(said(await policyText('delete-repository-policy', ...repository))).toEqual(policy)

  await aws.json('ecr', 'put-registry-policy', '--policy-text', `file://${policyFile}`)
  expect(said(await policyText('get-registry-policy'))).toEqual(policy)
  expect(said(await policyText('delete-registry-policy'))).toEqual(policy)
  expect(await aws.failure('ecr', 'delete-registry-policy')).toContain('RegistryPolicyNotFoundException')
})

test('account settings', async () => {
  await aws.json('ecr', 'put-account-setting', '--name', 'REGISTRY_POLICY_SCOPE', '--value', 'V1')
  expect(await aws.text('ecr', 'get-account-setting', '--name', 'REGISTRY_POLICY_SCOPE', '--query', 'value')).toBe('V1')
  await aws.json('ecr', 'put-account-setting', '--name', 'REGISTRY_POLICY_SCOPE', '--value', 'V2')
  expect(await aws.failure('ecr', 'get-account-setting', '--name', 'NONE')).toContain('InvalidParameterException')
})

test('pull time update exclusions', async () => {
  const principal = ['--principal-arn', `arn:aws:iam::${account}:role/scanner`]
  await aws.json('ecr', 'register-pull-time-update-exclusion', ...principal)
  expect(await aws.failure('ecr', 'register-pull-time-update-exclusion', ...principal)).toContain('ExclusionAlreadyExistsException')
  expect(await aws.text('ecr', 'list-pull-time-update-exclusions', '--query', 'pullTimeUpdateExclusions')).toBe(principal[1])
  await aws.json('ecr', 'deregister-pull-time-update-exclusion', ...principal)
  expect(await aws.failure('ecr', 'deregister-pull-time-update-exclusion', ...principal)).toContain('ExclusionNotFoundException')
})

test('image scanning', async () => {
  const repository = ['--repository-name', 'settings/scanned']
  await aws.json('ecr', 'create-repository', ...repository)
  await aws.json('ecr', 'put-image-scanning-configuration', ...repository, '--image-scanning-configuration', 'scanOnPush=true')
  const query = 'repositories[0].imageScanningConfiguration.scanOnPush'
  expect(await aws.text('ecr', 'describe-repositories', '--repository-names', 'settings/scanned', '--query', query)).toBe('True')
  for (const command of ['describe-image-scan-findings', 'start-image-scan']) {
    expect(await aws.failure('ecr', command, ...repository, '--image-id', 'imageTag=v1')).toContain('ImageNotFoundException')
  }
})

test('a push by skopeo makes a repository by its template, and none where there is no template', async () => {
  const template = ['--prefix', 'pushed/']
  await aws.json('ecr', 'create-repository-creation-template', ...template, '--applied-for', 'CREATE_ON_PUSH', '--image-tag-mutability', 'IMMUTABLE')
  expect(
    await aws.failure('ecr', 'create-repository-creation-template', ...template, '--applied-for', 'REPLICATION'),
  ).toContain('TemplateAlreadyExistsException')
  expect(await aws.text('ecr', 'describe-repository-creation-templates', '--query', 'repositoryCreationTemplates[].prefix')).toBe('pushed/')
  const image = folderOf(buildRandomImage([20_000], 'made by a push'))
  const skopeo = (...args: string[]) =>
    run(ensureTool('skopeo'), args, { env: { REGISTRY_AUTH_FILE: join(dir.path, 'auth.json') }, mayFail: true })
  writeFileSync(join(dir.path, 'auth.json'), JSON.stringify({
    auths: { [stowage.registryHost]: { auth: Buffer.from(`${stowage.credentials.username}:${stowage.credentials.password}`).toString('base64') } },
  }))
  const push = (repository: string) =>
    skopeo('copy', '--dest-tls-verify=false', `dir:${image}`, `docker://${stowage.registryHost}/${repository}:v1`)

  const [made, refused] = [await push('pushed/by/skopeo'), await push('elsewhere/app')]

  expect(made.exitCode, made.output).toBe(0)
  expect(refused.exitCode).not.toBe(0)
  expect(refused.output).toContain('name unknown')
  const names = 'repositories[?imageTagMutability==`IMMUTABLE`].repositoryName'
  expect(await aws.text('ecr', 'describe-repositories', '--query', names)).toBe('pushed/by/skopeo')
  expect(await aws.failure('ecr', 'describe-repositories', '--repository-names', 'elsewhere/app')).toContain('RepositoryNotFoundException')
  await aws.json('ecr', 'update-repository-creation-template', ...template, '--applied-for', 'REPLICATION')
  expect((await push('pushed/no/more')).output).toContain('name unknown')
  await aws.json('ecr', 'delete-repository-creation-template', ...template)
  expect(await aws.failure('ecr', 'delete-repository-creation-template', ...template)).toContain('TemplateNotFoundException')
})

/** An image as skopeo's `dir:` transport reads it. */
function folderOf(image: Image): string {
  const folder = join(dir.path, 'image')
  mkdirSync(folder)
  writeFileSync(join(folder, 'version'), 'Directory Transport Version: 1.1\n')
  writeFileSync(join(folder, 'manifest.json'), image.manifest.bytes)
  for (const { digest, bytes } of image.blobs) writeFileSync(join(folder, digest.slice('sha256:'.length)), bytes)
  return folder
}
