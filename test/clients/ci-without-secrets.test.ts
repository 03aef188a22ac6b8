import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient } from '../support/aws.ts'
import { githubClaims, gitlabClaims, kubernetesClaims } from '../support/identity-claims.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { startOidcIssuer, type OidcIssuer } from '../support/oidc-issuer.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool, projectDir } from '../support/tools.ts'

const document = 'docs/operations/ci-without-secrets.md'
const audience = 'sts.amazonaws.com'

/** The platforms of the guide, each with an issuer that signs as it does. */
const issuers: Record<'token.actions.githubusercontent.com' | 'gitlab.example.com' | 'kubernetes.default.svc.cluster.local', OidcIssuer | undefined> = {
  'token.actions.githubusercontent.com': undefined,
  'gitlab.example.com': undefined,
  'kubernetes.default.svc.cluster.local': undefined,
}
let stowage: Stowage
let dir: TempDir

beforeAll(async () => {
  dir = createTempDir('ci')
  for (const host of Object.keys(issuers) as (keyof typeof issuers)[]) issuers[host] = await startOidcIssuer()
  const started = Object.values(issuers).map((issuer) => issuer!)
  const caFile = join(dir.path, 'authorities.pem')
  writeFileSync(caFile, started.map((issuer) => readFileSync(issuer.caFile, 'utf8')).join(''))
  stowage = await startStowage({
    env: { STOWAGE_OIDC_PRIVATE_HOSTS: [...started.map(({ host }) => host), 'localhost:1'].join(','), STOWAGE_OIDC_CA_FILE: caFile },
  })
  // Everything that the guide tells an administrator to do, in its order.
  const commands = [...readFileSync(join(projectDir, document), 'utf8').matchAll(/^```sh\n(.*?)^```$/gmsu)].map((match) => match[1] ?? '')
  expect(commands.length).toBeGreaterThanOrEqual(5)
  const script = Object.entries(issuers).reduce((text, [host, issuer]) => text.replaceAll(host, issuer!.url), commands.join('\n'))
  const path = `${dirname(ensureTool('aws'))}:${process.env['PATH'] ?? ''}`
  await run('bash', ['--norc', '-euo', 'pipefail', '-c', script], { cwd: dir.path, env: { ...stowage.awsEnv, PATH: path } })
  await createAwsClient(stowage).json('ecr', 'create-repository', '--repository-name', 'team/app')
  await createAwsClient(stowage).json('ecr', 'create-repository', '--repository-name', 'other/app')
})

afterAll(async () => {
  await stowage?.stop()
  for (const issuer of Object.values(issuers)) await issuer?.stop()
  dir?.remove()
})

const roleArn = (name: string): string => `arn:aws:iam::000000000000:role/${name}`
const github = (): OidcIssuer => issuers['token.actions.githubusercontent.com']!
const gitlab = (): OidcIssuer => issuers['gitlab.example.com']!
const kubernetes = (): OidcIssuer => issuers['kubernetes.default.svc.cluster.local']!

/** What a job has in its environment: no keys. */
function jobEnv(more: Record<string, string>): Record<string, string> {
  const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, AWS_ENDPOINT_URL: _all, ...env } = stowage.awsEnv
  return { ...env, AWS_ENDPOINT_URL_STS: stowage.url, AWS_ENDPOINT_URL_ECR: stowage.url, ...more }
}

function tokenFile(token: string): string {
  const path = join(dir.path, `token-${Math.random().toString(36).slice(2)}`)
  writeFileSync(path, token, { mode: 0o600 })
  return path
}

/** Pushes with a real client, as whoever the login stands for. */
async function push(login: { username: string; password: string; registry: string }, repository: string): Promise<string> {
  const authFile = join(dir.path, 'auth.json')
  const env = { REGISTRY_AUTH_FILE: authFile }
  const skopeo = ensureTool('skopeo')
  await run(skopeo, ['login', '--username', login.username, '--password-stdin', '--tls-verify=false', login.registry], { env, input: login.password })
  await pushImage({ url: stowage.url, repository: 'team/app', auth: stowage.credentials }, buildImage(), 'base')
  const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false']
  const place = (name: string): string => `docker://${login.registry}/${name}`
  const result = await run(skopeo, ['copy', ...insecure, place('team/app:base'), place(`${repository}:pushed`)], { env, mayFail: true })
  return result.exitCode === 0 ? 'pushed' : result.stderr
}

test('the steps of a GitHub workflow get a docker login that pushes where the role may, and nowhere else', async () => {
  const token = await github().sign(githubClaims({ ref: 'refs/heads/main' }))
  const steps = (jobToken: string, mayFail = false) =>
    run(process.execPath, [join(import.meta.dirname, 'github-actions-steps.ts')], {
      cwd: projectDir,
      env: jobEnv({ JOB_TOKEN: jobToken, ROLE_TO_ASSUME: roleArn('github-push') }),
      mayFail,
    })

  const { stdout } = await steps(token)
  const { account, arn, logins } = JSON.parse(stdout) as { account: string; arn: string; logins: [{ username: string; password: string; registry: string }] }

  expect([account, arn]).toEqual(['000000000000', 'arn:aws:sts::000000000000:assumed-role/github-push/GitHubActions'])
  expect(logins).toHaveLength(1)
  expect(logins[0]).toMatchObject({ username: 'AWS', registry: stowage.registryHost })
  expect(await push(logins[0], 'team/app')).toBe('pushed')
  expect(await push(logins[0], 'other/app')).toContain('repository other/app: 403 (Forbidden)')

  const ofFork = await github().sign(githubClaims({ repository: 'evil/octo-repo' }))
  expect((await steps(ofFork, true)).stderr).toContain('Not authorized to perform sts:AssumeRoleWithWebIdentity')
})

test('a GitLab job logs in with the aws command', async () => {
  const file = tokenFile(await gitlab().sign(gitlabClaims({ audience: 'registry.example.com' })))
  const env = jobEnv({ AWS_ROLE_ARN: roleArn('gitlab-push'), AWS_ROLE_SESSION_NAME: 'gitlab-302', AWS_WEB_IDENTITY_TOKEN_FILE: file })
  const aws = (...args: string[]) => run(ensureTool('aws'), [...args, '--output', 'text'], { env })

  expect((await aws('sts', 'get-caller-identity', '--query', 'Arn')).stdout).toBe('arn:aws:sts::000000000000:assumed-role/gitlab-push/gitlab-302\n')
  const password = (await aws('ecr', 'get-login-password')).stdout.trim()
  expect(await push({ username: 'AWS', password, registry: stowage.registryHost }, 'team/app')).toBe('pushed')
})

test('a pod works with boto3, which knows every way in which its token can be wrong', async () => {
  const claims = kubernetesClaims({ namespace: 'ci', serviceAccount: 'pusher', audience })
  const now = Math.floor(Date.now() / 1000)
  const silent = 'https://localhost:1'
  await createAwsClient(stowage).json('iam', 'create-open-id-connect-provider', '--url', silent, '--client-id-list', audience)
  const tokens = {
    good: await kubernetes().sign(claims),
    expired: await kubernetes().sign({ ...claims, exp: now - 600, iat: now - 1200, nbf: now - 1200 }),
    'not yet valid': await kubernetes().sign({ ...claims, iat: now + 3000, nbf: now + 3000, exp: now + 6000 }),
    'other audience': await kubernetes().sign({ ...claims, aud: ['https://kubernetes.default.svc'] }),
    'other subject': await kubernetes().sign(kubernetesClaims({ namespace: 'ci', serviceAccount: 'default', audience })),
    'silent issuer': await kubernetes().sign({ ...claims, iss: silent }),
  }
  const env = jobEnv({
    AWS_ROLE_ARN: roleArn('kubernetes-push'),
    AWS_WEB_IDENTITY_TOKEN_FILE: tokenFile(tokens.good),
    OTHER_TOKENS: JSON.stringify(tokens),
  })

  const result = await run(ensureTool('python'), [join(import.meta.dirname, 'boto3_web_identity.py')], { env })

  expect(result.stdout).toBe('ok\n')
  // What failed on the way is for the operator to see; the tokens are for nobody.
  expect(stowage.logs()).toContain('the keys of an OpenID Connect provider could not be fetched')
  expect(stowage.logs()).toMatch(/"refusal":"Not authorized to perform sts:AssumeRoleWithWebIdentity"[^\n]*"subject":"system:serviceaccount:ci:default"/)
  for (const token of Object.values(tokens)) expect(stowage.logs()).not.toContain(token.split('.')[2])
})
