import { readdirSync, readFileSync } from 'node:fs'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Many connections that do next to nothing, each kept alive by what it does. */
export interface Crowd {
  /** Cuts those that the server has not ended. */
  disperse(): void
}

export interface CrowdOptions {
  readonly url: string
  readonly size: number
  /** What each connection says first. */
  readonly opening: string
  /** Sent now and then from there on; nothing by default. */
  readonly drip?: { readonly bytes: string; readonly everyMs: number }
  /** Takes this much of the answer each second, in sips; everything by default. */
  readonly readBytesPerSecond?: number
}

/** Connections made at once; more would overflow the queue of the listening socket. */
const connectBatch = 100

export async function gatherCrowd(options: CrowdOptions): Promise<Crowd> {
  const { hostname, port } = new URL(options.url)
  const open = new Set<Socket>()
  const timers: NodeJS.Timeout[] = []
  while (open.size < options.size) {
    const batch = Array.from({ length: Math.min(connectBatch, options.size - open.size) }, async () => {
      const socket = connect({ host: hostname, port: Number(port) })
      socket.on('error', () => undefined)
      socket.on('close', () => open.delete(socket))
      await once(socket, 'connect')
      open.add(socket)
      socket.write(options.opening)
      if (options.readBytesPerSecond === undefined) socket.resume()
    })
    await Promise.all(batch)
  }
  if (options.drip !== undefined) {
    const { bytes, everyMs } = options.drip
    timers.push(setInterval(() => open.forEach((socket) => socket.write(bytes)), everyMs))
  }
  if (options.readBytesPerSecond !== undefined) {
    const sipBytes = options.readBytesPerSecond
    timers.push(setInterval(() => open.forEach((socket) => socket.read(Math.min(sipBytes, socket.readableLength))), 1000))
  }
  return {
    disperse() {
      timers.forEach((timer) => clearInterval(timer))
      open.forEach((socket) => socket.destroy())
    },
  }
}

export function descriptorCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** The memory of a process that is in use now (Linux: VmRSS). */
export function memoryBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (kibibytes === undefined) throw new Error(`process ${pid} does not tell its memory`)
  return Number(kibibytes) * 1024
}

/** Waits until `isSo`, and says whether it came to be. */
export async function comesTrue(isSo: () => boolean, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  while (!isSo() && performance.now() < deadline) await sleep(100)
  return isSo()
}
