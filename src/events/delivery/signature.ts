import { createHmac } from 'node:crypto'
import type { Keyring } from '../../iam/index.ts'
import type { IdSource } from '../../internal/ids.ts'
import { eventsError } from '../errors.ts'

const prefix = 'whsec_'
/** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme": 24 to 64 bytes. */
const leastBytes = 24
const mostBytes = 64
const newBytes = 32

/** Whose secret it is: a text that was sealed for another does not open. */
export interface SecretOwner {
  readonly accountId: string
  readonly region: string
  readonly name: string
}

export function newSigningSecret(ids: IdSource): string {
  return `${prefix}${ids.bytes(newBytes).toString('base64')}`
}

/** The key of a secret. @throws `event-input-invalid` */
export function parseSigningSecret(text: string): Buffer {
  const encoded = text.startsWith(prefix) ? text.slice(prefix.length) : ''
  const key = Buffer.from(encoded, 'base64')
  if (key.length < leastBytes || key.length > mostBytes || key.toString('base64') !== encoded) {
    throw eventsError('event-input-invalid', `A signing secret is ${prefix} and ${leastBytes} to ${mostBytes} bytes in base64.`)
  }
  return key
}

export function sealSigningSecret(keyring: Keyring, owner: SecretOwner, secret: string): string {
  return keyring.seal(Buffer.from(secret), purposeOf(owner))
}

/** Throws `token-invalid` where the keyring has not got the key. */
export function openSigningSecret(keyring: Keyring, owner: SecretOwner, sealed: string): Buffer {
  return parseSigningSecret(keyring.unseal(sealed, purposeOf(owner)).toString())
}

/** The headers that a receiver knows the sender by, as Standard Webhooks has them. */
export function signatureHeaders(key: Buffer, eventId: string, nowMs: number, body: string): Record<string, string> {
  const timestamp = String(Math.floor(nowMs / 1000))
  const signature = createHmac('sha256', key).update(`${eventId}.${timestamp}.${body}`).digest('base64')
  return { 'webhook-id': eventId, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` }
}

function purposeOf({ accountId, region, name }: SecretOwner): string {
  return `event-destination ${accountId} ${region} ${name}`
}
