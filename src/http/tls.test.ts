import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createTempDir, type TempDir } from '../../test/support/temp-dir.ts'
import { loadConfig, type SelfSignedPaths } from '../config/index.ts'
import { systemClock, type Clock } from '../internal/clock.ts'
import { systemIds } from '../internal/ids.ts'
import { createOperations } from './ops/operations.ts'
import type { EdgeHandler, RequestMeta } from './request-meta.ts'
import { ensureSelfSigned, selfSignedNames } from './self-signed.ts'
import { createHttpServer, type HttpServer, type TlsPair } from './server.ts'
import { loadTlsPair, watchTlsFiles } from './tls.ts'

const day = 24 * 60 * 60 * 1000
let dir: TempDir

beforeEach(() => {
  dir = createTempDir('tls')
})

afterEach(() => {
  dir.remove()
})

async function makePair(folder = dir.path, names: readonly string[] = ['localhost', '127.0.0.1'], clock: Clock = systemClock): Promise<SelfSignedPaths> {
  return (await ensureSelfSigned({ dataDir: folder, names, clock, ids: systemIds })).paths
}

describe('the self-signed certificate', () => {
  it('names every host that a configuration can be reached by', () => {
    const config = loadConfig({
      STOWAGE_LISTEN: '0.0.0.0:5050',
      STOWAGE_TLS_SELF_SIGNED: 'true',
      STOWAGE_PUBLIC_URL: 'https://images.example.com:8443',
      STOWAGE_REGISTRY_DOMAIN: 'example.com',
      STOWAGE_REGION: 'eu-west-1',
    })

    expect(selfSignedNames(config, 'My_Laptop')).toEqual([
      'localhost',
      '127.0.0.1',
      '::1',
      'images.example.com',
      'example.com',
      '*.dkr.ecr.eu-west-1.example.com',
      'api.ecr.eu-west-1.example.com',
      'sts.eu-west-1.example.com',
    ])
    expect(selfSignedNames(config, 'build-7')).toContain('build-7')
  })

  it('is signed by an authority of its own, with keys that only the owner may read', async () => {
    const paths = await makePair(dir.path, ['localhost', '127.0.0.1', '::1', '*.dkr.ecr.us-east-1.example.com'])
    const authority = new X509Certificate(readFileSync(paths.caCertFile))
    const leaf = new X509Certificate(readFileSync(paths.certFile))

    expect(authority.ca).toBe(true)
    expect(leaf.ca).toBe(false)
    expect(leaf.verify(authority.publicKey)).toBe(true)
    expect(leaf.checkHost('000000000000.dkr.ecr.us-east-1.example.com')).toBeDefined()
    expect(leaf.checkIP('::1')).toBeDefined()
    for (const file of [paths.keyFile, paths.caKeyFile]) expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it('stays while it is good, and is made anew by the same authority for new names and before its end', async () => {
    const paths = await makePair()
    const [authority, leaf] = [readFileSync(paths.caCertFile, 'utf8'), readFileSync(paths.certFile, 'utf8')]
    const later: Clock = { now: () => systemClock.now() + 370 * day }

    await makePair()
    expect(readFileSync(paths.certFile, 'utf8')).toBe(leaf)
    await makePair(dir.path, ['localhost', 'new.example.com'])
    const renamed = readFileSync(paths.certFile, 'utf8')
    expect(renamed).not.toBe(leaf)
    await makePair(dir.path, ['localhost', 'new.example.com'], later)
    expect(readFileSync(paths.certFile, 'utf8')).not.toBe(renamed)
    expect(readFileSync(paths.caCertFile, 'utf8')).toBe(authority)
  })

  it('is made anew where a crash left a key and a certificate that do not match', async () => {
    const paths = await makePair()
    copyFileSync(paths.caKeyFile, paths.keyFile)

    await makePair()

    await expect(loadTlsPair(paths)).resolves.toBeDefined()
  })
})

describe('loadTlsPair', () => {
  it.each<[problem: string, spoil: (paths: SelfSignedPaths) => void, says: string]>([
    ['a missing file', () => undefined, 'ENOENT'],
    ['garbage for a certificate', (paths) => writeFileSync(paths.certFile, 'hunter2'), 'no certificate'],
    ['garbage for a key', (paths) => writeFileSync(paths.keyFile, 'hunter2'), 'no private key'],
    ['a key of another certificate', (paths) => copyFileSync(paths.caKeyFile, paths.keyFile), 'is not that of'],
  ])('refuses %s, naming the file and not its content', async (problem, spoil, says) => {
    const paths = await makePair()
    spoil(paths)
    const certFile = problem === 'a missing file' ? join(dir.path, 'none') : paths.certFile

    const failure = await loadTlsPair({ certFile, keyFile: paths.keyFile }).catch((error: unknown) => error)

    expect(failure).toMatchObject({ code: 'tls-unusable' })
    expect(String(failure)).toContain(says)
    expect(String(failure)).not.toContain('hunter2')
  })
})

async function serve(pair: TlsPair, seen: RequestMeta[] = []): Promise<{ server: HttpServer; port: number }> {
  const handler: EdgeHandler = async (_request, response, meta) => {
    seen.push(meta)
    response.end('hello')
  }
  const server = createHttpServer({
    config: loadConfig({}),
    distribution: handler,
    layerDownload: handler,
    aws: handler,
    operations: createOperations({ ready: async () => ({ ok: true }), metricsText: async () => '', metricsToken: undefined }),
    tls: pair,
    logger: pino({ level: 'silent' }),
    ids: systemIds,
    clock: systemClock,
  })
  return { server, port: (await server.listen({ host: '127.0.0.1', port: 0 })).port }
}

/** The serial number of the certificate that a new connection is shown, verified with the given authority. */
function shownSerial(port: number, caFile: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, servername: 'localhost', path: '/v2/', agent: false, ca: readFileSync(caFile) }, (response) => {
      if (!(response.socket instanceof TLSSocket)) throw new Error('the connection is not encrypted')
      const { serialNumber } = response.socket.getPeerCertificate()
      response.resume().once('end', () => resolve(serialNumber))
    })
    request.once('error', reject)
  })
}

describe('serving TLS', () => {
  it('is verified by a client that trusts the authority, and tells handlers that it is secure', async () => {
    const paths = await makePair()
    const seen: RequestMeta[] = []
    const { server, port } = await serve(await loadTlsPair(paths), seen)

    expect(await shownSerial(port, paths.caCertFile)).toBe(new X509Certificate(readFileSync(paths.certFile)).serialNumber)
    expect(seen).toEqual([expect.objectContaining({ secure: true, sourceIp: '127.0.0.1' })])
    await server.drain(0)
  })

  it('takes up new files without a restart, and keeps the old pair while the new one is broken', async () => {
    const paths = await makePair()
    const lines: Record<string, unknown>[] = []
    const logger = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) })
    const { server, port } = await serve(await loadTlsPair(paths))
    const watcher = watchTlsFiles({ files: paths, logger, clock: systemClock, apply: (pair) => server.setSecureContext(pair), pollIntervalMs: 100 })
    await sleep(150)
    const first = await shownSerial(port, paths.caCertFile)

    const goodKey = readFileSync(paths.keyFile)
    writeFileSync(paths.keyFile, 'broken')
    await until(() => lines.some((line) => line['level'] === 50))
    expect(await shownSerial(port, paths.caCertFile)).toBe(first)

    writeFileSync(paths.keyFile, goodKey)
    await makePair(dir.path, ['localhost', '127.0.0.1', 'renewed.example.com'])
    const renewed = new X509Certificate(readFileSync(paths.certFile)).serialNumber
    await until(async () => (await shownSerial(port, paths.caCertFile)) === renewed)

    expect(renewed).not.toBe(first)
    expect(JSON.stringify(lines)).not.toContain('PRIVATE')
    watcher.close()
    await server.drain(0)
  })

  it('stops at once although somebody never ends a handshake', async () => {
    const { server, port } = await serve(await loadTlsPair(await makePair()))
    const silent = connectPlain(port, '127.0.0.1').on('error', () => undefined)
    await once(silent, 'connect')
    await sleep(50)

    await server.drain(10_000)

    if (!silent.destroyed) await once(silent.resume(), 'close')
  }, 5_000)
})

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('it did not happen in time')
    await sleep(50)
  }
}
