import type { Keyring } from '../../iam/index.ts'
import type { IdSource } from '../../internal/ids.ts'
import { secretForm, secretPrefix, signingKeyOf } from '../../internal/outbound/webhook-signature.ts'
import { eventsError } from '../errors.ts'

const newBytes = 32

/** Whose secret it is: a text that was sealed for another does not open. */
export interface SecretOwner {
  readonly accountId: string
  readonly region: string
  readonly name: string
}

export function newSigningSecret(ids: IdSource): string {
  return `${secretPrefix}${ids.bytes(newBytes).toString('base64')}`
}

/** The key of a secret. @throws `event-input-invalid` */
export function parseSigningSecret(text: string): Buffer {
  const key = signingKeyOf(text)
  if (key === undefined) throw eventsError('event-input-invalid', `A signing secret is ${secretForm}.`)
  return key
}

export function sealSigningSecret(keyring: Keyring, owner: SecretOwner, secret: string): string {
  return keyring.seal(Buffer.from(secret), purposeOf(owner))
}

/** Throws `token-invalid` where the keyring has not got the key. */
export function openSigningSecret(keyring: Keyring, owner: SecretOwner, sealed: string): Buffer {
  return parseSigningSecret(keyring.unseal(sealed, purposeOf(owner)).toString())
}

function purposeOf({ accountId, region, name }: SecretOwner): string {
  return `event-destination ${accountId} ${region} ${name}`
}

/** The password with which mail is sent, kept as signing secrets are. */
export function sealMailPassword(keyring: Keyring, owner: SecretOwner, password: string): string {
  return keyring.seal(Buffer.from(password), mailPurposeOf(owner))
}

/** Throws `token-invalid` where the keyring has not got the key. */
export function openMailPassword(keyring: Keyring, owner: SecretOwner, sealed: string): string {
  return keyring.unseal(sealed, mailPurposeOf(owner)).toString()
}

function mailPurposeOf({ accountId, region, name }: SecretOwner): string {
  return `event-destination-mail ${accountId} ${region} ${name}`
}
