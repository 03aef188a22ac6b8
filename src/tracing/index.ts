export { openTracing, type Tracing, type TracingOptions } from './open-tracing.ts'
export { tracedBlobStore } from './traced-blob-store.ts'
export { tracedDatabase } from './traced-database.ts'
