import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { baseEnv } from './run.ts'
import { freePort, startServerProcess, type ServerProcess } from './server-process.ts'
import { createTempDir } from './temp-dir.ts'
import { ensureTool } from './tools.ts'

export interface DockerRegistry extends ServerProcess {
  readonly url: string
  /** `host:port`, as it stands in front of a repository name. */
  readonly registryHost: string
}

/**
 * Starts Debian's docker-registry (distribution 2.8), without authentication, on a free port: a peer to
 * compare with, and a second registry to copy from and to.
 */
export async function startDockerRegistry(): Promise<DockerRegistry> {
  const command = ensureTool('docker-registry')
  const dir = createTempDir('docker-registry')
  const registryHost = `127.0.0.1:${await freePort()}`
  const url = `http://${registryHost}`
  const configFile = join(dir.path, 'config.json')
  // JSON is YAML, too.
  writeFileSync(
    configFile,
    JSON.stringify({
      version: 0.1,
      log: { level: 'warn', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(dir.path, 'data') }, delete: { enabled: true } },
      http: { addr: registryHost },
    }),
  )
  try {
    const server = await startServerProcess({
      name: 'docker-registry',
      command,
      args: ['serve', configFile],
      env: baseEnv(),
      ready: async () => (await fetch(`${url}/v2/`)).status === 200,
    })
    return {
      ...server,
      url,
      registryHost,
      async stop() {
        const exit = await server.stop()
        dir.remove()
        return exit
      },
    }
  } catch (error) {
    dir.remove()
    throw error
  }
}
