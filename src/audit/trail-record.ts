import { createHash } from 'node:crypto'
import type { EventIndex } from '../storage/metadata/observe/audit-store.ts'
import type { JournalRecord, RecordedActor } from './journal-record.ts'

/** What a command wrote down of its change, in the transaction of the change. */
export interface RecordedChange {
  /** Of its row in the metadata. */
  readonly id: number
  readonly at: number
  readonly action: string
  readonly resource: string
  readonly detail: Readonly<Record<string, unknown>>
}

/** A request, with what it changed. */
export interface RequestBody extends JournalRecord {
  readonly changes?: readonly RecordedChange[]
}

/** A change without a request: the server's own, or one whose request never came into the journal. */
export interface ChangeBody {
  readonly kind: 'change'
  readonly id: string
  readonly requestId: string
  readonly at: number
  readonly account: string
  readonly region: string
  readonly protocol: string
  readonly source: string
  readonly actorArn: string
  readonly ip: string
  readonly agent: string
  readonly change: RecordedChange
}

/** A record of the trail as it is kept: compact, and never written anew. */
export type TrailBody = RequestBody | ChangeBody

export function isChangeBody(body: TrailBody): body is ChangeBody {
  return 'kind' in body
}

/** The id of the record that a change makes by itself: the same whenever it is read. */
export function changeRecordId(requestId: string, changeId: number): string {
  const hex = createHash('sha256').update(`${requestId}#${changeId}`).digest('hex')
  // Marked as a name-based UUID of the newest kind: https://www.rfc-editor.org/rfc/rfc9562#section-5.8
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** What of AWS is served: the names of its services in ARNs, which are those of the protocols too. */
const awsServices: ReadonlySet<string | undefined> = new Set(['ecr', 'iam', 'sts', 'cloudtrail', 'events', 'monitoring', 'logs'])

/** A service as records name it. What AWS has not is Stowage's own. */
export function eventSourceOf(service: string | undefined): string {
  return awsServices.has(service) ? `${service}.amazonaws.com` : 'stowage'
}

/** The service whose ARN a resource has, as records name it. */
export function sourceOfResource(resource: string): string {
  const service = /^arn:aws:([a-z0-9-]{1,32}):/u.exec(resource)?.[1]
  // One of AWS's names for it, the other is that of its protocols.
  return eventSourceOf(service === 'cloudwatch' ? 'monitoring' : service)
}

/** The name of a trail: what look-ups of an account in a region see. */
export function trailName(account: string, region: string): string {
  return `${account}/${region}`
}

interface Resource {
  readonly type: string
  readonly name: string
}

/** Members of inputs that name something, and what. */
const namedResources: Readonly<Record<string, string>> = {
  userName: 'AWS::IAM::User',
  roleName: 'AWS::IAM::Role',
  roleArn: 'AWS::IAM::Role',
  groupName: 'AWS::IAM::Group',
  policyArn: 'AWS::IAM::Policy',
  policyName: 'AWS::IAM::Policy',
  accessKeyId: 'AWS::IAM::AccessKey',
}

const repositoryType = 'AWS::ECR::Repository'
const maxNameLength = 512

/** What a record is about. */
export function resourceOf(body: TrailBody): Resource | undefined {
  if (isChangeBody(body)) {
    const { resource } = body.change
    const repository = /^arn:aws:ecr:[^:]*:[^:]*:repository\/(.+)$/u.exec(resource)?.[1]
    if (repository !== undefined) return { type: repositoryType, name: repository.slice(0, maxNameLength) }
    const kind = /^arn:aws:iam::[^:]*:(user|role|group|policy)\//u.exec(resource)?.[1]
    return { type: kind === undefined ? 'Stowage::Resource' : `AWS::IAM::${kind[0]!.toUpperCase()}${kind.slice(1)}`, name: resource.slice(0, maxNameLength) }
  }
  if (body.repository !== undefined) return { type: repositoryType, name: body.repository }
  for (const [member, type] of Object.entries(namedResources)) {
    const value = body.parameters?.[member] ?? body.parameters?.[member[0]!.toUpperCase() + member.slice(1)]
    if (typeof value === 'string' && value !== '') return { type, name: value.slice(0, maxNameLength) }
  }
  return undefined
}

/** The name that look-ups know somebody by: of a user, or of a role's session; `root` for the owner of an account. */
export function userNameOf(body: TrailBody): string | undefined {
  const arn = isChangeBody(body) ? body.actorArn : body.actor?.arn
  if (arn === undefined) return undefined
  const name = arn.slice(Math.max(arn.lastIndexOf('/'), arn.lastIndexOf(':')) + 1)
  return name === '' ? undefined : name
}

export function keyIdOf(body: TrailBody): string | undefined {
  return isChangeBody(body) ? undefined : (body.actor?.keyId ?? body.claimedKeyId)
}

export function eventNameOf(body: TrailBody): string {
  return isChangeBody(body) ? body.change.action : body.name
}

/** What look-ups find a record by: all of it follows from the record. */
export function indexOf(body: TrailBody): EventIndex {
  const resource = resourceOf(body)
  return {
    occurredAt: body.at,
    trail: trailName(body.account, body.region),
    name: eventNameOf(body),
    source: body.source,
    user: userNameOf(body),
    keyId: keyIdOf(body),
    resource: resource?.name,
    resourceType: resource?.type,
    reads: !isChangeBody(body) && body.reads === true,
  }
}

/** The chain: of a record, its place, and all before it. */
export function chainHash(previous: Uint8Array, seq: number, body: string): Buffer {
  const place = Buffer.alloc(8)
  place.writeBigUInt64BE(BigInt(seq))
  return createHash('sha256').update(previous).update(place).update(body).digest()
}

export function uuidBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex')
}

const eventVersion = '1.11'

/** A record in the form of CloudTrail's: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html */
export function cloudTrailRecord(body: TrailBody): Record<string, unknown> {
  const resource = resourceOf(body)
  const common = {
    eventVersion,
    eventTime: new Date(body.at).toISOString().replace(/\.\d{3}Z$/u, 'Z'),
    eventSource: body.source,
    eventName: eventNameOf(body),
    awsRegion: body.region,
    eventID: body.id,
    recipientAccountId: body.account,
    managementEvent: true,
    eventCategory: 'Management',
    ...(resource === undefined ? {} : { resources: [{ ...arnOf(resource, body), accountId: body.account, type: resource.type }] }),
  }
  if (isChangeBody(body)) {
    const { change } = body
    const isOwn = body.protocol === 'system'
    return {
      ...common,
      userIdentity: isOwn ? { accountId: body.account, invokedBy: 'stowage' } : identityOfArn(body.actorArn, body.account),
      sourceIPAddress: isOwn ? 'stowage' : body.ip,
      userAgent: body.agent === '' ? 'stowage' : body.agent,
      requestParameters: null,
      responseElements: null,
      requestID: body.requestId,
      readOnly: false,
      eventType: isOwn ? 'AwsServiceEvent' : 'AwsApiCall',
      serviceEventDetails: { resource: change.resource, ...change.detail },
    }
  }
  return {
    ...common,
    userIdentity: identityOf(body.actor, body.claimedKeyId),
    sourceIPAddress: body.ip,
    userAgent: body.agent ?? '',
    ...(body.error === undefined ? {} : { errorCode: body.error }),
    ...(body.message === undefined ? {} : { errorMessage: body.message }),
    requestParameters: body.parameters ?? null,
    responseElements: body.answered ?? null,
    additionalEventData: {
      protocol: body.protocol,
      httpStatus: body.status,
      durationMs: body.ms,
      // As Amazon's records of data events call them.
      ...(body.bytesIn === undefined ? {} : { bytesTransferredIn: body.bytesIn }),
      ...(body.bytesOut === undefined ? {} : { bytesTransferredOut: body.bytesOut }),
      ...(body.client === undefined ? {} : { clientKind: body.client }),
      ...(body.cut === true ? { cutOff: true } : {}),
      ...(body.changes === undefined ? {} : { changes: body.changes.map(({ action, resource: arn, detail }) => ({ action, resource: arn, ...detail })) }),
    },
    requestID: body.id,
    readOnly: body.reads === true,
    eventType: 'AwsApiCall',
  }
}

function arnOf({ type, name }: Resource, { account, region }: TrailBody): { readonly ARN: string } {
  if (type === repositoryType) return { ARN: `arn:aws:ecr:${region}:${account}:repository/${name}` }
  return { ARN: name }
}

function identityOf(actor: RecordedActor | undefined, claimedKeyId: string | undefined): Record<string, unknown> {
  if (actor === undefined) {
    return { type: 'AWSAccount', principalId: '', accountId: 'ANONYMOUS_PRINCIPAL', ...(claimedKeyId === undefined ? {} : { accessKeyId: claimedKeyId }) }
  }
  const { arn, account, kind, userId, keyId, since } = actor
  const common = { principalId: userId, arn, accountId: account, accessKeyId: keyId }
  const attributes = since === undefined ? undefined : { creationDate: new Date(since).toISOString(), mfaAuthenticated: 'false' }
  switch (kind) {
    case 'root':
      return { type: 'Root', ...common, ...(attributes && { sessionContext: { attributes } }) }
    case 'user':
      return { type: 'IAMUser', ...common, userName: arn.slice(arn.lastIndexOf('/') + 1), ...(attributes && { sessionContext: { attributes } }) }
    case 'assumed-role': {
      const role = /:assumed-role\/([^/]+)\//u.exec(arn)?.[1] ?? ''
      const issuer = { type: 'Role', principalId: userId.split(':', 1)[0], arn: `arn:aws:iam::${account}:role/${role}`, accountId: account, userName: role }
      return { type: 'AssumedRole', ...common, sessionContext: { sessionIssuer: issuer, ...(attributes && { attributes }) } }
    }
  }
}

/** Of a change alone more is not known. */
function identityOfArn(arn: string, account: string): Record<string, unknown> {
  if (arn.endsWith(':root')) return { type: 'Root', arn, accountId: account }
  return { type: arn.includes(':assumed-role/') ? 'AssumedRole' : 'IAMUser', arn, accountId: account }
}
