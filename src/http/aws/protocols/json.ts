import type { AwsError } from '../errors.ts'
import { serializationError } from '../shapes.ts'
import type { WireResponse } from './response.ts'

/** The two AWS JSON protocols; they differ in name only, and the answer is in the one that asked. */
export type JsonVersion = '1.0' | '1.1'

/** The deepest AWS input Stowage takes is a handful of levels; the rest is room. */
const deepestNesting = 64

/**
 * Members and elements. The largest input there is names a hundred images; each of these costs the parser far more than
 * its bytes, and a request of 28 MiB would hold millions of them.
 */
const mostValues = 20_000

export function jsonVersion(contentType: string | undefined): JsonVersion {
  return contentType?.toLowerCase().startsWith('application/x-amz-json-1.0') ? '1.0' : '1.1'
}

/**
 * The input in a request body. An empty body is an input without members.
 * @throws AwsError SerializationException where it is not UTF-8, not JSON, too deep, too much or not an object.
 */
export function decodeJson(body: Buffer, maxValues = mostValues): object {
  if (body.length === 0) return {}
  let value: unknown
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
    requireSmallStructure(text, maxValues)
    value = JSON.parse(text)
  } catch (error) {
    // V8's message repeats a piece of the body, which may hold a secret.
    if (error instanceof SyntaxError || error instanceof TypeError) {
      throw serializationError('The request body is not valid JSON in UTF-8.')
    }
    throw error
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw serializationError('The request body is not a JSON object.')
  }
  return value
}

export function encodeJsonResult(output: unknown, version: JsonVersion): WireResponse {
  return {
    status: 200,
    headers: { 'Content-Type': `application/x-amz-json-${version}` },
    body: toJson(output ?? {}),
  }
}

export function encodeJsonError(error: AwsError, version: JsonVersion): WireResponse {
  return {
    status: error.status,
    headers: { 'Content-Type': `application/x-amz-json-${version}`, 'x-amzn-ErrorType': error.type },
    body: toJson({ __type: error.type, message: error.message, ...error.members }),
  }
}

/** Dates become seconds since the epoch with a fraction, bytes base64, maps objects. */
function toJson(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key: string, converted: unknown): unknown {
    // Dates and buffers have a toJSON of their own, so what they were is only in the holder.
    const original = this[key]
    if (original instanceof Date) return original.getTime() / 1000
    if (original instanceof Map) return Object.fromEntries(original)
    if (original instanceof Uint8Array) {
      return Buffer.from(original.buffer, original.byteOffset, original.byteLength).toString('base64')
    }
    return converted
  })
}

function requireSmallStructure(text: string, maxValues: number): void {
  let depth = 0
  let values = 0
  for (let index = 0; index < text.length; index++) {
    switch (text.charCodeAt(index)) {
      case 0x22: {
        const end = endOfString(text, index)
        if (end === -1) return
        index = end
        break
      }
      case 0x5b:
      case 0x7b:
        values++
        depth++
        if (depth > deepestNesting) throw serializationError(`The request body is nested deeper than ${deepestNesting} levels.`)
        break
      case 0x5d:
      case 0x7d:
        depth--
        break
      case 0x2c:
        values++
        break
    }
    if (values > maxValues) throw serializationError(`The request body has more than ${maxValues} members and elements.`)
  }
}

/** Searching for the quote is many times faster than looking at each character of a 20 MB blob. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === 0x5c) backslashes++
    if (backslashes % 2 === 0) return quote
  }
  return -1
}
