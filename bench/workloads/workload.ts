import type { HttpConnection } from '../http-connection.ts'
import type { RegistryClient } from '../registry-client.ts'

/** What is measured, and how a round of it is prepared. */
export interface Workload {
  readonly name: string
  readonly title: string
  /** What is done once and counted once. */
  readonly operation: string
  readonly concurrency: number
  /** What throughput is told in: operations, or the MiB of content that they moved. */
  readonly unit: 'operations' | 'bytes'
  /** How long a full round lasts whose operation can be repeated. */
  readonly roundMs: number
  /** Brings a server into the state the rounds start from. */
  open(registry: RegistryClient, scale: Scale): Promise<OpenWorkload>
}

/** Workloads that run one after the other on the same servers, which are started for them on empty folders. */
export interface WorkloadGroup {
  readonly name: string
  readonly workloads: readonly Workload[]
}

export interface Scale {
  /** Of a full round: how long it lasts, how often it does what can be done only once, how large the largest blob is. */
  readonly share: number
}

export interface OpenWorkload {
  /** Of a listing: how many rows the server answers to the operation, whatever it was asked for. */
  readonly rowsPerOperation?: number
  /** Makes everything that is not to be measured: content, digests, repositories. */
  prepareRound(round: number): Promise<RoundPlan>
}

export type RoundPlan =
  | {
      readonly kind: 'once'
      readonly operations: readonly Operation[]
      /** Nobody needs these blobs after the round. */
      readonly disposable: readonly BlobName[]
    }
  | { readonly kind: 'repeat'; readonly operation: Operation }
  | { readonly kind: 'wrk'; readonly path: string; readonly headers: Readonly<Record<string, string>> }

export interface BlobName {
  readonly repository: string
  readonly digest: string
}

/** Answers how many bytes of content it moved. */
export type Operation = (connection: HttpConnection) => Promise<number>

/** Sets the state up over one connection. */
export async function withConnection<T>(registry: RegistryClient, use: (connection: HttpConnection) => Promise<T>): Promise<T> {
  const connection = registry.connect()
  try {
    return await use(connection)
  } finally {
    connection.close()
  }
}
