import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  hkdfSync,
  sign,
  timingSafeEqual,
  verify,
  type KeyObject,
} from 'node:crypto'
import { dirname } from 'node:path'
import type { Clock } from '../internal/clock.ts'
import { flushFolder } from '../internal/durable-folder.ts'
import type { IdSource } from '../internal/ids.ts'
import { iamError, iamSetupError } from './errors.ts'
import { addKey, newKeyring, parseKeyring, serializeKeyring, type KeyringDocument } from './keyring-document.ts'
import { createKeyringFile, defaultKeyringPath, readKeyringFile, replaceKeyringFile } from './keyring-file.ts'

/**
 * The installation's keys: seals secrets and tokens, and signs what may be read but not changed.
 *
 * Every sealed text and MAC names its key, so a rotation leaves what was sealed before it readable. `purpose` is
 * bound to the result: what was sealed for one purpose does not unseal for another.
 */
export interface Keyring {
  /** The key that new texts are sealed with. */
  readonly primaryKeyId: string
  /** Grows with every change of the keys; whoever remembers what it unsealed forgets it when this moves. */
  readonly revision: number
  /** `v1.<keyId>.<base64url of nonce, ciphertext and tag>`: URL-safe, without a colon. Never the same twice. */
  seal(plaintext: Buffer, purpose: string): string
  /** Throws `token-invalid`; `detail.reason` tells `malformed`, `key-unknown` and `seal-broken` apart. */
  unseal(sealed: string, purpose: string): Buffer
  /** `v1.<keyId>.<base64url of HMAC-SHA-256>`: URL-safe, without a colon. */
  mac(message: Uint8Array, purpose: string): string
  /** True if `mac` is what this keyring gives, or once gave, for the message and purpose. Compares in constant time. */
  verifyMac(message: Uint8Array, mac: string, purpose: string): boolean
  /** Signs what others than this installation are to check, with Ed25519. */
  sign(message: Uint8Array, purpose: string): PublicSignature
  /** True if one of this keyring's keys made the signature; the public key in it is not believed. */
  verifySignature(message: Uint8Array, signature: PublicSignature, purpose: string): boolean
  /**
   * Adds a key and makes it primary, durably, before anything is sealed with it. Answers its id.
   * Throws `keyring-unwritable` for a keyring given as text, or where another rotation is under way.
   */
  rotate(): Promise<string>
  /** Reads the file again, to take up a rotation made by another process. Nothing to do for a keyring given as text. */
  reload(): Promise<void>
}

export interface PublicSignature {
  readonly keyId: string
  /** In base64: an Ed25519 key in DER (RFC 8410), and what it makes of the purpose, a line feed and the message. */
  readonly publicKey: string
  readonly signature: string
}

export interface KeyringOptions {
  readonly dataDir: string
  /** The setting `STOWAGE_KEYRING`: the path of a file, or the keyring's JSON itself. Blank counts as unset. */
  readonly keyring?: string | undefined
  /** True where a keyring made up on the spot would differ from that of the other servers. */
  readonly requireExisting: boolean
  readonly clock: Clock
  readonly ids: IdSource
}

/**
 * Opens the installation's keyring, making `<dataDir>/keys/keyring.json` where none is configured or there.
 * A configured file must exist: where a mount is missing, new keys would make every sealed secret unreadable.
 *
 * Throws `keyring-missing`, `keyring-unreadable`, `keyring-insecure` (others may read the file) or
 * `keyring-invalid`; no message or detail holds any part of a key.
 */
export async function openKeyring(options: KeyringOptions): Promise<Keyring> {
  const { clock, ids } = options
  const setting = options.keyring?.trim() ?? ''
  if (setting.startsWith('{')) {
    return new OpenedKeyring(parseKeyring(setting, 'STOWAGE_KEYRING'), undefined, clock, ids)
  }
  const path = setting === '' ? defaultKeyringPath(options.dataDir) : setting
  let text = await readKeyringFile(path)
  if (text === undefined) {
    if (setting !== '' || options.requireExisting) throw missingKeyring(path, setting !== '')
    text = await createKeyringFile(path, serializeKeyring(newKeyring(clock, ids)), ids)
  } else if (setting === '') {
    // Who made it may have died before its name was on the disk, and secrets are about to be sealed with it.
    flushFolder(dirname(path))
    flushFolder(options.dataDir)
  }
  return new OpenedKeyring(parseKeyring(text, path), path, clock, ids)
}

/**
 * The ids of the keys in the keyring that `openKeyring` would open, or undefined where there is none yet. Makes nothing.
 *
 * Throws as `openKeyring` does.
 */
export async function keyringIds(options: Pick<KeyringOptions, 'dataDir' | 'keyring'>): Promise<ReadonlySet<string> | undefined> {
  const setting = options.keyring?.trim() ?? ''
  const path = setting === '' ? defaultKeyringPath(options.dataDir) : setting
  const text = setting.startsWith('{') ? setting : await readKeyringFile(path)
  if (text === undefined) return undefined
  return new Set(parseKeyring(text, setting.startsWith('{') ? 'STOWAGE_KEYRING' : path).keys.map(({ id }) => id))
}

/** The id of the key that a text was sealed with; undefined for what is no sealed text. */
export function sealingKeyId(sealed: string): string | undefined {
  return splitSealed(sealed)?.keyId
}

function missingKeyring(path: string, configured: boolean): Error {
  const found = configured
    ? `STOWAGE_KEYRING names ${path}, which does not exist.`
    : 'No keyring is configured, and servers that share a database must share one.'
  return iamSetupError(
    'keyring-missing',
    `${found} Make one with \`(umask 077; stowage keyring create > FILE)\` and set STOWAGE_KEYRING to that file's path or to its content.`,
    { path },
  )
}

const sealVersion = 'v1'
// 24 random bytes a message: half of them pick the message's own key, half are its GCM nonce. GCM with random
// nonces under one key is good for 2^32 messages, which busy clients asking for tokens could reach; this never is.
const saltBytes = 12
const nonceBytes = 12
const tagBytes = 16
const macBytes = 32

interface DerivedKey {
  readonly sealing: KeyObject
  readonly signing: KeyObject
  /** The private half. */
  readonly publicSigning: KeyObject
}

class OpenedKeyring implements Keyring {
  // Private fields, so that neither a logger nor JSON.stringify finds a key.
  #document: KeyringDocument
  #keys: ReadonlyMap<string, DerivedKey>
  #revision = 1
  readonly #path: string | undefined
  readonly #clock: Clock
  readonly #ids: IdSource

  constructor(document: KeyringDocument, path: string | undefined, clock: Clock, ids: IdSource) {
    this.#document = document
    this.#keys = deriveKeys(document)
    this.#path = path
    this.#clock = clock
    this.#ids = ids
  }

  get primaryKeyId(): string {
    return this.#document.primary
  }

  get revision(): number {
    return this.#revision
  }

  seal(plaintext: Buffer, purpose: string): string {
    const keyId = this.primaryKeyId
    const random = this.#ids.bytes(saltBytes + nonceBytes)
    const nonce = random.subarray(saltBytes)
    const key = messageKey(this.#key(keyId).sealing, random.subarray(0, saltBytes), purpose)
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes })
    cipher.setAAD(associatedData(keyId, purpose))
    const sealed = Buffer.concat([random, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
    return `${sealVersion}.${keyId}.${sealed.toString('base64url')}`
  }

  unseal(sealed: string, purpose: string): Buffer {
    const parts = splitSealed(sealed)
    if (parts === undefined || parts.body.length < saltBytes + nonceBytes + tagBytes) throw unsealFailure('malformed')
    const { keyId, body } = parts
    const derived = this.#keys.get(keyId)
    if (derived === undefined) throw unsealFailure('key-unknown')
    const ciphertextEnd = body.length - tagBytes
    const nonce = body.subarray(saltBytes, saltBytes + nonceBytes)
    const key = messageKey(derived.sealing, body.subarray(0, saltBytes), purpose)
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes })
    decipher.setAAD(associatedData(keyId, purpose))
    decipher.setAuthTag(body.subarray(ciphertextEnd))
    const plaintext = decipher.update(body.subarray(saltBytes + nonceBytes, ciphertextEnd))
    try {
      decipher.final()
    } catch {
      throw unsealFailure('seal-broken')
    }
    return plaintext
  }

  mac(message: Uint8Array, purpose: string): string {
    const keyId = this.primaryKeyId
    return `${sealVersion}.${keyId}.${macOf(this.#key(keyId).signing, message, purpose).toString('base64url')}`
  }

  verifyMac(message: Uint8Array, mac: string, purpose: string): boolean {
    const parts = splitSealed(mac)
    if (parts === undefined || parts.body.length !== macBytes) return false
    const derived = this.#keys.get(parts.keyId)
    return derived !== undefined && timingSafeEqual(parts.body, macOf(derived.signing, message, purpose))
  }

  sign(message: Uint8Array, purpose: string): PublicSignature {
    const keyId = this.primaryKeyId
    const { publicSigning } = this.#key(keyId)
    return {
      keyId,
      publicKey: createPublicKey(publicSigning).export({ type: 'spki', format: 'der' }).toString('base64'),
      signature: sign(null, signedText(message, purpose), publicSigning).toString('base64'),
    }
  }

  verifySignature(message: Uint8Array, { keyId, signature }: PublicSignature, purpose: string): boolean {
    const derived = this.#keys.get(keyId)
    return derived !== undefined && verify(null, signedText(message, purpose), createPublicKey(derived.publicSigning), Buffer.from(signature, 'base64'))
  }

  async rotate(): Promise<string> {
    if (this.#path === undefined) {
      throw iamSetupError(
        'keyring-unwritable',
        'The keyring was given as text, so the server cannot add a key to it. Add the key where the setting is kept, restart every server, then make the key primary and restart them again.',
      )
    }
    const path = this.#path
    const text = await replaceKeyringFile(path, (current) =>
      serializeKeyring(addKey(parseKeyring(current, path), this.#clock, this.#ids)),
    )
    this.#adopt(parseKeyring(text, path))
    return this.primaryKeyId
  }

  async reload(): Promise<void> {
    if (this.#path === undefined) return
    const text = await readKeyringFile(this.#path)
    if (text === undefined) throw iamSetupError('keyring-missing', `The keyring ${this.#path} is gone.`)
    this.#adopt(parseKeyring(text, this.#path))
  }

  #adopt(document: KeyringDocument): void {
    this.#keys = deriveKeys(document)
    this.#document = document
    this.#revision += 1
  }

  #key(keyId: string): DerivedKey {
    const key = this.#keys.get(keyId)
    if (key === undefined) throw new Error(`the keyring lost its key ${keyId}`)
    return key
  }
}

function deriveKeys(document: KeyringDocument): ReadonlyMap<string, DerivedKey> {
  return new Map(
    document.keys.map(({ id, secret }) => [id, { sealing: subkey(secret, 'seal'), signing: subkey(secret, 'mac'), publicSigning: ed25519Key(secret) }]),
  )
}

function subkey(secret: Buffer, use: 'seal' | 'mac'): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', `stowage keyring ${sealVersion} ${use}`, 32)))
}

/** RFC 8410 §7: what precedes the 32 bytes of a private Ed25519 key in PKCS #8. */
const ed25519Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

function ed25519Key(secret: Buffer): KeyObject {
  const seed = Buffer.from(hkdfSync('sha256', secret, '', `stowage keyring ${sealVersion} ed25519`, 32))
  return createPrivateKey({ key: Buffer.concat([ed25519Prefix, seed]), format: 'der', type: 'pkcs8' })
}

function signedText(message: Uint8Array, purpose: string): Buffer {
  return Buffer.concat([Buffer.from(`${purpose}\n`), message])
}

function messageKey(sealing: KeyObject, salt: Buffer, purpose: string): Buffer {
  return createHmac('sha256', sealing).update(salt).update(purpose).digest()
}

function macOf(signing: KeyObject, message: Uint8Array, purpose: string): Buffer {
  // The purpose's length comes first: no other purpose and message run together into the same bytes.
  return createHmac('sha256', signing)
    .update(`${Buffer.byteLength(purpose)} ${purpose}`)
    .update(message)
    .digest()
}

function associatedData(keyId: string, purpose: string): Buffer {
  return Buffer.from(`${sealVersion}.${keyId}.${purpose}`)
}

function splitSealed(text: string): { keyId: string; body: Buffer } | undefined {
  const [version, keyId, encoded, ...rest] = text.split('.', 4)
  if (version !== sealVersion || keyId === undefined || encoded === undefined || rest.length > 0) return undefined
  const body = Buffer.from(encoded, 'base64url')
  // The decoder skips foreign characters and spare bits; one value must have one spelling.
  return body.toString('base64url') === encoded ? { keyId, body } : undefined
}

function unsealFailure(reason: 'malformed' | 'key-unknown' | 'seal-broken'): Error {
  return iamError('token-invalid', 'The text was not sealed by this installation.', { reason })
}
