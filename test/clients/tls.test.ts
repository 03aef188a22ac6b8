import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { createCertificate, type CertificateFiles } from '../support/certificates.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { createDockerClient, useDockerEngine, type DockerClient, type DockerEngine } from '../support/docker-engine.ts'
import { helloProgram } from '../support/hello-program.ts'
import { run, type RunResult } from '../support/run.ts'
import { freePort } from '../support/server-process.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool, projectDir, programScript } from '../support/tools.ts'

let dir: TempDir

beforeAll(() => {
  dir = createTempDir('tls')
})

afterAll(() => {
  dir?.remove()
})

/** Runs `curl <options> <url>`, following nothing. */
async function curl(url: string, ...options: string[]): Promise<RunResult> {
  return run(ensureTool('curl'), ['--silent', '--show-error', '--include', ...options, url], { mayFail: true })
}

/** Runs the stowage command line with a server's settings. */
async function stowageCommand(args: readonly string[], env: Readonly<Record<string, string>>): Promise<RunResult> {
  return run(process.execPath, [programScript(), ...args], { cwd: projectDir, env, mayFail: true, timeoutMs: 30_000 })
}

describe('a certificate that the server makes', () => {
  let engine: DockerEngine
  let stowage: Stowage
  let client: DockerClient
  let aws: AwsClient
  let registry: string
  let settings: Readonly<Record<string, string>>

  beforeAll(async () => {
    engine = await useDockerEngine()
    const port = await freePort()
    registry = `registry.test:${port}`
    const publicUrl = { STOWAGE_PUBLIC_URL: `https://${registry}` }
    stowage = await startStowage({ address: '::1', port, tls: 'self-signed', env: publicUrl })
    settings = { ...publicUrl, STOWAGE_LISTEN: `[::1]:${port}`, STOWAGE_DATA_DIR: stowage.dataDir, STOWAGE_TLS_SELF_SIGNED: 'true' }
    client = createDockerClient(engine)
    aws = createAwsClient(stowage)
  })

  afterAll(async () => {
    client?.remove()
    await stowage?.stop()
  })

  async function logIn(): Promise<RunResult> {
    const password = await aws.text('ecr', 'get-login-password')
    return client.docker(['login', '--username', 'AWS', '--password-stdin', registry], { input: password, mayFail: true })
  }

  test('docker refuses it, and after `stowage trust --install` pushes and pulls', async () => {
    const image = `${registry}/trusted:v1`
    const context = join(dir.path, 'image')
    mkdirSync(context)
    writeFileSync(join(context, 'hello'), helloProgram('over TLS'), { mode: 0o755 })
    writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n')
    await client.docker(['build', '--tag', image, context])
    await aws.json('ecr', 'create-repository', '--repository-name', 'trusted')

    const before = await logIn()
    const trust = await stowageCommand(['trust', '--install', '--certs-dir', engine.certsDir], settings)
    const after = await logIn()
    await client.docker(['push', image])
    await client.docker(['rmi', '--force', image])
    const { stdout } = await client.docker(['run', '--rm', '--network', 'host', image])

    expect(before.exitCode).not.toBe(0)
    expect(before.output).toMatch(/x509: certificate signed by unknown authority/)
    expect(trust).toMatchObject({ exitCode: 0, stderr: '' })
    expect(trust.stdout).toContain(`${join(engine.certsDir, registry, 'ca.crt')}: docker trusts ${registry}; it needs no restart`)
    expect(after.output).toContain('Login Succeeded')
    expect(stdout).toBe('over TLS\n')
  })

  test('`stowage trust --host` installs for the hosts it is given', async () => {
    const certsDir = join(dir.path, 'certs.d')

    const trust = await stowageCommand(['trust', '--install', '--host', `localhost:${stowage.port}`, '--certs-dir', certsDir], settings)

    expect(trust.exitCode).toBe(0)
    expect(readFileSync(join(certsDir, `localhost:${stowage.port}`, 'ca.crt'))).toEqual(readFileSync(stowage.caFile!))
    expect(existsSync(join(certsDir, registry))).toBe(false)
  })

  test('`stowage trust` tells what works: AWS_CA_BUNDLE for the aws command, --cacert for curl', async () => {
    const { stdout } = await stowageCommand(['trust'], settings)
    const bundle = /export AWS_CA_BUNDLE=(\S+)/.exec(stdout)?.[1] ?? ''
    const cacert = /curl --cacert (\S+)/.exec(stdout)?.[1] ?? ''

    const trusting = createAwsClient(stowage, { AWS_CA_BUNDLE: bundle })
    const { certFile: anotherCa } = await createCertificate(join(dir.path, 'unrelated'))
    const trustless = createAwsClient(stowage, { AWS_CA_BUNDLE: anotherCa })
    const resolve = ['--resolve', `${registry}:[::1]`]
    const user = ['--user', `${stowage.keys.accessKeyId}:${stowage.keys.secretAccessKey}`]
    const { authorizationData } = await trusting.json('ecr', 'get-authorization-token')

    expect(authorizationData[0].proxyEndpoint).toBe(`https://${registry}`)
    expect(await trustless.failure('ecr', 'describe-repositories')).toContain('SSL validation failed')
    expect((await curl(`https://${registry}/v2/`, '--cacert', cacert, ...resolve, ...user)).stdout).toMatch(/^HTTP\/1\.1 200 /)
    const untrusted = await curl(`https://${registry}/v2/`, ...resolve, ...user)
    expect(untrusted.exitCode).toBe(60)
    expect(untrusted.stderr).toContain('SSL certificate problem')
  })

  test('the authority stays over a restart, so that clients need not be told again', async () => {
    const dataDir = join(dir.path, 'data')
    const first = await startStowage({ dataDir, tls: 'self-signed' })
    const ca = readFileSync(first.caFile!, 'utf8')
    await first.stop()

    const second = await startStowage({ dataDir, tls: 'self-signed' })
    onTestFinished(async () => {
      await second.stop()
    })
    const answer = await curl(`${second.url}/healthz`, '--cacert', writeCa(ca))

    expect(answer.stdout).toMatch(/^HTTP\/1\.1 200 /)
  })

  function writeCa(text: string): string {
    const path = join(dir.path, 'kept-ca.crt')
    writeFileSync(path, text)
    return path
  }

  test('plain HTTP gets nothing at the TLS port, and disturbs nobody', async () => {
    const plain = await curl(`http://[::1]:${stowage.port}/v2/`)
    const secure = await curl(`${stowage.url}/healthz`, '--cacert', stowage.caFile!)

    expect(plain.stdout).not.toMatch(/HTTP\/1\.1 [23]|WWW-Authenticate|errors/i)
    expect(secure.stdout).toMatch(/^HTTP\/1\.1 200 /)
  })
})

describe('certificate files that change', () => {
  /** What a new connection is shown, by its fingerprint. */
  async function servedFingerprint(port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().fingerprint256)
        socket.end()
      })
      socket.once('error', reject)
    })
  }

  test('are served to new connections without a restart; a broken pair is not', async () => {
    const folder = join(dir.path, 'operator')
    const files = await createCertificate(folder)
    const stowage = await startStowage({ tls: files })
    onTestFinished(async () => {
      await stowage.stop()
    })
    const ca = readFileSync(files.certFile, 'utf8')
    const kept = createDistributionClient(stowage.url, stowage.credentials, { ca })
    expect((await kept.request('GET', '/v2/')).status).toBe(200)
    const first = await servedFingerprint(stowage.port)

    await replaceWithNew(files)
    const second = await vi.waitFor(async () => {
      const now = await servedFingerprint(stowage.port)
      expect(now).not.toBe(first)
      return now
    }, 20_000)
    const renewed = createDistributionClient(stowage.url, stowage.credentials, { ca: readFileSync(files.certFile, 'utf8') })
    expect((await renewed.request('GET', '/v2/')).status).toBe(200)
    // The connection that was open has not noticed.
    expect((await kept.request('GET', '/v2/')).status).toBe(200)

    writeFileSync(files.keyFile, 'half a key')
    await vi.waitFor(() => {
      expect(stowage.logs()).toContain('still serving the old one')
    }, 20_000)
    expect(await servedFingerprint(stowage.port)).toBe(second)
    expect(stowage.logs()).not.toContain('half a key')

    kept.close()
    renewed.close()
    expect((await stowage.stop()).exitCode).toBe(0)
  })

  /** As a renewal does: one file after the other. */
  async function replaceWithNew(files: CertificateFiles): Promise<void> {
    const renewed = await createCertificate(join(dir.path, 'renewed'))
    copyFileSync(renewed.certFile, files.certFile)
    copyFileSync(renewed.keyFile, files.keyFile)
  }
})

describe('a start that cannot be safe', () => {
  const serve = (env: Readonly<Record<string, string>>): Promise<RunResult> =>
    stowageCommand(['serve'], { STOWAGE_DATA_DIR: join(dir.path, 'never-made'), ...env })

  test('beyond loopback without TLS is refused, and the text names the three ways out', async () => {
    const { exitCode, stdout, stderr } = await serve({ STOWAGE_LISTEN: `0.0.0.0:${await freePort()}` })

    expect(exitCode).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/^stowage: .*STOWAGE_LISTEN would listen on 0\.0\.0\.0:\d+ without TLS/ms)
    expect(stderr).toMatch(/1\. .*STOWAGE_TLS_CERT and STOWAGE_TLS_KEY, or STOWAGE_TLS_SELF_SIGNED=true/)
    expect(stderr).toMatch(/2\. .*STOWAGE_LISTEN=127\.0\.0\.1:/)
    expect(stderr).toMatch(/3\. .*STOWAGE_INSECURE_LISTEN=true/)
    expect(existsSync(join(dir.path, 'never-made'))).toBe(false)
  })

  test.each([
    ['a certificate that is not there', (files: CertificateFiles) => ({ ...files, certFile: `${files.certFile}.missing` }), /tls\.crt\.missing cannot be read/],
    ['a key of another certificate', (files: CertificateFiles, other: CertificateFiles) => ({ ...files, keyFile: other.keyFile }), /is not that of the first certificate/],
    ['a key that is a certificate', (files: CertificateFiles) => ({ ...files, keyFile: files.certFile }), /holds no private key in PEM/],
  ])('with %s is refused by name', async (_what, change, text) => {
    const files = await createCertificate(join(dir.path, 'one'))
    const other = await createCertificate(join(dir.path, 'another'))
    const { certFile, keyFile } = change(files, other)

    const { exitCode, stderr } = await serve({
      STOWAGE_LISTEN: `0.0.0.0:${await freePort()}`,
      STOWAGE_TLS_CERT: certFile,
      STOWAGE_TLS_KEY: keyFile,
    })

    expect(exitCode).toBe(2)
    expect(stderr).toMatch(text)
    expect(existsSync(join(dir.path, 'never-made'))).toBe(false)
  })
})
