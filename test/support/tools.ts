import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

export const projectDir = resolve(import.meta.dirname, '../..')

/** Names what `stowage` is run from, to what a test run starts. */
export const programVariable = 'STOWAGE_TEST_PROGRAM'

/** The script of the `stowage` command: as it was built for this run (see global-setup.ts), else as its sources are. */
export function programScript(): string {
  return process.env[programVariable] ?? join(projectDir, 'src/cli.ts')
}

export type Tool =
  | 'docker'
  | 'dockerd'
  /** containerd's, which comes with docker. */
  | 'ctr'
  | 'skopeo'
  | 'buildah'
  | 'postgres'
  | 'initdb'
  | 'pg_dump'
  | 'pg_basebackup'
  | 'nginx'
  | 'docker-registry'
  | 'openssl'
  | 'curl'
  | 'wrk'
  | 'strace'
  | 'faketime'
  | 'gcc'
  | 'promtool'
  | 'docker-credential-ecr-login'
  | 'aws'
  /** Version 2 of the aws command, which is Debian's. */
  | 'aws-2'
  /** Debian's Python, with the mail server of tests. */
  | 'python-with-aiosmtpd'
  | 'rsyslogd'
  | 'python'

/**
 * The absolute path of a program the tests drive, installed first if this machine lacks it (the
 * set-up script prints what it installs). Debian's own copy is preferred to another one in PATH: that
 * is the version the tests are known to work with.
 * @throws when it cannot be installed; a test never goes on without its client.
 */
export function ensureTool(tool: Tool): string {
  if (tool === 'aws' || tool === 'python') {
    // Quick when nothing is to be done, and the only one that can tell an outdated environment.
    runSetup('setup-python.sh', [])
    return join(projectDir, '.tools/python/bin', tool)
  }
  const present = findTool(tool)
  if (present !== undefined) return present
  runSetup('setup-tools.sh', [tool === 'dockerd' || tool === 'ctr' ? 'docker' : isOfPostgres(tool) ? 'postgres' : tool])
  const installed = findTool(tool)
  if (installed === undefined) throw new Error(`${tool} is still missing after scripts/setup-tools.sh`)
  return installed
}

function findTool(tool: Tool): string | undefined {
  if (tool === 'python-with-aiosmtpd') return existsSync('/usr/lib/python3/dist-packages/aiosmtpd') ? '/usr/bin/python3' : undefined
  const folders = isOfPostgres(tool) ? postgresFolders() : ['/usr/bin', '/usr/sbin']
  return folders.map((folder) => join(folder, tool === 'aws-2' ? 'aws' : tool)).find((path) => existsSync(path))
}

function isOfPostgres(tool: Tool): boolean {
  return tool === 'postgres' || tool === 'initdb' || tool === 'pg_dump' || tool === 'pg_basebackup'
}

/** Debian keeps each major version's server programs in a folder of its own; the newest comes first. */
function postgresFolders(): string[] {
  const parent = '/usr/lib/postgresql'
  if (!existsSync(parent)) return []
  return readdirSync(parent)
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(parent, version, 'bin'))
}

function runSetup(script: string, args: readonly string[]): void {
  const result = spawnSync(join(projectDir, 'scripts', script), args, { stdio: ['ignore', 'inherit', 'inherit'] })
  if (result.error !== undefined) throw result.error
  if (result.status !== 0) throw new Error(`scripts/${[script, ...args].join(' ')} failed; its output is above`)
}
