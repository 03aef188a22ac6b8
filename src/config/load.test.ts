import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isPlatformError } from '../internal/platform-error.ts'
import { loadConfig, unknownSettings, type Environment } from './load.ts'
import { configReference, defaultOf } from './reference.ts'
import { notesOf, settingNames } from './schema.ts'

function refusal(environment: Environment): string {
  try {
    loadConfig(environment)
  } catch (error) {
    if (isPlatformError(error, 'config-invalid')) return error.message
    throw error
  }
  throw new Error('the configuration was accepted')
}

describe('loadConfig', () => {
  it('starts on the loopback address with SQLite and a generated credential when nothing is set', () => {
    const config = loadConfig({})

    expect(config).toMatchObject({
      listen: { host: '127.0.0.1', port: 5050 },
      tls: { mode: 'off' },
      dataDir: resolve('./data'),
      accountId: '000000000000',
      region: 'us-east-1',
      rootCredential: undefined,
      trustedProxies: [],
      drainTimeoutMs: 25_000,
      uploadExpiryMs: 86_400_000,
      logLevel: 'info',
      requestLog: 'all',
      traceRatio: 1,
    })
    expect(config.databaseUrl).toBeUndefined()
  })

  it('takes a blank variable for an unset one', () => {
    expect(loadConfig({ STOWAGE_LISTEN: ' ', STOWAGE_DATABASE_URL: '' }).listen.port).toBe(5050)
  })

  it.each<[name: string, environment: Environment, part: object]>([
    ['IPv6 in brackets', { STOWAGE_LISTEN: '[::1]:0' }, { listen: { host: '::1', port: 0 } }],
    ['localhost', { STOWAGE_LISTEN: 'localhost:80' }, { listen: { host: 'localhost', port: 80 } }],
    ['another loopback address', { STOWAGE_LISTEN: '127.9.9.9:80' }, { listen: { host: '127.9.9.9', port: 80 } }],
    [
      'a certificate beyond loopback',
      { STOWAGE_LISTEN: '0.0.0.0:443', STOWAGE_TLS_CERT: '/c.pem', STOWAGE_TLS_KEY: '/k.pem' },
      { tls: { mode: 'files', certFile: '/c.pem', keyFile: '/k.pem' } },
    ],
    ['a self-signed one beyond loopback', { STOWAGE_LISTEN: '[::]:443', STOWAGE_TLS_SELF_SIGNED: 'yes' }, { tls: { mode: 'self-signed' } }],
    ['plain HTTP when asked for', { STOWAGE_LISTEN: '10.0.0.1:80', STOWAGE_INSECURE_LISTEN: 'true' }, { tls: { mode: 'off' } }],
    [
      'proxies as ranges and addresses',
      { STOWAGE_TRUSTED_PROXIES: '10.0.0.0/8, fd00::/8,192.168.1.7' },
      {
        trustedProxies: [
          { address: '10.0.0.0', prefix: 8, family: 'ipv4' },
          { address: 'fd00::', prefix: 8, family: 'ipv6' },
          { address: '192.168.1.7', prefix: 32, family: 'ipv4' },
        ],
      },
    ],
    ['a public URL', { STOWAGE_PUBLIC_URL: 'https://Registry.Example.com/' }, { publicUrl: 'https://registry.example.com' }],
    ['a domain', { STOWAGE_REGISTRY_DOMAIN: 'AmazonAWS.com' }, { registryDomain: 'amazonaws.com' }],
    [
      'a root credential',
      { STOWAGE_ROOT_ACCESS_KEY_ID: 'AKIAEXAMPLE', STOWAGE_ROOT_SECRET_ACCESS_KEY: 'sixteen/chars+ok' },
      { rootCredential: { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'sixteen/chars+ok' } },
    ],
    ['PostgreSQL', { STOWAGE_DATABASE_URL: 'postgresql://u:p@h/d' }, { databaseUrl: 'postgresql://u:p@h/d' }],
  ])('accepts %s', (_name, environment, part) => {
    expect(loadConfig(environment)).toMatchObject(part)
  })

  it.each<[variable: string, value: string, says: RegExp]>([
    ['STOWAGE_LISTEN', '5050', /host:port.*it is "5050"/u],
    ['STOWAGE_LISTEN', '::1:5050', /host:port/u],
    ['STOWAGE_LISTEN', 'example.com:5050', /IP address or localhost/u],
    ['STOWAGE_LISTEN', '127.0.0.1:65536', /host:port/u],
    ['STOWAGE_TLS_SELF_SIGNED', 'maybe', /true or false.*"maybe"/u],
    ['STOWAGE_TRUSTED_PROXIES', '10.0.0.0/33', /CIDR/u],
    ['STOWAGE_TRUSTED_PROXIES', 'proxy.local', /CIDR/u],
    ['STOWAGE_TRUSTED_PROXIES', '::ffff:10.0.0.0/104', /CIDR/u],
    ['STOWAGE_ACCOUNT_ID', '123', /12 digits.*"123"/u],
    ['STOWAGE_REGION', 'US East', /region|lower-case/u],
    ['STOWAGE_PUBLIC_URL', 'https://host/path', /scheme and host only/u],
    ['STOWAGE_REGISTRY_DOMAIN', 'https://host', /host name/u],
    ['STOWAGE_LOG_LEVEL', 'loud', /"loud"/u],
    ['STOWAGE_DRAIN_TIMEOUT_MS', '-1', /whole number of milliseconds/u],
    ['STOWAGE_UPLOAD_EXPIRY_MS', '1e9', /whole number/u],
  ])('refuses %s=%s, naming the variable and what to write', (variable, value, says) => {
    const message = refusal({ [variable]: value })

    expect(message).toContain(variable)
    expect(message).toMatch(says)
  })

  it.each<[environment: Environment, variable: string]>([
    [{ STOWAGE_ROOT_ACCESS_KEY_ID: 'AKIAEXAMPLE' }, 'STOWAGE_ROOT_SECRET_ACCESS_KEY is missing'],
    [{ STOWAGE_ROOT_SECRET_ACCESS_KEY: 'sixteen/chars+ok' }, 'STOWAGE_ROOT_ACCESS_KEY_ID is missing'],
    [{ STOWAGE_TLS_CERT: '/c.pem' }, 'STOWAGE_TLS_KEY is missing'],
    [{ STOWAGE_TLS_KEY: '/k.pem' }, 'STOWAGE_TLS_CERT is missing'],
    [{ STOWAGE_TLS_CERT: '/c', STOWAGE_TLS_KEY: '/k', STOWAGE_TLS_SELF_SIGNED: 'true' }, 'STOWAGE_TLS_SELF_SIGNED cannot be combined'],
  ])('refuses half a pair: %o', (environment, text) => {
    expect(refusal(environment)).toContain(text)
  })

  it('names the three ways out when it would listen beyond loopback in the clear', () => {
    const message = refusal({ STOWAGE_LISTEN: '0.0.0.0:5050' })

    expect(message).toContain('0.0.0.0:5050 without TLS')
    expect(message).toContain('STOWAGE_TLS_SELF_SIGNED=true')
    expect(message).toContain('STOWAGE_LISTEN=127.0.0.1:5050')
    expect(message).toContain('STOWAGE_INSECURE_LISTEN=true')
  })

  it('lists every wrong variable at once', () => {
    const message = refusal({ STOWAGE_LISTEN: 'x', STOWAGE_REGION: '!', STOWAGE_ACCOUNT_ID: 'y' })

    expect(message.split('\n')).toHaveLength(3)
  })

  it.each(['STOWAGE_DATABASE_URL', 'STOWAGE_ROOT_SECRET_ACCESS_KEY', 'STOWAGE_METRICS_TOKEN'])('never repeats the value of %s', (variable) => {
    const message = refusal({ STOWAGE_ROOT_ACCESS_KEY_ID: 'AKIAEXAMPLE', [variable]: 'mysql://u:hunter2 x' })

    expect(message).toContain(variable)
    expect(message).not.toContain('hunter2')
  })
})

describe('unknownSettings', () => {
  it('finds misspelt variables and leaves those of a container platform alone', () => {
    const environment = {
      STOWAGE_LISTEN: '',
      STOWAGE_LISTN: '',
      STOWAGE_PORT: 'tcp://10.0.0.1:5050',
      STOWAGE_SERVICE_HOST: '',
      STOWAGE_PORT_5050_TCP_ADDR: '',
      STOWAGE_WEB_SERVICE_PORT_HTTP: '',
      STOWAGE_PINNED_NODE: '1',
      PATH: '',
    }

    expect(unknownSettings(environment)).toEqual(['STOWAGE_LISTN'])
  })
})

describe('the reference', () => {
  it('has every setting, and every default passes its own check', () => {
    const text = configReference()
    const environment = Object.fromEntries(settingNames.map((name) => [notesOf(name).env, defaultOf(name)]))

    for (const name of settingNames) expect(text).toContain(`| \`${notesOf(name).env}\` |`)
    expect(loadConfig(environment)).toEqual(loadConfig({}))
  })

  it('is current in docs/reference/config.md', () => {
    const file = join(import.meta.dirname, '../../docs/reference/config.md')

    expect(readFileSync(file, 'utf8')).toBe(configReference())
  })
})
