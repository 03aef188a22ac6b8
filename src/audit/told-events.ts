import { isChangeBody, type RecordedChange, type TrailBody } from './trail-record.ts'

/** Something that a record tells and whoever has a rule may want to hear. */
export interface ToldEvent {
  readonly type: ToldEventType
  /** Of the record. */
  readonly recordId: string
  /** Its place among the record's events. */
  readonly place: number
  readonly account: string
  readonly region: string
  /** Undefined: it is of the whole registry. */
  readonly repository: string | undefined
  readonly at: number
  readonly detail: Readonly<Record<string, unknown>>
}

/** What is told of pulls: only to rules that ask for it. */
export const pullEventType = 'Stowage Image Pull'

export const toldEventTypes = [pullEventType, 'Stowage Policy Change', 'Stowage Usage Source Lost'] as const

export type ToldEventType = (typeof toldEventTypes)[number]

/** Changes of policies: whose, and what was done. */
const policyChanges: Readonly<Record<string, readonly [policy: string, action: 'PUT' | 'DELETE']>> = {
  SetRepositoryPolicy: ['REPOSITORY', 'PUT'],
  DeleteRepositoryPolicy: ['REPOSITORY', 'DELETE'],
  PutRegistryPolicy: ['REGISTRY', 'PUT'],
  DeleteRegistryPolicy: ['REGISTRY', 'DELETE'],
  PutLifecyclePolicy: ['LIFECYCLE', 'PUT'],
  DeleteLifecyclePolicy: ['LIFECYCLE', 'DELETE'],
  PutRetentionPolicy: ['RETENTION', 'PUT'],
  DeleteRetentionPolicy: ['RETENTION', 'DELETE'],
}

/** What a record tells, in the order in which it came about. */
export function toldEvents(body: TrailBody): ToldEvent[] {
  const changes = isChangeBody(body) ? [body.change] : (body.changes ?? [])
  const told = changes.flatMap((change) => ofChange(change, isChangeBody(body) ? body.actorArn : (body.actor?.arn ?? '')) ?? [])
  const pull = ofPull(body)
  const all = pull === undefined ? told : [...told, pull]
  const { id: recordId, account, region } = body
  return all.map((event, place) => ({ recordId, place, account, region, ...event }))
}

type Told = Pick<ToldEvent, 'type' | 'repository' | 'at' | 'detail'>

function ofChange({ action, at, detail }: RecordedChange, actor: string): Told | undefined {
  const repository = textOf(detail['repositoryName'])
  const named = repository === undefined ? {} : { 'repository-name': repository }
  const policy = policyChanges[action]
  if (policy !== undefined) {
    const prefix = textOf(detail['prefix'])
    const what = { 'policy-type': policy[0], 'action-type': policy[1], ...(prefix === undefined ? {} : { prefix }), principal: actor }
    return { type: 'Stowage Policy Change', repository, at, detail: { ...named, ...what } }
  }
  if (action !== 'PlaceHold' || detail['cause'] !== 'source') return undefined
  return { type: 'Stowage Usage Source Lost', repository: undefined, at, detail: { 'source-name': textOf(detail['sourceName']) ?? '', reason: textOf(detail['reason']) ?? '', 'hold-id': detail['holdId'] } }
}

/** Manifests that were given to somebody: what only asked whether one is there is no pull. */
function ofPull(body: TrailBody): Told | undefined {
  if (isChangeBody(body) || body.pulls === undefined || body.repository === undefined) return undefined
  const { repository, pulls, at, actor, client, ip, agent, answered, parameters } = body
  // A docker client asks for one; of what a call asks for by several ids, the record of it tells more.
  const asked = parameters?.['imageIds']
  const image = (Array.isArray(asked) ? (asked.length === 1 ? (asked[0] as unknown) : undefined) : parameters) as { readonly imageDigest?: unknown; readonly imageTag?: unknown } | undefined
  const digest = textOf(answered?.['imageDigest']) ?? textOf(image?.imageDigest)
  const tag = textOf(image?.imageTag)
  return {
    type: pullEventType,
    repository,
    at,
    detail: {
      result: 'SUCCESS',
      'repository-name': repository,
      'action-type': 'PULL',
      ...(digest === undefined ? {} : { 'image-digest': digest }),
      ...(tag === undefined ? {} : { 'image-tag': tag }),
      'image-count': pulls,
      principal: actor?.arn ?? '',
      ...(client === undefined ? {} : { 'client-kind': client }),
      'source-ip-address': ip,
      'user-agent': agent ?? '',
    },
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
