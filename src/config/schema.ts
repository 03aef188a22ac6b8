import { z } from 'zod'
import { parseAccountId, parseRegion, type Region } from '../values/account.ts'
import { parseByteRate } from './byte-rate.ts'
import { parseRequestRates } from './request-rates.ts'
import { logSettings } from './log-settings.ts'
import { mebibyte, type Quotas } from './quotas.ts'
import { clientKindSettings } from './client-kinds.ts'
import { auditOutletSettings } from './audit-outlet-settings.ts'
import { eventSettings } from './event-settings.ts'
import { metricSettings } from './metric-settings.ts'
import { parseEndpoint, parseHeaders } from './otlp.ts'
import { quotaSettings } from './quota-settings.ts'
import { settingNotes, type SettingNotes } from './setting-notes.ts'
import { parsePrivateHosts } from './private-hosts.ts'
import { flag, parsed, path, valueOf, wholeNumber } from './setting-values.ts'
import { hostAndPort, isLoopback, parseListenAddress, parseNetworkRange, type NetworkRange } from './address.ts'

/*
 * The one description of every setting: types, defaults, environment names and docs/reference/config.md all
 * come from it. A default is written as its text in the environment, so that it passes the same checks.
 */

const day = 24 * 60 * 60 * 1000

/** Longer than any of these has a use; also keeps them inside what a timer can hold (2^31 - 1 ms). */
const maxDurationMs = 14 * day

function parsePublicUrl(text: string): string | undefined {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return undefined
  const bare = url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === ''
  return bare ? url.origin : undefined
}

function parseRatio(text: string): number | undefined {
  const ratio = /^[01]?(\.\d{1,9})?$/u.test(text) && text !== '.' ? Number(text) : Number.NaN
  return ratio >= 0 && ratio <= 1 ? ratio : undefined
}

const maxDomainLength = 253

function parseDomain(text: string): string | undefined {
  const domain = text.toLowerCase()
  const labels = domain.split('.')
  const valid = domain.length <= maxDomainLength && labels.every((label) => /^(?!-)[a-z0-9-]{1,63}(?<!-)$/u.test(label))
  return valid ? domain : undefined
}

function parseRanges(text: string): readonly NetworkRange[] | undefined {
  const ranges = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parseNetworkRange)
  return ranges.every((range) => range !== undefined) ? ranges : undefined
}

function parseRegions(text: string): ReadonlySet<Region> | undefined {
  try {
    return new Set(text.split(',').map((part) => parseRegion(part.trim())))
  } catch {
    return undefined
  }
}

export const settings = z.object({
  listen: parsed(parseListenAddress, 'write host:port with an IP address or localhost, such as 127.0.0.1:5050 or [::1]:5050')
    .prefault('127.0.0.1:5050')
    .register(settingNotes, {
      env: 'STOWAGE_LISTEN',
      group: 'Listening',
      form: '`host:port`',
      description:
        'Where the server listens. An address beyond loopback also needs TLS or `STOWAGE_INSECURE_LISTEN`. Port 0 takes a free one.',
    }),
  tlsCert: path.optional().register(settingNotes, {
    env: 'STOWAGE_TLS_CERT',
    group: 'Listening',
    form: 'path',
    description:
      'Certificate chain in PEM, leaf first. Needs `STOWAGE_TLS_KEY`. Both files are read again when they change, without a restart.',
    unset: 'no TLS',
  }),
  tlsKey: path.optional().register(settingNotes, {
    env: 'STOWAGE_TLS_KEY',
    group: 'Listening',
    form: 'path',
    description: 'Private key of the certificate, in PEM, without a passphrase.',
    unset: 'no TLS',
  }),
  tlsSelfSigned: flag.prefault('false').register(settingNotes, {
    env: 'STOWAGE_TLS_SELF_SIGNED',
    group: 'Listening',
    form: '`true` or `false`',
    description:
      'Make an authority and a certificate in `<data>/tls/` and serve TLS with it. `stowage trust` tells how clients learn to trust it.',
  }),
  insecureListen: flag.prefault('false').register(settingNotes, {
    env: 'STOWAGE_INSECURE_LISTEN',
    group: 'Listening',
    form: '`true` or `false`',
    description:
      'Allow plain HTTP beyond loopback: for a TLS-terminating proxy in front, or a network you trust. Passwords and images cross it in the clear.',
  }),
  trustedProxies: parsed(parseRanges, 'write addresses or CIDR ranges with commas between them, such as 10.0.0.0/8,192.168.1.7')
    .prefault('')
    .register(settingNotes, {
      env: 'STOWAGE_TRUSTED_PROXIES',
      group: 'Listening',
      form: 'CIDR list',
      description:
        'Peers whose `X-Forwarded-For`, `-Proto` and `-Host` are believed. From anybody else these headers are ignored.',
      unset: 'nobody',
    }),

  publicUrl: parsed(parsePublicUrl, 'write a URL of scheme and host only, such as https://registry.example.com')
    .optional()
    .register(settingNotes, {
      env: 'STOWAGE_PUBLIC_URL',
      group: 'Names',
      form: 'URL',
      description: 'How clients reach the server; used where an answer must hold an absolute address.',
      unset: 'the host and scheme of each request',
    }),
  registryDomain: parsed(parseDomain, 'write a host name without scheme, port or path, such as registry.example.com')
    .optional()
    .register(settingNotes, {
      env: 'STOWAGE_REGISTRY_DOMAIN',
      group: 'Names',
      form: 'host name',
      description: 'The domain of host names that select a registry: `<account>.dkr.ecr.<region>.<domain>`. Any other host selects the registry of whoever asks.',
      unset: 'any domain will do in such a name',
    }),
  accountId: valueOf(parseAccountId, 'write 12 digits').prefault('000000000000').register(settingNotes, {
    env: 'STOWAGE_ACCOUNT_ID',
    group: 'Names',
    form: '12 digits',
    description: 'The account that the root credential belongs to.',
  }),
  region: valueOf(parseRegion, 'write 2 to 25 lower-case letters, digits and "-", such as us-east-1')
    .prefault('us-east-1')
    .register(settingNotes, {
      env: 'STOWAGE_REGION',
      group: 'Names',
      form: 'region name',
      description: 'The region of the default registry.',
    }),
  regions: parsed(parseRegions, 'write names of regions with commas between them, such as us-east-1,eu-central-1')
    .optional()
    .register(settingNotes, {
      env: 'STOWAGE_REGIONS',
      group: 'Names',
      form: 'list of regions',
      description:
        'The regions in which accounts may begin to keep images and settings, beside `STOWAGE_REGION`. What is in another region already stays in use.',
      unset: "every region whose name is formed as AWS's are, such as `eu-central-1`",
    }),

  dataDir: path.prefault('./data').register(settingNotes, {
    env: 'STOWAGE_DATA_DIR',
    group: 'Storage',
    form: 'path',
    description: 'The data folder: blobs, the SQLite database, keys, the generated root credential. One process serves it at a time.',
  }),
  archiveDir: path.optional().register(settingNotes, {
    env: 'STOWAGE_ARCHIVE_DIR',
    group: 'Storage',
    form: 'path',
    description: 'Where the blobs of archived images are: a folder on storage that is cheaper, and may be slower. The folder that it is in must exist. Servers that share a database must share it too.',
    unset: '`archive` in the data folder',
  }),
  databaseUrl: parsed(
    (text) => (/^postgres(ql)?:$/u.test(URL.parse(text)?.protocol ?? '') ? text : undefined),
    'write a PostgreSQL URL, such as postgres://stowage:PASSWORD@db.example.com:5432/stowage, or unset it to use SQLite in the data folder',
  )
    .optional()
    .register(settingNotes, {
      env: 'STOWAGE_DATABASE_URL',
      group: 'Storage',
      form: '`postgres://…`',
      description: 'The PostgreSQL database of the metadata. Servers that share one must share the keyring and the blobs too.',
      unset: 'SQLite in the data folder',
      secret: true,
    }),

  rootAccessKeyId: z
    .string()
    .regex(/^\w{4,128}$/u, 'write 4 to 128 letters, digits and underscores')
    .optional()
    .register(settingNotes, {
      env: 'STOWAGE_ROOT_ACCESS_KEY_ID',
      group: 'Identity',
      form: 'access key id',
      description: 'Access key id of the root principal. Needs `STOWAGE_ROOT_SECRET_ACCESS_KEY`.',
      unset: 'generated at the first start, kept in `<data>/root-credentials.json`',
    }),
  rootSecretAccessKey: z
    .string()
    .regex(/^[\x21-\x7e]{16,128}$/u, 'write 16 to 128 printable ASCII characters without spaces')
    .optional()
    .register(settingNotes, {
      env: 'STOWAGE_ROOT_SECRET_ACCESS_KEY',
      group: 'Identity',
      form: 'secret',
      description: 'Secret access key of the root principal.',
      unset: 'generated with the access key id',
      secret: true,
    }),
  keyring: z.string().optional().register(settingNotes, {
    env: 'STOWAGE_KEYRING',
    group: 'Identity',
    form: 'path, or JSON',
    description:
      "The keys that seal tokens and stored secrets: a file's path, or the keyring itself. `stowage keyring create` makes one. Required with `STOWAGE_DATABASE_URL` unless the data folder has one.",
    unset: '`<data>/keys/keyring.json`, made at the first start',
    secret: true,
  }),
  oidcPrivateHosts: parsed(
    parsePrivateHosts,
    'write hosts with commas between them, each once, with a port where it is not 443, and with the accounts where it is not for the home account alone, such as kubernetes.default.svc,gitlab.corp.example:8443=123456789012+210987654321,sso.corp.example=*',
  )
    .prefault('')
    .register(settingNotes, {
      env: 'STOWAGE_OIDC_PRIVATE_HOSTS',
      group: 'Identity',
      form: '`host[:port][=accounts]` list',
      description:
        'Servers of OpenID Connect providers that may have private or loopback addresses. Keys of web identities are fetched from public addresses and from these only; name the host of the `jwks_uri` too where it is another. A host is for providers of the home account (`STOWAGE_ACCOUNT_ID`) alone unless others are written: `gitlab.corp.example=123456789012+210987654321`, or `=*` for every account.',
      unset: 'public addresses only',
    }),
  oidcCaFile: path.optional().register(settingNotes, {
    env: 'STOWAGE_OIDC_CA_FILE',
    group: 'Identity',
    form: 'path',
    description:
      "Authorities, in PEM, that are trusted beside the system's when keys of web identities are fetched: a cluster's or a company's own. Read again for every fetch.",
    unset: "the system's authorities, and those of `NODE_EXTRA_CA_CERTS`",
  }),
  ...eventSettings,
  metricsToken: z
    .string()
    .regex(/^[\x21-\x7e]{16,256}$/u, 'write 16 to 256 printable ASCII characters without spaces')
    .optional()
    .register(settingNotes, {
      env: 'STOWAGE_METRICS_TOKEN',
      group: 'Identity',
      form: 'secret',
      description: 'The bearer token that `GET /metrics` asks for.',
      unset: 'only the loopback address may read `/metrics`',
      secret: true,
    }),

  uploadExpiryMs: wholeNumber(60_000, maxDurationMs, 'milliseconds').prefault(String(day)).register(settingNotes, {
    env: 'STOWAGE_UPLOAD_EXPIRY_MS',
    group: 'Limits',
    form: 'milliseconds',
    description: 'An upload session that nobody touched for this long is dropped with its bytes.',
  }),
  headersTimeoutMs: wholeNumber(100, maxDurationMs, 'milliseconds').prefault('30000').register(settingNotes, {
    env: 'STOWAGE_HEADERS_TIMEOUT_MS',
    group: 'Limits',
    form: 'milliseconds',
    description: "How long a client may take over a request's headers, from the first byte to the last.",
  }),
  uploadIdleTimeoutMs: wholeNumber(100, maxDurationMs, 'milliseconds').prefault('60000').register(settingNotes, {
    env: 'STOWAGE_UPLOAD_IDLE_TIMEOUT_MS',
    group: 'Limits',
    form: 'milliseconds',
    description:
      'A request body that brings next to nothing for this long is ended. There is no limit on how long a body that flows may take.',
  }),
  downloadIdleTimeoutMs: wholeNumber(100, maxDurationMs, 'milliseconds').prefault('60000').register(settingNotes, {
    env: 'STOWAGE_DOWNLOAD_IDLE_TIMEOUT_MS',
    group: 'Limits',
    form: 'milliseconds',
    description: 'A client that takes nothing of its answer for this long is disconnected.',
  }),
  maxConnections: wholeNumber(1, 1_000_000, 'connections').prefault('10000').register(settingNotes, {
    env: 'STOWAGE_MAX_CONNECTIONS',
    group: 'Limits',
    form: 'number',
    description: "Connections beyond this are closed at once. Keep it below the process's limit of open files.",
  }),

  ...quotaSettings,
  ...logSettings,

  requestRates: parsed(parseRequestRates, 'write ecr, or calls with their rates such as PutImage=50,BatchGetImage=2000, or both')
    .optional()
    .register(settingNotes, {
      env: 'STOWAGE_REQUEST_RATES',
      group: 'Quotas',
      form: 'list, such as `ecr,PutImage=50`',
      description:
        "Calls a second that each registry may make on one server: `ecr` for ECR's own rates, and single calls by name, of which `AssumeRoleWithWebIdentity` is STS's. What is beyond is answered by ThrottlingException, or status 429 on the docker endpoint.",
      unset: 'not limited',
    }),

  trashRetentionMs: wholeNumber(0, 3650, 'days').transform((days) => days * day).prefault('7').register(settingNotes, {
    env: 'STOWAGE_TRASH_RETENTION_DAYS',
    group: 'Operation',
    form: 'days',
    description:
      'Deleted images and repositories can be brought back for this long; their bytes stay as long. 0 keeps nothing, as ECR does, longer than the hour for which a push may count on what it was told is there.',
  }),
  restoreOnPull: flag.prefault('true').register(settingNotes, {
    env: 'STOWAGE_RESTORE_ON_PULL',
    group: 'Operation',
    form: '`true` or `false`',
    description: 'Whether a pull of an image that a lifecycle policy deleted brings it back, as long as it is in the trash. Not with `STOWAGE_STRICT_ECR`.',
  }),
  ...clientKindSettings,
  archiveMinimumDays: wholeNumber(0, 3650, 'days').optional().register(settingNotes, {
    env: 'STOWAGE_ARCHIVE_MINIMUM_DAYS',
    group: 'Operation',
    form: 'days',
    description: 'A lifecycle policy that would delete images sooner after they were archived is refused.',
    unset: '0; with `STOWAGE_STRICT_ECR` 90, as with ECR',
  }),
  archiveRestoreOnPull: flag.prefault('false').register(settingNotes, {
    env: 'STOWAGE_ARCHIVE_RESTORE_ON_PULL',
    group: 'Operation',
    form: '`true` or `false`',
    description: 'Whether a pull of an archived image begins to restore it. The pull itself is refused either way, as by ECR; a later one succeeds.',
  }),
  gcIntervalMs: wholeNumber(0, maxDurationMs, 'milliseconds').prefault('60000').register(settingNotes, {
    env: 'STOWAGE_GC_INTERVAL_MS',
    group: 'Operation',
    form: 'milliseconds',
    description: 'What is not needed any more is looked for this often, and its space given back. 0: never.',
  }),
  reconcileIntervalDays: wholeNumber(0, 3650, 'days').prefault('7').register(settingNotes, {
    env: 'STOWAGE_RECONCILE_INTERVAL_DAYS',
    group: 'Operation',
    form: 'days',
    description:
      'The files of the blob stores and the rows of the database are compared this often, in the background, and what does not agree is reported. 0: only when asked to.',
  }),
  reconcileItemsPerSecond: wholeNumber(1, 1_000_000, 'files and rows').prefault('200').register(settingNotes, {
    env: 'STOWAGE_RECONCILE_RATE',
    group: 'Operation',
    form: 'files and rows a second',
    description: 'That comparison looks at no more than this. One that somebody asked for is twenty times as fast.',
  }),
  lifecycleIntervalMs: wholeNumber(0, maxDurationMs, 'milliseconds').prefault('3600000').register(settingNotes, {
    env: 'STOWAGE_LIFECYCLE_INTERVAL_MS',
    group: 'Operation',
    form: 'milliseconds',
    description:
      'A repository whose lifecycle policy or images were changed is evaluated this long after it, and acted on. 0: only when asked to.',
  }),
  lifecycleConfirmation: flag.prefault('true').register(settingNotes, {
    env: 'STOWAGE_LIFECYCLE_CONFIRMATION',
    group: 'Operation',
    form: '`true` or `false`',
    description:
      'Whether a lifecycle run waits for somebody where it would remove all images of a repository, more than half of them (and more than ten), or, after its policy was changed, images that the policy before had left alone.',
  }),
  strictEcr: flag.prefault('false').register(settingNotes, {
    env: 'STOWAGE_STRICT_ECR',
    group: 'Operation',
    form: '`true` or `false`',
    description:
      'Take only what ECR takes: lifecycle policies in other spellings are refused with its error, and runs never wait for confirmation.',
  }),
  scrubIntervalDays: wholeNumber(0, 3650, 'days').prefault('30').register(settingNotes, {
    env: 'STOWAGE_SCRUB_INTERVAL_DAYS',
    group: 'Operation',
    form: 'days',
    description:
      'Every blob is read and compared with its digest this often, in the background; a bad one is not served any more. 0 turns it off.',
  }),
  scrubBytesPerSecond: parsed(parseByteRate, 'write a rate such as 10MB/s, 8MiB/s or 500KB/s').prefault('10MB/s').register(settingNotes, {
    env: 'STOWAGE_SCRUB_RATE',
    group: 'Operation',
    form: 'rate, such as `10MB/s`',
    description: 'The background check reads no faster than this, and less while clients keep the server busy.',
  }),
  otlpEndpoint: parsed(parseEndpoint, 'write a URL without user, query and fragment, such as http://collector.example.com:4318')
    .optional()
    .register(settingNotes, {
      env: 'OTEL_EXPORTER_OTLP_ENDPOINT',
      group: 'Operation',
      form: 'URL',
      description: 'A collector of OpenTelemetry traces, which takes OTLP over HTTP in JSON at `<URL>/v1/traces`. [What a trace tells](../operations/monitoring.md#traces).',
      unset: 'nothing is traced',
    }),
  otlpHeaders: parsed(parseHeaders, 'write names and values with commas between them, such as api-key=abc,tenant=registry; of the values, other characters than letters and digits as %XX where in doubt')
    .optional()
    .register(settingNotes, {
      env: 'OTEL_EXPORTER_OTLP_HEADERS',
      group: 'Operation',
      form: '`name=value` list',
      description: 'Headers that are sent with traces.',
      unset: 'none',
      secret: true,
    }),
  traceRatio: parsed(parseRatio, 'write a number from 0 to 1, such as 0.05').prefault('1').register(settingNotes, {
    env: 'STOWAGE_TRACE_RATIO',
    group: 'Operation',
    form: 'number from 0 to 1',
    description: 'Which part of the requests is traced. One that comes with a `traceparent` header says itself whether it is.',
  }),
  drainTimeoutMs: wholeNumber(0, maxDurationMs, 'milliseconds').prefault('25000').register(settingNotes, {
    env: 'STOWAGE_DRAIN_TIMEOUT_MS',
    group: 'Operation',
    form: 'milliseconds',
    description:
      'How long a stopping server waits for requests in flight. The default stays below the 30 s that Kubernetes gives a pod.',
  }),
  logLevel: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .prefault('info')
    .register(settingNotes, {
      env: 'STOWAGE_LOG_LEVEL',
      group: 'Operation',
      form: '`fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`',
      description: 'The least severe lines that are logged. Requests are logged at `info` (`STOWAGE_REQUEST_LOG`); successful health, readiness and metrics requests at `debug`.',
    }),
  requestLog: z
    .enum(['all', 'errors', 'off'])
    .prefault('all')
    .register(settingNotes, {
      env: 'STOWAGE_REQUEST_LOG',
      group: 'Operation',
      form: '`all`, `errors` or `off`',
      description: 'Which requests get a line in the log: all, those that were refused, failed or were cut off, or none. [What a line holds](../operations/monitoring.md#the-log).',
    }),
  audit: z
    .enum(['on', 'off'])
    .prefault('on')
    .register(settingNotes, {
      env: 'STOWAGE_AUDIT',
      group: 'Operation',
      form: '`on` or `off`',
      description: 'Whether every request and every change becomes a record of [the audit trail](../operations/audit.md). Off, changes are still written down with the change, and sealed when it is on again.',
    }),
  auditRequired: flag.prefault('false').register(settingNotes, {
    env: 'STOWAGE_AUDIT_REQUIRED',
    group: 'Operation',
    form: '`true` or `false`',
    description: 'Whether requests are refused (503) while the audit journal cannot be written, as on a full disk. Without it they are served, some 10,000 are remembered until it can be written again, and those beyond are counted in the log.',
  }),
  auditRetentionDays: wholeNumber(1, 3650, 'days').prefault('90').register(settingNotes, {
    env: 'STOWAGE_AUDIT_RETENTION_DAYS',
    group: 'Operation',
    form: 'days',
    description: 'How long records of the audit trail are kept. CloudTrail\'s event history has 90 days.',
  }),
  ...metricSettings,
  ...auditOutletSettings,
  logFormat: z
    .enum(['auto', 'json', 'text'])
    .prefault('auto')
    .register(settingNotes, {
      env: 'STOWAGE_LOG_FORMAT',
      group: 'Operation',
      form: '`auto`, `json` or `text`',
      description: 'One JSON object a line, or lines for people. `auto`: text on a terminal, JSON elsewhere.',
    }),
})

type Settings = z.output<typeof settings>

export type TlsConfig =
  | { readonly mode: 'off' }
  | { readonly mode: 'files'; readonly certFile: string; readonly keyFile: string }
  | { readonly mode: 'self-signed' }

export interface RootCredential {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

type PairedSetting = 'tlsCert' | 'tlsKey' | 'tlsSelfSigned' | 'rootAccessKeyId' | 'rootSecretAccessKey' | QuotaSetting

type QuotaSetting =
  | 'quotaRegionsPerAccount'
  | 'quotaRepositoriesPerRegistry'
  | 'quotaImagesPerRepository'
  | 'quotaRepositoryMebibytes'
  | 'quotaRegistryMebibytes'
  | 'quotaTagsPerImage'
  | 'quotaLayerMebibytes'
  | 'quotaPartsPerLayer'
  | 'quotaCreationTemplates'
  | 'quotaPullTimeExclusions'
  | 'quotaSessionsPerAccount'

/** What the program runs with: every setting checked, and those that only make sense together put together. */
export type Config = Readonly<Omit<Settings, PairedSetting>> & {
  readonly tls: TlsConfig
  /** The configured root credential; undefined where the platform keeps one of its own in the data folder. */
  readonly rootCredential: RootCredential | undefined
  readonly quotas: Quotas
}

export type SettingName = keyof typeof settings.shape

export function notesOf(name: SettingName): SettingNotes {
  const notes = settingNotes.get(settings.shape[name])
  if (notes === undefined) throw new Error(`the setting ${name} says nothing about itself`)
  return notes
}

export const settingNames = Object.keys(settings.shape) as readonly SettingName[]

export const configSchema = settings
  .superRefine((value, context) => {
    const refuse = (name: SettingName, message: string): void =>
      context.addIssue({ code: 'custom', path: [name], message })

    if (value.tlsCert !== undefined && value.tlsKey === undefined) refuse('tlsKey', 'is missing: STOWAGE_TLS_CERT needs its key')
    if (value.tlsKey !== undefined && value.tlsCert === undefined) refuse('tlsCert', 'is missing: STOWAGE_TLS_KEY needs its certificate')
    if (value.tlsSelfSigned && (value.tlsCert !== undefined || value.tlsKey !== undefined)) {
      refuse('tlsSelfSigned', 'cannot be combined with STOWAGE_TLS_CERT and STOWAGE_TLS_KEY: keep one or the other')
    }
    if (value.rootAccessKeyId !== undefined && value.rootSecretAccessKey === undefined) {
      refuse('rootSecretAccessKey', 'is missing: set it beside STOWAGE_ROOT_ACCESS_KEY_ID, or unset both to have a pair generated')
    }
    if (value.rootSecretAccessKey !== undefined && value.rootAccessKeyId === undefined) {
      refuse('rootAccessKeyId', 'is missing: set it beside STOWAGE_ROOT_SECRET_ACCESS_KEY, or unset both to have a pair generated')
    }
    const place = value.auditExport
    if (place !== undefined && 'bucket' in place) {
      if (value.auditExportAccessKeyId === undefined) refuse('auditExportAccessKeyId', 'is missing: STOWAGE_AUDIT_EXPORT names a bucket')
      if (value.auditExportSecretAccessKey === undefined) refuse('auditExportSecretAccessKey', 'is missing: STOWAGE_AUDIT_EXPORT names a bucket')
    }
    if (value.auditWebhook !== undefined && value.auditWebhookSecret === undefined) refuse('auditWebhookSecret', 'is missing: what is posted to STOWAGE_AUDIT_WEBHOOK is signed')
    const plain = value.tlsCert === undefined && value.tlsKey === undefined && !value.tlsSelfSigned
    if (plain && !value.insecureListen && !isLoopback(value.listen.host)) {
      refuse('listen', insecureListenText(hostAndPort(value.listen.host, value.listen.port)))
    }
  })
  .transform((value): Config => {
    const { tlsCert, tlsKey, tlsSelfSigned, rootAccessKeyId, rootSecretAccessKey, ...others } = value
    const { quotas, rest } = gatherQuotas(others)
    return {
      ...rest,
      quotas,
      tls: tlsOf(tlsCert, tlsKey, tlsSelfSigned),
      rootCredential:
        rootAccessKeyId === undefined || rootSecretAccessKey === undefined
          ? undefined
          : { accessKeyId: rootAccessKeyId, secretAccessKey: rootSecretAccessKey },
    }
  })

function gatherQuotas<Value extends Pick<Settings, QuotaSetting>>(
  value: Value,
): { quotas: Quotas; rest: Omit<Value, QuotaSetting> } {
  const {
    quotaRegionsPerAccount: regionsPerAccount,
    quotaRepositoriesPerRegistry: repositoriesPerRegistry,
    quotaImagesPerRepository: imagesPerRepository,
    quotaRepositoryMebibytes = Number.POSITIVE_INFINITY,
    quotaRegistryMebibytes = Number.POSITIVE_INFINITY,
    quotaTagsPerImage: tagsPerImage,
    quotaLayerMebibytes,
    quotaPartsPerLayer: partsPerLayer,
    quotaCreationTemplates: creationTemplates,
    quotaPullTimeExclusions: pullTimeExclusions,
    quotaSessionsPerAccount: sessionsPerAccount,
    ...rest
  } = value
  const layerBytes = quotaLayerMebibytes * mebibyte
  return {
    quotas: { regionsPerAccount, repositoriesPerRegistry, imagesPerRepository, repositoryBytes: quotaRepositoryMebibytes * mebibyte, registryBytes: quotaRegistryMebibytes * mebibyte, tagsPerImage, layerBytes, partsPerLayer, creationTemplates, pullTimeExclusions, sessionsPerAccount },
    rest,
  }
}

function tlsOf(certFile: string | undefined, keyFile: string | undefined, selfSigned: boolean): TlsConfig {
  if (certFile !== undefined && keyFile !== undefined) return { mode: 'files', certFile, keyFile }
  return selfSigned ? { mode: 'self-signed' } : { mode: 'off' }
}

function insecureListenText(address: string): string {
  return [
    `would listen on ${address} without TLS, so passwords and images could be read and changed on the way. Choose one:`,
    '    1. serve TLS: STOWAGE_TLS_CERT and STOWAGE_TLS_KEY, or STOWAGE_TLS_SELF_SIGNED=true to have a certificate made',
    '    2. stay on this machine: STOWAGE_LISTEN=127.0.0.1:5050',
    '    3. accept plain HTTP, behind a proxy that does TLS or in a network you trust: STOWAGE_INSECURE_LISTEN=true',
  ].join('\n')
}
