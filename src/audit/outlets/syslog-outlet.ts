import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import type { TrustedAuthorities } from '../../internal/outbound/trusted-authorities.ts'
import { cloudTrailRecord, eventNameOf, isChangeBody, type TrailBody } from '../trail-record.ts'
import { sendsOn, type Outlet } from './outlet.ts'

const maxRecords = 500
const maxBytes = 1024 * 1024
/** Until the connection is there, and then until the receiver has closed it. */
const timeoutMs = 10_000
const closeTimeoutMs = 3_000

/** Of a turn, and between two pauses: more at once than a receiver's buffer has room for is lost without a word. */
const maxDatagrams = 200
const datagramsAtOnce = 10
const pauseMs = 2
/** For the answer of a machine where nobody listens. */
const refusalMs = 200

export type SyslogTransport = 'tcp' | 'tls' | 'udp'

export interface SyslogSettings {
  readonly transport: SyslogTransport
  readonly host: string
  readonly port: number
  readonly trusted: TrustedAuthorities
  /** Of this machine. */
  readonly hostName: string
  readonly processId: number
}

/**
 * Sends records as messages of RFC 5424: over TCP or TLS each with its length before it (RFC 6587, "Octet Counting"; RFC 5425), over UDP
 * each as a datagram (RFC 5426).
 */
export function syslogOutlet(settings: SyslogSettings): Outlet {
  if (settings.transport === 'udp') {
    return {
      ...sendsOn,
      name: 'syslog',
      maxRecords: maxDatagrams,
      maxBytes,
      send: (rows, signal) => sendDatagrams(settings, rows.map((row) => shortMessage(JSON.parse(row.body) as TrailBody, row.seq, settings)), signal),
    }
  }
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
type Sender = Pick<SyslogSettings, 'hostName' | 'processId'>

const maxSequence = 2_147_483_647

/** A record as a message: its text is the record in CloudTrail's form, as JSON in ASCII. */
export function syslogMessage(body: TrailBody, seq: number, { hostName, processId }: Sender, record = cloudTrailRecord(body)): string {
  const isRefused = !isChangeBody(body) && body.error !== undefined
  const priority = facility * 8 + (isRefused ? severities.warning : severities.notice)
  const header = [`<${priority}>1`, new Date(body.at).toISOString(), printable(hostName, 255), 'stowage', String(processId), printable(eventNameOf(body), 32)].join(' ')
  // "meta" is the RFC's own; numbers begin anew behind the largest.
  return `${header} [meta sequenceId="${((seq - 1) % maxSequence) + 1}"] ${ascii(JSON.stringify(record))}`
}

/**
 * What usual receivers take of a message (rsyslog's own limit), in several packets where it has to be. What of a record is too long is
 * left out, the longest kinds of it first, and says so; beyond that the message is cut.
 */
const maxDatagramBytes = 8192
const omitted = { omitted: true, reason: 'too long for a datagram' }

function shortMessage(body: TrailBody, seq: number, sender: Sender): string {
  const record = cloudTrailRecord(body)
  let message = syslogMessage(body, seq, sender, record)
  const more = record['additionalEventData'] as Record<string, unknown> | undefined
  for (const [within, name] of [[more, 'changes'], [record, 'serviceEventDetails'], [record, 'responseElements'], [record, 'requestParameters']] as const) {
    if (message.length <= maxDatagramBytes) return message
    if (within?.[name] === undefined || within[name] === null) continue
    within[name] = omitted
    message = syslogMessage(body, seq, sender, record)
  }
  return message.slice(0, maxDatagramBytes)
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

/**
 * Nothing tells whether a datagram came. A machine where nobody listens says so mostly, and then all are sent again; what the network
 * or the receiver's buffer lost is lost.
 */
async function sendDatagrams({ host, port }: SyslogSettings, messages: readonly string[], signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const { address, family } = await lookup(host)
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
  try {
    const refused = new Promise<never>((_, reject) => socket.once('error', reject))
    refused.catch(() => undefined)
    await Promise.race([new Promise<void>((resolve) => socket.connect(port, address, resolve)), refused])
    for (const [index, message] of messages.entries()) {
      const sent = new Promise<void>((resolve, reject) => socket.send(message, (error) => (error === null ? resolve() : reject(error))))
      await Promise.race([sent, refused])
      if (index % datagramsAtOnce === datagramsAtOnce - 1) await Promise.race([delay(pauseMs, undefined, { signal }), refused])
    }
    await Promise.race([delay(refusalMs, undefined, { signal }), refused])
  } finally {
    socket.close()
  }
}
