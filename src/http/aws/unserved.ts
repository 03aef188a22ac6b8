import { AwsError } from './errors.ts'
import { encodeCborError } from './protocols/cbor.ts'
import { encodeJsonError, type JsonVersion } from './protocols/json.ts'
import { encodeEc2Error, encodeQueryError } from './protocols/query.ts'
import type { WireResponse } from './protocols/response.ts'
import { encodeRestXmlError } from './protocols/rest-xml-error.ts'

/** How the clients of a service read its errors. */
export type ErrorStyle = 'json' | 'query' | 'ec2' | 'rest-xml' | 'rest-json' | 'cbor'

export interface UnservedRequest {
  /** The service's name as far as the request tells it. */
  readonly service: string
  readonly style: ErrorStyle
  readonly jsonVersion: JsonVersion
  readonly path: string
  readonly requestId: string
}

/**
 * The answer to a request for an AWS service that is not here: almost always AWS_ENDPOINT_URL was set, which
 * sends every service's requests to one place. It is given in that service's own form, so that its client
 * shows the text instead of failing to read it.
 *
 * @param served the names of the services that are here, as in `AWS_ENDPOINT_URL_<name>`
 */
export function unservedAnswer(request: UnservedRequest, served: readonly string[]): WireResponse {
  const variables = new Intl.ListFormat('en').format(served.map((name) => `AWS_ENDPOINT_URL_${name}`))
  const message = `This endpoint is Stowage, which does not serve ${request.service}. Set ${variables} instead of AWS_ENDPOINT_URL, so that only requests for these services come here.`
  const { requestId } = request
  switch (request.style) {
    case 'json':
      return encodeJsonError(new AwsError('UnknownOperationException', message, { status: 404 }), request.jsonVersion)
    case 'query':
      return encodeQueryError(new AwsError('InvalidAction', message), { requestId })
    case 'ec2':
      return encodeEc2Error(new AwsError('InvalidAction', message), requestId)
    case 'rest-xml':
      return encodeRestXmlError(new AwsError('NotImplemented', message, { status: 501 }), {
        resource: request.path,
        requestId,
      })
    case 'rest-json': {
      const { status, headers, body } = encodeJsonError(
        new AwsError('UnknownOperationException', message, { status: 404 }),
        '1.1',
      )
      return { status, headers: { ...headers, 'Content-Type': 'application/json' }, body }
    }
    case 'cbor':
      return encodeCborError(new AwsError('UnknownOperationException', message, { status: 404 }))
  }
}

/** Services with REST paths whose errors are XML: S3's own form, and the Query protocol's for the others. */
const restXmlServices: Readonly<Record<string, ErrorStyle>> = {
  s3: 'rest-xml',
  's3-object-lambda': 'rest-xml',
  's3-outposts': 'rest-xml',
  s3express: 'rest-xml',
  route53: 'query',
  cloudfront: 'query',
}

/** The error style of a service that Stowage does not have, by its signing name and by how it was asked. */
export function styleOf(signingName: string | undefined, asked: { form: boolean; json: boolean }): ErrorStyle {
  const restXml = signingName === undefined ? undefined : Object.entries(restXmlServices).find(([name]) => name === signingName)
  if (restXml !== undefined) return restXml[1]
  if (asked.form) return signingName === 'ec2' ? 'ec2' : 'query'
  return asked.json ? 'json' : 'rest-json'
}

const displayNames = new Map([
  ['s3', 'Amazon S3'],
  ['dynamodb', 'Amazon DynamoDB'],
  ['ec2', 'Amazon EC2'],
  ['lambda', 'AWS Lambda'],
  ['sqs', 'Amazon SQS'],
  ['sns', 'Amazon SNS'],
  ['monitoring', 'Amazon CloudWatch'],
  ['secretsmanager', 'AWS Secrets Manager'],
])

/** What to call a service in an answer: by its signing name, else by the prefix of its X-Amz-Target. */
export function serviceLabel(signingName: string | undefined, targetPrefix: string | undefined): string {
  if (signingName !== undefined) return displayNames.get(signingName) ?? `the service '${signingName}'`
  const name = targetPrefix?.replace(/_V?\d+$/, '') ?? ''
  return /^[A-Za-z0-9_.-]{1,64}$/.test(name) ? `the service '${name}'` : 'this service'
}
