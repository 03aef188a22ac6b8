import { TrustedAuthorities } from '../../internal/outbound/trusted-authorities.ts'
import { signingKeyOf } from '../../internal/outbound/webhook-signature.ts'
import { exportOutlet, putInFolder } from './export-outlet.ts'
import { otlpOutlet } from './otlp-outlet.ts'
import type { Outlet } from './outlet.ts'
import { putInBucket, type BucketSettings } from './s3-bucket.ts'
import { syslogOutlet, type SyslogTransport } from './syslog-outlet.ts'
import { webhookOutlet } from './webhook-outlet.ts'

/** Where the trail goes beside its store: plain data, for the thread that brings it there. */
export interface OutletSettings {
  readonly exports: { readonly to: { readonly folder: string } | Omit<BucketSettings, 'trusted'>; readonly intervalMs: number } | undefined
  readonly syslog: { readonly transport: SyslogTransport; readonly host: string; readonly port: number } | undefined
  readonly otlp: { readonly endpoint: string; readonly headers: Readonly<Record<string, string>> } | undefined
  readonly webhook: { readonly url: string; readonly secret: string } | undefined
  /** Authorities for all of them. */
  readonly caFile: string | undefined
  readonly version: string
  readonly hostName: string
  readonly processId: number
}

export function hasOutlets({ exports, syslog, otlp, webhook }: OutletSettings): boolean {
  return [exports, syslog, otlp, webhook].some((outlet) => outlet !== undefined)
}

export function outletsOf(settings: OutletSettings, deps: { readonly now: () => number; readonly onRejected: (records: number, reason: string) => void }): Outlet[] {
  const { exports, syslog, otlp, webhook, caFile, version, hostName, processId } = settings
  const { now, onRejected } = deps
  const trusted = new TrustedAuthorities(caFile, ['default', 'system'])
  return [
    ...(exports === undefined ? [] : [exportOutlet('folder' in exports.to ? putInFolder(exports.to.folder) : putInBucket({ ...exports.to, trusted }), exports.intervalMs)]),
    ...(syslog === undefined ? [] : [syslogOutlet({ ...syslog, trusted, hostName, processId })]),
    ...(otlp === undefined ? [] : [otlpOutlet({ ...otlp, trusted, version, now, onRejected })]),
    ...(webhook === undefined ? [] : [webhookOutlet({ url: webhook.url, key: signingKeyOf(webhook.secret)!, trusted, now })]),
  ]
}
