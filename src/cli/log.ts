import { levels, pino, symbols, type DestinationStream, type Logger } from 'pino'
import type { Config } from '../config/index.ts'
import { systemClock, type Clock } from '../internal/clock.ts'

/** What never appears in a line, whoever logs it: a net under the rule that nobody does. */
const redactedPaths = [
  'authorization',
  'cookie',
  'headers.authorization',
  'headers.cookie',
  'headers["x-amz-security-token"]',
  'password',
  'secretAccessKey',
  'sessionToken',
  'databaseUrl',
  'config',
]

/** The member `time`. Many lines come in one millisecond. */
function timeMember(clock: Clock): () => string {
  let lastAt = Number.NaN
  let text = ''
  return () => {
    const at = clock.now()
    if (at !== lastAt) {
      lastAt = at
      text = `,"time":"${new Date(at).toISOString()}"`
    }
    return text
  }
}

interface LogOutput {
  readonly isTTY?: boolean
  write(text: string): unknown
}

/**
 * When lines are written. `each`: at once. `by-turn`: those of one turn of the event loop together, at its end; warnings and worse at
 * once, with what came before them. Whoever chooses that calls `flush` of the logger when the process ends.
 */
export type LogWrites = 'each' | 'by-turn'

/** The program's logger: one JSON object a line, or lines for people. */
export function createLogger(config: Pick<Config, 'logLevel' | 'logFormat'>, output: LogOutput, writes: LogWrites = 'each'): Logger {
  const isText = config.logFormat === 'text' || (config.logFormat === 'auto' && output.isTTY === true)
  const lineOf = isText ? readableLine : escapedLine
  const destination: DestinationStream =
    writes === 'by-turn' ? new LinesByTurn(output, lineOf) : { write: (line) => void output.write(lineOf(line)) }
  return pino(
    {
      level: config.logLevel,
      base: null,
      timestamp: timeMember(systemClock),
      formatters: { level: (label) => ({ level: label }) },
      redact: redactedPaths,
    },
    destination,
  )
}

/** As much as a pipe takes at once where nobody has changed it (pipe(7)). */
const maxHeldChars = 64 * 1024

/**
 * A write to a pipe wakes whoever reads it, which costs a busy server more than all else about a line: 32 clients pull some ten
 * manifests in a turn.
 */
class LinesByTurn implements DestinationStream {
  /** Has the logger set `lastLevel` before each line. */
  readonly [symbols.needsMetadataGsym] = true
  lastLevel = 0
  readonly #output: LogOutput
  readonly #lineOf: (line: string) => string
  #held = ''
  #flushing: NodeJS.Immediate | undefined

  constructor(output: LogOutput, lineOf: (line: string) => string) {
    this.#output = output
    this.#lineOf = lineOf
  }

  write(line: string): void {
    this.#held += this.#lineOf(line)
    if (this.lastLevel >= levels.values['warn']! || this.#held.length > maxHeldChars) this.flush()
    else this.#flushing ??= setImmediate(() => this.flush())
  }

  flush(): void {
    clearImmediate(this.#flushing)
    this.#flushing = undefined
    const text = this.#held
    this.#held = ''
    if (text !== '') this.#output.write(text)
  }
}

/** What JSON leaves as it is, and what a terminal or a reader of lines may take for more than text. */
const unescaped = /[\x7f-\x9f\u2028\u2029]/gu

function escapedLine(line: string): string {
  return line.replace(unescaped, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** `12:00:00.000 info  listening address=127.0.0.1:5050` */
function readableLine(line: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>
  const clockTime = typeof time === 'string' ? time.slice(11, 23) : ''
  const words = Object.entries(fields).map(([name, value]) => `${name}=${word(value)}`)
  const stack = typeof err === 'object' && err !== null && 'stack' in err ? String(err.stack) : ''
  const shown = `${clockTime} ${String(level).padEnd(5)} ${[String(msg), ...words].join(' ')}`
  // An error may quote what a client sent. Its lines are set in, so that none looks like a line of the log.
  const lines = [shown, ...(stack === '' ? [] : stack.split('\n').map((text) => `    ${text}`))]
  return `${lines.map(printable).join('\n')}\n`
}

/** Field values come from clients: one that holds a space must not look like two fields. */
function word(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value)
  return /[\s"]/u.test(value) ? JSON.stringify(value) : value
}

/** Without what would move a terminal's cursor or end a line. */
function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/gu, '?')
}
