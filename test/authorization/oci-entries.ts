import { digestOf } from '../support/images.ts'
import type { Entry, EntryTable } from './entry.ts'
import { absentDigest, absentUploadId, image, layerDigest, type Place } from './places.ts'

interface Call extends Pick<Entry, 'needs' | 'granted' | 'mountsFrom'> {
  readonly contentType?: string
  readonly body?: Buffer
}

/** A request below a repository's path. */
function onRepository(method: string, path: string, call: Call): Entry {
  const { contentType, body, ...rules } = call
  const content = { ...(contentType === undefined ? {} : { contentType }), ...(body === undefined ? {} : { body }) }
  return {
    subject: 'repository',
    ...rules,
    request: ({ accountId, repository }: Place) => ({ protocol: 'oci', method, path: `/v2/${repository}/${path}`, accountId, ...content }),
  }
}

function onRegistry(path: string, call: Call): Entry {
  return { subject: 'registry', ...call, request: ({ accountId }) => ({ protocol: 'oci', method: 'GET', path, accountId }) }
}

function mount(mountsFrom: string): Entry {
  return onRepository('POST', `blobs/uploads/?mount=${layerDigest}&from=${mountsFrom}`, { needs: ['ecr:InitiateLayerUpload'], granted: '202', mountsFrom })
}

const smallBlob = Buffer.from('a blob that every cell pushes')
const withoutLayers = Buffer.from(image.manifest.bytes.toString().replaceAll(/sha256:[0-9a-f]{64}/g, absentDigest))
const upload = `blobs/uploads/${absentUploadId}`

/** Which calls of the docker endpoint need which actions of the API. */
export const ociEntries: EntryTable = {
  'oci:ping': onRegistry('/v2/', { needs: [], granted: '200' }),
  'oci:listRepositories': onRegistry('/v2/_catalog', { needs: ['ecr:DescribeRepositories'], granted: '200' }),
  'oci:listTags': onRepository('GET', 'tags/list', { needs: ['ecr:ListImages'], granted: '200' }),
  'oci:getManifest': onRepository('GET', 'manifests/v1', { needs: ['ecr:BatchGetImage'], granted: '200' }),
  'oci:getManifest by digest': onRepository('GET', `manifests/${image.manifest.digest}`, { needs: ['ecr:BatchGetImage'], granted: '200' }),
  'oci:headManifest': onRepository('HEAD', 'manifests/v1', { needs: ['ecr:BatchGetImage'], granted: '200' }),
  'oci:putManifest': onRepository('PUT', 'manifests/v1', {
    needs: ['ecr:PutImage'],
    contentType: image.manifest.mediaType,
    body: withoutLayers,
    granted: '400 MANIFEST_BLOB_UNKNOWN',
  }),
  'oci:deleteTag': onRepository('DELETE', 'manifests/absent', { needs: ['ecr:BatchDeleteImage'], granted: '404 MANIFEST_UNKNOWN' }),
  'oci:deleteManifest': onRepository('DELETE', `manifests/${absentDigest}`, { needs: ['ecr:BatchDeleteImage'], granted: '404 MANIFEST_UNKNOWN' }),
  'oci:getBlob': onRepository('GET', `blobs/${layerDigest}`, { needs: ['ecr:GetDownloadUrlForLayer'], granted: '200' }),
  'oci:headBlob': onRepository('HEAD', `blobs/${layerDigest}`, { needs: ['ecr:BatchCheckLayerAvailability'], granted: '200' }),
  'oci:deleteBlob': onRepository('DELETE', `blobs/${absentDigest}`, { needs: ['ecr:BatchDeleteImage'], granted: '404 BLOB_UNKNOWN' }),
  'oci:beginUpload': onRepository('POST', 'blobs/uploads/', { needs: ['ecr:InitiateLayerUpload'], granted: '202' }),
  'oci:mountBlob': mount('team/app'),
  'oci:mountBlob from elsewhere': mount('side/app'),
  'oci:uploadBlob': onRepository('POST', `blobs/uploads/?digest=${digestOf(smallBlob)}`, {
    needs: ['ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload'],
    body: smallBlob,
    granted: '201',
  }),
  'oci:getUpload': onRepository('GET', upload, { needs: ['ecr:UploadLayerPart'], granted: '404 BLOB_UPLOAD_UNKNOWN' }),
  'oci:appendUpload': onRepository('PATCH', upload, { needs: ['ecr:UploadLayerPart'], body: smallBlob, granted: '404 BLOB_UPLOAD_UNKNOWN' }),
  'oci:completeUpload': onRepository('PUT', `${upload}?digest=${absentDigest}`, {
    needs: ['ecr:UploadLayerPart', 'ecr:CompleteLayerUpload'],
    granted: '404 BLOB_UPLOAD_UNKNOWN',
  }),
  'oci:cancelUpload': onRepository('DELETE', upload, { needs: ['ecr:UploadLayerPart'], granted: '404 BLOB_UPLOAD_UNKNOWN' }),
  'oci:listReferrers': onRepository('GET', `referrers/${image.manifest.digest}`, { needs: ['ecr:BatchGetImage'], granted: '200' }),
}
