import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { run, type RunResult } from '../../test/support/run.ts'
import { createTempDir, type TempDir } from '../../test/support/temp-dir.ts'
import { loadConfig, type Config } from '../config/index.ts'
import { PlatformError } from '../internal/platform-error.ts'
import { systemClock } from '../internal/clock.ts'
import { systemIds } from '../internal/ids.ts'
import { ensureSelfSigned } from '../http/self-signed.ts'
import { exportLine, programWords, shellWord } from './command-line.ts'
import { describeFailure } from './failures.ts'
import { createLogger } from './log.ts'
import { ownVersion } from '../internal/own-version.ts'
import { runCommand } from './program.ts'
import { startupText } from './startup-text.ts'
import { unsupportedNodeText } from './supported-node.ts'

const cli = join(import.meta.dirname, '../cli.ts')
let dir: TempDir

beforeEach(() => {
  dir = createTempDir('cli')
})

afterEach(() => {
  dir.remove()
})

function stowage(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<RunResult> {
  return run(process.execPath, [cli, ...words], { env: { STOWAGE_DATA_DIR: dir.path, ...env }, mayFail: true })
}

async function help(...words: string[]): Promise<string> {
  let text = ''
  const stdout = { write: (chunk: string) => (text += chunk) }
  const exitCode = await runCommand([...words, '--help'], { stdout, stderr: stdout, invocation: { execPath: 'node', script: 'stowage' } })
  expect(exitCode).toBe(0)
  return text
}

describe('help', () => {
  it.each([[[]], [['serve']], [['credentials']], [['credentials', 'rotate']], [['migrate']], [['verify']], [['audit']], [['backup']], [['restore']], [['trust']], [['keyring']], [['iam']], [['iam', 'quickstart']], [['iam', 'stale']], [['account']], [['account', 'create']], [['retention']], [['retention', 'put']], [['events']], [['events', 'destination', 'create']], [['lifecycle']], [['lifecycle', 'lint']]])(
    'teaches: stowage %j',
    async (words) => {
      expect(await help(...words)).toMatchSnapshot()
    },
  )

  it('is suggested after a wrong command line, with exit code 2', async () => {
    const { exitCode, stderr } = await stowage(['serv'])

    expect(exitCode).toBe(2)
    expect(stderr).toContain("unknown command 'serv'")
    expect(stderr).toContain('Did you mean serve?')
    expect(stderr).toContain('--help')
  })

  it.each([
    [['image', 'retire', 'team/app:v1', '--reason', 'old', '--block-at', '2099-02-30']],
    [['image', 'retire', 'team/app:v1', '--reason', 'old', '--archive-at', '2099-02-30']],
    [['image', 'retire', 'team/app:v1', '--reason', 'old', '--delete-at', '2099-02-30']],
    [['protect', 'add', 'team/app', '--reason', 'legal hold', '--until', '2099-02-30']],
    [['gc', 'pause', '--reason', 'moved', '--until', '2099-02-30']],
    [['audit', 'export', '--out', 'there', '--from', '2099-02-30']],
    [['audit', 'export', '--out', 'there', '--to', '2099-02-30']],
    [['audit', 'list', '--since', '2099-02-30']],
    [['audit', 'list', '--until', '2099-02-30']],
    [['audit', 'tag-history', 'team/app:v1', '--at', '2099-02-30']],
  ])('stands behind a day that there is not: stowage %j', async (words) => {
    let text = ''
    const stderr = { write: (chunk: string) => (text += chunk) }

    expect(await runCommand(words, { stdout: stderr, stderr, invocation: { execPath: 'node', script: 'stowage' } })).toBe(2)
    expect(text).toContain('There is no day 2099-02-30.')
  })

  it('comes with the version', async () => {
    expect((await stowage(['--version'])).stdout).toBe(`${ownVersion()}\n`)
  })
})

describe('credentials', () => {
  it('prints the configured pair in each form', async () => {
    const env = { STOWAGE_ROOT_ACCESS_KEY_ID: 'AKIAEXAMPLE', STOWAGE_ROOT_SECRET_ACCESS_KEY: "it's sixteen…".replace('…', '+chars').replaceAll(' ', '-') }

    expect((await stowage(['credentials', '--export'], env)).stdout).toBe(
      String.raw`export AWS_ACCESS_KEY_ID=AKIAEXAMPLE AWS_SECRET_ACCESS_KEY='it'\''s-sixteen+chars'` + '\n',
    )
    expect(JSON.parse((await stowage(['credentials', 'show', '--json'], env)).stdout)).toEqual({
      accessKeyId: 'AKIAEXAMPLE',
      secretAccessKey: "it's-sixteen+chars",
    })
    expect((await stowage(['credentials'], env)).stdout).toContain('access key id      AKIAEXAMPLE')
  })

  it('makes a new pair when asked, and shows that one', async () => {
    const missing = await stowage(['credentials'])
    const rotated = await stowage(['credentials', 'rotate'])
    const shown = JSON.parse((await stowage(['credentials', '--json'])).stdout)

    expect(missing).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('start the server once') })
    expect(rotated.stdout).toContain(shown.accessKeyId)
    expect(rotated.output).not.toContain(shown.secretAccessKey)
  })

  it('does not rotate what is configured', async () => {
    const env = { STOWAGE_ROOT_ACCESS_KEY_ID: 'AKIAEXAMPLE', STOWAGE_ROOT_SECRET_ACCESS_KEY: 'sixteen/chars+ok' }

    expect(await stowage(['credentials', 'rotate'], env)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('is configured') })
  })
})

describe('keyring', () => {
  it('prints a keyring that rotates in a file', async () => {
    const file = join(dir.path, 'keyring.json')
    writeFileSync(file, (await stowage(['keyring', 'create'])).stdout, { mode: 0o600 })

    const rotated = await stowage(['keyring', 'rotate'], { STOWAGE_KEYRING: file })

    expect(rotated).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('is primary now') })
    expect(JSON.parse(readFileSync(file, 'utf8')).keys).toHaveLength(2)
  })

  it('does not make one up to rotate it', async () => {
    expect(await stowage(['keyring', 'rotate'])).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('stowage keyring create') })
  })
})

describe('trust', () => {
  const tls = { STOWAGE_TLS_SELF_SIGNED: 'true', STOWAGE_LISTEN: '0.0.0.0:5443', STOWAGE_REGISTRY_DOMAIN: 'example.com' }

  async function makeAuthority(): Promise<string> {
    const { paths } = await ensureSelfSigned({ dataDir: dir.path, names: ['localhost'], clock: systemClock, ids: systemIds })
    return paths.caCertFile
  }

  it('prints what each client needs, for the hosts of the settings', async () => {
    const caFile = await makeAuthority()

    const { stdout, exitCode } = await stowage(['trust'], tls)

    expect(exitCode).toBe(0)
    expect(stdout).toContain(`sudo install -D -m 0644 ${caFile} /etc/docker/certs.d/localhost:5443/ca.crt`)
    expect(stdout).toContain('/etc/docker/certs.d/000000000000.dkr.ecr.us-east-1.example.com:5443/ca.crt')
    expect(stdout).toContain(`export AWS_CA_BUNDLE=${caFile}`)
    expect(stdout).toContain('update-ca-certificates')
  })

  it("puts the authority where docker looks, and never the key", async () => {
    const caFile = await makeAuthority()
    const certsDir = join(dir.path, 'certs.d')

    const { exitCode } = await stowage(['trust', '--install', '--host', 'registry:5443', '--certs-dir', certsDir], tls)

    expect(exitCode).toBe(0)
    expect(readFileSync(join(certsDir, 'registry:5443/ca.crt'), 'utf8')).toBe(readFileSync(caFile, 'utf8'))
  })

  it.each([
    ['no certificate yet', ['trust'], tls, 'Start the server once'],
    ['no TLS at all', ['trust'], {}, 'docker accepts plain HTTP from localhost'],
    ['a host that is none', ['trust', '--host', '../../etc'], tls, 'is no registry host'],
  ])('explains %s', async (_name, words, env, says) => {
    expect(await stowage(words, env)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(says) })
  })

  it('refuses a certificate that is no authority', async () => {
    mkdirSync(join(dir.path, 'tls'))
    await makeAuthority()

    const answer = await stowage(['trust', '--ca', join(dir.path, 'tls/server.crt')], tls)

    expect(answer).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('not the certificate of an authority') })
  })
})

describe('the start-up text', () => {
  const facts = (config: Config, more: Partial<Parameters<typeof startupText>[0]> = {}): Parameters<typeof startupText>[0] => ({
    config,
    url: 'http://localhost:5050',
    accessKeyId: 'AKIAEXAMPLE',
    credentialFile: '/srv/data/root-credentials.json',
    createdNow: true,
    shownSecret: undefined,
    invocation: { execPath: '/opt/node', script: '/src/cli.ts' },
    version: '1.2.3',
    ...more,
  })

  it('gives the lines to paste, without the secret', () => {
    expect(startupText(facts(loadConfig({ STOWAGE_DATA_DIR: '/srv/data' })))).toMatchSnapshot()
  })

  it('shows the secret only when it was asked for', () => {
    const shownSecret = { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'a/secret+key' }

    expect(startupText(facts(loadConfig({}), { shownSecret }))).toContain('AWS_SECRET_ACCESS_KEY=a/secret+key')
  })

  it('has no alias where the program is installed', () => {
    const text = startupText(facts(loadConfig({}), { invocation: { execPath: '/opt/node', script: '/usr/bin/stowage' } }))

    expect(text).toContain('stowage credentials --export')
    expect(text).not.toContain('alias')
  })

  it('tells how to trust a self-signed certificate, and uses the public URL', () => {
    const config = loadConfig({ STOWAGE_DATA_DIR: '/srv/da ta', STOWAGE_TLS_SELF_SIGNED: 'true', STOWAGE_PUBLIC_URL: 'https://images.example.com' })

    expect(startupText(facts(config, { credentialFile: undefined, createdNow: false }))).toMatchSnapshot()
  })
})

describe('failures', () => {
  it.each<[code: string, detail: Record<string, unknown>, exitCode: number, says: string]>([
    ['listen-failed', { code: 'EADDRINUSE', host: '::1', port: 5050 }, 3, 'STOWAGE_LISTEN=[::1]:5051'],
    ['listen-failed', { code: 'EACCES', host: '127.0.0.1', port: 80 }, 3, 'ports below 1024'],
    ['listen-failed', { code: 'EADDRNOTAVAIL', host: '10.9.9.9', port: 80 }, 3, 'no address 10.9.9.9'],
    ['data-dir-in-use', {}, 4, 'STOWAGE_DATA_DIR='],
    ['database-unavailable', { host: 'db.example.com:5432' }, 5, 'at db.example.com:5432 cannot be reached'],
    ['keyring-missing', {}, 2, 'the message'],
    ['tls-unusable', {}, 2, 'the message'],
    ['something-else', {}, 1, 'the message'],
  ])('%s %j ends with a text and code %i', (code, detail, exitCode, says) => {
    const failure = describeFailure(new PlatformError(code, 'the message', { detail }))

    expect(failure.exitCode).toBe(exitCode)
    expect(failure.text).toContain(says)
  })

  it('tells a denied file from a bug', () => {
    expect(describeFailure(Object.assign(new Error('x'), { code: 'EACCES', path: '/data' }))).toMatchObject({ exitCode: 4 })
    expect(describeFailure(new TypeError('x'))).toMatchObject({ exitCode: 1, text: expect.stringContaining('TypeError') })
  })
})

describe('the log', () => {
  const lines = (logFormat: 'json' | 'text' | 'auto', isTTY: boolean): string => {
    let text = ''
    const logger = createLogger({ logLevel: 'info', logFormat }, { isTTY, write: (chunk: string) => (text += chunk) })
    logger.info({ path: '/\u001b[2Jx', secretAccessKey: 'hunter2', headers: { authorization: 'hunter2' } }, 'request')
    logger.debug('hidden')
    return text
  }

  it('has the lines of a turn of the event loop together, and warnings at once with what came before them', async () => {
    const written: string[][] = []
    const write = (chunk: string): number => written.push(chunk.trimEnd().split('\n').map((line) => (JSON.parse(line) as { msg: string }).msg))
    const logger = createLogger({ logLevel: 'info', logFormat: 'json' }, { write }, 'by-turn')
    logger.info('one')
    logger.info('two')
    expect(written).toEqual([])
    await new Promise((resolve) => setImmediate(resolve))
    expect(written).toEqual([['one', 'two']])
    logger.info('three')
    logger.warn('four')
    expect(written).toEqual([['one', 'two'], ['three', 'four']])
    logger.info('x'.repeat(70_000))
    expect(written).toHaveLength(3)
    // As at the end of the process.
    logger.info('five')
    logger.flush()
    expect(written.at(-1)).toEqual(['five'])
  })

  it('cannot be forged by what clients send: no line, no field, no control character', () => {
    const hostile = 'a\nINFO b\r\u001b[31m\u0085\u009b2J\u2028c" status=200 x'
    for (const logFormat of ['json', 'text'] as const) {
      let text = ''
      const logger = createLogger({ logLevel: 'info', logFormat }, { write: (chunk: string) => (text += chunk) })
      logger.info({ userAgent: hostile }, 'request')
      expect(text.split('\n')).toHaveLength(2)
      expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]/u)
      if (logFormat === 'json') expect(JSON.parse(text)).toMatchObject({ userAgent: hostile })
      else expect(text).not.toMatch(/ status=200 (?!x")/u)

      text = ''
      logger.error({ err: new Error(`${hostile}\n12:00:00.000 info  forged`) }, 'request failed')
      const [first, ...rest] = text.trimEnd().split('\n')
      expect(first).toContain('request failed')
      expect(rest.filter((line) => !line.startsWith('    '))).toEqual([])
      expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]/u)
    }
  })

  it('is JSON off a terminal and readable on one, without secrets or control characters', () => {
    expect(JSON.parse(lines('auto', false))).toMatchObject({ level: 'info', msg: 'request' })
    expect(lines('auto', true)).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}request path=\/\?\[2Jx /u)
    expect(lines('text', false)).not.toContain('\u001b')
    expect(lines('json', true) + lines('auto', true)).not.toContain('hunter2')
  })
})

it.each([
  ['24.15.0', true],
  ['24.14.9', false],
  ['22.22.0', false],
  ['26.0.0', true],
  ['25.0.0-nightly', true],
])('says whether Node %s will do', (version, willDo) => {
  expect(unsupportedNodeText(version) === undefined).toBe(willDo)
})

it('writes words for a shell', () => {
  expect(shellWord('a b')).toBe("'a b'")
  expect(exportLine({ A: 'x', B: '$y' })).toBe("export A=x B='$y'")
  expect(programWords({ execPath: '/n', script: '/usr/bin/stowage' })).toBe('stowage')
})
