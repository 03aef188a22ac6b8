import { lookup as systemLookup, type LookupAddress } from 'node:dns'
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import { isPublicAddress } from './public-address.ts'

export interface AddressGuardOptions {
  /** Whether the server at `host:port`, in lower case, may have private addresses when this account asks. */
  readonly mayBePrivate: (host: string, askedBy: string) => boolean
  /** How names become addresses; the system's way where absent. */
  readonly resolve?: (hostName: string) => Promise<readonly LookupAddress[]>
  /** Which setting `mayBePrivate` stands for. */
  readonly setting: string
  /** Look-ups at a time: the system's block one of the four threads that files are read with, for as long as a name server is silent. */
  readonly lookups: { readonly most: number; readonly mostOfAccount: number }
}

/** An address that nothing is sent to; the message says why. */
export class UnusableAddress extends Error {
  override readonly name = 'UnusableAddress'
}

/**
 * The addresses of a host that an account may have something sent to: public ones only, unless the operator opened the host to the
 * account. A connection has to go to one of these, and not to what another look-up would find. Rejects with `UnusableAddress`.
 */
export type AddressGuard = (hostName: string, port: number, askedBy: string) => Promise<readonly LookupAddress[]>

/** More than this waiting, of one account, means that its name servers are down. */
const mostWaiting = 20

export function createAddressGuard(options: AddressGuardOptions): AddressGuard {
  const resolve = limited(options.lookups, options.resolve ?? lookupAll)
  return async (hostName, port, askedBy) => {
    const family = isIP(hostName)
    const found = family === 0 ? await resolve(hostName, askedBy) : [{ address: hostName, family }]
    const usable = options.mayBePrivate(`${hostName}:${port}`, askedBy) ? found : found.filter(({ address }) => isPublicAddress(address))
    if (usable.length > 0) return usable
    throw new UnusableAddress(`the host has no public address, and ${options.setting} does not open it to this account`)
  }
}

/** `[::1]` without its brackets. */
export function bareHostName(hostName: string): string {
  return hostName.startsWith('[') ? hostName.slice(1, -1) : hostName
}

const lookupAll = async (hostName: string): Promise<LookupAddress[]> => promisify(systemLookup)(hostName, { all: true })

/** Bounds how many of these run at a time, of all accounts and of each; the others wait, in the order they came. */
function limited<Argument, Result>(limits: AddressGuardOptions['lookups'], work: (argument: Argument) => Promise<Result>) {
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
