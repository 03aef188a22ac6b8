import { spawn } from 'node:child_process'
import { createWriteStream, existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { newLogFile } from './secrets.ts'

export interface ServerProcessOptions {
  /** Used in error messages. */
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  /** The whole environment of the process. */
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly user?: { readonly uid: number; readonly gid: number }
  /** Asked until it answers true. It may throw: that is "not yet". */
  ready(): Promise<boolean>
  readonly readyTimeoutMs?: number
  /** What `stop` sends first. */
  readonly stopSignal?: NodeJS.Signals
  /** How long `stop` waits before it sends SIGKILL and throws. */
  readonly stopTimeoutMs?: number
}

export interface ServerExit {
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ServerProcess {
  readonly pid: number
  /** Fulfilled when the process has ended, however it did. */
  readonly exited: Promise<ServerExit>
  /** The end of what it wrote to standard output and error. */
  logs(): string
  /** Sends a signal and returns at once; nothing happens when the process has ended. */
  kill(signal: NodeJS.Signals): void
  /**
   * Asks it to end and waits; may be repeated.
   * @throws when it does not end in time (it is killed then).
   */
  stop(): Promise<ServerExit>
}

/** Enough to see why a test failed, small enough for a server that logs every request of a long run. */
const keptLogChars = 4 * 1024 * 1024

/**
 * Starts a server as a child process and waits until it is ready.
 * @throws with the server's output when it ends or is not ready in time.
 */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const [command = options.command, ...args] = endingWithParent([options.command, ...options.args])
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.user ?? {}),
  })
  // All of it, however long: the end of a test run searches it for secrets.
  const logFile = newLogFile(options.name)
  const wholeLog = logFile === undefined ? undefined : createWriteStream(logFile, { flags: 'a', mode: 0o600 })
  let logText = ''
  const keep = (text: string): void => {
    wholeLog?.write(text)
    logText += text
    if (logText.length > 2 * keptLogChars) logText = logText.slice(-keptLogChars)
  }
  child.stdout.setEncoding('utf8').on('data', keep)
  child.stderr.setEncoding('utf8').on('data', keep)

  let ended: ServerExit | undefined
  const exited = new Promise<ServerExit>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode, signal) => {
      ended = { exitCode, signal }
      wholeLog?.end()
      resolve(ended)
    })
  })
  const kill = (signal: NodeJS.Signals): void => {
    if (ended === undefined) child.kill(signal)
  }
  const server: ServerProcess = {
    pid: child.pid ?? -1,
    exited,
    logs: () => logText,
    kill,
    async stop() {
      kill(options.stopSignal ?? 'SIGTERM')
      const stopTimeoutMs = options.stopTimeoutMs ?? 30_000
      const inTime = await Promise.race([exited.then(() => true), sleep(stopTimeoutMs, false, { ref: false })])
      if (!inTime) {
        kill('SIGKILL')
        await exited
        throw new Error(`${options.name} did not stop within ${stopTimeoutMs} ms\n${logText}`)
      }
      return exited
    },
  }

  const deadline = performance.now() + (options.readyTimeoutMs ?? 30_000)
  for (;;) {
    const isReady = await Promise.race([
      options.ready().catch(() => false),
      exited.then(() => false),
      // A probe that hangs must not hang the start.
      sleep(5_000, false, { ref: false }),
    ])
    if (ended !== undefined) {
      throw new Error(`${options.name} ended before it was ready (${describeExit(ended)})\n${logText}`)
    }
    if (isReady) return server
    if (performance.now() > deadline) {
      kill('SIGKILL')
      await exited
      throw new Error(`${options.name} was not ready in time\n${logText}`)
    }
    await sleep(25)
  }
}

/**
 * Makes the kernel send SIGTERM to the server when this process ends in whatever way: a test worker that
 * is killed must not leave servers behind. The process id stays that of the server.
 */
function endingWithParent(commandLine: readonly string[]): readonly string[] {
  const setpriv = '/usr/bin/setpriv'
  return existsSync(setpriv) ? [setpriv, '--pdeathsig', 'TERM', '--', ...commandLine] : commandLine
}

function describeExit(exit: ServerExit): string {
  return exit.signal === null ? `exit code ${exit.exitCode}` : exit.signal
}

/** A TCP port of the loopback address that nobody listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve()
    })
  })
  if (address === null || typeof address === 'string') throw new Error('the loopback address has no ports')
  return address.port
}
