import { createPrivateKey, X509Certificate } from 'node:crypto'
import { watch, type FSWatcher } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { Logger } from 'pino'
import type { Clock } from '../internal/clock.ts'
import { PlatformError } from '../internal/platform-error.ts'
import type { TlsPair } from './server.ts'

/** `tls-unusable`: a certificate or key cannot be read, does not parse, or the two do not belong together. */
export type TlsErrorCode = 'tls-unusable'

export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** @throws `tls-unusable`; the message names the file and what is wrong with it, never its content. */
export async function loadTlsPair(files: TlsFiles): Promise<TlsPair> {
  const cert = await readPem(files.certFile)
  const key = await readPem(files.keyFile)
  const leaf = attempt(() => new X509Certificate(cert), `${files.certFile} holds no certificate in PEM`)
  const privateKey = attempt(() => createPrivateKey(key), `${files.keyFile} holds no private key in PEM without a passphrase`)
  if (!leaf.checkPrivateKey(privateKey)) {
    throw unusable(`the key in ${files.keyFile} is not that of the first certificate in ${files.certFile}`)
  }
  attempt(() => createSecureContext({ cert, key }), `${files.certFile} and ${files.keyFile} cannot serve TLS`)
  return { cert, key }
}

/** When a pair's leaf ends, in milliseconds since the Unix epoch. */
export function certificateEnd(pair: TlsPair): number {
  return new X509Certificate(pair.cert).validToDate.getTime()
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw unusable(`${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`)
  }
}

function attempt<T>(make: () => T, otherwise: string): T {
  try {
    return make()
  } catch {
    // The cause is left out: OpenSSL's messages say less than the file's name does.
    throw unusable(otherwise)
  }
}

function unusable(message: string): PlatformError<TlsErrorCode> {
  return new PlatformError('tls-unusable', message)
}

export interface TlsWatchOptions {
  readonly files: TlsFiles
  readonly logger: Logger
  readonly clock: Clock
  /** Told of every new pair that is fit to serve. */
  apply(pair: TlsPair): void
  readonly pollIntervalMs?: number
}

/** Where the system's notices fail (network file systems, some containers), a renewal is seen this much later. */
const defaultPollIntervalMs = 30_000

/** Two files are written one after the other: the second should be there when both are read. */
const settleMs = 200

/** Operators renew a month ahead; who has less left should hear of it. */
const expiryNoticeMs = 14 * 24 * 60 * 60 * 1000

/**
 * Follows a certificate and its key on disk. A new pair that cannot be used is logged once and the old one stays
 * in service; it is tried again when either file changes.
 */
export function watchTlsFiles(options: TlsWatchOptions): { close(): void } {
  const { files, logger, clock } = options
  let known: string | undefined
  let checking = Promise.resolve()
  let settling: NodeJS.Timeout | undefined
  let closed = false

  const check = async (): Promise<void> => {
    const seen = await signature(files)
    if (closed || seen === known) return
    const first = known === undefined
    known = seen
    if (first) return
    try {
      const pair = await loadTlsPair(files)
      if (closed) return
      options.apply(pair)
      logger.info({ certFile: files.certFile, validUntil: new Date(certificateEnd(pair)).toISOString() }, 'serving a new TLS certificate')
      noticeExpiry(pair, files, logger, clock)
    } catch (error) {
      logger.error({ err: error, ...files }, 'the TLS certificate changed and cannot be used: still serving the old one')
    }
  }
  const queueCheck = (): void => {
    checking = checking.then(check)
  }
  const soon = (): void => {
    clearTimeout(settling)
    settling = setTimeout(queueCheck, settleMs)
    settling.unref()
  }

  queueCheck()
  const poll = setInterval(queueCheck, options.pollIntervalMs ?? defaultPollIntervalMs)
  poll.unref()
  // The folders, since a renewal usually replaces the files, or a link further up, and a file's own watch ends then.
  const watchers = [...new Set([dirname(files.certFile), dirname(files.keyFile)])].map((folder) => watchFolder(folder, soon))
  return {
    close() {
      closed = true
      clearTimeout(settling)
      clearInterval(poll)
      for (const watcher of watchers) watcher?.close()
    },
  }
}

/** Logs a warning about a certificate that has ended or soon will. */
export function noticeExpiry(pair: TlsPair, files: TlsFiles, logger: Logger, clock: Clock): void {
  const end = certificateEnd(pair)
  if (end - clock.now() > expiryNoticeMs) return
  logger.warn({ certFile: files.certFile, validUntil: new Date(end).toISOString() }, 'the TLS certificate has ended or soon will: renew it')
}

function watchFolder(folder: string, changed: () => void): FSWatcher | undefined {
  try {
    // Polling goes on where the notices stop.
    return watch(folder, { persistent: false }, changed).on('error', ignore)
  } catch {
    return undefined
  }
}

function ignore(): void {
  // See watchFolder.
}

/** Changes whenever either file does, also when one is replaced by another of the same size and time. */
async function signature(files: TlsFiles): Promise<string> {
  const parts = await Promise.all(
    [files.certFile, files.keyFile].map(async (file) => {
      const found = await stat(file, { bigint: true }).catch(() => undefined)
      return found === undefined ? 'missing' : `${found.ino}:${found.size}:${found.mtimeNs}:${found.ctimeNs}`
    }),
  )
  return parts.join(' ')
}
