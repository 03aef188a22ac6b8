import type { AwsError } from '../errors.ts'
import type { WireResponse } from './response.ts'

/** An error in RPC v2 CBOR, for clients that can read nothing else. https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html */
export function encodeCborError(error: AwsError): WireResponse {
  const twoPairs = Buffer.of(0xa2)
  const pairs = ['__type', error.type, 'message', error.message].map(cborText)
  return {
    status: error.status,
    headers: {
      'Content-Type': 'application/cbor',
      'smithy-protocol': 'rpc-v2-cbor',
      'x-amzn-ErrorType': error.type,
    },
    body: Buffer.concat([twoPairs, ...pairs]),
  }
}

/** A text string with a four-byte length, which CBOR allows for every length. */
function cborText(text: string): Buffer {
  const bytes = Buffer.from(text)
  const head = Buffer.alloc(5, 0x7a)
  head.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}
