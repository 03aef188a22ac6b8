import { execFileSync } from 'node:child_process'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { baseEnv } from '../test/support/run.ts'
import { freePort, startServerProcess } from '../test/support/server-process.ts'
import { startStowage } from '../test/support/start-stowage.ts'
import { createTempDir, type TempDir } from '../test/support/temp-dir.ts'
import { ensureTool } from '../test/support/tools.ts'
import type { Target } from './registry-client.ts'

/** A running server on a data folder of its own. */
export interface BenchServer {
  readonly target: Target
  readonly pid: number
  /** Frees the disk and the page cache of a blob behind the server's back: nobody asks for it again. */
  dropBlob(digest: string): void
  /** Stops it and removes its data. */
  stop(): Promise<void>
}

export interface ServerKind {
  readonly name: string
  /** How it was run, for the report. */
  readonly setting: string
  start(): Promise<BenchServer>
}

/** Stowage from this tree, as `make run` starts it. */
export function stowageKind(options: { readonly cpuProfileDir: string | undefined }): ServerKind {
  return {
    name: 'Stowage',
    setting: 'this tree, SQLite metadata and blobs in a data folder, every request authenticated with a registry token (Basic), request log off',
    async start() {
      const dataDir = createDataDir('bench-stowage')
      try {
        const stowage = await startStowage({
          dataDir: dataDir.path,
          env: {
            // The peer's is off, too.
            STOWAGE_LOG_LEVEL: 'warn',
            ...(options.cpuProfileDir === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${options.cpuProfileDir}` }),
          },
        })
        return {
          target: { name: 'Stowage', host: '127.0.0.1', port: stowage.port, ecr: { region: stowage.region, ...stowage.keys } },
          pid: stowage.pid,
          dropBlob(digest) {
            const { hex, shard } = digestParts(digest)
            const folder = join(dataDir.path, 'blobs/default/sha256', shard)
            for (const file of readdirSync(folder)) if (file.startsWith(hex)) rmSync(join(folder, file))
          },
          async stop() {
            await stowage.stop()
            dataDir.remove()
          },
        }
      } catch (error) {
        dataDir.remove()
        throw error
      }
    },
  }
}

/** Debian's docker-registry: distribution 2.8 on the local file system, which it flushes before it answers. */
export function dockerRegistryKind(): ServerKind {
  const command = ensureTool('docker-registry')
  return {
    name: 'docker-registry',
    setting: `Debian package ${packageVersion('docker-registry')}, files in a data folder, no authentication, request log off`,
    async start() {
      const dir = createDataDir('bench-docker-registry')
      try {
        const port = await freePort()
        const configFile = join(dir.path, 'config.json')
        writeFileSync(
          configFile,
          JSON.stringify({
            version: 0.1,
            log: { level: 'warn', accesslog: { disabled: true } },
            storage: { filesystem: { rootdirectory: join(dir.path, 'data') } },
            http: { addr: `127.0.0.1:${port}` },
          }),
        )
        const server = await startServerProcess({
          name: 'docker-registry',
          command,
          args: ['serve', configFile],
          env: baseEnv(),
          ready: async () => (await fetch(`http://127.0.0.1:${port}/v2/`)).status === 200,
        })
        return {
          target: { name: 'docker-registry', host: '127.0.0.1', port, ecr: null },
          pid: server.pid,
          dropBlob(digest) {
            const { hex, shard } = digestParts(digest)
            rmSync(join(dir.path, 'data/docker/registry/v2/blobs/sha256', shard, hex), { recursive: true })
          },
          async stop() {
            await server.stop()
            dir.remove()
          },
        }
      } catch (error) {
        dir.remove()
        throw error
      }
    },
  }
}

/** Goes away with this program, too, if that is interrupted. */
function createDataDir(purpose: string): TempDir {
  const dir = createTempDir(purpose)
  const removeAtExit = (): void => dir.remove()
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
