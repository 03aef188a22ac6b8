import { createHash } from 'node:crypto'
import { Sha256 } from '../../internal/signer-hash.ts'
import type { TrustedAuthorities } from '../../internal/outbound/trusted-authorities.ts'
import type { PutFile } from './export-outlet.ts'
import { postBytes } from './http-post.ts'

/** A bucket of S3, or of a server that speaks its protocol. */
export interface BucketSettings {
  /** Such as `https://s3.us-east-1.amazonaws.com`; the bucket is the beginning of the path. */
  readonly endpoint: string
  readonly bucket: string
  /** Before each name, without a slash at its end; may be empty. */
  readonly prefix: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly trusted: TrustedAuthorities
}

/** Puts files into a bucket. An object is there as a whole, or not at all. */
export function putInBucket(settings: BucketSettings): PutFile {
  const { endpoint, bucket, prefix, region, accessKeyId, secretAccessKey, trusted } = settings
  return async ({ path, bytes }, signal) => {
    const { SignatureV4 } = await import('@smithy/signature-v4')
    const url = new URL(`${endpoint}/${[bucket, prefix, path].flatMap((part) => part.split('/')).filter((step) => step !== '').map(escaped).join('/')}`)
    // A path of S3 is signed as it is sent.
    const signer = new SignatureV4({ service: 's3', region, credentials: { accessKeyId, secretAccessKey }, sha256: Sha256, uriEscapePath: false })
    const signed = await signer.sign({
      method: 'PUT',
      protocol: url.protocol,
      hostname: url.hostname,
      path: url.pathname,
      query: {},
      headers: { host: url.host, 'content-type': 'application/gzip', 'x-amz-content-sha256': createHash('sha256').update(bytes).digest('hex') },
      body: bytes,
    })
    await postBytes(url, { method: 'PUT', headers: signed.headers, body: bytes, trusted, signal, reasonIn })
  }
}

/** Every other character than these is escaped in what is signed, more than URLs ask for. https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
function escaped(step: string): string {
  return encodeURIComponent(step).replaceAll(/[!'()*]/gu, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

const longestReason = 300

/** The code and the message of an error. Other elements may repeat what was signed. https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
function reasonIn(answer: string): string | undefined {
  const texts = ['Code', 'Message'].map((name) => new RegExp(`<${name}>([^<]*)</${name}>`, 'u').exec(answer)?.[1]).filter((text) => text !== undefined)
  return texts.length === 0 ? undefined : texts.join(': ').replaceAll(/&(?:#34|quot);/gu, '"').slice(0, longestReason)
}
