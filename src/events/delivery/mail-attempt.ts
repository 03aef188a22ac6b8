import { once } from 'node:events'
import { connect, isIP, type LookupFunction, type Socket } from 'node:net'
import { createTransport } from 'nodemailer'
import { bareHostName, UnusableAddress, type AddressGuard } from '../../internal/outbound/address-guard.ts'
import type { TrustedAuthorities } from '../../internal/outbound/trusted-authorities.ts'
import type { AttemptResult } from './attempt.ts'
import type { MailAddress } from './mail-address.ts'

/** Name, connection, TLS, and the conversation: an attempt has to end before its lane's lease does. */
const timeoutMs = 10_000

const longestSubject = 200

export interface MailSettings {
  readonly guard: AddressGuard
  readonly trusted: TrustedAuthorities
}

export interface MailAttempt {
  readonly address: MailAddress
  readonly password: string | undefined
  /** As what is sent, JSON. */
  readonly event: string
  /** What is sent instead, or the same. */
  readonly body: string
  readonly eventId: string
  readonly accountId: string
  readonly stop: AbortSignal
}

/** Sends an event as mail once. Rejects only when it is told to stop. */
export async function attemptMail({ guard, trusted }: MailSettings, { address, password, event, body, eventId, accountId, stop }: MailAttempt): Promise<AttemptResult> {
  const late = AbortSignal.timeout(timeoutMs)
  const ended = AbortSignal.any([late, stop])
  // Ours, so that no server that keeps talking can hold it open behind the attempt's end.
  let socket: Socket | undefined
  try {
    const host = bareHostName(address.host)
    const found = await guard(host, address.port, accountId)
    const secureContext = await trusted.context()
    stop.throwIfAborted()
    // To what was looked at, so that no second look-up can lead elsewhere; of several addresses to whichever answers.
    const lookup: LookupFunction = (_hostName, { all }, callback) => (all === true ? callback(null, [...found]) : callback(null, found[0]!.address, found[0]!.family))
    socket = connect({ host, port: address.port, lookup })
    socket.on('error', () => undefined)
    await once(socket, 'connect', { signal: ended })
    const transport = createTransport({
      connection: socket,
      host,
      port: address.port,
      secure: address.encryption === 'tls',
      requireTLS: address.encryption === 'starttls',
      tls: { ...(isIP(host) === 0 && { servername: host }), ...(secureContext && { secureContext }) },
      ...(address.user !== undefined && { auth: { user: address.user, pass: password ?? '' } }),
      connectionTimeout: timeoutMs,
      greetingTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      disableFileAccess: true,
      disableUrlAccess: true,
    })
    try {
      const { subject, text } = letterOf(event, body)
      // The same for the same event, so that a program that reads the mail knows what it has seen.
      await orAbort(transport.sendMail({ from: address.from, to: [...address.to], subject, text, messageId: `<${eventId}@stowage>`, headers: { 'Auto-Submitted': 'auto-generated' } }), ended)
    } finally {
      transport.close()
    }
    return { kind: 'accepted' }
  } catch (error) {
    stop.throwIfAborted()
    if (late.aborted) return again(`no answer within ${timeoutMs} ms`)
    if (error instanceof UnusableAddress) return again(error.message)
    const { code = 'unknown', responseCode } = error as { readonly code?: string; readonly responseCode?: number }
    // A password may be mended, and so may a certificate; what the server says of the mail itself it says for good.
    if (responseCode !== undefined && responseCode >= 500 && code !== 'EAUTH' && code !== 'ETLS') return { kind: 'refused', reason: `SMTP status ${responseCode}` }
    return again(responseCode === undefined ? code : `SMTP status ${responseCode}`)
  } finally {
    socket?.destroy()
  }
}

/** What people read: of `{"subject": …, "text": …}`, which a template may make, these; a text as it is; else the event. */
function letterOf(event: string, body: string): { readonly subject: string; readonly text: string } {
  const { 'detail-type': type, account, region, detail } = JSON.parse(event) as { readonly 'detail-type': string; readonly account: string; readonly region: string; readonly detail: unknown }
  const name = (detail as { readonly 'repository-name'?: unknown } | null)?.['repository-name']
  const subject = `${type}: ${typeof name === 'string' ? name : `${account} ${region}`}`
  const value: unknown = JSON.parse(body)
  if (typeof value === 'string') return { subject: oneLine(subject), text: value }
  if (typeof value === 'object' && value !== null && 'text' in value && typeof value.text === 'string') {
    return { subject: oneLine('subject' in value && typeof value.subject === 'string' ? value.subject : subject), text: value.text }
  }
  return { subject: oneLine(subject), text: JSON.stringify(value, undefined, 2) }
}

function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ').slice(0, longestSubject)
}

function again(reason: string): AttemptResult {
  return { kind: 'again', reason, afterMs: undefined }
}

async function orAbort<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort)
  ended.catch(() => undefined)
  work.catch(() => undefined)
  try {
    return await Promise.race([work, ended])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
