import { expect, it } from 'vitest'
import { loggedPath } from './access-log.ts'

it.each<[target: string, logged: string]>([
  ['/v2/a/b/manifests/latest', '/v2/a/b/manifests/latest'],
  ['/v2/a/blobs/uploads/?mount=sha256:00&from=b', '/v2/a/blobs/uploads/?mount=sha256:00&from=b'],
  ['/v2/a/blobs/uploads/1?_state=secret&digest=sha256%3A00', '/v2/a/blobs/uploads/1?_state=REDACTED&digest=sha256%3A00'],
  ['/?X-Amz-Signature=s&X-Amz-Date=d&X-Amz-Security-Token=t', '/?X-Amz-Signature=REDACTED&X-Amz-Date=d&X-Amz-Security-Token=REDACTED'],
  ['/?x-amz-signature=s&X%2DAmz-Signature=s', '/?x-amz-signature=REDACTED&X%2DAmz-Signature=REDACTED'],
  ['/?c2VjcmV0', '/?REDACTED'],
  ['/?a=b=c&&n=1', '/?a=REDACTED&&n=1'],
  ['/_stowage/layers/token/sha256:00?t=1', '/_stowage/layers/REDACTED?t=REDACTED'],
  [`//_stowage/layers/claims.v1.0a1b2c3d4e5f.${'s'.repeat(43)}`, '//_stowage/layers/claims.REDACTED'],
  [`/v2/a/tags/list?last=v1.0a1b2c3d4e5f.${'s'.repeat(80)}`, '/v2/a/tags/list?last=REDACTED'],
  ['/v2/a/manifests/v1.2.3-0123456789abcdef', '/v2/a/manifests/v1.2.3-0123456789abcdef'],
  [`/${'x'.repeat(2000)}`, `/${'x'.repeat(1023)}…`],
])('logs %s as %s', (target, logged) => {
  expect(loggedPath(target)).toBe(logged)
})
