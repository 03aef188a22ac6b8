import { createHash, randomBytes } from 'node:crypto'

/** Bytes to push, and their digest. The parts are shared between contents and never written to. */
export interface Content {
  readonly digest: string
  readonly sizeBytes: number
  readonly parts: readonly Buffer[]
}

export const mebibyte = 1024 * 1024

/** What tells two contents apart; everything after it is shared, so that many large ones cost the memory of one. */
const headBytes = 4096

/** What Go's HTTP client, and so docker, sends in one chunk. */
const chunkBytes = 32 * 1024

/** Makes contents of one size that are incompressible and all different. */
export class ContentSource {
  readonly #tail: Buffer
  readonly #headBytes: number

  constructor(sizeBytes: number) {
    this.#headBytes = Math.min(headBytes, sizeBytes)
    this.#tail = randomBytes(sizeBytes - this.#headBytes)
  }

  next(): Content {
    return contentOf([randomBytes(this.#headBytes), this.#tail])
  }
}

export function contentOf(parts: readonly Buffer[]): Content {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return {
    digest: `sha256:${hash.digest('hex')}`,
    sizeBytes: parts.reduce((sum, part) => sum + part.length, 0),
    parts,
  }
}

/** The same bytes in the chunked transfer coding, without copying them. */
export function chunked({ parts }: Content): Buffer[] {
  const lineEnd = Buffer.from('\r\n')
  const framed: Buffer[] = []
  for (const part of parts) {
    for (let start = 0; start < part.length; start += chunkBytes) {
      const chunk = part.subarray(start, start + chunkBytes)
      framed.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, lineEnd)
    }
  }
  framed.push(Buffer.from('0\r\n\r\n'))
  return framed
}
