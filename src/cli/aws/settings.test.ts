import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTempDir, type TempDir } from '../../../test/support/temp-dir.ts'
import { readAwsEnvironment } from '../../config/aws-environment.ts'
import { createAwsConnection } from './connection.ts'
import { resolveAwsSettings, type AwsOptions, type AwsSettings } from './settings.ts'

let dir: TempDir
let files: Record<string, string>

beforeAll(() => {
  dir = createTempDir('aws-settings')
  files = { HOME: dir.path, AWS_CONFIG_FILE: join(dir.path, 'config'), AWS_SHARED_CREDENTIALS_FILE: join(dir.path, 'credentials') }
  writeFileSync(
    join(dir.path, 'config'),
    `[default]
region = eu-west-1
[profile ours]
region = eu-north-1
endpoint_url = https://all.example.com
services = parts
ca_bundle = /etc/ours.pem
[services parts]
iam =
  endpoint_url = https://iam.example.com/
`,
  )
  writeFileSync(join(dir.path, 'credentials'), '[keys-only]\naws_access_key_id = A\naws_secret_access_key = B\n')
})

afterAll(() => {
  dir.remove()
})

function resolve(env: Readonly<Record<string, string>>, options: AwsOptions = {}): Promise<AwsSettings> {
  return resolveAwsSettings(readAwsEnvironment({ ...files, ...env }), options)
}

describe('where a service is', () => {
  it.each([
    ['the command line', { AWS_ENDPOINT_URL_IAM: 'https://env-iam' }, { endpointUrl: 'https://line' }, 'https://line'],
    ["the service's variable", { AWS_ENDPOINT_URL_IAM: 'https://env-iam', AWS_ENDPOINT_URL: 'https://env', AWS_PROFILE: 'ours' }, {}, 'https://env-iam'],
    ['the common variable', { AWS_ENDPOINT_URL: 'https://env', AWS_PROFILE: 'ours' }, {}, 'https://env'],
    ["the service's section", { AWS_PROFILE: 'ours' }, {}, 'https://iam.example.com'],
    ['nobody, where what is configured is to be ignored', { AWS_ENDPOINT_URL: 'https://env', AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' }, {}, undefined],
    ['nobody', {}, {}, undefined],
  ])('is said by %s', async (_, env, options, expected) => {
    expect((await resolve(env, options)).endpointOf('iam')).toBe(expected)
  })

  it('is the address of the profile for services without one of their own', async () => {
    expect((await resolve({ AWS_PROFILE: 'ours' })).endpointOf('sts')).toBe('https://all.example.com')
  })

  it('is the address of another service rather than nowhere, and never Amazon', async () => {
    const connection = createAwsConnection(await resolve({ AWS_ENDPOINT_URL_ECR: 'https://ecr.example.com' }))
    expect(connection.endpointOf('sts')).toBe('https://ecr.example.com')
    const nowhere = createAwsConnection(await resolve({}))
    expect(() => nowhere.endpointOf('iam')).toThrow(expect.objectContaining({ code: 'aws-endpoint-missing' }))
  })

  it.each(['registry.example.com', 'ftp://registry', 'https://user:password@registry', 'https://registry/?x'])('is not %s', async (endpointUrl) => {
    const settings = await resolve({}, { endpointUrl })
    expect(() => settings.endpointOf('iam')).toThrow(expect.objectContaining({ code: 'aws-settings-invalid' }))
  })
})

describe('the region', () => {
  it.each([
    [{ AWS_REGION: 'a-1', AWS_DEFAULT_REGION: 'b-1' }, { region: 'c-1' }, 'c-1'],
    [{ AWS_REGION: 'a-1', AWS_DEFAULT_REGION: 'b-1' }, {}, 'a-1'],
    [{ AWS_DEFAULT_REGION: 'b-1' }, {}, 'b-1'],
    [{}, {}, 'eu-west-1'],
    [{ AWS_PROFILE: 'ours' }, {}, 'eu-north-1'],
    [{ AWS_REGION: '' }, { profile: 'keys-only' }, undefined],
  ])('of %j and %j is %s', async (env, options, expected) => {
    expect((await resolve(env, options)).region).toBe(expected)
  })
})

it('an authority of the environment goes before that of the profile', async () => {
  expect((await resolve({ AWS_PROFILE: 'ours' })).caBundle).toBe('/etc/ours.pem')
  expect((await resolve({ AWS_PROFILE: 'ours', AWS_CA_BUNDLE: '/etc/env.pem' })).caBundle).toBe('/etc/env.pem')
})

it('a profile that no file has is an error, whoever names it', async () => {
  await expect(resolve({ AWS_PROFILE: 'nowhere' })).rejects.toMatchObject({ code: 'aws-settings-invalid' })
  await expect(resolve({}, { profile: 'nowhere' })).rejects.toMatchObject({ code: 'aws-settings-invalid' })
})
