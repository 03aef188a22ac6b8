import { decode, Tokenizer, type Token } from 'cborg'
import type { AwsError } from '../errors.ts'
import { serializationError } from '../shapes.ts'
import type { WireResponse } from './response.ts'

/* Smithy's RPC v2 in CBOR: https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html */

const deepestNesting = 64
/** Items, as in JSON. */
const mostValues = 20_000

/** Seconds since the epoch. */
const timestampTag = 1

/**
 * The input in a request body. An empty body is an input without members.
 * @throws AwsError SerializationException where it is not CBOR, too deep, too much or not a map.
 */
export function decodeCbor(body: Buffer, maxValues = mostValues): object {
  if (body.length === 0) return {}
  let value: unknown
  try {
    value = decode(body, {
      tokenizer: new BoundedTokenizer(body, maxValues),
      tags: { [timestampTag]: (content) => content() as number },
      allowBigInt: false,
      coerceUndefinedToNull: true,
    })
  } catch {
    // The reader's text repeats a piece of the body, which may hold a secret.
    throw serializationError('The request body is not valid CBOR, or larger than what is taken.')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) throw serializationError('The request body is not a CBOR map.')
  return value
}

/** Stops at what no input has: each item costs far more than its bytes, and each level a piece of the stack. */
class BoundedTokenizer extends Tokenizer {
  #left: number
  /** Of what is open, how many items are to come. */
  readonly #open: number[] = []
  #isInTag = false

  constructor(body: Buffer, maxValues: number) {
    super(new Uint8Array(body.buffer, body.byteOffset, body.byteLength), { allowBigInt: false, allowUndefined: true, coerceUndefinedToNull: true })
    this.#left = maxValues
  }

  override next(): Token {
    this.#left -= 1
    if (this.#left < 0) throw new Error('too many items')
    const token: Token = super.next()
    const length = token.value as number
    const { name } = token.type
    if (name === 'tag') {
      if (this.#isInTag) throw new Error('a tag of a tag')
      this.#isInTag = true
      return token
    }
    this.#isInTag = false
    if (name === 'break') this.#open.pop()
    else {
      const last = this.#open.length - 1
      if (last >= 0) this.#open[last]! -= 1
      if (name === 'array') this.#open.push(length)
      else if (name === 'map') this.#open.push(2 * length)
      if (this.#open.length > deepestNesting) throw new Error('too deep')
    }
    while (this.#open.at(-1) === 0) this.#open.pop()
    return token
  }
}

/** `integers`: the members that are no floating-point numbers, which clients tell apart. */
export function encodeCborResult(output: unknown, integers: ReadonlySet<string>): WireResponse {
  if (output === undefined || output === null) return { status: 200, headers: { 'smithy-protocol': 'rpc-v2-cbor' }, body: '' }
  const parts: Buffer[] = []
  write(parts, output, false, integers)
  return { status: 200, headers: { 'Content-Type': 'application/cbor', 'smithy-protocol': 'rpc-v2-cbor' }, body: Buffer.concat(parts) }
}

export function encodeCborError(error: AwsError): WireResponse {
  const parts: Buffer[] = []
  write(parts, { __type: error.type, message: error.message, ...error.members }, false, new Set())
  return {
    status: error.status,
    headers: { 'Content-Type': 'application/cbor', 'smithy-protocol': 'rpc-v2-cbor', 'x-amzn-ErrorType': error.type },
    body: Buffer.concat(parts),
  }
}

/** Dates become seconds with their tag, maps and objects maps without what is undefined. */
function write(parts: Buffer[], value: unknown, isInteger: boolean, integers: ReadonlySet<string>): void {
  switch (typeof value) {
    case 'string': {
      const bytes = Buffer.from(value)
      parts.push(head(3, bytes.length), bytes)
      return
    }
    case 'number':
      parts.push(isInteger ? (value < 0 ? head(1, -1 - value) : head(0, value)) : double(value))
      return
    case 'boolean':
      parts.push(Buffer.of(value ? 0xf5 : 0xf4))
      return
    case 'object':
      break
    default:
      throw new TypeError(`a ${typeof value} has no form in CBOR`)
  }
  if (value === null) parts.push(Buffer.of(0xf6))
  else if (value instanceof Date) parts.push(head(6, timestampTag), double(value.getTime() / 1000))
  else if (value instanceof Uint8Array) parts.push(head(2, value.length), Buffer.from(value))
  else if (Array.isArray(value)) {
    parts.push(head(4, value.length))
    for (const item of value) write(parts, item, isInteger, integers)
  } else {
    const members = [...(value instanceof Map ? (value as Map<string, unknown>) : Object.entries(value))].filter(([, member]) => member !== undefined)
    parts.push(head(5, members.length))
    for (const [name, member] of members) {
      write(parts, name, false, integers)
      write(parts, member, integers.has(name), integers)
    }
  }
}

/** What an item is, and its length or value, as short as it can be. */
function head(major: number, value: number): Buffer {
  const kind = major << 5
  if (value < 24) return Buffer.of(kind | value)
  if (value < 0x100) return Buffer.of(kind | 24, value)
  const bytes = Buffer.alloc(value < 0x1_0000 ? 3 : value < 0x1_0000_0000 ? 5 : 9)
  bytes[0] = kind | (bytes.length === 3 ? 25 : bytes.length === 5 ? 26 : 27)
  if (bytes.length === 9) bytes.writeBigUInt64BE(BigInt(value), 1)
  else bytes.writeUIntBE(value, 1, bytes.length - 1)
  return bytes
}

function double(value: number): Buffer {
  const bytes = Buffer.alloc(9, 0xfb)
  bytes.writeDoubleBE(value, 1)
  return bytes
}
