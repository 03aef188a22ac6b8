import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAwsClient } from '../support/aws.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { githubClaims, gitlabClaims, kubernetesClaims } from '../support/identity-claims.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { startOidcIssuer, type OidcIssuer } from '../support/oidc-issuer.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

/*
 * From `stowage iam quickstart` to a push or pull without any stored secret: tokens of a real issuer in the exact form of each
 * platform, and the programs that docker and kubelets run.
 */

let dir: TempDir
let issuer: OidcIssuer
let stowage: Stowage
let path: string
let roles: Readonly<Record<'github' | 'gitlab' | 'kubernetes', string>>

beforeAll(async () => {
  dir = createTempDir('quickstart-workloads')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'))
  issuer = await startOidcIssuer()
  stowage = await startStowage({ env: { STOWAGE_OIDC_PRIVATE_HOSTS: issuer.host, STOWAGE_OIDC_CA_FILE: issuer.caFile } })
  const aws = createAwsClient(stowage)
  for (const name of ['shop/web', 'other/web']) await aws.json('ecr', 'create-repository', '--repository-name', name)
  await pushImage({ url: stowage.url, repository: 'shop/web', auth: stowage.credentials }, buildImage({ seed: 'web' }), 'v1')
  roles = {
    github: await quickstart('ci-pusher', '--github', 'octo-org/octo-repo@main', '--tag-pattern', 'dev-*'),
    gitlab: await quickstart('ci-pusher', '--gitlab', 'my-group/my-project@main', '--audience', 'https://registry.example.com'),
    kubernetes: await quickstart('puller', '--kubernetes', 'shop/web'),
  }
})

afterAll(async () => {
  await stowage?.stop()
  await issuer?.stop()
  dir?.remove()
})

/** Makes a role for repositories of the shop, and answers its ARN. */
async function quickstart(...words: string[]): Promise<string> {
  const all = ['iam', 'quickstart', ...words, '--issuer', issuer.issuer, '--repository-prefix', 'shop/', '--apply', '--json']
  const { stdout } = await run('stowage', all, { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path } })
  return (JSON.parse(stdout) as { principalArn: string }).principalArn
}

/** What a job has: a token in a file, the role's name, and no key. */
function helperIn(job: { readonly role: string; readonly token: string }): Promise<RunResult> {
  const tokenFile = join(dir.path, 'token')
  writeFileSync(tokenFile, job.token, { mode: 0o600 })
  return run('docker-credential-stowage', ['get'], {
    input: stowage.registryHost,
    env: { PATH: path, HOME: dir.path, XDG_CACHE_HOME: join(dir.path, 'cache'), AWS_REGION: 'us-east-1', AWS_ROLE_ARN: job.role, AWS_WEB_IDENTITY_TOKEN_FILE: tokenFile },
    mayFail: true,
  })
}

async function push(result: RunResult, repository: string, tag: string): Promise<void> {
  expect(result.exitCode, result.output).toBe(0)
  const { Username: username, Secret: password } = JSON.parse(result.stdout) as Record<'Username' | 'Secret', string>
  await pushImage({ url: stowage.url, repository, auth: { username, password } }, buildImage({ seed: tag }), tag)
}

describe('a job of GitHub Actions', () => {
  it('pushes what its role may, with its token and nothing else', async () => {
    const result = await helperIn({ role: roles.github, token: await issuer.sign(githubClaims({})) })

    await push(result, 'shop/web', 'dev-1')
    await expect(push(result, 'shop/web', 'prod-1')).rejects.toThrow('403')
    await expect(push(result, 'other/web', 'dev-1')).rejects.toThrow('403')
  })

  it.each([
    ['another branch', githubClaims({ ref: 'refs/heads/feature' })],
    ['another repository', githubClaims({ repository: 'octo-org/octo-repo-2' })],
    ['an environment', githubClaims({ environment: 'production' })],
    ['another audience', githubClaims({ audience: 'https://github.com/octo-org' })],
  ])('of %s has no password', async (_, claims) => {
    const result = await helperIn({ role: roles.github, token: await issuer.sign(claims) })

    expect(result.exitCode).toBe(1)
    expect(result.stderr).toMatch(/Not authorized to perform sts:AssumeRoleWithWebIdentity|Incorrect token audience/u)
  })
})

it('a job of GitLab pushes, and one of another branch does not', async () => {
  const audience = 'https://registry.example.com'
  await push(await helperIn({ role: roles.gitlab, token: await issuer.sign(gitlabClaims({ audience })) }), 'shop/web', 'any-tag')

  const other = await helperIn({ role: roles.gitlab, token: await issuer.sign(gitlabClaims({ audience, branch: 'feature' })) })
  expect(other.exitCode).toBe(1)
})

describe('a kubelet', () => {
  const pull = async (serviceAccount: string): Promise<RunResult> => {
    const request = {
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      kind: 'CredentialProviderRequest',
      image: `${stowage.registryHost}/shop/web:v1`,
      serviceAccountToken: await issuer.sign(kubernetesClaims({ namespace: 'shop', serviceAccount, audience: 'sts.amazonaws.com' })),
      serviceAccountAnnotations: { 'stowage/role-arn': roles.kubernetes },
    }
    return run('stowage-kubelet-credential-provider', [], { input: JSON.stringify(request), env: { PATH: path, HOME: dir.path, AWS_REGION: 'us-east-1' }, mayFail: true })
  }

  it("pulls as the role of the pod's service account, for at most half of the session's hour", async () => {
    const result = await pull('web')

    expect(result.exitCode, result.output).toBe(0)
    const { auth, cacheDuration } = JSON.parse(result.stdout) as { auth: Record<string, { username: string; password: string }>; cacheDuration: string }
    expect(Number(/^(\d+)s$/u.exec(cacheDuration)?.[1])).toBeLessThanOrEqual(1800)
    const client = createDistributionClient(stowage.url, auth[stowage.registryHost])
    expect((await client.request('GET', '/v2/shop/web/manifests/v1')).status).toBe(200)
    expect((await client.request('GET', '/v2/other/web/manifests/v1')).status).toBe(403)
    expect((await client.request('POST', '/v2/shop/web/blobs/uploads/')).status).toBe(403)
    client.close()
  })

  it('has nothing for a pod of another service account', async () => {
    const result = await pull('default')

    expect(result.exitCode).toBe(1)
    expect(result.stderr).toContain('Not authorized to perform sts:AssumeRoleWithWebIdentity')
    expect(result.stdout).toBe('')
  })
})
