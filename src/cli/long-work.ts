import { exitCodes } from '../config/index.ts'
import type { CommandIo } from './command-io.ts'

/** 128 and the signal's number, as shells have it: 2 and 15. */
const sigtermOffset = 13
/** On a terminal the line is written anew; in a log each is one more, to be read by somebody. */
const progressIntervalMs = { terminal: 200, log: 30_000 }

export interface StopSignals {
  readonly signal: AbortSignal
  exitCode(): number
  close(): void
}

/** The first signal ends the work in order, the second the process. */
export function listenToSignals(): StopSignals {
  const stop = new AbortController()
  let exitCode: number = exitCodes.interrupted.code
  const hear = (name: NodeJS.Signals): void => {
    exitCode = exitCodes.interrupted.code + (name === 'SIGTERM' ? sigtermOffset : 0)
    if (stop.signal.aborted) process.exit(exitCode)
    stop.abort()
  }
  process.on('SIGINT', hear)
  process.on('SIGTERM', hear)
  return {
    signal: stop.signal,
    exitCode: () => exitCode,
    close() {
      process.off('SIGINT', hear)
      process.off('SIGTERM', hear)
    },
  }
}

/** One line on standard error that says how far the work is. */
export class ProgressText {
  readonly #io: CommandIo
  readonly #isTerminal: boolean
  #shownAtMs = performance.now()
  #isShown = false

  constructor(io: CommandIo) {
    this.#io = io
    this.#isTerminal = io.stderr.isTTY === true
  }

  show(text: () => string): void {
    const nowMs = performance.now()
    if (nowMs - this.#shownAtMs < progressIntervalMs[this.#isTerminal ? 'terminal' : 'log']) return
    this.#shownAtMs = nowMs
    this.#io.stderr.write(this.#isTerminal ? `\r\x1b[K${text()}` : `${text()}\n`)
    this.#isShown = this.#isTerminal
  }

  clear(): void {
    if (this.#isShown) this.#io.stderr.write('\r\x1b[K')
    this.#isShown = false
  }
}

/** A number of bytes for people. */
export function sizeText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1000
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ''}`
}

export function secondsText(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`
}
