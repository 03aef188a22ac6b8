import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createCertificate } from './certificates.ts'
import { baseEnv, run } from './run.ts'
import { freePort, startServerProcess, type ServerProcess } from './server-process.ts'
import { createTempDir } from './temp-dir.ts'
import { ensureTool, projectDir } from './tools.ts'

export interface S3ServerOptions {
  /** Serve TLS, with a certificate of its own. Default: plain HTTP. */
  readonly tls?: boolean
  /** Default: one that is not the usual. */
  readonly region?: string
}

/** A real S3 server (versitygw) on a folder of its own, which checks signatures. Buckets are in the path of its URLs. */
export interface S3Server extends AsyncDisposable {
  /** `http[s]://localhost:<port>` */
  readonly url: string
  readonly region: string
  /** Of its owner, who may do anything. */
  readonly keys: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** What clients have to trust, a file in PEM; undefined without TLS. */
  readonly caFile: string | undefined
  /** Runs the aws command as its owner, such as `s3 ls s3://bucket`; rejects when it fails. Answers what it printed. */
  aws(...args: readonly string[]): Promise<string>
  /** Ends it at once, in the middle of whatever it does; what it has stays. */
  kill(): Promise<void>
  /** Starts it again where it was. */
  start(): Promise<void>
  /** Ends it, and removes what it has. */
  stop(): Promise<void>
}

/** The server's program, built on first use; undefined where there is no Go to build it with, which the output says. */
export function findS3Server(): string | undefined {
  const environment = { ...process.env, HOME: process.env['HOME'] ?? '/' }
  const { status, stdout } = spawnSync(join(projectDir, 'scripts/setup-s3-server.sh'), { env: environment, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' })
  if (status !== 0) throw new Error('scripts/setup-s3-server.sh failed; its output is above')
  return stdout.trim() === '' ? undefined : stdout.trim()
}

/** @param program what `findS3Server` found */
export async function startS3Server(program: string, options: S3ServerOptions = {}): Promise<S3Server> {
  const region = options.region ?? 'eu-central-1'
  const keys = { accessKeyId: 'AKIASTOWAGETESTS3OWN', secretAccessKey: 'secret+of/the=owner+of+the+server' }
  const folder = createTempDir('s3')
  // Metadata of objects beside them: not every file system has extended attributes.
  for (const name of ['objects', 'metadata']) mkdirSync(join(folder.path, name))
  const tls = options.tls === true ? await createCertificate(folder.path) : undefined
  const port = await freePort()
  const url = `${tls === undefined ? 'http' : 'https'}://localhost:${port}`
  const awsEnv = {
    AWS_ENDPOINT_URL: url,
    AWS_ACCESS_KEY_ID: keys.accessKeyId,
    AWS_SECRET_ACCESS_KEY: keys.secretAccessKey,
    AWS_DEFAULT_REGION: region,
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_PAGER: '',
    ...(tls && { AWS_CA_BUNDLE: tls.certFile }),
  }
  let server: ServerProcess | undefined
  const start = async (): Promise<void> => {
    server = await startServerProcess({
      name: 'versitygw',
      command: program,
      args: [
        ...['--port', `127.0.0.1:${port}`, '--region', region, '--health', '/health', '--keep-alive', '--quiet'],
        ...(tls === undefined ? [] : ['--cert', tls.certFile, '--key', tls.keyFile]),
        ...['posix', '--sidecar', join(folder.path, 'metadata'), join(folder.path, 'objects')],
      ],
      env: { ...baseEnv(), ROOT_ACCESS_KEY_ID: keys.accessKeyId, ROOT_SECRET_ACCESS_KEY: keys.secretAccessKey },
      ready: async () => (await run(ensureTool('curl'), ['-sf', ...(tls === undefined ? [] : ['--cacert', tls.certFile]), `${url}/health`], { mayFail: true })).exitCode === 0,
    })
  }
  const stop = async (): Promise<void> => {
    await server?.stop()
    folder.remove()
  }
  try {
    await start()
  } catch (error) {
    folder.remove()
    throw error
  }
  return {
    url,
    region,
    keys,
    caFile: tls?.certFile,
    aws: async (...args) => (await run(ensureTool('aws'), args, { env: awsEnv })).stdout,
    async kill() {
      server?.kill('SIGKILL')
      await server?.exited
    },
    start,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
