import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'

/** A text that must not be found. */
export interface Needle {
  /** Says what it is without saying it. */
  readonly kind: string
  readonly bytes: Buffer
  /** Where the text alone says nothing: what has to follow it. */
  readonly followedBy?: RegExp
}

/** Where a secret was found. The secret itself is never repeated. */
export interface Leak {
  readonly kind: string
  readonly file: string
  /** In bytes. */
  readonly offset: number
}

/** Four bytes, hashed, pick the candidates at a position: there are thousands of needles, and few positions with one. */
const keyBytes = 4
const keyCount = 1 << 20

/** How much behind a needle is looked at for what follows it. */
const followingBytes = 64

/** Searches streams for any number of texts in one pass. */
export class SecretSearch {
  readonly #isTaken = new Uint8Array(keyCount)
  readonly #byKey = new Map<number, Needle[]>()
  readonly #overlap: number

  constructor(needles: readonly Needle[]) {
    let longest = keyBytes
    for (const needle of needles) {
      if (needle.bytes.length < keyBytes) throw new Error(`${needle.kind} is too short to be searched for`)
      const key = keyOf(needle.bytes.readUInt32BE(0))
      this.#isTaken[key] = 1
      this.#byKey.set(key, [...(this.#byKey.get(key) ?? []), needle])
      longest = Math.max(longest, needle.bytes.length)
    }
    this.#overlap = longest + followingBytes
  }

  bytes(buffer: Uint8Array): { kind: string; offset: number }[] {
    return this.#scan(Buffer.from(buffer.buffer, buffer.byteOffset, buffer.byteLength), buffer.length)
  }

  async file(path: string): Promise<Leak[]> {
    return this.stream(path, createReadStream(path, { highWaterMark: 1024 * 1024 }))
  }

  /** @param file what to call it where something is found */
  async stream(file: string, stream: Readable): Promise<Leak[]> {
    const leaks: Leak[] = []
    let held: Buffer = Buffer.alloc(0)
    let heldAt = 0
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
      const end = Math.max(held.length - this.#overlap, 0)
      for (const { kind, offset } of this.#scan(held, end)) leaks.push({ kind, file, offset: heldAt + offset })
      held = held.subarray(end)
      heldAt += end
    }
    for (const { kind, offset } of this.#scan(held, held.length)) leaks.push({ kind, file, offset: heldAt + offset })
    return leaks
  }

  /** What begins before `end`. */
  #scan(buffer: Buffer, end: number): { kind: string; offset: number }[] {
    const found: { kind: string; offset: number }[] = []
    if (buffer.length < keyBytes) return found
    const last = Math.min(end, buffer.length - keyBytes + 1)
    let window = buffer.readUInt32BE(0) >>> 8
    for (let at = 0; at < last; at++) {
      window = (window << 8) | buffer[at + keyBytes - 1]!
      const key = keyOf(window)
      if (this.#isTaken[key] === 0) continue
      for (const { kind, bytes, followedBy } of this.#byKey.get(key) ?? []) {
        const after = at + bytes.length
        if (after > buffer.length || bytes.compare(buffer, at, after) !== 0) continue
        if (followedBy !== undefined && !followedBy.test(buffer.toString('latin1', after, after + followingBytes))) continue
        found.push({ kind, offset: at })
      }
    }
    return found
  }
}

function keyOf(window: number): number {
  // Knuth's multiplier spreads texts that begin alike.
  return Math.imul(window, 0x9e3779b1) >>> 12
}
