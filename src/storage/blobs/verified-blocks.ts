import { checksumBlockBytes, type BlockMarks } from './block-checksums.ts'

/**
 * How long a block that was compared is taken as right. Until then its bytes come from memory as a rule, and comparing
 * them again would find what was found before; after it, what the disk has made of them is seen again.
 */
const trustedMs = 60_000

/** Of all blobs together, a bit for each block: some 3,000 layers of a usual size, or one of 500 GiB. */
const maximumBytes = 1024 * 1024
const bitsPerByte = 8

interface Entry {
  /** Changes with every write to the file, whoever writes. */
  readonly version: string
  readonly sinceMs: number
  readonly bits: Uint8Array
}

/**
 * Remembers for a minute what was compared, so that an image that a whole fleet pulls at once is compared once and not
 * with every pull. Forgets a file that was written to since, and the blobs that were asked for first when there are many.
 */
export class VerifiedBlocks {
  readonly #entries = new Map<string, Entry>()
  readonly #nowMs: () => number
  #bytes = 0

  /** @param nowMs a clock that never goes back */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  marksOf(key: string, sizeBytes: number, version: string): BlockMarks {
    return new BitMarks(this.#entryOf(key, sizeBytes, version).bits)
  }

  #entryOf(key: string, sizeBytes: number, version: string): Entry {
    const nowMs = this.#nowMs()
    const known = this.#entries.get(key)
    if (known !== undefined && known.version === version && nowMs - known.sinceMs < trustedMs) return known
    if (known !== undefined) this.#forget(key, known)
    const bits = new Uint8Array(Math.ceil(sizeBytes / checksumBlockBytes / bitsPerByte))
    const entry = { version, sinceMs: nowMs, bits }
    this.#entries.set(key, entry)
    this.#bytes += bytesOf(entry)
    for (const [oldKey, old] of this.#entries) {
      if (this.#bytes <= maximumBytes) break
      this.#forget(oldKey, old)
    }
    return entry
  }

  #forget(key: string, entry: Entry): void {
    this.#entries.delete(key)
    this.#bytes -= bytesOf(entry)
  }
}

/** What an entry costs beside its bits, roughly: two strings and the objects. */
const overheadBytes = 300

function bytesOf({ bits }: Entry): number {
  return bits.length + overheadBytes
}

class BitMarks implements BlockMarks {
  readonly #bits: Uint8Array

  constructor(bits: Uint8Array) {
    this.#bits = bits
  }

  hasRange(start: number, endExclusive: number): boolean {
    for (let block = Math.floor(start / checksumBlockBytes); block * checksumBlockBytes < endExclusive; block += 1) {
      if ((this.#bits[block >> 3]! & (1 << (block & 7))) === 0) return false
    }
    return true
  }

  mark(block: number): void {
    this.#bits[block >> 3]! |= 1 << (block & 7)
  }
}
