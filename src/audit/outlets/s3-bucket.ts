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
    const url = new URL(`${endpoint}/${[bucket, prefix, path].filter((part) => part !== '').join('/')}`)
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
    await postBytes(url, { method: 'PUT', headers: signed.headers, body: bytes, trusted, signal })
  }
}
