import { cloudTrailRecord, eventNameOf, isChangeBody, resourceOf, userNameOf, type TrailBody } from '../trail-record.ts'
import type { TrustedAuthorities } from '../../internal/outbound/trusted-authorities.ts'
import { postBytes } from './http-post.ts'
import { sendsOn, type Outlet } from './outlet.ts'

const maxRecords = 500
const maxBytes = 1024 * 1024

/** https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber */
const severities = { info: { number: 9, text: 'INFO' }, warn: { number: 13, text: 'WARN' } } as const

/** Sends records as logs of OpenTelemetry, over HTTP in JSON. https://opentelemetry.io/docs/specs/otlp/#otlphttp */
export function otlpOutlet(settings: {
  /** Without `/v1/logs`. */
  readonly endpoint: string
  readonly headers: Readonly<Record<string, string>>
  readonly trusted: TrustedAuthorities
  readonly version: string
  readonly now: () => number
  readonly onRejected: (records: number, reason: string) => void
}): Outlet {
  const { headers, trusted, version, now, onRejected } = settings
  const url = new URL(`${settings.endpoint}/v1/logs`)
  return {
    ...sendsOn,
    name: 'otlp',
    maxRecords,
    maxBytes,
    async send(rows, signal) {
      const observed = nanoseconds(now())
      const body = JSON.stringify({
        resourceLogs: [
          {
            resource: { attributes: attributes({ 'service.name': 'stowage', 'service.version': version }) },
            scopeLogs: [{ scope: { name: 'stowage.audit' }, logRecords: rows.map((row) => logRecord(JSON.parse(row.body) as TrailBody, row.seq, observed)) }],
          },
        ],
      })
      const answer = await postBytes(url, { method: 'POST', headers: { ...headers, 'content-type': 'application/json', 'user-agent': 'stowage' }, body: Buffer.from(body), trusted, signal })
      const rejected = partialSuccess(answer)
      // "The client MUST NOT retry" what a collector has refused: "Partial Success".
      if (rejected !== undefined) onRejected(rejected.count, rejected.reason)
    },
  }
}

function logRecord(body: TrailBody, seq: number, observedTimeUnixNano: string): object {
  const severity = !isChangeBody(body) && body.error !== undefined ? severities.warn : severities.info
  return {
    timeUnixNano: nanoseconds(body.at),
    observedTimeUnixNano,
    severityNumber: severity.number,
    severityText: severity.text,
    eventName: eventNameOf(body),
    body: { stringValue: JSON.stringify(cloudTrailRecord(body)) },
    attributes: attributes({
      'stowage.audit.seq': seq,
      'stowage.audit.id': body.id,
      'stowage.audit.source': body.source,
      'cloud.account.id': body.account,
      'cloud.region': body.region,
      'user.name': userNameOf(body),
      'stowage.resource': resourceOf(body)?.name,
      'client.address': body.ip === '' ? undefined : body.ip,
      'error.type': isChangeBody(body) ? undefined : body.error,
    }),
  }
}

function attributes(values: Readonly<Record<string, string | number | undefined>>): object[] {
  return Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value } }],
  )
}

function nanoseconds(ms: number): string {
  return `${ms}000000`
}

function partialSuccess(answer: string): { readonly count: number; readonly reason: string } | undefined {
  try {
    const { partialSuccess: found } = JSON.parse(answer) as { partialSuccess?: { rejectedLogRecords?: string | number; errorMessage?: string } }
    const count = Number(found?.rejectedLogRecords ?? 0)
    return count > 0 ? { count, reason: (found?.errorMessage ?? '').slice(0, 200) } : undefined
  } catch {
    return undefined
  }
}
