import type { WorkTracer } from '../internal/tracing.ts'
import type { BlobStore } from '../storage/blobs/index.ts'

/** A blob store whose operations on bytes are parts of the traces of their requests. */
export function tracedBlobStore(store: BlobStore, tracer: WorkTracer): BlobStore {
  const attributes = { 'stowage.store': store.name }
  const traced: Partial<BlobStore> = {
    createUpload: (uploadId) => tracer.trace('blobs create upload', attributes, () => store.createUpload(uploadId)),
    append: (...input) => tracer.trace('blobs append', attributes, () => store.append(...input)),
    hashUpload: (...input) => tracer.trace('blobs hash upload', attributes, () => store.hashUpload(...input)),
    publish: (uploadId, domain, digest, ...rest) =>
      tracer.trace('blobs publish', { ...attributes, 'stowage.digest': digest }, () => store.publish(uploadId, domain, digest, ...rest)),
    open: (...input) => tracer.trace('blobs open', attributes, () => store.open(...input)),
    delete: (...input) => tracer.trace('blobs delete', attributes, () => store.delete(...input)),
  }
  return new Proxy(store, {
    get(target, name) {
      const own: unknown = Reflect.get(traced, name)
      if (own !== undefined) return own
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}
