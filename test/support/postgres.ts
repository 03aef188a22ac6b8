import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { inject } from 'vitest'
import { baseEnv, run } from './run.ts'
import { registerSecret } from './secrets.ts'
import { freePort, startServerProcess, type ServerProcess } from './server-process.ts'
import { createTempDir, type TempDir } from './temp-dir.ts'
import { ensureTool } from './tools.ts'

export interface PostgresCluster {
  /** Connection URL of the superuser, to the database `postgres`. */
  readonly url: string
  readonly port: number
  /** Of the postmaster that runs now. */
  readonly pid: number
  logs(): string
  /** Sends a signal to the postmaster, e.g. SIGKILL to see what a crash does. */
  kill(signal: NodeJS.Signals): void
  /**
   * Ends the postmaster (SIGINT: fast, SIGQUIT: immediate, SIGKILL) and starts it on the same data and port; resolves when it
   * answers again.
   */
  restart(signal: NodeJS.Signals): Promise<void>
  /** Copies the running cluster and lets the copy follow it, as `standby` in pg_stat_replication. */
  startStandby(): Promise<PostgresCluster>
  /** Stops the server and removes its data. */
  stop(): Promise<void>
}

export interface PostgresClusterOptions {
  /** Default true. False where no power is lost: the end of its processes takes nothing either way. */
  readonly fsync?: boolean
  /** Where to make its folder; default: the system's temporary one. */
  readonly parentDir?: string
  /** Further settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
}

/**
 * Makes a new cluster in a temporary folder and starts it on a free port of the loopback address.
 *
 * Its default collation is ICU's en-US, under which `a < B < c`: a query that sorts names without
 * saying COLLATE "C" shows its mistake in a test instead of on somebody's server.
 * @throws when PostgreSQL cannot be installed or started.
 */
export async function startPostgres(options: PostgresClusterOptions = {}): Promise<PostgresCluster> {
  const initdb = ensureTool('initdb')
  const user = unprivilegedUser()
  const dir = createTempDir('postgres', options.parentDir)
  try {
    const home = join(dir.path, 'cluster')
    mkdirSync(home, { mode: 0o700 })
    const password = randomBytes(16).toString('hex')
    registerSecret('a database password', password)
    const passwordFile = join(home, 'password')
    writeFileSync(passwordFile, password, { mode: 0o600 })
    if (user !== undefined) {
      chownSync(home, user.uid, user.gid)
      chownSync(passwordFile, user.uid, user.gid)
    }

    const dataDir = join(home, 'data')
    const initArgs = [
      ...['-D', dataDir, '-U', 'stowage', '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
      ...['--encoding', 'UTF8', '--locale', 'C.UTF-8', '--locale-provider', 'icu', '--icu-locale', 'en-US'],
      // The cluster lives for minutes: only what is written after this needs to survive anything.
      '--no-sync',
    ]
    const [command = initdb, ...args] = [...runAs(user), initdb, ...initArgs]
    await run(command, args, { cwd: home })

    return await runCluster({ dir, home, password, user, settings: { fsync: options.fsync === false ? 'off' : 'on', ...options.settings } })
  } catch (error) {
    dir.remove()
    throw error
  }
}

interface ClusterPlace {
  /** Removed when the cluster is stopped. */
  readonly dir: TempDir
  /** Has the cluster in its folder `data`. */
  readonly home: string
  readonly password: string
  readonly user: { uid: number; gid: number } | undefined
  readonly settings: Readonly<Record<string, string>>
}

/** Longer than the processes of a killed postmaster take to notice and let go of what they share. */
const restartTimeoutMs = 30_000

async function runCluster(place: ClusterPlace): Promise<PostgresCluster> {
  const { dir, home, password, user, settings } = place
  const port = await freePort()
  const url = `postgres://stowage:${password}@127.0.0.1:${port}/postgres`
  const allSettings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: home,
    // Several test files, each with its pools, share the cluster.
    max_connections: '200',
    ...settings,
  }
  const start = (): Promise<ServerProcess> =>
    startServerProcess({
      name: 'PostgreSQL',
      command: ensureTool('postgres'),
      args: ['-D', join(home, 'data'), ...Object.entries(allSettings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      env: { ...baseEnv(), LC_ALL: 'C.UTF-8' },
      cwd: home,
      ...(user === undefined ? {} : { user }),
      ready: () => canConnect(url),
      // Fast shutdown: the polite one waits for clients that a failed test may have left connected.
      stopSignal: 'SIGINT',
    })
  let server = await start()
  return {
    url,
    port,
    get pid() {
      return server.pid
    },
    logs: () => server.logs(),
    kill: (signal) => {
      server.kill(signal)
    },
    async restart(signal) {
      server.kill(signal)
      await server.exited
      const deadline = performance.now() + restartTimeoutMs
      for (;;) {
        try {
          server = await start()
          return
        } catch (error) {
          // Processes that outlive a killed postmaster for a moment keep a new one out.
          if (performance.now() > deadline) throw error
        }
      }
    },
    async startStandby() {
      const standbyDir = createTempDir('standby')
      try {
        const standbyHome = join(standbyDir.path, 'cluster')
        mkdirSync(standbyHome, { mode: 0o700 })
        if (user !== undefined) chownSync(standbyHome, user.uid, user.gid)
        const source = new URL(url)
        source.searchParams.set('application_name', 'standby')
        const words = ['-D', join(standbyHome, 'data'), '-R', '-X', 'stream', '-c', 'fast', '--no-sync', '-d', source.toString()]
        const [command = '', ...args] = [...runAs(user), ensureTool('pg_basebackup'), ...words]
        await run(command, args, { cwd: standbyHome })
        // The copied files name the primary's settings; those of the command line are its own.
        return await runCluster({ ...place, dir: standbyDir, home: standbyHome })
      } catch (error) {
        standbyDir.remove()
        throw error
      }
    },
    async stop() {
      await server.stop()
      dir.remove()
    },
  }
}

function runAs(user: ClusterPlace['user']): string[] {
  return user === undefined ? [] : ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
}

export interface TestDatabase {
  readonly url: string
  /** Removes it, ending the connections it still has; may be repeated. */
  drop(): Promise<void>
}

/**
 * A new, empty database. One per test file is enough to keep files apart.
 * @param adminUrl default: the cluster that the test run shares (see global-setup.ts).
 */
export async function createDatabase(adminUrl: string = sharedPostgresUrl()): Promise<TestDatabase> {
  const name = `stowage_${randomBytes(8).toString('hex')}`
  await execute(adminUrl, `CREATE DATABASE ${name}`)
  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  return {
    url: url.toString(),
    drop: () => execute(adminUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  }
}

function sharedPostgresUrl(): string {
  const url: string | undefined = inject('postgresUrl')
  if (url === undefined) throw new Error('the test configuration must name test/support/global-setup.ts in globalSetup')
  return url
}

async function canConnect(url: string): Promise<boolean> {
  await execute(url, 'SELECT 1')
  return true
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

/** PostgreSQL refuses to run as root; Debian's package brings the user it should run as. */
function unprivilegedUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const entry = spawnSync('getent', ['passwd', 'postgres'], { encoding: 'utf8' }).stdout.split(':')
  const [, , uid, gid] = entry
  if (uid === undefined || gid === undefined) throw new Error('there is no user "postgres" to run PostgreSQL as')
  return { uid: Number(uid), gid: Number(gid) }
}
