import type { IncomingMessage, ServerResponse } from 'node:http'
import { eventSourceOf, type JournalRecord, type RecordedActor } from '../../audit/index.ts'
import type { Principal } from '../../iam/principal.ts'
import type { ClientKinds } from '../../registry/client-kinds.ts'
import { userAgentOf, type RequestMeta } from '../request-meta.ts'

/** What is known of a request whose answer is about to be complete, or was cut off. */
export interface AnsweredRequest {
  readonly meta: RequestMeta
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly durationMs: number
  /** Of the bodies. */
  readonly bytesIn: number
  readonly bytesOut: number
}

/** Where a record belongs that names no account: the installation's own. */
export interface TrailOfUnknown {
  readonly accountId: string
  readonly region: string
}

/**
 * The names under which AWS records what the operations of the distribution API are there; where there is no counterpart,
 * names in the same manner. https://docs.aws.amazon.com/AmazonECR/latest/userguide/logging-using-cloudtrail.html
 */
const distributionEvents: Readonly<Record<string, readonly [name: string, reads: boolean]>> = {
  ping: ['CheckApiVersion', true],
  listRepositories: ['DescribeRepositories', true],
  listTags: ['ListImages', true],
  getManifest: ['BatchGetImage', true],
  headManifest: ['BatchGetImage', true],
  putManifest: ['PutImage', false],
  deleteTag: ['BatchDeleteImage', false],
  deleteManifest: ['BatchDeleteImage', false],
  getBlob: ['GetDownloadUrlForLayer', true],
  headBlob: ['BatchCheckLayerAvailability', true],
  deleteBlob: ['BatchDeleteImage', false],
  beginUpload: ['InitiateLayerUpload', false],
  mountBlob: ['MountLayer', false],
  uploadBlob: ['CompleteLayerUpload', false],
  getUpload: ['DescribeLayerUpload', true],
  appendUpload: ['UploadLayerPart', false],
  completeUpload: ['CompleteLayerUpload', false],
  cancelUpload: ['CancelLayerUpload', false],
  listReferrers: ['ListImageReferrers', true],
}

/** Operations of AWS and of Stowage that change nothing, by how their names begin. */
const readingNames = /^(?:Get|List|Describe|Filter|BatchGet|BatchCheck|Lookup|Simulate|Preview|Explain|TestEventPattern$|GenerateCredentialReport$|AssumeRole|downloadLayer$)/u

const maxMessageLength = 512
/** The names in a request line may be anything. */
const maxNameLength = 128

/** The journal's record of a request. */
export function journalRecord({ meta, request, response, durationMs, bytesIn, bytesOut }: AnsweredRequest, unknown: TrailOfUnknown, kinds: Pick<ClientKinds, 'kindOf'>): JournalRecord {
  const { protocol = 'none', operation, principal, registry } = meta
  const [name, reads] = eventOf(protocol, operation, request.method ?? '')
  const digest = response.getHeader('docker-content-digest')
  const answered = meta.answered ?? (typeof digest === 'string' && meta.errorCode === undefined ? { imageDigest: digest } : undefined)
  const agent = userAgentOf(request)
  const pulls = pullsOf(meta, response)
  return {
    id: meta.requestId,
    at: meta.startedAt,
    account: registry?.accountId ?? principal?.accountId ?? unknown.accountId,
    region: registry?.region ?? unknown.region,
    protocol,
    // Docker clients do what ECR's calls do.
    source: eventSourceOf(protocol === 'oci' ? 'ecr' : protocol),
    name,
    ...(reads ? { reads } : {}),
    ...(principal === undefined ? {} : { actor: recordedActor(principal) }),
    ...(principal === undefined && meta.claimedKeyId !== undefined ? { claimedKeyId: meta.claimedKeyId.slice(0, maxNameLength) } : {}),
    ip: meta.sourceIp,
    ...(agent === '' ? {} : { agent }),
    status: response.statusCode,
    ms: durationMs,
    ...(bytesIn > 0 ? { bytesIn } : {}),
    ...(bytesOut > 0 ? { bytesOut } : {}),
    ...(meta.repository === undefined ? {} : { repository: meta.repository.slice(0, 256) }),
    ...(pulls === 0 || principal === undefined ? {} : { pulls, client: kinds.kindOf({ arn: principal.arn, userAgent: agent, sourceIp: meta.sourceIp }) }),
    ...(meta.parameters === undefined ? {} : { parameters: meta.parameters }),
    ...(answered === undefined ? {} : { answered }),
    ...errorOf(meta, response),
    ...(response.destroyed && !response.writableEnded ? { cut: true as const } : {}),
  }
}

function eventOf(protocol: string, operation: string | undefined, method: string): readonly [string, boolean] {
  const isReading = method === 'GET' || method === 'HEAD'
  if (operation === undefined) return ['UnknownOperation', isReading]
  if (protocol === 'oci') return distributionEvents[operation] ?? ['UnknownOperation', isReading]
  if (operation === 'downloadLayer') return ['DownloadLayer', true]
  return [operation.slice(0, maxNameLength), readingNames.test(operation)]
}

/** How many manifests the answer gives. What asks whether they are there is no pull. */
function pullsOf({ protocol, operation, pulls, errorCode }: RequestMeta, { statusCode, headersSent }: ServerResponse): number {
  if (errorCode !== undefined || statusCode >= 400) return 0
  if (protocol === 'oci') return operation === 'getManifest' && headersSent ? 1 : 0
  return pulls ?? 0
}

function recordedActor({ arn, accountId, kind, userId, accessKeyId, session }: Principal): RecordedActor {
  return { arn, account: accountId, kind, userId, keyId: accessKeyId, ...(session === undefined ? {} : { since: session.issuedAt }) }
}

function errorOf({ errorCode, errorMessage }: RequestMeta, { statusCode }: ServerResponse): Pick<JournalRecord, 'error' | 'message'> {
  if (errorCode === undefined && statusCode < 400) return {}
  return {
    error: (errorCode ?? `Http${statusCode}`).slice(0, maxNameLength),
    ...(errorMessage === undefined ? {} : { message: errorMessage.slice(0, maxMessageLength) }),
  }
}
