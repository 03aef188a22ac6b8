import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createCertificate, type CertificateFiles } from '../support/certificates.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { freePort } from '../support/server-process.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

/*
 * The programs that docker and kubelets run, as they run them: a process each, its input on standard input.
 */

let dir: TempDir
let path: string
let tls: CertificateFiles
let plain: Stowage
let secure: Stowage
let cacheDir: string
let caches = 0

beforeAll(async () => {
  dir = createTempDir('registry-passwords')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'))
  tls = await createCertificate(join(dir.path, 'tls'))
  plain = await startStowage()
  secure = await startStowage({ tls })
})

afterAll(async () => {
  await plain?.stop()
  await secure?.stop()
  dir?.remove()
})

beforeEach(() => {
  caches += 1
  cacheDir = join(dir.path, `cache-${caches}`)
})

type Env = Readonly<Record<string, string>>

/** The keys and the region of a server; where it is the program has to find out. */
function envOf(stowage: Stowage, more: Env = {}): Env {
  const { AWS_ENDPOINT_URL: _, AWS_CA_BUNDLE: __, ...env } = stowage.awsEnv
  return { ...env, XDG_CACHE_HOME: cacheDir, PATH: path, HOME: dir.path, ...more }
}

function helper(action: string, input: string, env: Env): Promise<RunResult> {
  return run('docker-credential-stowage', [action], { env, input, mayFail: true })
}

async function secretFrom(input: string, env: Env): Promise<string> {
  const result = await helper('get', input, env)
  expect(result.exitCode, result.output).toBe(0)
  return (JSON.parse(result.stdout) as { Secret: string }).Secret
}

function kubelet(request: unknown, env: Env): Promise<RunResult> {
  const input = typeof request === 'string' ? request : JSON.stringify(request)
  return run('stowage-kubelet-credential-provider', [], { env, input, mayFail: true })
}

const kept = (): string[] => readdirSync(join(cacheDir, 'stowage/registry-passwords')).map((name) => join(cacheDir, 'stowage/registry-passwords', name))

describe('docker-credential-stowage get', () => {
  it('answers a password that opens the registry, asked at its own host, in the clear only on this machine', async () => {
    const result = await helper('get', plain.registryHost, envOf(plain))

    expect(result.exitCode, result.output).toBe(0)
    const answer = JSON.parse(result.stdout) as Record<string, string>
    expect(Object.keys(answer)).toEqual(['ServerURL', 'Username', 'Secret'])
    expect(answer).toMatchObject({ ServerURL: plain.registryHost, Username: 'AWS' })
    const client = createDistributionClient(plain.url, { username: 'AWS', password: answer['Secret'] ?? '' })
    expect((await client.request('GET', '/v2/')).status).toBe(200)
    client.close()
  })

  it('keeps the password for the same principal, in a file that only the user may read', async () => {
    const first = await secretFrom(plain.registryHost, envOf(plain))
    // A request signed with this would be refused.
    const again = await secretFrom(`https://${plain.registryHost}/v1/`, envOf(plain, { AWS_SECRET_ACCESS_KEY: 'not-needed' }))

    expect(again).toBe(first)
    expect(kept()).toHaveLength(1)
    expect(statSync(kept()[0]!).mode & 0o777).toBe(0o600)
    expect(statSync(join(cacheDir, 'stowage/registry-passwords')).mode & 0o777).toBe(0o700)
  })

  it('asks anew for another region, another principal, a changed profile, and in the second half of a password’s life', async () => {
    const first = await secretFrom(plain.registryHost, envOf(plain))
    const elsewhere = await secretFrom(plain.registryHost, envOf(plain, { AWS_REGION: 'eu-west-1' }))
    const configFile = join(dir.path, 'changed-config')
    writeFileSync(configFile, '[default]\nregion = us-east-1\n')
    const changed = await secretFrom(plain.registryHost, envOf(plain, { AWS_CONFIG_FILE: configFile }))
    const stranger = await helper('get', plain.registryHost, envOf(plain, { AWS_ACCESS_KEY_ID: 'AKIASOMEBODYELSE0000' }))
    expect(new Set([first, elsewhere, changed]).size).toBe(3)
    expect(stranger.exitCode).toBe(1)
    expect(stranger.stdout).toContain('does not know this access key')

    for (const file of kept()) {
      const entry = JSON.parse(readFileSync(file, 'utf8')) as { issuedAt: number; expiresAt: number }
      const halfMs = (entry.expiresAt - entry.issuedAt) / 2
      writeFileSync(file, JSON.stringify({ ...entry, issuedAt: entry.issuedAt - halfMs, expiresAt: entry.expiresAt - halfMs }))
    }
    expect(await secretFrom(plain.registryHost, envOf(plain))).not.toBe(first)
  })

  it('reads keys, region, address and authority from a profile', async () => {
    const [configFile, credentialsFile] = [join(dir.path, 'config'), join(dir.path, 'credentials')]
    writeFileSync(configFile, `[profile ours]\nregion = us-east-1\nservices = ours\nca_bundle = ${tls.certFile}\n[services ours]\necr =\n  endpoint_url = ${secure.url}\n`)
    writeFileSync(credentialsFile, `[ours]\naws_access_key_id = ${secure.keys.accessKeyId}\naws_secret_access_key = ${secure.keys.secretAccessKey}\n`)
    const env = { AWS_PROFILE: 'ours', AWS_CONFIG_FILE: configFile, AWS_SHARED_CREDENTIALS_FILE: credentialsFile, XDG_CACHE_HOME: cacheDir, PATH: path }

    const password = await secretFrom(secure.registryHost, env)

    const client = createDistributionClient(secure.url, { username: 'AWS', password }, { ca: readFileSync(tls.certFile, 'utf8') })
    expect((await client.request('GET', '/v2/')).status).toBe(200)
    client.close()
  })

  it('trusts what docker trusts for this registry', async () => {
    const folder = join(dir.path, '.config/docker/certs.d', secure.registryHost)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'ca.crt'), readFileSync(tls.certFile))

    expect(await secretFrom(secure.registryHost, envOf(secure))).not.toBe('')
  })

  it('knows nothing of Docker Hub, which docker goes on with', async () => {
    for (const url of ['https://index.docker.io/v1/', 'docker.io', 'not a host']) {
      const result = await helper('get', url, envOf(plain))
      expect({ exitCode: result.exitCode, stdout: result.stdout }).toEqual({ exitCode: 1, stdout: 'credentials not found in native keychain\n' })
    }
  })

  it('does not give the password of one server to another', async () => {
    const result = await helper('get', 'registry.example.com', envOf(plain, { AWS_ENDPOINT_URL: plain.url }))

    expect(result.exitCode).toBe(1)
    expect(result.stdout).toContain(`whose registry is ${plain.registryHost}, not registry.example.com`)
  })

  it.each([
    ['no credentials', { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' }, 'aws configure'],
    ['half a pair of keys', { AWS_SECRET_ACCESS_KEY: '' }, 'AWS_SECRET_ACCESS_KEY is not'],
    ['a wrong secret', { AWS_SECRET_ACCESS_KEY: 'wrong' }, 'Check AWS_SECRET_ACCESS_KEY'],
    ['no region', { AWS_REGION: '', AWS_DEFAULT_REGION: '' }, 'export AWS_REGION='],
    ['an unknown profile', { AWS_PROFILE: 'nowhere' }, 'aws configure --profile nowhere'],
    ['an address that is none', { AWS_ENDPOINT_URL: 'localhost:1' }, 'write a URL such as'],
    ['certificates that are not there', { AWS_CA_BUNDLE: '/nonexistent/ca.crt' }, 'Set AWS_CA_BUNDLE'],
    ['a token that is not there', { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_ROLE_ARN: 'arn:aws:iam::000000000000:role/r', AWS_WEB_IDENTITY_TOKEN_FILE: '/nonexistent/token' }, 'AWS_WEB_IDENTITY_TOKEN_FILE has to name'],
  ])('says what to do about %s, where docker shows it, and shows no secret', async (_, env, expected) => {
    const result = await helper('get', plain.registryHost, envOf(plain, env))

    expect(result.exitCode).toBe(1)
    expect(result.stderr).toContain(expected)
    expect(result.stdout.trim().split('\n')).toHaveLength(1)
    expect(result.output).not.toContain(plain.keys.secretAccessKey)
    expect(result.output).not.toContain('at file://')
  })

  it('says what to do about an unknown authority, and about nobody who listens', async () => {
    const untrusted = await helper('get', secure.registryHost, envOf(secure, { HOME: '/nonexistent' }))
    const nobody = await helper('get', `localhost:${await freePort()}`, envOf(plain))

    expect(untrusted.stderr).toContain('export AWS_CA_BUNDLE=')
    expect(nobody.stdout).toContain('nothing listens at https://localhost')
  })
})

describe('docker-credential-stowage', () => {
  it('lists what is kept, and forgets a registry at a log-out', async () => {
    await secretFrom(plain.registryHost, envOf(plain))
    await secretFrom(secure.registryHost, envOf(secure, { AWS_CA_BUNDLE: tls.certFile }))
    const listed = await helper('list', '', envOf(plain))
    const erased = await helper('erase', `${plain.registryHost}\n`, envOf(plain))

    expect(JSON.parse(listed.stdout)).toEqual({ [plain.registryHost]: 'AWS', [secure.registryHost]: 'AWS' })
    expect(erased.exitCode).toBe(0)
    expect(JSON.parse((await helper('list', '', envOf(plain))).stdout)).toEqual({ [secure.registryHost]: 'AWS' })
  })

  it('refuses to store a password, and tells a wrong command what there is', async () => {
    const stored = await helper('store', JSON.stringify({ ServerURL: plain.registryHost, Username: 'AWS', Secret: 'x' }), envOf(plain))
    const wrong = await helper('fetch', '', envOf(plain))

    expect(stored.exitCode).toBe(1)
    expect(stored.stdout).toContain('without `docker login`')
    expect(wrong.exitCode).toBe(2)
    expect(wrong.stderr).toContain('get|store|erase|list|version')
  })
})

describe('stowage-kubelet-credential-provider', () => {
  const apiVersion = 'credentialprovider.kubelet.k8s.io/v1'

  it('answers a request as the API of kubelets has it', async () => {
    const image = `${plain.registryHost}/team/app:v1`
    const result = await kubelet({ apiVersion, kind: 'CredentialProviderRequest', image }, envOf(plain))

    expect(result.exitCode, result.output).toBe(0)
    const response = JSON.parse(result.stdout)
    const password = response.auth[plain.registryHost].password as string
    expect(response).toEqual({
      apiVersion,
      kind: 'CredentialProviderResponse',
      cacheKeyType: 'Registry',
      cacheDuration: expect.stringMatching(/^2\d{4}s$/u),
      auth: { [plain.registryHost]: { username: 'AWS', password } },
    })
    const client = createDistributionClient(plain.url, { username: 'AWS', password })
    expect((await client.request('GET', '/v2/')).status).toBe(200)
    client.close()
  })

  it('has nothing for an image of Docker Hub', async () => {
    const result = await kubelet({ apiVersion, kind: 'CredentialProviderRequest', image: 'library/nginx:1.29' }, envOf(plain))

    expect(JSON.parse(result.stdout)).toEqual({ apiVersion, kind: 'CredentialProviderResponse', cacheKeyType: 'Registry', cacheDuration: '0s', auth: {} })
  })

  it.each([
    ['no JSON', 'hello', 'holds no CredentialProviderRequest'],
    ['another kind', { apiVersion, kind: 'Pod', image: 'x' }, 'kind is not CredentialProviderRequest'],
    ['another version', { apiVersion: 'credentialprovider.kubelet.k8s.io/v2', kind: 'CredentialProviderRequest', image: 'x' }, 'apiVersion is not'],
    ['no image', { apiVersion, kind: 'CredentialProviderRequest' }, 'names no image'],
  ])('refuses a request with %s', async (_, request, expected) => {
    const result = await kubelet(request, envOf(plain))

    expect(result.exitCode).toBe(2)
    expect(result.stderr).toContain(expected)
    expect(result.stdout).toBe('')
  })

  it('needs a role for a service account’s token, and repeats nothing of the token', async () => {
    const token = 'eyJhbGciOiJub25lIn0.c2VjcmV0LWNsYWltcw.signature'
    const request = { apiVersion, kind: 'CredentialProviderRequest', image: `${plain.registryHost}/app`, serviceAccountToken: token, serviceAccountAnnotations: {} }
    const result = await kubelet(request, envOf(plain))

    expect(result.exitCode).toBe(2)
    expect(result.stderr).toContain('kubectl annotate serviceaccount')
    expect(result.output).not.toContain(token)
  })
})
