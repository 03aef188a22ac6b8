import type { IncomingMessage, ServerResponse } from 'node:http'
import { expect, it } from 'vitest'
import { journalRecord } from './audit-record.ts'

function recordOf(protocol: string, operation: string, method = 'POST') {
  const meta = { requestId: 'id', sourceIp: '127.0.0.1', host: '', secure: false, startedAt: 1, protocol, operation }
  const request = { method, headers: {} } as IncomingMessage
  const response = { statusCode: 200, destroyed: false, writableEnded: true, getHeader: () => undefined } as unknown as ServerResponse
  return journalRecord({ meta, request, response, durationMs: 1 }, { accountId: '000000000000', region: 'us-east-1' })
}

it.each([
  ['oci', 'getManifest', 'ecr.amazonaws.com', 'BatchGetImage', true],
  ['ecr', 'PutImage', 'ecr.amazonaws.com', 'PutImage', undefined],
  ['iam', 'SimulateCustomPolicy', 'iam.amazonaws.com', 'SimulateCustomPolicy', true],
  ['sts', 'AssumeRole', 'sts.amazonaws.com', 'AssumeRole', true],
  ['cloudtrail', 'LookupEvents', 'cloudtrail.amazonaws.com', 'LookupEvents', true],
  ['events', 'PutRule', 'events.amazonaws.com', 'PutRule', undefined],
  ['events', 'TestEventPattern', 'events.amazonaws.com', 'TestEventPattern', true],
  ['stowage', 'PutQuota', 'stowage', 'PutQuota', undefined],
])("names %s's %s as AWS's records do", (protocol, operation, source, name, reads) => {
  expect(recordOf(protocol, operation)).toMatchObject({ source, name })
  expect(recordOf(protocol, operation).reads).toBe(reads)
})
