import { pino, type DestinationStream, type Logger } from 'pino'
import type { Config } from '../config/index.ts'

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

/** The program's logger: one JSON object a line, or lines for people. */
export function createLogger(
  config: Pick<Config, 'logLevel' | 'logFormat'>,
  output: { readonly isTTY?: boolean; write(text: string): unknown },
): Logger {
  const text = config.logFormat === 'text' || (config.logFormat === 'auto' && output.isTTY === true)
  const destination: DestinationStream = {
    write(line) {
      output.write(text ? readableLine(line) : line)
    },
  }
  return pino(
    {
      level: config.logLevel,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: redactedPaths,
    },
    destination,
  )
}

/** `12:00:00.000 info  listening address=127.0.0.1:5050` */
function readableLine(line: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>
  const clockTime = typeof time === 'string' ? time.slice(11, 23) : ''
  const words = Object.entries(fields).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  const stack = typeof err === 'object' && err !== null && 'stack' in err ? `\n${String(err.stack)}` : ''
  // Field values come from clients: what would move the cursor must not reach the terminal.
  const shown = `${clockTime} ${String(level).padEnd(5)} ${[String(msg), ...words].join(' ')}`.replace(/[\x00-\x1f\x7f-\x9f]/gu, '?')
  return `${shown}${stack}\n`
}
