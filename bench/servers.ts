import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { baseEnv } from '../test/support/run.ts'
import { freePort, startServerProcess, type ServerProcess } from '../test/support/server-process.ts'
import { createTempDir, type TempDir } from '../test/support/temp-dir.ts'
import { ensureTool, projectDir } from '../test/support/tools.ts'
import { cpuSecondsOf } from './processes.ts'
import type { Target } from './registry-client.ts'
import { writeDockerRegistryFiles } from './seeds/docker-registry.ts'
import { PopulationImages, type Population } from './seeds/population.ts'
import { multiplyImages, pushFirstImages } from './seeds/stowage.ts'
import { writeZotFiles } from './seeds/zot.ts'
import type { BlobName } from './workloads/workload.ts'

/** A running server on a data folder of its own. */
export interface BenchServer {
  readonly target: Target
  readonly pid: number
  hasEnded(): boolean
  /** Frees the disk and the page cache of a blob behind the server's back: nobody asks for it again. */
  dropBlob(blob: BlobName): void
  /** Stops it and removes its data. */
  stop(): Promise<void>
}

export interface ServerKind {
  readonly name: string
  /** How it is run, for the report. */
  readonly setting: string
  /** The command that serves a data folder. */
  launch(dataDir: string, port: number): Launch
  readonly ecr: Target['ecr']
  /** Fills a data folder that no server uses. */
  populate(dataDir: string, population: Population): Promise<void>
  /** The files that hold a blob. */
  blobFiles(dataDir: string, blob: BlobName): readonly string[]
}

export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Answers 200 as soon as the server can be used. */
  readonly readyPath: string
}

/** Stowage from this tree, as `make run` starts it. */
export function stowageKind(options: { readonly cpuProfileDir: string | undefined }): ServerKind {
  const keys = { accessKeyId: `AKIA${randomBytes(8).toString('hex').toUpperCase()}`, secretAccessKey: randomBytes(30).toString('base64') }
  const kind: ServerKind = {
    name: 'Stowage',
    setting: 'this tree, SQLite metadata and blobs in a data folder, every request authenticated with a registry token (Basic), request log off',
    ecr: { region: 'us-east-1', ...keys },
    launch: (dataDir, port) => ({
      command: process.execPath,
      args: ['src/cli.ts', 'serve'],
      cwd: projectDir,
      readyPath: '/readyz',
      env: {
        STOWAGE_LISTEN: `127.0.0.1:${port}`,
        STOWAGE_DATA_DIR: dataDir,
        STOWAGE_ROOT_ACCESS_KEY_ID: keys.accessKeyId,
        STOWAGE_ROOT_SECRET_ACCESS_KEY: keys.secretAccessKey,
        // The peers' is off, too.
        STOWAGE_LOG_LEVEL: 'warn',
        // As make sets it: code is compiled at the first start.
        NODE_COMPILE_CACHE: join(projectDir, '.cache/node'),
        ...(options.cpuProfileDir === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${options.cpuProfileDir}` }),
      },
    }),
    async populate(dataDir, population) {
      const images = new PopulationImages()
      const port = await freePort()
      const server = await startOn(kind, dataDir, port)
      try {
        await pushFirstImages({ name: kind.name, host: '127.0.0.1', port, ecr: kind.ecr, population: null }, images)
      } finally {
        await server.stop()
      }
      multiplyImages(dataDir, images, population)
    },
    blobFiles(dataDir, { digest }) {
      const { hex, shard } = digestParts(digest)
      const folder = join(dataDir, 'blobs/default/sha256', shard)
      return readdirSync(folder)
        .filter((file) => file.startsWith(hex))
        .map((file) => join(folder, file))
    },
  }
  return kind
}

/** Debian's docker-registry: distribution 2.8 on the local file system, which it flushes before it answers. */
export function dockerRegistryKind(): ServerKind {
  const command = ensureTool('docker-registry')
  const rootDir = (dataDir: string): string => join(dataDir, 'data')
  return {
    name: 'docker-registry',
    setting: `Debian package ${packageVersion('docker-registry')}, files in a data folder, no authentication, request log off`,
    ecr: null,
    launch(dataDir, port) {
      const configFile = join(dataDir, 'config.json')
      const config = {
        version: 0.1,
        log: { level: 'warn', accesslog: { disabled: true } },
        storage: { filesystem: { rootdirectory: rootDir(dataDir) } },
        http: { addr: `127.0.0.1:${port}` },
      }
      writeFileSync(configFile, JSON.stringify(config))
      return { command, args: ['serve', configFile], env: {}, readyPath: '/v2/' }
    },
    async populate(dataDir, population) {
      writeDockerRegistryFiles(rootDir(dataDir), new PopulationImages(), population)
    },
    blobFiles(dataDir, { digest }) {
      const { hex, shard } = digestParts(digest)
      return [join(rootDir(dataDir), 'docker/registry/v2/blobs/sha256', shard, hex, 'data')]
    },
  }
}

/** @param command zot's server */
export function zotKind(command: string): ServerKind {
  const rootDir = (dataDir: string): string => join(dataDir, 'data')
  return {
    name: 'zot',
    setting: `${zotVersion(command)}, files in a data folder, \`storage.commit\` on (it then flushes before it answers), \`dedupe\` and \`gc\` on as is their default, no authentication, log level error`,
    ecr: null,
    launch(dataDir, port) {
      const configFile = join(dataDir, 'config.json')
      const config = {
        distSpecVersion: '1.1.1',
        storage: { rootDirectory: rootDir(dataDir), commit: true },
        http: { address: '127.0.0.1', port: String(port) },
        log: { level: 'error' },
      }
      writeFileSync(configFile, JSON.stringify(config))
      return { command, args: ['serve', configFile], env: {}, readyPath: '/v2/' }
    },
    async populate(dataDir, population) {
      writeZotFiles(rootDir(dataDir), new PopulationImages(), population)
    },
    blobFiles: (dataDir, { repository, digest }) => [join(rootDir(dataDir), repository, 'blobs/sha256', digestParts(digest).hex)],
  }
}

/** zot's server program, where this machine has one. */
export function findZot(): string | undefined {
  const folders = baseEnv()['PATH']!.split(delimiter)
  return folders.map((folder) => join(folder, 'zot')).find((path) => existsSync(path))
}

/** Starts a server on a folder that is empty or holds a population. @throws when it does not become ready */
export async function startServer(kind: ServerKind, name: string, population: Population | undefined): Promise<BenchServer> {
  const dir = createDataDir('bench')
  try {
    if (population !== undefined) await kind.populate(dir.path, population)
    const port = await freePort()
    const server = await startOn(kind, dir.path, port)
    let ended = false
    void server.exited.then(() => {
      ended = true
    })
    if (population !== undefined) await untilIdle(server.pid)
    return {
      target: { name, host: '127.0.0.1', port, ecr: kind.ecr, population: population ?? null },
      pid: server.pid,
      hasEnded: () => ended,
      dropBlob(blob) {
        for (const file of kind.blobFiles(dir.path, blob)) rmSync(file, { force: true })
      },
      async stop() {
        await server.stop().finally(() => {
          dir.remove()
        })
      },
    }
  } catch (error) {
    dir.remove()
    throw error
  }
}

export function startOn(kind: ServerKind, dataDir: string, port: number): Promise<ServerProcess> {
  const { command, args, env, cwd, readyPath } = kind.launch(dataDir, port)
  return startServerProcess({
    name: kind.name,
    command,
    args,
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...baseEnv(), ...env },
    ready: async () => (await fetch(`http://127.0.0.1:${port}${readyPath}`)).status === 200,
    readyTimeoutMs: 120_000,
  })
}

/** What a server does with what it finds at its start is not what is measured. */
async function untilIdle(pid: number): Promise<void> {
  const deadline = performance.now() + 60_000
  while (performance.now() < deadline) {
    const before = cpuSecondsOf(pid)
    await sleep(1000)
    if (cpuSecondsOf(pid) - before < 0.05) return
  }
}

/** Goes away with this program, too, if that is interrupted. */
export function createDataDir(purpose: string): TempDir {
  const dir = createTempDir(purpose)
  const removeAtExit = (): void => {
    dir.remove()
  }
  process.once('exit', removeAtExit)
  return {
    path: dir.path,
    remove() {
      process.off('exit', removeAtExit)
      dir.remove()
    },
  }
}

function digestParts(digest: string): { hex: string; shard: string } {
  const hex = digest.slice(digest.indexOf(':') + 1)
  return { hex, shard: hex.slice(0, 2) }
}

function packageVersion(name: string): string {
  return execFileSync('dpkg-query', ['--show', name], { encoding: 'utf8' }).trim().split('\t')[1] ?? 'unknown'
}

/** It says what it was built from in a line of its log. */
function zotVersion(command: string): string {
  try {
    const output = execFileSync(command, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    const said = JSON.parse(output.trim().split('\n')[0]!) as Record<string, unknown>
    const parts = [said['commit'], said['binary-type'], said['go version']].filter((part) => typeof part === 'string' && part !== '')
    return parts.length === 0 ? 'version unknown' : parts.join(', ')
  } catch {
    return 'version unknown'
  }
}
