import type { IncomingMessage } from 'node:http'
import type { AdmissionRule } from '../admission.ts'
import { contentLength } from './answer.ts'
import type { OperationName } from './operations.ts'

/** How a request is admitted. Most uploads are completed by a request without a body, which waits for no client. */
export function admissionRule(operation: OperationName, request: IncomingMessage): AdmissionRule {
  return operation === 'completeUpload' && contentLength(request) === 0 ? completion : admissionRules[operation]
}

const completion: AdmissionRule = { calls: ['CompleteLayerUpload'], pace: 'server' }

const uncounted: AdmissionRule = { calls: [], pace: 'server' }

/** The calls of ECR that each operation stands for, as its docker endpoint makes them. Listings and deletions are not rated. */
const admissionRules: Readonly<Record<OperationName, AdmissionRule>> = {
  ping: uncounted,
  listRepositories: uncounted,
  listTags: uncounted,
  listReferrers: uncounted,
  getManifest: { calls: ['BatchGetImage'], pace: 'server' },
  headManifest: { calls: ['BatchGetImage'], pace: 'server' },
  putManifest: { calls: ['PutImage'], pace: 'client' },
  deleteTag: uncounted,
  deleteManifest: uncounted,
  getBlob: { calls: ['GetDownloadUrlForLayer'], pace: 'client' },
  headBlob: { calls: ['BatchCheckLayerAvailability'], pace: 'server' },
  deleteBlob: uncounted,
  beginUpload: { calls: ['InitiateLayerUpload'], pace: 'server' },
  mountBlob: { calls: ['InitiateLayerUpload'], pace: 'server' },
  uploadBlob: { calls: ['InitiateLayerUpload', 'UploadLayerPart', 'CompleteLayerUpload'], pace: 'client' },
  getUpload: uncounted,
  appendUpload: { calls: ['UploadLayerPart'], pace: 'client' },
  completeUpload: { calls: ['CompleteLayerUpload'], pace: 'client' },
  cancelUpload: uncounted,
}
