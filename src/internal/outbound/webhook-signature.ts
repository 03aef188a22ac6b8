import { createHmac } from 'node:crypto'

/*
 * Signatures of what is sent to webhooks, for which receivers have libraries:
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */

export const secretPrefix = 'whsec_'
/** "Signature scheme": 24 to 64 bytes. */
const leastBytes = 24
const mostBytes = 64

/** In words. */
export const secretForm = `${secretPrefix} and ${leastBytes} to ${mostBytes} bytes in base64`

/** The key of a secret; undefined for a text that is none. */
export function signingKeyOf(text: string): Buffer | undefined {
  const encoded = text.startsWith(secretPrefix) ? text.slice(secretPrefix.length) : ''
  const key = Buffer.from(encoded, 'base64')
  return key.length < leastBytes || key.length > mostBytes || key.toString('base64') !== encoded ? undefined : key
}

/** The headers that a receiver knows the sender by. */
export function signatureHeaders(key: Buffer, id: string, nowMs: number, body: string): Record<string, string> {
  const timestamp = String(Math.floor(nowMs / 1000))
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` }
}
