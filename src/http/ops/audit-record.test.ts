import type { IncomingMessage, ServerResponse } from 'node:http'
import { expect, it } from 'vitest'
import { rootPrincipal } from '../../iam/index.ts'
import { ClientKinds } from '../../registry/client-kinds.ts'
import { parseAccountId } from '../../values/account.ts'
import type { RequestMeta } from '../request-meta.ts'
import { journalRecord } from './audit-record.ts'

function recordOf(protocol: string, operation: string, { statusCode = 200, ...more }: Partial<RequestMeta> & { readonly statusCode?: number } = {}) {
  const principal = rootPrincipal(parseAccountId('000000000000'), 'AKIATEST')
  const meta = { requestId: 'id', sourceIp: '127.0.0.1', host: '', secure: false, startedAt: 1, principal, protocol, operation, ...more }
  const request = { method: 'POST', headers: { 'user-agent': 'containerd/v2.1.0' } } as unknown as IncomingMessage
  const response = { statusCode, headersSent: true, destroyed: false, writableEnded: true, getHeader: () => undefined } as unknown as ServerResponse
  const kinds = new ClientKinds([], new Set())
  return journalRecord({ meta, request, response, durationMs: 1, bytesIn: 0, bytesOut: 7 }, { accountId: '000000000000', region: 'us-east-1' }, kinds)
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

it('tells what kind of client pulled, and how many manifests it was given', () => {
  expect(recordOf('oci', 'getManifest')).toMatchObject({ pulls: 1, client: 'workload', bytesOut: 7 })
  expect(recordOf('ecr', 'BatchGetImage', { pulls: 3 })).toMatchObject({ pulls: 3, client: 'workload' })
  for (const record of [
    recordOf('oci', 'headManifest'),
    recordOf('oci', 'getManifest', { statusCode: 404, errorCode: 'MANIFEST_UNKNOWN' }),
    recordOf('ecr', 'BatchGetImage', { pulls: 0 }),
    recordOf('ecr', 'DescribeImages'),
  ]) {
    expect(record).not.toHaveProperty('pulls')
    expect(record).not.toHaveProperty('client')
    expect(record).not.toHaveProperty('bytesIn')
  }
})
