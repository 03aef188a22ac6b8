import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildImage, buildIndex, pushImage } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { registerSecret } from '../support/secrets.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

interface Report {
  readonly applied: boolean
  readonly principalArn: string
  readonly changes: readonly { readonly action: string; readonly what: string }[]
  readonly trustPolicy: unknown
  readonly accessKey?: { readonly accessKeyId: string; readonly secretAccessKey: string }
  readonly next: string
  readonly undo: readonly string[]
}

let dir: TempDir
let stowage: Stowage
let aws: AwsClient
let path: string

beforeAll(async () => {
  dir = createTempDir('quickstart')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'), dirname(ensureTool('aws')))
  stowage = await startStowage()
  aws = createAwsClient(stowage)
  for (const name of ['team-a/app', 'team-b/app']) await aws.json('ecr', 'create-repository', '--repository-name', name)
})

afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

function stowageCommand(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<RunResult> {
  return run('stowage', words, { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path, ...env }, mayFail: true })
}

async function quickstart(...words: string[]): Promise<Report> {
  const result = await stowageCommand(['iam', 'quickstart', ...words, '--json'])
  expect(result.exitCode, result.output).toBe(0)
  const report = JSON.parse(result.stdout) as Report
  if (report.accessKey !== undefined) registerSecret('a secret access key', report.accessKey.secretAccessKey)
  return report
}

const actions = ({ changes }: Report): string[] => changes.map(({ action }) => action)

async function shell(lines: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<RunResult> {
  return run('sh', ['-euc', lines.join('\n')], { env: { ...stowage.awsEnv, PATH: path, ...env }, mayFail: true })
}

describe('stowage iam quickstart', () => {
  it('changes nothing until it is told to, then makes what it showed, and nothing the second time', async () => {
    const plan = await quickstart('ci-pusher', '--repository-prefix', 'team-a/', '--tag-pattern', 'dev-*')
    expect(plan.applied).toBe(false)
    expect(actions(plan)).toEqual(['create', 'create', 'create'])
    expect(await aws.text('iam', 'list-users', '--query', 'Users[].UserName')).toBe('')

    const made = await quickstart('ci-pusher', '--repository-prefix', 'team-a/', '--tag-pattern', 'dev-*', '--apply')
    expect(made.changes).toEqual(plan.changes)
    expect(made.principalArn).toBe('arn:aws:iam::000000000000:user/team-a-ci-pusher')

    const again = await quickstart('ci-pusher', '--repository-prefix', 'team-a/', '--tag-pattern', 'dev-*', '--apply')
    expect(actions(again)).toEqual(['keep', 'keep', 'keep'])
    expect(again.accessKey).toBeUndefined()

    const wider = await quickstart('ci-pusher', '--repository-prefix', 'team-a/', '--apply')
    expect(actions(wider)).toEqual(['keep', 'change', 'keep'])
    expect(actions(await quickstart('ci-pusher', '--repository-prefix', 'team-a/', '--tag-pattern', 'dev-*', '--apply'))).toEqual(['keep', 'change', 'keep'])
  })

  it('gives exactly what it says: some tags of some repositories, and back with the printed commands', async () => {
    const { accessKey, undo } = await quickstart('ci-pusher', '--repository-prefix', 'team-a/', '--tag-pattern', 'dev-*', '--name', 'exactly', '--apply')
    const auth = { username: accessKey?.accessKeyId ?? '', password: accessKey?.secretAccessKey ?? '' }
    // For two platforms: its parts are pushed by their digests, and have no tag.
    const image = buildIndex(['amd64', 'arm64'].map((architecture) => buildImage({ seed: architecture, platform: { os: 'linux', architecture } })))
    const push = (repository: string, tag: string): Promise<void> => pushImage({ url: stowage.url, repository, auth }, image, tag)

    await push('team-a/app', 'dev-1')
    await expect(push('team-a/app', 'prod-1')).rejects.toThrow(/403|DENIED|denied/u)
    await expect(push('team-b/app', 'dev-1')).rejects.toThrow(/403|DENIED|denied/u)
    const client = createDistributionClient(stowage.url, auth)
    expect((await client.request('GET', '/v2/team-a/app/manifests/dev-1')).status).toBe(200)
    expect((await client.request('DELETE', '/v2/team-a/app/manifests/dev-1')).status).toBe(403)

    const undone = await shell(undo)
    expect(undone.exitCode, undone.output).toBe(0)
    expect(await aws.failure('iam', 'get-user', '--user-name', 'exactly')).toContain('NoSuchEntity')
    expect((await client.request('GET', '/v2/team-a/app/manifests/dev-1')).status).toBe(401)
    client.close()
  })

  it('leaves users and roles alone that it did not make, or made for something else', async () => {
    await aws.json('iam', 'create-user', '--user-name', 'administrator')
    await quickstart('puller', '--name', 'somebody', '--no-access-key', '--apply')

    const foreign = await stowageCommand(['iam', 'quickstart', 'puller', '--name', 'administrator', '--apply'])
    const other = await stowageCommand(['iam', 'quickstart', 'deployer', '--name', 'somebody', '--apply'])

    expect(foreign.exitCode).toBe(2)
    expect(foreign.stderr).toContain('was not made by this command')
    expect(await aws.text('iam', 'list-user-policies', '--user-name', 'administrator', '--query', 'PolicyNames')).toBe('')
    expect(other.exitCode).toBe(2)
    expect(other.stderr).toContain('was made for puller')
  })

  it('makes a provider and a role for a workload, keeps what others need of them, and takes its own back', async () => {
    const first = await quickstart('ci-pusher', '--github', 'acme/shop@main', '--repository-prefix', 'shop/', '--apply')
    const second = await quickstart('puller', '--github', 'acme/shop', '--audience', 'stowage', '--apply')
    const again = await quickstart('ci-pusher', '--github', 'acme/shop@main', '--repository-prefix', 'shop/', '--apply')

    expect(actions(first)).toEqual(['create', 'create', 'create'])
    expect(actions(second)).toEqual(['change', 'create', 'create'])
    expect(actions(again)).toEqual(['keep', 'keep', 'keep', 'keep'])
    expect(await aws.json('iam', 'get-role', '--role-name', 'acme-shop-ci-pusher', '--query', 'Role.AssumeRolePolicyDocument')).toEqual(first.trustPolicy)
    expect(first.next).toContain('role-to-assume: arn:aws:iam::000000000000:role/acme-shop-ci-pusher')

    // The second found the provider there, so that only the first may take it away.
    expect(second.undo.join('\n')).not.toContain('open-id-connect')
    const undone = await shell([...second.undo, ...first.undo])
    expect(undone.exitCode, undone.output).toBe(0)
    expect(await aws.text('iam', 'list-open-id-connect-providers', '--query', 'OpenIDConnectProviderList')).toBe('')
  })

  it('prints for people what to paste, with the secret once', async () => {
    const result = await stowageCommand(['iam', 'quickstart', 'deployer', '--name', 'pasted', '--apply'])
    const lines = result.stdout.split('\n').flatMap((line) => /^ {2}(export .*)$/u.exec(line)?.[1] ?? [])
    registerSecret('a secret access key', /AWS_SECRET_ACCESS_KEY=(\S+)/u.exec(result.stdout)?.[1] ?? '')

    const identity = await shell([...lines, 'aws sts get-caller-identity --query Arn --output text'], { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' })

    expect(identity.stdout).toBe('arn:aws:iam::000000000000:user/pasted\n')
    expect((await stowageCommand(['iam', 'quickstart', 'deployer', '--name', 'pasted'])).stdout).not.toContain('AWS_SECRET_ACCESS_KEY=A')
  })

  it('makes roles that profiles lead to: by the keys of another profile, or by a program', async () => {
    const user = await quickstart('puller', '--name', 'taker', '--apply')
    const role = await quickstart('deployer', '--as', 'role', '--trust', user.principalArn, '--name', 'released', '--apply')
    const { accessKeyId, secretAccessKey } = user.accessKey!
    const program = join(dir.path, 'credentials.sh')
    writeFileSync(program, `#!/bin/sh\necho '${JSON.stringify({ Version: 1, AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey })}'\n`, { mode: 0o700 })
    const config = `[profile keys]
aws_access_key_id = ${accessKeyId}
aws_secret_access_key = ${secretAccessKey}
[profile by-keys]
role_arn = ${role.principalArn}
source_profile = keys
[profile program]
credential_process = ${program}
`
    const configFile = join(dir.path, 'config')
    writeFileSync(configFile, config, { mode: 0o600 })
    const passwordOf = async (profile: string): Promise<string> => {
      const { AWS_ACCESS_KEY_ID: _, AWS_SECRET_ACCESS_KEY: __, ...env } = stowage.awsEnv
      const { stdout } = await run('docker-credential-stowage', ['get'], { input: stowage.registryHost, env: { ...env, PATH: path, HOME: dir.path, AWS_CONFIG_FILE: configFile, AWS_PROFILE: profile } })
      return (JSON.parse(stdout) as { Secret: string }).Secret
    }

    // What the deployer may and the puller may not.
    const listTags = async (password: string): Promise<number> => {
      const client = createDistributionClient(stowage.url, { username: 'AWS', password })
      const { status } = await client.request('GET', '/v2/team-a/app/tags/list')
      client.close()
      return status
    }
    expect(await listTags(await passwordOf('by-keys'))).toBe(200)
    expect(await listTags(await passwordOf('program'))).toBe(403)
  })

  it.each([
    [['ci-pusher', '--github', 'acme'], 'write owner/repo'],
    [['puller', '--kubernetes', 'shop/web'], '--issuer URL'],
    [['auditor', '--tag-pattern', 'dev-*'], 'an auditor reads no tags'],
    [['puller', '--as', 'user', '--github', 'acme/shop'], '--as role'],
    [['puller', '--github', 'acme/shop', '--gitlab', 'acme/shop'], 'cannot be used with'],
    [['puller', '--repository-prefix', 'team-*'], 'beginning of repository names'],
    [['admin'], 'ci-pusher, puller, deployer, auditor'],
    [['puller', '--name', 'x'.repeat(65)], '1 to 64'],
  ])('refuses %j with exit code 2 and what to write instead', async (words, expected) => {
    const result = await stowageCommand(['iam', 'quickstart', ...words])

    expect(result.exitCode).toBe(2)
    expect(result.stderr).toContain(expected)
  })

  it('never goes to Amazon: without an endpoint it stops', async () => {
    const result = await stowageCommand(['iam', 'quickstart', 'puller'], { AWS_ENDPOINT_URL: '' })

    expect(result.exitCode).toBe(2)
    expect(result.stderr).toContain('export AWS_ENDPOINT_URL=')
  })

  it('tells whoever may not what is missing', async () => {
    const { accessKey } = await quickstart('puller', '--name', 'curious', '--apply')
    const result = await stowageCommand(['iam', 'quickstart', 'auditor', '--apply'], {
      AWS_ACCESS_KEY_ID: accessKey?.accessKeyId ?? '',
      AWS_SECRET_ACCESS_KEY: accessKey?.secretAccessKey ?? '',
    })

    expect(result.exitCode).toBe(1)
    expect(result.stderr).toContain('is not authorized to perform: iam:GetUser')
  })
})

describe('stowage iam stale', () => {
  it('lets an auditor see keys and roles that nobody uses, with commands that take them away', async () => {
    const auditor = (await quickstart('auditor', '--name', 'reader', '--apply')).accessKey!
    const unused = (await quickstart('puller', '--name', 'unused', '--apply')).accessKey!
    await quickstart('puller', '--as', 'role', '--name', 'unused-role', '--apply')
    const asAuditor = { AWS_ACCESS_KEY_ID: auditor.accessKeyId, AWS_SECRET_ACCESS_KEY: auditor.secretAccessKey }
    const stale = async (): Promise<Record<string, string>> => {
      const result = await stowageCommand(['iam', 'stale', '--days', '0', '--json'], asAuditor)
      expect(result.exitCode, result.output).toBe(0)
      const items = JSON.parse(result.stdout) as { kind: string; name: string; accessKeyId?: string; lastUsedAt: string | null; next: string }[]
      return Object.fromEntries(items.map((item) => [`${item.kind} ${item.name} ${item.accessKeyId ?? ''}`.trim(), item.next]))
    }

    const before = await stale()
    const takeKey = before[`access-key unused ${unused.accessKeyId}`]
    const takeRole = before['role unused-role']
    expect(takeKey).toBeDefined()
    expect(takeRole).toBeDefined()
    const taken = await shell([takeKey!, takeRole!])
    expect(taken.exitCode, taken.output).toBe(0)

    expect(Object.keys(await stale())).not.toContain(`access-key unused ${unused.accessKeyId}`)
    expect(await aws.text('iam', 'list-role-policies', '--role-name', 'unused-role', '--query', 'PolicyNames')).toContain('stale')
  })

  it('passes over what was made or used lately', async () => {
    const result = await stowageCommand(['iam', 'stale', '--days', '1'])

    expect(result.stdout).toBe('Every active access key and role was made or used within 1 day.\n')
  })
})
