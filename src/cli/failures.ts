import { exitCodes, hostAndPort } from '../config/index.ts'
import { isPlatformError, type PlatformError } from '../internal/platform-error.ts'

/** What a command says before it exits with a code other than 0. */
export interface Failure {
  readonly text: string
  readonly exitCode: number
}

/**
 * Tells a failure to the person at the terminal: what happened and what to do next. Codes of other folders are
 * matched as texts, so that a command loads nothing it does not run.
 */
export function describeFailure(error: unknown): Failure {
  if (isPlatformError(error)) return describeExpected(error)
  const { code, path } = error as NodeJS.ErrnoException
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return { text: deniedText(code, path), exitCode: exitCodes.dataDir.code }
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { text: `unexpected failure\n${text}`, exitCode: exitCodes.failed.code }
}

function describeExpected(error: PlatformError): Failure {
  switch (error.code) {
    case 'config-invalid':
      return { text: `the configuration is not usable:\n${indent(error.message)}`, exitCode: exitCodes.usage.code }
    case 'listen-failed':
      return { text: listenText(error), exitCode: exitCodes.listen.code }
    case 'data-dir-in-use':
      return {
        text: `${error.message}\n  Stop the other process, or give this one a folder of its own: STOWAGE_DATA_DIR=/path/to/another`,
        exitCode: exitCodes.dataDir.code,
      }
    case 'database-unavailable':
      return { text: databaseText(error), exitCode: exitCodes.database.code }
    case 'database-newer':
      return {
        text: `${error.message}\n  Run the version that wrote it or a newer one, or restore a backup that was made before it ran.`,
        exitCode: exitCodes.databaseNewer.code,
      }
    case 'storage-full':
      return {
        text: `${error.message}\n  Free some space there or make it larger, and start again: nothing is lost.`,
        exitCode: exitCodes.failed.code,
      }
    case 'tls-unusable':
      return { text: `TLS cannot be served: ${error.message}`, exitCode: exitCodes.usage.code }
    default:
      return { text: error.message, exitCode: isSetup(error.code) ? exitCodes.usage.code : exitCodes.failed.code }
  }
}

/** Codes about what the operator configured or asked for; nothing was changed. */
function isSetup(code: string): boolean {
  if (code === 'file-unreadable') return true
  if (code.startsWith('aws-') && code !== 'aws-refused' && code !== 'aws-unreachable') return true
  if (code.startsWith('restore-') || code === 'backup-point-unknown' || code === 'backup-newer') return true
  return code.startsWith('keyring-') || code.startsWith('root-credential-')
}

function listenText(error: PlatformError): string {
  const host = String(error.detail['host'])
  const port = Number(error.detail['port'])
  const address = hostAndPort(host, port)
  switch (error.detail['code']) {
    case 'EADDRINUSE':
      return [
        `port ${port} is in use: another process listens on ${address}.`,
        `  Choose another port: STOWAGE_LISTEN=${hostAndPort(host, port >= 65_535 ? port - 1 : port + 1)}`,
        `  Or see which process has it: ss -ltnp 'sport = :${port}'   (macOS: lsof -iTCP:${port} -sTCP:LISTEN)`,
      ].join('\n')
    case 'EACCES':
      return `this user may not listen on ${address}: ports below 1024 are reserved.\n  Choose a higher one: STOWAGE_LISTEN=${hostAndPort(host, 5050)}`
    case 'EADDRNOTAVAIL':
      return `this machine has no address ${host}.\n  Set STOWAGE_LISTEN to one of its own, or to 127.0.0.1:${port}`
    default:
      return error.message
  }
}

function databaseText(error: PlatformError): string {
  const { host } = error.detail
  const where = typeof host === 'string' ? ` at ${host}` : ''
  return `the database${where} cannot be reached: ${error.message}\n  Check STOWAGE_DATABASE_URL, and that the database is running and reachable from here.`
}

function deniedText(code: string, path: string | undefined): string {
  const what = path === undefined ? 'a file' : path
  const next =
    code === 'EROFS'
      ? 'Put the data folder on a writable file system: STOWAGE_DATA_DIR=/path/to/folder'
      : 'Run as the user that owns it, or set STOWAGE_DATA_DIR to a folder that this user may write.'
  return `permission denied: ${what} (${code}).\n  ${next}`
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
}
