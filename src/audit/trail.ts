import { lookUpEvents, type LookupColumn } from '../storage/metadata/observe/audit-store.ts'
import type { Session } from '../storage/metadata/session.ts'
import { cloudTrailRecord, eventNameOf, keyIdOf, resourceOf, trailName, userNameOf, isChangeBody, uuidBytes, type TrailBody } from './trail-record.ts'

/** What a look-up may ask for, in CloudTrail's words. */
export const lookupAttributes = ['EventId', 'EventName', 'ReadOnly', 'Username', 'ResourceType', 'ResourceName', 'EventSource', 'AccessKeyId'] as const

export type LookupAttribute = (typeof lookupAttributes)[number]

export interface TrailQuery {
  readonly account: string
  readonly region: string
  readonly attribute?: { readonly key: LookupAttribute; readonly value: string } | undefined
  /** Both included, in milliseconds. */
  readonly from?: number | undefined
  readonly until?: number | undefined
  /** Where the page before ended. */
  readonly after?: string | undefined
  readonly limit: number
}

/** A record as look-ups tell it. */
export interface TrailEvent {
  readonly id: string
  readonly at: number
  readonly name: string
  readonly source: string
  readonly reads: boolean
  readonly user: string | undefined
  readonly keyId: string | undefined
  readonly resource: { readonly type: string; readonly name: string } | undefined
  /** In CloudTrail's form. */
  readonly record: Record<string, unknown>
}

export interface TrailPage {
  readonly events: readonly TrailEvent[]
  /** Where the next page begins; undefined for the last one. */
  readonly next: string | undefined
}

const columns: Readonly<Partial<Record<LookupAttribute, LookupColumn>>> = {
  EventName: 'name_id',
  Username: 'user_id',
  ResourceType: 'type_id',
  ResourceName: 'resource_id',
  EventSource: 'source_id',
  AccessKeyId: 'key_id',
}

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/u

/** The audit trail, for those who look something up. */
export class AuditTrail {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  /** Records of an account in a region, the newest first. */
  async lookUp({ account, region, attribute, from = 0, until = Number.MAX_SAFE_INTEGER, after, limit }: TrailQuery): Promise<TrailPage> {
    const none = { events: [], next: undefined }
    let where: Parameters<typeof lookUpEvents>[1]['where']
    if (attribute !== undefined) {
      const { key, value } = attribute
      if (key === 'ReadOnly') where = { reads: value === 'true' }
      else if (key === 'EventId') {
        if (!uuid.test(value)) return none
        where = { eventId: uuidBytes(value) }
      } else {
        const ownRepositories = `arn:aws:ecr:${region}:${account}:repository/`
        const text = key === 'ResourceName' && value.startsWith(ownRepositories) ? value.slice(ownRepositories.length) : value
        where = { column: columns[key]!, text }
      }
    }
    const rows = await lookUpEvents(this.#session, { trail: trailName(account, region), from, until, where, after: positionOf(after), limit: limit + 1 })
    const page = rows.slice(0, limit)
    const last = page.at(-1)
    return {
      events: page.map(({ body }) => trailEvent(JSON.parse(body) as TrailBody)),
      next: rows.length > limit && last !== undefined ? `${last.occurredAt}.${last.seq}` : undefined,
    }
  }
}

export function trailEvent(body: TrailBody): TrailEvent {
  return {
    id: body.id,
    at: body.at,
    name: eventNameOf(body),
    source: body.source,
    reads: !isChangeBody(body) && body.reads === true,
    user: userNameOf(body),
    keyId: keyIdOf(body),
    resource: resourceOf(body),
    record: cloudTrailRecord(body),
  }
}

function positionOf(after: string | undefined): { readonly occurredAt: number; readonly seq: number } | undefined {
  if (after === undefined) return undefined
  const [occurredAt = '', seq = ''] = after.split('.')
  return { occurredAt: Number(occurredAt), seq: Number(seq) }
}
