import { resolve } from 'node:path'
import { secretForm, signingKeyOf } from '../internal/outbound/webhook-signature.ts'
import { parseEndpoint, parseHeaders } from './otlp.ts'
import { settingNotes } from './setting-notes.ts'
import { parsed, path, wholeNumber } from './setting-values.ts'

/** Where files of the trail are put. */
export type AuditExportPlace = { readonly folder: string } | { readonly bucket: string; readonly prefix: string }

function parsePlace(text: string): AuditExportPlace | undefined {
  if (!text.startsWith('s3://')) return text.includes('://') ? undefined : { folder: resolve(text) }
  const [, bucket, prefix = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([\w!.*'()/-]{0,200}?)\/*)?$/u.exec(text) ?? []
  // Such steps name another place than they say, and not every server keeps them as they are.
  const isClear = prefix === '' || prefix.split('/').every((step) => !['', '.', '..'].includes(step))
  return bucket === undefined || !isClear ? undefined : { bucket, prefix }
}

export interface SyslogAddress {
  readonly transport: 'tcp' | 'tls' | 'udp'
  readonly host: string
  readonly port: number
}

/** RFC 5425 and 5426, and what is usual for octet counting without TLS. */
const defaultPorts = { tcp: 601, tls: 6514, udp: 514 } as const

function parseSyslog(text: string): SyslogAddress | undefined {
  const [, transport, host, port] = /^(tcp|tls|udp):\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?\/?$/iu.exec(text) ?? []
  if (host === undefined || (transport !== 'tcp' && transport !== 'tls' && transport !== 'udp')) return undefined
  const number = port === undefined ? defaultPorts[transport] : Number(port)
  return number >= 1 && number <= 65_535 ? { transport, host: host.replaceAll(/[[\]]/gu, ''), port: number } : undefined
}

function parseWebhook(text: string): string | undefined {
  const url = URL.parse(text)
  return url !== null && url.protocol === 'https:' && url.username === '' && url.password === '' && url.hash === '' ? url.href : undefined
}

const maxIntervalSeconds = 24 * 60 * 60

/** Where the audit trail goes beside its store. */
export const auditOutletSettings = {
  auditExport: parsed(parsePlace, 'write a folder, or a bucket such as s3://audit-logs/registry').optional().register(settingNotes, {
    env: 'STOWAGE_AUDIT_EXPORT',
    group: 'Operation',
    form: 'path or `s3://bucket/prefix`',
    description: "Where the audit trail is written as files in [CloudTrail's layout](../operations/audit.md#exports), from its oldest record on.",
    unset: 'nowhere',
  }),
  auditExportIntervalSeconds: wholeNumber(1, maxIntervalSeconds, 'seconds').prefault('300').register(settingNotes, {
    env: 'STOWAGE_AUDIT_EXPORT_INTERVAL_SECONDS',
    group: 'Operation',
    form: 'seconds',
    description: 'How long records are gathered for a file, unless there are 5,000 before.',
  }),
  auditExportEndpoint: parsed(parseEndpoint, 'write a URL without user, query and fragment, such as https://s3.eu-central-1.amazonaws.com').optional().register(settingNotes, {
    env: 'STOWAGE_AUDIT_EXPORT_ENDPOINT',
    group: 'Operation',
    form: 'URL',
    description: 'The S3 server of the bucket of `STOWAGE_AUDIT_EXPORT`; the bucket is the beginning of the path.',
    unset: "Amazon's of the region",
  }),
  auditExportRegion: parsed((text) => (/^[a-z0-9-]{1,64}$/u.test(text) ? text : undefined), 'write a region such as eu-central-1').prefault('us-east-1').register(settingNotes, {
    env: 'STOWAGE_AUDIT_EXPORT_REGION',
    group: 'Operation',
    form: 'region',
    description: 'The region of that bucket.',
  }),
  auditExportAccessKeyId: parsed((text) => (/^[\x21-\x7e]{1,256}$/u.test(text) ? text : undefined), 'write an access key id').optional().register(settingNotes, {
    env: 'STOWAGE_AUDIT_EXPORT_ACCESS_KEY_ID',
    group: 'Operation',
    form: 'access key id',
    description: 'Of whom may put objects into that bucket.',
    unset: 'none: a bucket needs it',
  }),
  auditExportSecretAccessKey: parsed((text) => (/^[\x21-\x7e]{1,512}$/u.test(text) ? text : undefined), 'write a secret access key').optional().register(settingNotes, {
    env: 'STOWAGE_AUDIT_EXPORT_SECRET_ACCESS_KEY',
    group: 'Operation',
    form: 'secret access key',
    description: 'The secret of that key.',
    unset: 'none: a bucket needs it',
    secret: true,
  }),
  auditSyslog: parsed(parseSyslog, 'write tls://, tcp:// or udp://, a host and a port, such as tls://logs.example.com:6514').optional().register(settingNotes, {
    env: 'STOWAGE_AUDIT_SYSLOG',
    group: 'Operation',
    form: '`tls://host:port`, `tcp://host:port` or `udp://host:port`',
    description: 'A syslog server that records are [sent to as they are sealed](../operations/audit.md#forwarding), as messages of RFC 5424: over TLS and TCP with their length before them, over UDP one a datagram, of which what gets lost is lost.',
    unset: 'none',
  }),
  auditOtlpEndpoint: parsed(parseEndpoint, 'write a URL without user, query and fragment, such as http://collector.example.com:4318').optional().register(settingNotes, {
    env: 'STOWAGE_AUDIT_OTLP_ENDPOINT',
    group: 'Operation',
    form: 'URL',
    description: 'A collector of OpenTelemetry that records are sent to as logs: OTLP over HTTP in JSON, at `<URL>/v1/logs`.',
    unset: 'none',
  }),
  auditOtlpHeaders: parsed(parseHeaders, 'write names and values with commas between them, such as api-key=abc,tenant=registry; of the values, other characters than letters and digits as %XX where in doubt').optional().register(settingNotes, {
    env: 'STOWAGE_AUDIT_OTLP_HEADERS',
    group: 'Operation',
    form: '`name=value` list',
    description: 'Headers of what is sent there.',
    unset: 'none',
    secret: true,
  }),
  auditWebhook: parsed(parseWebhook, 'write an https URL without a user, a password or a fragment').optional().register(settingNotes, {
    env: 'STOWAGE_AUDIT_WEBHOOK',
    group: 'Operation',
    form: 'https URL',
    description: 'A webhook that records are posted to, as `{"Records":[…]}`, signed as [events](../operations/events.md#what-a-receiver-gets) are.',
    unset: 'none',
    secret: true,
  }),
  auditWebhookSecret: parsed((text) => (signingKeyOf(text) === undefined ? undefined : text), `write ${secretForm}`).optional().register(settingNotes, {
    env: 'STOWAGE_AUDIT_WEBHOOK_SECRET',
    group: 'Operation',
    form: '`whsec_…`',
    description: 'What is sent there is signed with it.',
    unset: 'none: a webhook needs it',
    secret: true,
  }),
  auditCaFile: path.optional().register(settingNotes, {
    env: 'STOWAGE_AUDIT_CA_FILE',
    group: 'Operation',
    form: 'path',
    description: "Authorities, in PEM, that are trusted beside the system's where the trail is exported or forwarded to. Read again each time.",
    unset: "the system's authorities",
  }),
}
