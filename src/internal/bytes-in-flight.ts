const kibibyte = 1024
const mebibyte = 1024 * kibibyte

/** A full-size chunk for each of 32 busy transfers; small beside the heap of a server. */
const defaultLimitBytes = 32 * mebibyte
/** Below this the cost of a system call per chunk outweighs the memory saved. */
export const minimumChunkBytes = 16 * kibibyte
/** Above this a chunk no longer moves bytes faster; it only holds more of them. */
export const maximumChunkBytes = mebibyte
/** One transfer may claim this share of what is free, so that those which come later still find room. */
const shareOfFree = 8
/**
 * Buffers kept for the next chunk: most of what is in flight at once. Memory that comes new from the system costs more
 * than all else there is to do for a chunk, since the kernel clears it page by page.
 */
const defaultIdleLimitBytes = 24 * mebibyte

/** A chunk's memory, counted as in flight until it is released. */
export interface ChunkLease {
  readonly buffer: Buffer
  /**
   * Gives the bytes back; safe to repeat. `settled` says that nobody can touch the buffer any more, so that
   * the next lease may use it. After a broken transfer that is unknown, and the memory is left to the collector.
   */
  release(settled: boolean): void
}

/** The memory that the transfers of one account take from the budget. */
export interface MemoryShare {
  /** How much one transfer should hold at most, as things stand: a power of two from 16 KiB to 1 MiB. */
  chunkBytes(): number
  /** Counts bytes that are in memory already, such as those a socket delivered. Pair with `release`. */
  hold(sizeBytes: number): void
  /** Gives back what `hold` counted. */
  release(sizeBytes: number): void
  /** Memory for the next chunk of a transfer that has `wantedBytes` left. May be shorter or longer than that. */
  lease(wantedBytes: number): ChunkLease
}

/** Of whom what the server does by itself is, such as reading blobs for damage. */
const nobody = ''

/**
 * The bytes that all transfers together hold in memory. It never makes anyone wait, since a transfer that waits
 * for memory held by a stalled peer would stall as well: instead chunks shrink as the budget fills. With `n`
 * transfers holding one chunk each, at most `limitBytes + n × 16 KiB` are in flight.
 *
 * One account alone has all of it. While several hold bytes, each has an equal part, whatever the others hold: what one
 * took before, and its stalled peers still keep, makes its own chunks small and nobody else's. So several accounts may
 * come to twice the limit, and no further.
 */
export class BytesInFlight implements MemoryShare {
  readonly limitBytes: number
  readonly #idleLimitBytes: number
  readonly #idle = new Map<number, Buffer[]>()
  #idleBytes = 0
  /** Of those that hold any. */
  readonly #inUseByAccount = new Map<string, number>()
  #inUseBytes = 0
  #peakBytes = 0

  constructor(options: { limitBytes?: number; idleLimitBytes?: number } = {}) {
    this.limitBytes = options.limitBytes ?? defaultLimitBytes
    this.#idleLimitBytes = options.idleLimitBytes ?? defaultIdleLimitBytes
  }

  /** Bytes held now. */
  get inUseBytes(): number {
    return this.#inUseBytes
  }

  /** The most bytes ever held at once. */
  get peakBytes(): number {
    return this.#peakBytes
  }

  /** The share of an account; absent: of what the server does by itself, as calls of the budget itself are. */
  shareOf(accountId: string = nobody): MemoryShare {
    return {
      chunkBytes: () => this.#chunkBytesFor(accountId),
      hold: (sizeBytes) => this.#hold(accountId, sizeBytes),
      release: (sizeBytes) => this.#release(accountId, sizeBytes),
      lease: (wantedBytes) => this.#lease(accountId, wantedBytes),
    }
  }

  chunkBytes(): number {
    return this.#chunkBytesFor(nobody)
  }

  hold(sizeBytes: number): void {
    this.#hold(nobody, sizeBytes)
  }

  release(sizeBytes: number): void {
    this.#release(nobody, sizeBytes)
  }

  lease(wantedBytes: number): ChunkLease {
    return this.#lease(nobody, wantedBytes)
  }

  #chunkBytesFor(accountId: string): number {
    const ownBytes = this.#inUseByAccount.get(accountId)
    const accounts = this.#inUseByAccount.size + (ownBytes === undefined ? 1 : 0)
    const freeBytes =
      accounts === 1
        ? this.limitBytes - this.#inUseBytes
        : Math.min(this.limitBytes / accounts - (ownBytes ?? 0), 2 * this.limitBytes - this.#inUseBytes)
    const shareBytes = freeBytes / shareOfFree
    if (shareBytes >= maximumChunkBytes) return maximumChunkBytes
    if (shareBytes <= minimumChunkBytes) return minimumChunkBytes
    return 2 ** Math.floor(Math.log2(shareBytes))
  }

  #hold(accountId: string, sizeBytes: number): void {
    if (sizeBytes === 0) return
    this.#inUseByAccount.set(accountId, (this.#inUseByAccount.get(accountId) ?? 0) + sizeBytes)
    this.#inUseBytes += sizeBytes
    if (this.#inUseBytes > this.#peakBytes) this.#peakBytes = this.#inUseBytes
  }

  #release(accountId: string, sizeBytes: number): void {
    this.#inUseBytes -= sizeBytes
    const leftBytes = (this.#inUseByAccount.get(accountId) ?? 0) - sizeBytes
    if (leftBytes === 0) this.#inUseByAccount.delete(accountId)
    else this.#inUseByAccount.set(accountId, leftBytes)
  }

  #lease(accountId: string, wantedBytes: number): ChunkLease {
    const sizeBytes = Math.min(this.#chunkBytesFor(accountId), chunkSizeFor(wantedBytes))
    const buffer = this.#takeIdle(sizeBytes) ?? Buffer.allocUnsafeSlow(sizeBytes)
    this.#hold(accountId, sizeBytes)
    let released = false
    return {
      buffer,
      release: (settled) => {
        if (released) return
        released = true
        this.#release(accountId, sizeBytes)
        if (settled) this.#keepIdle(buffer)
      },
    }
  }

  #takeIdle(sizeBytes: number): Buffer | undefined {
    const buffer = this.#idle.get(sizeBytes)?.pop()
    if (buffer !== undefined) this.#idleBytes -= sizeBytes
    return buffer
  }

  #keepIdle(buffer: Buffer): void {
    if (this.#idleBytes + buffer.length > this.#idleLimitBytes) return
    this.#idleBytes += buffer.length
    const sameSize = this.#idle.get(buffer.length)
    if (sameSize === undefined) this.#idle.set(buffer.length, [buffer])
    else sameSize.push(buffer)
  }
}

/** The smallest chunk size that holds `wantedBytes`. Only a few sizes exist, so that buffers can be used again. */
function chunkSizeFor(wantedBytes: number): number {
  if (wantedBytes >= maximumChunkBytes) return maximumChunkBytes
  if (wantedBytes <= minimumChunkBytes) return minimumChunkBytes
  return 2 ** Math.ceil(Math.log2(wantedBytes))
}
