import { spawn } from 'node:child_process'

export interface RunOptions {
  /** Added to {@link baseEnv}; nothing else of this process's environment reaches the command. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly input?: string | Uint8Array
  /** Default two minutes. The command is killed, and the call throws. */
  readonly timeoutMs?: number
  /** Answer a non-zero exit code instead of throwing. */
  readonly mayFail?: boolean
}

export interface RunResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  /** Standard output and error as they came, for messages that a client prints on either. */
  readonly output: string
}

/** A command exited with a code other than 0, was killed, or took too long; the message has its output. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly result: RunResult

  constructor(message: string, result: RunResult) {
    super(message)
    this.result = result
  }
}

/**
 * An environment without the developer's own settings: clients find no credentials, profiles, proxies
 * or contexts but those a test gives them.
 */
export function baseEnv(): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LANG: 'C.UTF-8',
    HOME: '/nonexistent',
    ...passedOn('TMPDIR'),
    // Compiled code is kept: servers start in hundreds of tests.
    ...passedOn('NODE_COMPILE_CACHE'),
  }
}

function passedOn(name: string): Record<string, string> {
  const value = process.env[name]
  return value === undefined ? {} : { [name]: value }
}

/**
 * Runs a command to its end.
 * @throws CommandError when it fails (unless `mayFail`), is killed, or exceeds `timeoutMs`.
 */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const timeoutMs = options.timeoutMs ?? 120_000
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...baseEnv(), ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    // Its own process group, so that a time-out also ends what the command started.
    detached: true,
  })
  let stdout = ''
  let stderr = ''
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    output += text
  })
  // A command may exit without reading its input (EPIPE); its exit code says what happened.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')

  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    if (child.pid !== undefined) killGroup(child.pid)
  }, timeoutMs)
  const ended = await new Promise<{ exitCode: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode, signal) => {
      resolve({ exitCode, signal })
    })
  }).finally(() => {
    clearTimeout(timer)
  })

  const result = { exitCode: ended.exitCode ?? -1, stdout, stderr, output }
  if (timedOut) throw new CommandError(`${describeCommand(command, args)} took longer than ${timeoutMs} ms\n${output}`, result)
  if (ended.signal !== null) throw new CommandError(`${describeCommand(command, args)} was ended by ${ended.signal}\n${output}`, result)
  if (result.exitCode !== 0 && options.mayFail !== true) {
    throw new CommandError(`${describeCommand(command, args)} exited with ${result.exitCode}\n${output}`, result)
  }
  return result
}

function describeCommand(command: string, args: readonly string[]): string {
  const text = [command, ...args].join(' ')
  return text.length > 500 ? `${text.slice(0, 500)}…` : text
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It ended by itself in the meantime.
  }
}
