import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isAlive, sharedRunDir } from './run-dir.ts'
import { baseEnv, run } from './run.ts'
import { createTempDir } from './temp-dir.ts'
import { ensureTool } from './tools.ts'

export interface DockerEngine {
  /** For DOCKER_HOST. */
  readonly host: string
  /** The socket of its containerd, for `ctr`. */
  readonly containerd: string
  /** What stands in the place of /etc/docker/certs.d for this engine: `<registry host>/ca.crt` is trusted at once. */
  readonly certsDir: string
  /** What the engine signs with where it writes the logs of containers to AWS: keys that a server has to be given. */
  readonly awsKeys: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** What the engine wrote so far. */
  logs(): string
}

export interface DockerClient {
  /** DOCKER_HOST of the engine, and a DOCKER_CONFIG of its own: no log-in outlives the test. */
  readonly env: Readonly<Record<string, string>>
  /** @throws CommandError with docker's output when it fails. */
  docker: (args: readonly string[], options?: Parameters<typeof run>[2]) => ReturnType<typeof run>
  remove(): void
}

/** Where the engine has its containerd. */
const containerdFolder = 'exec/containerd'
const startTimeoutMs = 60_000
const stopTimeoutMs = 30_000

/**
 * Registry names that this engine, and nobody else on the machine, finds at ::1. Docker never verifies the
 * certificate of a registry at 127.0.0.0/8, nor insists on one: what is to be seen of TLS can be seen at ::1 only.
 */
export const engineRegistryNames = [
  'registry.test',
  '000000000000.dkr.ecr.us-east-1.amazonaws.com',
  '000000000000.dkr.ecr.eu-west-1.amazonaws.com',
  '999999999999.dkr.ecr.us-east-1.amazonaws.com',
] as const

/**
 * The Docker engine of this test run. The first file that asks starts it; global-setup.ts ends it.
 * It has its own socket and folders, /etc/hosts and /etc/docker included, and touches neither the machine's engine
 * nor its network set-up (containers run with `--network host` or `none`).
 * @throws with the engine's output when it cannot start on this machine. Tests do not go on without it.
 */
export async function useDockerEngine(): Promise<DockerEngine> {
  const paths = enginePaths(sharedRunDir())
  try {
    // Making the folder is the lock: exactly one test file succeeds.
    mkdirSync(paths.dir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return await startedByAnotherFile(paths)
  }
  try {
    await startDockerEngine(paths)
    publish(paths.state, 'ready')
  } catch (error) {
    publish(paths.state, error instanceof Error ? error.message : String(error))
    throw error
  }
  return engineAt(paths)
}

/** A docker command line for one test, logged in nowhere. */
export function createDockerClient(engine: DockerEngine): DockerClient {
  const docker = ensureTool('docker')
  const config = createTempDir('docker-config')
  const env = { DOCKER_HOST: engine.host, DOCKER_CONFIG: config.path }
  return {
    env,
    docker: (args, options = {}) => run(docker, args, { ...options, env: { ...env, ...options.env } }),
    remove: () => {
      config.remove()
    },
  }
}

/** Ends the engine that a test run may have started, and removes its data. Nothing to do is no error. */
export async function stopDockerEngine(runDir: string): Promise<void> {
  const paths = enginePaths(runDir)
  if (!existsSync(paths.dir)) return
  await endProcess(paths.pid, paths.dir)
  // The engine ends its containerd itself, unless it was killed.
  await endProcess(join(paths.dir, containerdFolder, 'containerd.pid'), paths.dir)
  unmountBelow(paths.dir)
  rmSync(paths.dir, { recursive: true, force: true, maxRetries: 5 })
}

interface EnginePaths {
  readonly dir: string
  readonly hosts: string
  readonly settings: string
  readonly socket: string
  readonly pid: string
  readonly log: string
  readonly state: string
  readonly awsKeys: string
}

function enginePaths(runDir: string): EnginePaths {
  const dir = join(runDir, 'docker')
  return {
    dir,
    hosts: join(dir, 'hosts'),
    settings: join(dir, 'etc-docker'),
    socket: join(dir, 'engine.sock'),
    pid: join(dir, 'engine.pid'),
    log: join(dir, 'engine.log'),
    state: join(dir, 'state'),
    awsKeys: join(dir, 'aws-keys.json'),
  }
}

async function startDockerEngine(paths: EnginePaths): Promise<void> {
  const dockerd = ensureTool('dockerd')
  writeFileSync(paths.hosts, `${readFileSync('/etc/hosts', 'utf8')}\n::1 ${engineRegistryNames.join(' ')}\n`)
  mkdirSync(join(paths.settings, 'certs.d'), { recursive: true })
  const awsKeys = { accessKeyId: `AKIA${randomBytes(8).toString('hex').toUpperCase()}`, secretAccessKey: randomBytes(30).toString('base64') }
  writeFileSync(paths.awsKeys, JSON.stringify(awsKeys), { mode: 0o600 })
  const log = openSync(paths.log, 'a')
  const child = spawn(
    'unshare',
    [
      ...['--mount', '--', 'sh', '-euc', ownEtc, 'sh', paths.hosts, paths.settings, dockerd],
      ...['--host', `unix://${paths.socket}`, '--pidfile', paths.pid],
      ...['--data-root', join(paths.dir, 'data'), '--exec-root', join(paths.dir, 'exec')],
      // vfs works on every file system, also where the machine is itself a container.
      ...['--storage-driver', 'vfs'],
      ...['--bridge', 'none', '--iptables=false', '--ip6tables=false'],
      // Not the machine's /etc/docker/daemon.json.
      ...['--config-file', emptyConfig(paths)],
    ],
    { env: { ...baseEnv(), AWS_ACCESS_KEY_ID: awsKeys.accessKeyId, AWS_SECRET_ACCESS_KEY: awsKeys.secretAccessKey }, stdio: ['ignore', log, log], detached: true },
  )
  closeSync(log)
  let failure: string | undefined
  child.once('error', (error) => {
    failure = error.message
  })
  child.once('exit', (exitCode, signal) => {
    failure = `it ended with ${signal ?? `exit code ${exitCode}`}`
  })
  child.unref()

  const docker = ensureTool('docker')
  const deadline = performance.now() + startTimeoutMs
  for (;;) {
    const probe = await run(docker, ['--host', `unix://${paths.socket}`, 'version', '--format', '{{.Server.Version}}'], {
      env: { DOCKER_CONFIG: paths.dir },
      timeoutMs: 10_000,
      mayFail: true,
    })
    if (probe.exitCode === 0) return
    if (failure === undefined && performance.now() > deadline) {
      failure = `it was not ready after ${startTimeoutMs} ms`
      child.kill('SIGKILL')
    }
    if (failure !== undefined) {
      const output = readFileSync(paths.log, 'utf8')
      throw new Error(`Debian's Docker engine cannot start on this machine: ${failure}\n${output}`)
    }
    await sleep(100)
  }
}

/** In a mount name space of its own, dockerd sees $1 and $2 where it looks for files whose place cannot be set. */
const ownEtc = `mount --bind "$1" /etc/hosts
mkdir -p /etc/docker
mount --bind "$2" /etc/docker
shift 2
exec "$@"`

function emptyConfig(paths: EnginePaths): string {
  const path = join(paths.dir, 'engine.json')
  writeFileSync(path, '{}\n')
  return path
}

async function startedByAnotherFile(paths: EnginePaths): Promise<DockerEngine> {
  const deadline = performance.now() + startTimeoutMs + stopTimeoutMs
  while (!existsSync(paths.state)) {
    if (performance.now() > deadline) throw new Error('the Docker engine that another test file started is not ready in time')
    await sleep(100)
  }
  const state = readFileSync(paths.state, 'utf8')
  if (state !== 'ready') throw new Error(state)
  return engineAt(paths)
}

function engineAt(paths: EnginePaths): DockerEngine {
  const certsDir = join(paths.settings, 'certs.d')
  const awsKeys = JSON.parse(readFileSync(paths.awsKeys, 'utf8')) as DockerEngine['awsKeys']
  return { host: `unix://${paths.socket}`, containerd: containerdOf(paths), certsDir, awsKeys, logs: () => readFileSync(paths.log, 'utf8') }
}

/** An engine starts one of its own, unless the machine has one already. */
function containerdOf({ dir }: EnginePaths): string {
  const own = join(dir, containerdFolder, 'containerd.sock')
  return [own, '/run/containerd/containerd.sock'].find((path) => existsSync(path)) ?? own
}

/** Whole or not at all, for readers that poll. */
function publish(path: string, text: string): void {
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

async function endProcess(pidFile: string, dir: string): Promise<void> {
  if (!existsSync(pidFile)) return
  const pid = Number(readFileSync(pidFile, 'utf8'))
  const isOurs = (): boolean => isAlive(pid) && commandLine(pid).includes(`${dir}/`)
  if (!isOurs()) return
  process.kill(pid, 'SIGTERM')
  const deadline = performance.now() + stopTimeoutMs
  while (isOurs() && performance.now() < deadline) await sleep(50)
  if (isOurs()) process.kill(pid, 'SIGKILL')
}

/** Tells whose process it is: the pid file may be old, and its number somebody else's by now. */
function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

/** The engine leaves mounts of network name spaces and, when killed, of containers: they block removal. */
function unmountBelow(dir: string): void {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${dir}/`))
    .sort((a, b) => b.length - a.length)
  for (const path of mounts) spawnSync('umount', ['--lazy', path], { stdio: 'ignore' })
}
