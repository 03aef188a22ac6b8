import type { Clock } from '../internal/clock.ts'
import type { IdSource } from '../internal/ids.ts'
import { iamSetupError } from './errors.ts'

/** A keyring's content: what its file, or the setting `STOWAGE_KEYRING`, holds as JSON. */
export interface KeyringDocument {
  /** The id of the key that new texts are sealed with. */
  readonly primary: string
  readonly keys: readonly KeyringKey[]
}

export interface KeyringKey {
  readonly id: string
  /** 32 bytes, in base64 where the keyring is written down. */
  readonly secret: Buffer
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number
}

const secretBytes = 32
// A token starts with its key's id, so the id is short and has no dot.
const keyIdPattern = /^[a-z0-9]{1,32}$/
// Every server derives all keys at start; a rotation a day for three years stays below this.
const maxKeys = 1_024

/** A keyring with one new key. */
export function newKeyring(clock: Clock, ids: IdSource): KeyringDocument {
  const key = newKey(clock, ids)
  return { primary: key.id, keys: [key] }
}

/** The same keyring with a new primary key. Throws `keyring-unwritable` when it is full. */
export function addKey(document: KeyringDocument, clock: Clock, ids: IdSource): KeyringDocument {
  if (document.keys.length >= maxKeys) {
    throw iamSetupError('keyring-unwritable', `The keyring already holds ${maxKeys} keys, the most it may.`)
  }
  const key = newKey(clock, ids)
  return { primary: key.id, keys: [...document.keys, key] }
}

/** The keyring as text, fit for its file and for `STOWAGE_KEYRING`. It holds the secrets. */
export function serializeKeyring(document: KeyringDocument): string {
  const keys = document.keys.map((key) => ({ ...key, secret: key.secret.toString('base64') }))
  return `${JSON.stringify({ primary: document.primary, keys }, undefined, 2)}\n`
}

/**
 * Reads what `serializeKeyring` wrote or an operator gave. `origin` is named in the error: a path or a setting.
 * Throws `keyring-invalid`, whose text says what is wrong and where but quotes nothing of the content.
 */
export function parseKeyring(text: string, origin: string): KeyringDocument {
  const invalid = (problem: string): Error =>
    iamSetupError('keyring-invalid', `The keyring in ${origin} cannot be used: ${problem}.`, { origin })

  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    // The parser's own message quotes the text, which holds keys.
    throw invalid('it is not JSON')
  }
  if (!isObject(json) || !Array.isArray(json['keys'])) throw invalid('it is not an object with a list `keys`')
  const entries: unknown[] = json['keys']
  if (entries.length > maxKeys) throw invalid(`it holds more than ${maxKeys} keys`)

  const keys = entries.map((entry, index): KeyringKey => {
    const where = `keys[${index}]`
    if (!isObject(entry)) throw invalid(`${where} is not an object`)
    const { id, secret, createdAt } = entry
    if (typeof id !== 'string' || !keyIdPattern.test(id)) {
      throw invalid(`${where}.id must be 1 to 32 lower-case letters and digits`)
    }
    const bytes = typeof secret === 'string' ? Buffer.from(secret, 'base64') : Buffer.alloc(0)
    if (bytes.length !== secretBytes || bytes.toString('base64') !== secret) {
      throw invalid(`${where}.secret must be ${secretBytes} bytes in base64`)
    }
    if (typeof createdAt !== 'number' || !Number.isSafeInteger(createdAt)) {
      throw invalid(`${where}.createdAt must be a time in milliseconds`)
    }
    return { id, secret: bytes, createdAt }
  })

  if (new Set(keys.map((key) => key.id)).size !== keys.length) throw invalid('two of its keys have the same id')
  const primary = keys.find((key) => key.id === json['primary'])
  if (primary === undefined) throw invalid('`primary` names none of its keys')
  return { primary: primary.id, keys }
}

function newKey(clock: Clock, ids: IdSource): KeyringKey {
  return { id: ids.bytes(6).toString('hex'), secret: ids.bytes(secretBytes), createdAt: clock.now() }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
