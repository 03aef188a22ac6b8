import { lookup as systemLookup, type LookupAddress } from 'node:dns'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { getCACertificates } from 'node:tls'
import { promisify } from 'node:util'
import { iamError } from '../errors.ts'
import { isPublicAddress } from './public-address.ts'

/** A JSON document of an identity provider. */
export interface IssuerDocument {
  readonly content: unknown
  /** How long its sender says that it holds, in milliseconds; undefined where it says nothing. */
  readonly maxAgeMs: number | undefined
}

/** Fetches a JSON document from an identity provider, for an account. @throws `identity-provider-unreachable`, `identity-token-invalid` */
export type IssuerFetch = (url: string, askedBy: string) => Promise<IssuerDocument>

export interface IssuerFetchOptions {
  /** Whether the server at `host:port`, in lower case, may have private addresses when this account asks. */
  readonly mayBePrivate: (host: string, askedBy: string) => boolean
  /** Authorities that are trusted beside the system's, a file in PEM; read for every fetch, so that it may change. */
  readonly caFile: string | undefined
  /** How names become addresses; the system's way where absent. */
  readonly resolve?: (hostName: string) => Promise<readonly LookupAddress[]>
}

/** All of it: name, connection, TLS and body. A caller of STS waits for it. */
const timeoutMs = 5_000

/** Key sets have a few KiB, a hundred with certificate chains. */
const maxBodyBytes = 1024 * 1024

/** The system's look-ups block one of the four threads that files are read with, for as long as a name server is silent. */
const mostLookups = 2

/** One account's name servers may all be dead: what it asks for leaves a look-up to the others. */
const mostLookupsOfAccount = 1

/** More than this waiting, of one account, means that its name servers are down. */
const mostWaiting = 20

/**
 * Fetches documents of identity providers, whose addresses come from whoever registered them, so that nothing inside the
 * operator's network can be reached with it: HTTPS only, public addresses only unless the operator opened the host to the account,
 * connected to the very address that was looked at, without following redirects, within a time and a size.
 *
 * The errors' details say what was wrong, for the log; their texts are AWS's and tell the caller nothing of the network.
 */
export function createIssuerFetch(options: IssuerFetchOptions): IssuerFetch {
  const resolve = limited(options.resolve ?? lookupAll)

  return async (text, askedBy) => {
    const url = URL.parse(text)
    if (url === null || url.protocol !== 'https:' || url.username !== '' || url.password !== '') {
      throw unusable(text, 'only https is fetched from')
    }
    const signal = AbortSignal.timeout(timeoutMs)
    const addresses = await within(signal, text, () => addressesOf(url, askedBy))
    const ca = options.caFile === undefined ? undefined : await authorities(options.caFile)
    const response = await within(signal, text, () => get(url, addresses, ca, signal))
    return await within(signal, text, () => documentOf(text, response))
  }

  async function addressesOf(url: URL, askedBy: string): Promise<readonly LookupAddress[]> {
    const hostName = bare(url.hostname)
    const family = isIP(hostName)
    const found = family === 0 ? await resolve(hostName, askedBy) : [{ address: hostName, family }]
    const mayBePrivate = options.mayBePrivate(`${hostName}:${url.port === '' ? '443' : url.port}`, askedBy)
    const usable = mayBePrivate ? found : found.filter(({ address }) => isPublicAddress(address))
    if (usable.length > 0) return usable
    throw unusable(url.href, 'the host has no public address, and STOWAGE_OIDC_PRIVATE_HOSTS does not open it to this account')
  }
}

/** `[::1]` without its brackets. */
function bare(hostName: string): string {
  return hostName.startsWith('[') ? hostName.slice(1, -1) : hostName
}

async function authorities(file: string): Promise<string[]> {
  return [...getCACertificates('default'), await readFile(file, 'utf8')]
}

const lookupAll = async (hostName: string): Promise<LookupAddress[]> => promisify(systemLookup)(hostName, { all: true })

function get(url: URL, addresses: readonly LookupAddress[], ca: string[] | undefined, signal: AbortSignal): Promise<IncomingMessage> {
  // Answers with what was looked at, so that no second look-up can lead elsewhere.
  const lookup: LookupFunction = (_hostName, { all }, callback) => {
    const [first] = addresses
    if (all === true) callback(null, [...addresses])
    else callback(null, first?.address ?? '', first?.family)
  }
  return new Promise((resolve, reject) => {
    const headers = { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'stowage' }
    const outgoing = request(url, { method: 'GET', agent: false, lookup, signal, headers, ...(ca && { ca }) }, resolve)
    outgoing.on('error', reject)
    outgoing.end()
  })
}

async function documentOf(url: string, response: IncomingMessage): Promise<IssuerDocument> {
  try {
    const { statusCode = 0, headers } = response
    if (statusCode === 429 || statusCode >= 500) throw unreachable(url, `status ${statusCode}`)
    // A redirect is followed by nobody: the provider's registration says where it is.
    if (statusCode !== 200) throw unusable(url, `status ${statusCode}`)
    const chunks: Buffer[] = []
    let sizeBytes = 0
    for await (const chunk of response as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length
      if (sizeBytes > maxBodyBytes) throw unusable(url, `more than ${maxBodyBytes} bytes`)
      chunks.push(chunk)
    }
    return { content: jsonOf(url, Buffer.concat(chunks)), maxAgeMs: maxAgeOf(headers['cache-control']) }
  } finally {
    response.destroy()
  }
}

function jsonOf(url: string, bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw unusable(url, 'not JSON')
  }
}

function maxAgeOf(cacheControl: string | undefined): number | undefined {
  const seconds = /(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])/i.exec(cacheControl ?? '')?.[1]
  return seconds === undefined ? undefined : Number(seconds) * 1000
}

/** Runs a step of a fetch; what fails on the way counts as a provider that cannot be reached. */
async function within<Result>(signal: AbortSignal, url: string, step: () => Promise<Result>): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(unreachable(url, `no answer within ${timeoutMs} ms`))
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort)
  late.catch(() => undefined)
  try {
    return await Promise.race([step(), late])
  } catch (error) {
    if (error instanceof Error && 'detail' in error) throw error
    const { code, message } = error as NodeJS.ErrnoException
    throw unreachable(url, code ?? message, error)
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Bounds how many of these run at a time, of all accounts and of each; the others wait, in the order they came. */
function limited<Argument, Result>(work: (argument: Argument) => Promise<Result>) {
  let waiting: { readonly account: string; readonly start: () => void }[] = []
  const running = new Map<string, number>()
  let runningOfAll = 0
  const runningOf = (account: string): number => running.get(account) ?? 0
  const count = (account: string, change: 1 | -1): void => {
    runningOfAll += change
    const left = runningOf(account) + change
    if (left === 0) running.delete(account)
    else running.set(account, left)
  }
  const startWaiting = (): void => {
    const still: typeof waiting = []
    for (const one of waiting) {
      if (runningOfAll >= mostLookups || runningOf(one.account) >= mostLookupsOfAccount) {
        still.push(one)
        continue
      }
      count(one.account, 1)
      one.start()
    }
    waiting = still
  }
  return async (argument: Argument, account: string): Promise<Result> => {
    if (waiting.filter((one) => one.account === account).length >= mostWaiting) throw new Error('too many look-ups are waiting')
    await new Promise<void>((start) => {
      waiting.push({ account, start })
      startWaiting()
    })
    try {
      return await work(argument)
    } finally {
      count(account, -1)
      startWaiting()
    }
  }
}

function unreachable(url: string, reason: string, cause?: unknown): Error {
  return iamError(
    'identity-provider-unreachable',
    'The request could not be fulfilled because the identity provider could not be reached. Try again.',
    { url, reason },
    cause,
  )
}

/** AWS's text for a provider whose documents are not what they should be. */
export function unusable(url: string, reason: string): Error {
  return iamError(
    'identity-token-invalid',
    "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
    { url, reason },
  )
}
