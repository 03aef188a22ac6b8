import type { Keyring } from '../iam/keyring.ts'
import type { ChainEnd } from './verify-trail.ts'

/** The end of the chain at a moment, signed: kept elsewhere, it tells whether the trail is still the one that it was. */
export interface Checkpoint {
  /** The number of the last record. */
  readonly record: number
  /** Of all records up to it, in hexadecimal. */
  readonly hash: string
  readonly madeAt: string
  readonly keyId: string
  readonly publicKey: string
  readonly signature: string
}

const purpose = 'stowage audit checkpoint'
const members = ['record', 'hash', 'madeAt', 'keyId', 'publicKey', 'signature'] as const

export function makeCheckpoint(keyring: Keyring, { seq, hash }: ChainEnd, now: number): Checkpoint {
  const madeAt = new Date(now).toISOString()
  return { record: seq, hash, madeAt, ...keyring.sign(signedMessage(seq, hash, madeAt), purpose) }
}

/** Undefined for a text that is none. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  try {
    const found = JSON.parse(text) as Checkpoint
    const isWhole = members.every((name) => typeof found[name] === (name === 'record' ? 'number' : 'string'))
    return isWhole && /^[0-9a-f]{64}$/u.test(found.hash) ? found : undefined
  } catch {
    return undefined
  }
}

/** Whether this installation made a checkpoint as it stands. */
export function isOwnCheckpoint(keyring: Keyring, checkpoint: Checkpoint): boolean {
  const { record, hash, madeAt } = checkpoint
  return keyring.verifySignature(signedMessage(record, hash, madeAt), checkpoint, purpose)
}

function signedMessage(record: number, hash: string, madeAt: string): Buffer {
  return Buffer.from(`${record}\n${hash}\n${madeAt}\n`)
}
