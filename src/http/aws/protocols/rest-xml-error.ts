import type { AwsError } from '../errors.ts'
import type { WireResponse } from './response.ts'
import { xmlDeclaration, xmlElement } from './xml.ts'

/** An error as S3 writes it. https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
export function encodeRestXmlError(error: AwsError, names: { resource: string; requestId: string }): WireResponse {
  const members = [
    xmlElement('Code', error.type),
    xmlElement('Message', error.message),
    xmlElement('Resource', names.resource),
    xmlElement('RequestId', names.requestId),
  ]
  return {
    status: error.status,
    headers: { 'Content-Type': 'application/xml' },
    body: `${xmlDeclaration}<Error>${members.join('')}</Error>`,
  }
}
