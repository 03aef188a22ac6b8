import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { TrustedAuthorities } from '../../internal/outbound/trusted-authorities.ts'
import { cloudTrailRecord, eventNameOf, isChangeBody, type TrailBody } from '../trail-record.ts'
import { sendsOn, type Outlet } from './outlet.ts'

const maxRecords = 500
const maxBytes = 1024 * 1024
/** Until the connection is there, and then until the receiver has closed it. */
const timeoutMs = 10_000
const closeTimeoutMs = 3_000

export interface SyslogSettings {
  readonly transport: 'tcp' | 'tls'
  readonly host: string
  readonly port: number
  readonly trusted: TrustedAuthorities
  /** Of this machine. */
  readonly hostName: string
  readonly processId: number
}

/** Sends records as messages of RFC 5424 over TCP or TLS, each with its length before it (RFC 6587, "Octet Counting"; RFC 5425). */
export function syslogOutlet(settings: SyslogSettings): Outlet {
  return {
    ...sendsOn,
    name: 'syslog',
    maxRecords,
    maxBytes,
    async send(rows, signal) {
      const frames = rows.map((row) => {
        const message = syslogMessage(JSON.parse(row.body) as TrailBody, row.seq, settings)
        return `${Buffer.byteLength(message)} ${message}`
      })
      await sendAll(settings, Buffer.from(frames.join('')), signal)
    },
  }
}

/** "log audit": RFC 5424, "PRI". */
const facility = 13
const severities = { notice: 5, warning: 4 } as const
const maxSequence = 2_147_483_647

/** A record as a message: its text is the record in CloudTrail's form, as JSON in ASCII. */
export function syslogMessage(body: TrailBody, seq: number, { hostName, processId }: Pick<SyslogSettings, 'hostName' | 'processId'>): string {
  const isRefused = !isChangeBody(body) && body.error !== undefined
  const priority = facility * 8 + (isRefused ? severities.warning : severities.notice)
  const header = [`<${priority}>1`, new Date(body.at).toISOString(), printable(hostName, 255), 'stowage', String(processId), printable(eventNameOf(body), 32)].join(' ')
  // "meta" is the RFC's own; numbers begin anew behind the largest.
  return `${header} [meta sequenceId="${((seq - 1) % maxSequence) + 1}"] ${ascii(JSON.stringify(cloudTrailRecord(body)))}`
}

function printable(text: string, maxLength: number): string {
  const shown = text.replaceAll(/[^\x21-\x7e]/gu, '_').slice(0, maxLength)
  return shown === '' ? '-' : shown
}

/** So that no receiver has to guess an encoding. */
function ascii(json: string): string {
  return json.replaceAll(/[^\x20-\x7e]/gu, (character) =>
    [...Array(character.length).keys()].map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join(''),
  )
}

/**
 * A connection for each batch, which the receiver closes when it has read everything: syslog has no acknowledgement, and what is on an
 * open connection may be lost without a word. One that does not close has it all the same, as far as can be known.
 */
async function sendAll(settings: SyslogSettings, bytes: Buffer, signal: AbortSignal): Promise<void> {
  const { transport, host, port, trusted } = settings
  const secureContext = transport === 'tls' ? await trusted.context() : undefined
  const late = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  late.throwIfAborted()
  const socket: Socket = transport === 'tls' ? connectTls({ host, port, ...(secureContext && { secureContext }), ...(/^[\d.:]+$/u.test(host) ? {} : { servername: host }) }) : connectTcp({ host, port })
  const onAbort = (): void => void socket.destroy(signal.aborted ? (signal.reason as Error) : new Error(`${host}:${port} takes nothing within ${timeoutMs} ms`))
  late.addEventListener('abort', onAbort)
  try {
    // Whatever it says is not looked at, but its end is.
    socket.resume()
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    const failed = new Promise<never>((_, reject) => socket.once('error', reject))
    failed.catch(() => undefined)
    await Promise.race([once(socket, transport === 'tls' ? 'secureConnect' : 'connect'), failed])
    await Promise.race([new Promise<void>((resolve) => socket.end(bytes, resolve)), failed])
    await Promise.race([closed, failed, new Promise((resolve) => setTimeout(resolve, closeTimeoutMs).unref())])
  } finally {
    late.removeEventListener('abort', onAbort)
    socket.destroy()
  }
}
