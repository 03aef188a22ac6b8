import { lookup as systemLookup, type LookupAddress } from 'node:dns'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { request } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { getCACertificates } from 'node:tls'
import { promisify } from 'node:util'
import { isPublicAddress } from './public-address.ts'

export interface GuardedHttpsOptions {
  /** Whether the server at `host:port`, in lower case, may have private addresses when this account asks. */
  readonly mayBePrivate: (host: string, askedBy: string) => boolean
  /** Authorities that are trusted beside the system's, a file in PEM; read for every request, so that it may change. */
  readonly caFile: string | undefined
  /** How names become addresses; the system's way where absent. */
  readonly resolve?: (hostName: string) => Promise<readonly LookupAddress[]>
  /** Which setting `mayBePrivate` stands for. */
  readonly setting: string
  /** Look-ups at a time: the system's block one of the four threads that files are read with, for as long as a name server is silent. */
  readonly lookups: { readonly most: number; readonly mostOfAccount: number }
}

export interface GuardedRequest {
  readonly method: 'GET' | 'POST'
  readonly headers: OutgoingHttpHeaders
  readonly body?: string
  /** The account whose address it is. */
  readonly askedBy: string
  readonly signal: AbortSignal
}

/** An address that nothing is sent to; the message says why. */
export class UnusableAddress extends Error {
  override readonly name = 'UnusableAddress'
}

/** Resolves with the head of the answer, whatever its status: a redirect is followed by nobody. */
export type GuardedHttps = (url: string, request: GuardedRequest) => Promise<IncomingMessage>

/** More than this waiting, of one account, means that its name servers are down. */
const mostWaiting = 20

/**
 * Sends requests to addresses that users chose, so that nothing inside the operator's network can be reached with it: HTTPS
 * only, public addresses only unless the operator opened the host to the account, connected to the very address that was looked
 * at, without following redirects. Rejects with `UnusableAddress`, or what the system says of a connection.
 */
export function createGuardedHttps(options: GuardedHttpsOptions): GuardedHttps {
  const resolve = limited(options.lookups, options.resolve ?? lookupAll)

  return async (text, { askedBy, ...outgoing }) => {
    const url = URL.parse(text)
    if (url === null || url.protocol !== 'https:' || url.username !== '' || url.password !== '') {
      throw new UnusableAddress('only https is asked')
    }
    const addresses = await addressesOf(url, askedBy)
    const ca = options.caFile === undefined ? undefined : await authorities(options.caFile)
    outgoing.signal.throwIfAborted()
    return send(url, addresses, ca, outgoing)
  }

  async function addressesOf(url: URL, askedBy: string): Promise<readonly LookupAddress[]> {
    const hostName = bare(url.hostname)
    const family = isIP(hostName)
    const found = family === 0 ? await resolve(hostName, askedBy) : [{ address: hostName, family }]
    const mayBePrivate = options.mayBePrivate(`${hostName}:${url.port === '' ? '443' : url.port}`, askedBy)
    const usable = mayBePrivate ? found : found.filter(({ address }) => isPublicAddress(address))
    if (usable.length > 0) return usable
    throw new UnusableAddress(`the host has no public address, and ${options.setting} does not open it to this account`)
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

function send(url: URL, addresses: readonly LookupAddress[], ca: string[] | undefined, { method, headers, body, signal }: Omit<GuardedRequest, 'askedBy'>): Promise<IncomingMessage> {
  // Answers with what was looked at, so that no second look-up can lead elsewhere.
  const lookup: LookupFunction = (_hostName, { all }, callback) => {
    const [first] = addresses
    if (all === true) callback(null, [...addresses])
    else callback(null, first?.address ?? '', first?.family)
  }
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
    const outgoing = request(url, { method, agent: false, lookup, signal, headers: { ...headers, ...length }, ...(ca && { ca }) }, resolve)
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

/** Bounds how many of these run at a time, of all accounts and of each; the others wait, in the order they came. */
function limited<Argument, Result>(limits: GuardedHttpsOptions['lookups'], work: (argument: Argument) => Promise<Result>) {
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
      if (runningOfAll >= limits.most || runningOf(one.account) >= limits.mostOfAccount) {
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
