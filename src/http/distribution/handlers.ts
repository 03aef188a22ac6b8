import { answerJson } from './answer.ts'
import { deleteBlob, getBlob, headBlob } from './blobs.ts'
import type { Exchange } from './exchange.ts'
import { listRepositories, listTags } from './listings.ts'
import { deleteManifest, getManifest, headManifest, putManifest } from './manifests.ts'
import type { OperationName } from './operations.ts'
import type { DistributionRoute } from './path.ts'
import { listReferrers } from './referrers.ts'
import { appendUpload, beginUpload, cancelUpload, completeUpload, getUpload, mountBlob, uploadBlob } from './uploads.ts'

/** Runs the operation that a route and its method stand for, and writes its answer. */
export async function runOperation(
  operation: OperationName,
  route: DistributionRoute,
  exchange: Exchange,
): Promise<void> {
  switch (route.kind) {
    case 'ping':
      return answerJson(exchange, 200, {})
    case 'catalog':
      return listRepositories(exchange)
    case 'tags':
      return listTags(exchange, route.repository)
    case 'referrers':
      return listReferrers(exchange, route.repository, route.digest)
    case 'manifest':
      if (operation === 'getManifest') return getManifest(exchange, route.repository, route.reference)
      if (operation === 'headManifest') return headManifest(exchange, route.repository, route.reference)
      if (operation === 'putManifest') return putManifest(exchange, route.repository, route.reference)
      return deleteManifest(exchange, route.repository, route.reference)
    case 'blob':
      if (operation === 'getBlob') return getBlob(exchange, route.repository, route.digest)
      if (operation === 'headBlob') return headBlob(exchange, route.repository, route.digest)
      return deleteBlob(exchange, route.repository, route.digest)
    case 'uploadStart':
      if (operation === 'mountBlob') return mountBlob(exchange, route.repository)
      if (operation === 'uploadBlob') return uploadBlob(exchange, route.repository)
      return beginUpload(exchange, route.repository)
    case 'upload':
      if (operation === 'appendUpload') return appendUpload(exchange, route.repository, route.uploadId)
      if (operation === 'completeUpload') return completeUpload(exchange, route.repository, route.uploadId)
      if (operation === 'cancelUpload') return cancelUpload(exchange, route.repository, route.uploadId)
      return getUpload(exchange, route.repository, route.uploadId)
  }
}
