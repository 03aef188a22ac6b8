import { nameBasedId, type EventEnvelope } from '../../events/envelope.ts'
import type { Volume } from './judgement.ts'

export const unusualUseEventType = 'Stowage Unusual Use'

export interface Share {
  readonly name: string
  readonly amount: number
}

interface Place {
  readonly accountId: string
  readonly region: string
}

/** Somebody, or a network, that a registry had not seen before. */
export interface Newcomer extends Place {
  readonly kind: 'NEW_PRINCIPAL' | 'NEW_NETWORK'
  readonly name: string
  /** What it did so far: pulls, pushes, deletions. */
  readonly did: Readonly<Partial<Record<'pulls' | 'pushes' | 'deletes', number>>>
  readonly seenAt: number
  readonly seriesId: number
  /** More of the kind came at the same time, and are told by this one. */
  readonly others: number
}

/** An hour that has much more than any before. */
export interface Burst extends Place {
  readonly kind: Volume
  readonly unit: string
  readonly at: number
  readonly amount: number
  readonly usual: number
  readonly principals: readonly Share[]
  readonly networks: readonly Share[]
}

export type UnusualUse = Newcomer | Burst

const hourMs = 60 * 60_000
/** A record is sealed after the first request was made. */
const soonerMs = 10 * 60_000

/** In the form of EventBridge, as Stowage's other events of a whole registry. */
export function unusualUseEvent(use: UnusualUse, now: number): EventEnvelope {
  const { accountId, region, kind } = use
  return {
    version: '0',
    id: nameBasedId([accountId, region, 'unusual', kind, ...('name' in use ? [use.name, use.seriesId, use.seenAt] : [use.at])]),
    'detail-type': unusualUseEventType,
    source: 'stowage',
    account: accountId,
    time: timeOf(now),
    region,
    resources: [`arn:aws:ecr:${region}:${accountId}:*`],
    detail: 'name' in use ? ofNewcomer(use) : ofBurst(use),
  }
}

function ofNewcomer({ kind, name, did, seenAt, others, region }: Newcomer): object {
  const isPrincipal = kind === 'NEW_PRINCIPAL'
  const from = seenAt - soonerMs
  return {
    unusual: kind,
    ...(isPrincipal ? { principal: name } : { 'source-network': name }),
    amount: Object.values(did).reduce((sum, count) => sum + count, 0),
    unit: 'Count',
    usual: 0,
    since: timeOf(seenAt),
    ...did,
    ...(others > 0 ? { others } : {}),
    query: lookUp(region, from, seenAt + hourMs, isPrincipal ? ofPrincipal(name) : having(networkPrefix(name))),
  }
}

function ofBurst({ kind, unit, at, amount, usual, principals, networks, region }: Burst): object {
  return { unusual: kind, amount, unit, usual, since: timeOf(at), principals, 'source-networks': networks, query: lookUp(region, at, at + hourMs, ofVolume[kind]) }
}

const ofVolume: Readonly<Record<Volume, string>> = {
  PULLS: ofAttribute('EventName', 'BatchGetImage'),
  BYTES_OUT: ofAttribute('EventName', 'GetDownloadUrlForLayer'),
  PUSHES: ofAttribute('EventName', 'PutImage'),
  DELETES: ofAttribute('EventName', 'BatchDeleteImage'),
  REFUSALS: having('errorCode'),
}

function lookUp(region: string, from: number, to: number, what: string): string {
  return `aws cloudtrail lookup-events --region ${region} --start-time ${timeOf(from)} --end-time ${timeOf(to)} ${what}`
}

function ofAttribute(name: string, value: string): string {
  return `--lookup-attributes AttributeKey=${name},AttributeValue=${value}`
}

/** There is no attribute for it: the client looks through what it is given. */
function having(text: string): string {
  return `--query "Events[?contains(CloudTrailEvent, '${text}')].CloudTrailEvent"`
}

/** Records of a role's sessions have the names of these as user names. */
function ofPrincipal(name: string): string {
  const [account = '', rest = ''] = name.split(':', 2)
  return rest.startsWith('role/') ? having(`${account}:${rest}`) : ofAttribute('Username', rest.slice(rest.indexOf('/') + 1))
}

/** How the addresses of a network begin. */
function networkPrefix(network: string): string {
  return network.includes('::/') ? network.replace(/(?::0)*::\/64$/u, ':') : network.replace(/0\/24$/u, '')
}

function timeOf(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`
}
