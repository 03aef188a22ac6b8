import { createHash } from 'node:crypto'
import { signatureHeaders } from '../../internal/outbound/webhook-signature.ts'
import type { TrustedAuthorities } from '../../internal/outbound/trusted-authorities.ts'
import { cloudTrailRecord, type TrailBody } from '../trail-record.ts'
import { postBytes } from './http-post.ts'
import { sendsOn, type Outlet } from './outlet.ts'

const maxRecords = 200
const maxBytes = 512 * 1024

/** Posts records in CloudTrail's form to a webhook, signed as events are. */
export function webhookOutlet(settings: { readonly url: string; readonly key: Buffer; readonly trusted: TrustedAuthorities; readonly now: () => number }): Outlet {
  const { key, trusted, now } = settings
  const url = new URL(settings.url)
  return {
    ...sendsOn,
    name: 'webhook',
    maxRecords,
    maxBytes,
    async send(rows, signal) {
      const body = JSON.stringify({ Records: rows.map((row) => cloudTrailRecord(JSON.parse(row.body) as TrailBody)) })
      // The same for the same records.
      const id = createHash('sha256').update(rows[0]!.hash).update(rows.at(-1)!.hash).digest('hex').slice(0, 32)
      const headers = { 'content-type': 'application/json', 'user-agent': 'stowage', ...signatureHeaders(key, id, now(), body) }
      await postBytes(url, { method: 'POST', headers, body: Buffer.from(body), trusted, signal })
    },
  }
}
