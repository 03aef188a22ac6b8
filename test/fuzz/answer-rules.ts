import type { RawAnswer, RawOutcome } from './raw-exchange.ts'
import type { WireRequest } from './request-damage.ts'

/** What opens without credentials: probes, and links that carry their own permission. */
const openTargets = /^(?:https?:\/\/[^/]*)?\/(?:healthz|readyz|metrics|_stowage\/layers\/)/i

/** A refused body up to this length is received to its end. */
const longBytes = 256 * 1024

/** Answers of 500 and above that say what they should: a service that is not here, and "try again". */
const documentedFaults: ReadonlySet<string> = new Set(['501 NotImplemented', '503 ServiceUnavailable', '503 ServerException'])

/** What is wrong with what the server made of a request; undefined where nothing is. */
export function brokenRule(request: WireRequest, outcome: RawOutcome): string | undefined {
  const { answers, end } = outcome
  if (end === 'hung') return 'there was neither an answer nor an end'
  if (end === 'malformed') return 'the answer is no HTTP'
  // TCP forgets an answer that its client has not read when the server stops taking a long body (RFC 9112 §9.6).
  if (answers.length === 0) return request.isIncomplete || request.bytes.length > longBytes ? undefined : 'the connection ended without an answer to a whole request'
  const [first] = answers
  if (request.isAmbiguous && (answers.length > 1 || first!.status !== 400)) {
    return `a request with two readings was answered ${answers.map(({ status }) => status).join(', ')} and not refused`
  }
  if (request.isBroken && answers.length > 1) return 'what follows a broken body was taken for a request'
  if (request.isStranger && first!.status < 300 && !openTargets.test(request.target)) return 'somebody without credentials was served'
  for (const answer of answers) {
    const broken = brokenAnswerRule(request, answer)
    if (broken !== undefined) return broken
  }
  return undefined
}

function brokenAnswerRule({ method, target }: WireRequest, { status, headers, body }: RawAnswer): string | undefined {
  if (headers.get('x-request-id') === undefined) return 'the answer has no X-Request-Id'
  const code = errorCodeOf(headers, body)
  const location = headers.get('location')
  if (location !== undefined && !/^\/v2\/[\w./-]+$/.test(location.replaceAll('sha256:', '').replaceAll('sha512:', ''))) return `the Location ${location} leads away`
  if (status >= 300 && status < 400 && status !== 304) return `the answer is a redirect: ${status}`
  // The code of an answer to HEAD is in the body that it has not.
  if (method === 'HEAD' && status === 501) return undefined
  if (status >= 500 && !documentedFaults.has(`${status} ${code ?? ''}`)) return `the answer is ${status} (${code ?? 'without a code'})`
  if (status < 400 || method === 'HEAD' || code !== undefined) return undefined
  // From the parser, before any protocol is known; the connection ends with it.
  if (body.length === 0 && headers.get('connection') === 'close') return undefined
  if (status === 416 && target.startsWith('/v2/')) return 'a range was refused without a code'
  const isText = headers.get('content-type')?.startsWith('text/plain') === true
  return isText && body.length < 200 ? undefined : `the answer ${status} has no code in the form of its protocol`
}

/** The error's code, in whichever of the protocols' forms the answer has. */
function errorCodeOf(headers: ReadonlyMap<string, string>, body: Buffer): string | undefined {
  const type = headers.get('content-type') ?? ''
  if (type === 'text/xml' || type === 'application/xml') return /<Code>([A-Za-z]+)<\/Code>/.exec(body.toString())?.[1]
  if (type === 'application/cbor') return headers.get('x-amzn-query-error') ?? (body.includes('__type') ? 'cbor' : undefined)
  if (!type.startsWith('application/json') && !type.startsWith('application/x-amz-json-')) return undefined
  let document: { errors?: { code?: unknown; message?: unknown }[]; __type?: unknown; message?: unknown }
  try {
    document = JSON.parse(body.toString()) as typeof document
  } catch {
    return undefined
  }
  const [error] = document.errors ?? []
  if (typeof error?.code === 'string' && typeof error.message === 'string') return error.code
  return typeof document.__type === 'string' && headers.get('x-amzn-errortype') === document.__type ? document.__type : undefined
}
