import { crc32 } from 'node:zlib'
import type { ClientKind } from '../values/client-kind.ts'

/** Who made a request, as its credentials prove. */
export interface RecordedActor {
  readonly arn: string
  readonly account: string
  readonly kind: 'root' | 'user' | 'assumed-role'
  readonly userId: string
  readonly keyId: string
  /** When temporary credentials were given. */
  readonly since?: number
}

/**
 * What the journal says of a request. Its id is the request's: one record, however often it is read. Everything that is
 * derived from requests (the audit trail, counts of pulls, events) starts from these.
 */
export interface JournalRecord {
  readonly id: string
  /** When the request came, in milliseconds since the Unix epoch. */
  readonly at: number
  /** Whose registry it was about, and where. */
  readonly account: string
  readonly region: string
  readonly protocol: string
  /** The service and the operation, as AWS's records name them. */
  readonly source: string
  readonly name: string
  /** True where it changes nothing. */
  readonly reads?: boolean
  readonly actor?: RecordedActor
  /** Of one who proved nothing. */
  readonly claimedKeyId?: string
  readonly ip: string
  readonly agent?: string
  /** Of the answer. */
  readonly status: number
  /** Until the last byte of the answer. */
  readonly ms: number
  /** Of the bodies; absent where there was none. */
  readonly bytesIn?: number
  readonly bytesOut?: number
  readonly repository?: string
  /** Manifests that were given, and what kind of client had them. */
  readonly pulls?: number
  readonly client?: ClientKind
  readonly parameters?: Readonly<Record<string, unknown>>
  readonly answered?: Readonly<Record<string, unknown>>
  readonly error?: string
  readonly message?: string
  /** The client never had all of the answer. */
  readonly cut?: true
}

const checksumLength = 8

/** What a keyring has sealed or signed: none is ever kept, whatever it stands in. The shortest is a signature of 43 characters. */
const sealedText = /v1\.[a-z0-9]{1,32}\.[\w-]{43,}/gu

/** A record as a line: a checksum of eight digits, a space, JSON, a line feed. */
export function encodeLine(record: JournalRecord): string {
  const text = JSON.stringify(record)
  const shown = text.includes('v1.') ? text.replace(sealedText, 'REDACTED') : text
  return `${checksumOf(shown)} ${shown}\n`
}

/** A record as it was read, and its text: what nothing is added to need not be written anew. */
export interface JournalLine {
  readonly record: JournalRecord
  readonly text: string
}

/**
 * Reads the lines of a segment, one after another: they are many, and none needs to be held longer than it is used. Undefined: one that
 * is not what was written, of a process killed in the middle of it or of a disk that failed. Never throws.
 */
export function* linesOf(bytes: Buffer): Generator<JournalLine | undefined, void, undefined> {
  for (let at = 0; at < bytes.length; ) {
    const found = bytes.indexOf(lineFeed, at)
    const end = found === -1 ? bytes.length : found
    if (end > at) yield decodeLine(bytes.subarray(at, end))
    at = end + 1
  }
}

const lineFeed = 0x0a
const space = 0x20

function decodeLine(line: Buffer): JournalLine | undefined {
  const json = line.subarray(checksumLength + 1)
  if (line[checksumLength] !== space || line.toString('latin1', 0, checksumLength) !== checksumOf(json)) return undefined
  const text = json.toString('utf8')
  try {
    return { record: JSON.parse(text) as JournalRecord, text }
  } catch {
    return undefined
  }
}

function checksumOf(text: string | Buffer): string {
  return crc32(text).toString(16).padStart(checksumLength, '0')
}
