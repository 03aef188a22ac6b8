import type { IncomingMessage } from 'node:http'
import { createGuardedHttps, UnusableAddress, type GuardedHttpsOptions } from '../../internal/outbound/guarded-https.ts'
import { iamError } from '../errors.ts'

/** A JSON document of an identity provider. */
export interface IssuerDocument {
  readonly content: unknown
  /** How long its sender says that it holds, in milliseconds; undefined where it says nothing. */
  readonly maxAgeMs: number | undefined
}

/** Fetches a JSON document from an identity provider, for an account. @throws `identity-provider-unreachable`, `identity-token-invalid` */
export type IssuerFetch = (url: string, askedBy: string) => Promise<IssuerDocument>

export type IssuerFetchOptions = Omit<GuardedHttpsOptions, 'setting' | 'lookups'>

/** All of it: name, connection, TLS and body. A caller of STS waits for it. */
const timeoutMs = 5_000

/** Key sets have a few KiB, a hundred with certificate chains. */
const maxBodyBytes = 1024 * 1024

/** One account's name servers may all be dead: what it asks for leaves a look-up to the others. */
const lookups = { most: 2, mostOfAccount: 1 }

/**
 * Fetches documents of identity providers, whose addresses come from whoever registered them, so that nothing inside the
 * operator's network can be reached with it: see `createGuardedHttps`. Within a time and a size.
 *
 * The errors' details say what was wrong, for the log; their texts are AWS's and tell the caller nothing of the network.
 */
export function createIssuerFetch(options: IssuerFetchOptions): IssuerFetch {
  const https = createGuardedHttps({ ...options, setting: 'STOWAGE_OIDC_PRIVATE_HOSTS', lookups })

  return async (text, askedBy) => {
    const signal = AbortSignal.timeout(timeoutMs)
    const headers = { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'stowage' }
    const response = await within(signal, text, () => https(text, { method: 'GET', headers, askedBy, signal }))
    return await within(signal, text, () => documentOf(text, response))
  }
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
    if (error instanceof UnusableAddress) throw unusable(url, error.message)
    if (error instanceof Error && 'detail' in error) throw error
    const { code, message } = error as NodeJS.ErrnoException
    throw unreachable(url, code ?? message, error)
  } finally {
    signal.removeEventListener('abort', onAbort)
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
