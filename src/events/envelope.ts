import { createHash } from 'node:crypto'
import type { OutboxEvent } from '../storage/metadata/stores/event-delivery-store.ts'

/** An event as rules see it and receivers get it. https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html */
export interface EventEnvelope {
  readonly version: '0'
  readonly id: string
  readonly 'detail-type': string
  readonly source: string
  readonly account: string
  readonly time: string
  readonly region: string
  readonly resources: readonly string[]
  readonly detail: unknown
}

/** Puts an event of the outbox into the form of EventBridge. */
export function envelopeOf(event: OutboxEvent): EventEnvelope {
  const { type, accountId, region, repositoryName, createdAt, payload } = event
  const isEcr = type.startsWith('ECR ')
  return {
    version: '0',
    id: nameBasedId([accountId, region, event.repositoryId, event.eventSeq, type, createdAt, payload]),
    'detail-type': type,
    source: isEcr ? 'aws.ecr' : 'stowage',
    account: accountId,
    time: timeOf(createdAt),
    region,
    // As ECR has it for what happens to images.
    resources: isEcr ? [] : [`arn:aws:ecr:${region}:${accountId}:repository/${repositoryName}`],
    detail: JSON.parse(payload) as unknown,
  }
}

/** Something that the audit trail tells. */
export interface TrailEvent {
  readonly type: string
  /** Of the record that tells it, and its place among what that tells. */
  readonly recordId: string
  readonly place: number
  readonly account: string
  readonly region: string
  /** Undefined: it is of the whole registry. */
  readonly repository: string | undefined
  readonly at: number
  readonly detail: Readonly<Record<string, unknown>>
}

/** Puts what the audit trail tells into the form of EventBridge. */
export function envelopeOfTrail({ type, recordId, place, account, region, repository, at, detail }: TrailEvent): EventEnvelope {
  return {
    version: '0',
    id: nameBasedId([recordId, place, type]),
    'detail-type': type,
    source: 'stowage',
    account,
    time: timeOf(at),
    region,
    resources: [`arn:aws:ecr:${region}:${account}:${repository === undefined ? '*' : `repository/${repository}`}`],
    detail,
  }
}

// EventBridge's times have seconds.
function timeOf(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`
}

/** Of what ids of events are made. */
const idSpace = Buffer.from('6f7bcd1d62c84a2fa1a4a9e6f1c0d5e3', 'hex')

/**
 * Made of what the event is (RFC 9562, version 5), so that it has the same id however often it is sent, also after the server
 * was restored from a backup.
 */
export function nameBasedId(parts: readonly (string | number)[]): string {
  const name = JSON.stringify(parts)
  const bytes = createHash('sha1').update(idSpace).update(name).digest().subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x50
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
