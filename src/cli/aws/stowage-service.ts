import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isPlatformError } from '../../internal/platform-error.ts'
import { Sha256 } from '../../internal/signer-hash.ts'
import type { AwsAccess } from './access.ts'
import { awsClientError, toAwsClientError } from './errors.ts'

/** Far more than any page of an answer. */
const maxAnswerBytes = 4 * 1024 * 1024

/** What precedes the name of an operation in X-Amz-Target. */
const targetPrefixes = { stowage: 'Stowage_V1', cloudtrail: 'com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101' } as const

export type JsonServiceName = keyof typeof targetPrefixes

/**
 * Calls an operation of the `Stowage` service, which no SDK knows, or of another that needs none: AWS JSON 1.1, signed for the service.
 *
 * @throws `aws-refused`, `aws-unreachable`, and what credentials need
 */
export async function callStowage(access: AwsAccess, operation: string, input: object, service: JsonServiceName = 'stowage'): Promise<Readonly<Record<string, unknown>>> {
  const { SignatureV4 } = await import('@smithy/signature-v4')
  const { endpoint, region, credentials, requestHandler } = access.clientConfig(service)
  const url = new URL(endpoint)
  const body = JSON.stringify(input)
  const signer = new SignatureV4({ service, region, credentials, sha256: Sha256 })
  const signed = await signer.sign({
    method: 'POST',
    protocol: url.protocol,
    hostname: url.hostname,
    path: '/',
    query: {},
    headers: { host: url.host, 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `${targetPrefixes[service]}.${operation}` },
    body,
  })
  const isSecure = url.protocol === 'https:'
  const answer = await send(isSecure ? httpsRequest : httpRequest, url, {
    method: 'POST',
    headers: { ...signed.headers, 'content-length': String(Buffer.byteLength(body)) },
    agent: isSecure ? requestHandler.httpsAgent : requestHandler.httpAgent,
    timeout: requestHandler.requestTimeout,
  }, body).catch((error: unknown) => {
    throw isPlatformError(error) ? error : toAwsClientError(error, endpoint)
  })
  const value = objectOf(answer.text)
  if (answer.status === 200 && value !== undefined) return value
  // `__type` may have a name space in front, and the name is told in a header too.
  const name = typeof value?.['__type'] === 'string' ? value['__type'].replace(/^.*#/u, '') : `HTTP ${answer.status}`
  const message = value?.['message'] ?? value?.['Message']
  throw toAwsClientError(
    Object.assign(new Error(typeof message === 'string' ? message : 'the answer is none of a Stowage server'), { name, $metadata: { httpStatusCode: answer.status } }),
    endpoint,
  )
}

function send(
  request: typeof httpRequest,
  url: URL,
  options: Parameters<typeof httpRequest>[1],
  body: string,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, options, (response) => {
      const chunks: Buffer[] = []
      let sizeBytes = 0
      response.on('data', (chunk: Buffer) => {
        sizeBytes += chunk.length
        if (sizeBytes > maxAnswerBytes) response.destroy(awsClientError('aws-refused', `${url.origin} answers with more than ${maxAnswerBytes} bytes`))
        else chunks.push(chunk)
      })
      response.once('error', reject)
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') })
      })
    })
    outgoing.once('timeout', () => {
      outgoing.destroy(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' }))
    })
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}

function objectOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text === '' ? '{}' : text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}
