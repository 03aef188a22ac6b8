import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { CertificateFiles } from './certificates.ts'
import { createDistributionClient, type Credentials } from './distribution-client.ts'
import { baseEnv, run } from './run.ts'
import { registerServer, searchDataFolder } from './secrets.ts'
import { freePort, startServerProcess, type ServerExit } from './server-process.ts'
import { createTempDir } from './temp-dir.ts'
import { programScript, projectDir } from './tools.ts'

export interface StowageOptions {
  /** A PostgreSQL connection URL; default: SQLite in the data folder. */
  readonly databaseUrl?: string
  /** A folder that outlives this server, to start another one on it; default: one that `stop` removes. */
  readonly dataDir?: string
  /** To come back where clients expect it; default: a free one. */
  readonly port?: number
  /** Default: 127.0.0.1, reached as localhost. Docker verifies no certificate there, but does at ::1. */
  readonly address?: '127.0.0.1' | '::1'
  /** Serve TLS, with a certificate that the server makes or with these files. Default: plain HTTP. */
  readonly tls?: 'self-signed' | CertificateFiles
  /** The root keys, to come back with the same ones; `kept`: those in the data folder, where the server makes them. Default: new ones. */
  readonly keys?: RootKeys | 'kept'
  /** A checkout of the project to run instead of this one. */
  readonly projectDir?: string
  /** A command that becomes the server, with its arguments: to give it other limits. */
  readonly launcher?: readonly string[]
  /** Further settings of the server, by their environment names. */
  readonly env?: Readonly<Record<string, string>>
}

export interface RootKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface Stowage {
  /** `http://localhost:<port>`, unless the options say otherwise. */
  readonly url: string
  /** The same without its scheme, as it stands in front of a repository name. */
  readonly registryHost: string
  readonly port: number
  readonly region: string
  readonly keys: RootKeys
  /** The root keys as a docker user name and password. */
  readonly credentials: Credentials
  /** What the aws command and boto3 need, and nothing of this machine's own AWS settings. */
  readonly awsEnv: Readonly<Record<string, string>>
  /** What clients have to trust, a file in PEM; undefined without TLS. */
  readonly caFile: string | undefined
  readonly dataDir: string
  readonly pid: number
  readonly exited: Promise<ServerExit>
  /** The end of its standard output and error: JSON lines. */
  logs(): string
  /** The most memory it has held so far (Linux: VmHWM). */
  peakMemoryBytes(): number
  kill(signal: NodeJS.Signals): void
  /**
   * Sends SIGTERM, waits for it to drain, removes its data folder unless that was given.
   * @throws when it does not end in time.
   */
  stop(): Promise<ServerExit>
}

const region = 'us-east-1'

/**
 * Starts the real entry point, `stowage serve`, as a child process and waits until it is ready.
 * @throws with the server's output when it is not.
 */
export async function startStowage(options: StowageOptions = {}): Promise<Stowage> {
  const port = options.port ?? (await freePort())
  const ownDir = options.dataDir === undefined ? createTempDir('data') : undefined
  const dataDir = options.dataDir ?? ownDir!.path
  const givenKeys = options.keys === 'kept' ? undefined : (options.keys ?? createRootKeys())
  const registryHost = `${options.address === '::1' ? '[::1]' : 'localhost'}:${port}`
  const url = `${options.tls === undefined ? 'http' : 'https'}://${registryHost}`
  const caFile = options.tls === 'self-signed' ? join(dataDir, 'tls/ca.crt') : options.tls?.certFile
  try {
    if (options.databaseUrl !== undefined && options.env?.['STOWAGE_KEYRING'] === undefined) await provideKeyring(dataDir)
    const env = {
      ...baseEnv(),
      STOWAGE_LISTEN: `${options.address === '::1' ? '[::1]' : '127.0.0.1'}:${port}`,
      STOWAGE_DATA_DIR: dataDir,
      // No client may ever notice: whatever is pushed and pulled in a test, space is being given back meanwhile.
      ...(options.projectDir === undefined && { STOWAGE_GC_INTERVAL_MS: '1000' }),
      ...(givenKeys && { STOWAGE_ROOT_ACCESS_KEY_ID: givenKeys.accessKeyId, STOWAGE_ROOT_SECRET_ACCESS_KEY: givenKeys.secretAccessKey }),
      ...(options.databaseUrl === undefined ? {} : { STOWAGE_DATABASE_URL: options.databaseUrl }),
      ...tlsSettings(options.tls),
      ...options.env,
    }
    const server = await startServerProcess({
      name: 'stowage serve',
      command: options.launcher?.[0] ?? process.execPath,
      args: [...(options.launcher === undefined ? [] : [...options.launcher.slice(1), process.execPath]), options.projectDir === undefined ? programScript() : 'src/cli.ts', 'serve'],
      cwd: options.projectDir ?? projectDir,
      env,
      ready: async () => isReady(url, caFile),
    })
    const keys = givenKeys ?? (JSON.parse(readFileSync(join(dataDir, 'root-credentials.json'), 'utf8')) as RootKeys)
    registerServer(env, dataDir)
    return {
      url,
      registryHost,
      port,
      region,
      keys,
      credentials: { username: keys.accessKeyId, password: keys.secretAccessKey },
      awsEnv: { ...awsEnv(url, keys), ...(caFile === undefined ? {} : { AWS_CA_BUNDLE: caFile }) },
      caFile,
      dataDir,
      pid: server.pid,
      exited: server.exited,
      logs: () => server.logs(),
      peakMemoryBytes: () => peakMemoryBytes(server.pid),
      kill: (signal) => {
        server.kill(signal)
      },
      async stop() {
        const exit = await server.stop()
        registerServer(env, dataDir)
        await searchDataFolder(dataDir)
        ownDir?.remove()
        return exit
      },
    }
  } catch (error) {
    ownDir?.remove()
    throw error
  }
}

function tlsSettings(tls: StowageOptions['tls']): Record<string, string> {
  if (tls === undefined) return {}
  if (tls === 'self-signed') return { STOWAGE_TLS_SELF_SIGNED: 'true' }
  return { STOWAGE_TLS_CERT: tls.certFile, STOWAGE_TLS_KEY: tls.keyFile }
}

async function isReady(url: string, caFile: string | undefined): Promise<boolean> {
  const client = createDistributionClient(url, null, caFile === undefined ? {} : { ca: readFileSync(caFile, 'utf8') })
  try {
    return (await client.request('GET', '/readyz')).status === 200
  } finally {
    client.close()
  }
}

/** A server on PostgreSQL makes no keyring by itself: another one may have sealed what is in the database. */
async function provideKeyring(dataDir: string): Promise<void> {
  const path = join(dataDir, 'keys/keyring.json')
  if (existsSync(path)) return
  const { stdout } = await run(process.execPath, [programScript(), 'keyring', 'create'], { cwd: projectDir })
  mkdirSync(dirname(path), { mode: 0o700, recursive: true })
  writeFileSync(path, stdout, { mode: 0o600 })
}

function createRootKeys(): RootKeys {
  return {
    accessKeyId: `AKIA${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64'),
  }
}

function awsEnv(url: string, keys: RootKeys): Record<string, string> {
  return {
    AWS_ENDPOINT_URL: url,
    AWS_ACCESS_KEY_ID: keys.accessKeyId,
    AWS_SECRET_ACCESS_KEY: keys.secretAccessKey,
    AWS_REGION: region,
    // Version 1 of the aws command and boto3 do not read AWS_REGION.
    AWS_DEFAULT_REGION: region,
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_PAGER: '',
  }
}

function peakMemoryBytes(pid: number): number {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (kibibytes === undefined) throw new Error(`process ${pid} has ended, or this system does not tell its memory`)
  return Number(kibibytes) * 1024
}
