import type { HttpConnection } from '../http-connection.ts'
import type { RegistryClient } from '../registry-client.ts'

/** What is measured, and how a round of it is prepared. */
export interface Workload {
  readonly name: string
  readonly title: string
  /** What is done once and counted once. */
  readonly operation: string
  readonly concurrency: number
  /** Content that one operation moves, where throughput is better told in bytes. */
  readonly operationBytes?: number
  /** Brings a fresh server into the state the rounds start from. */
  open(registry: RegistryClient, scale: Scale): Promise<OpenWorkload>
}

export interface Scale {
  /** How long a round lasts whose operations can be repeated. */
  readonly durationMs: number
  /** The share of a full round's operations where each can be done only once. */
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
      /** Digests of blobs that nobody needs after the round. */
      readonly disposable: readonly string[]
    }
  | { readonly kind: 'repeat'; readonly operation: Operation }
  | { readonly kind: 'wrk'; readonly path: string; readonly headers: Readonly<Record<string, string>> }

export type Operation = (connection: HttpConnection) => Promise<void>

/** Sets the state up over one connection. */
export async function withConnection<T>(registry: RegistryClient, use: (connection: HttpConnection) => Promise<T>): Promise<T> {
  const connection = registry.connect()
  try {
    return await use(connection)
  } finally {
    connection.close()
  }
}

/** Sets the state up over several connections, item by item. */
export async function forEachConcurrently<T>(
  registry: RegistryClient,
  items: readonly T[],
  use: (connection: HttpConnection, item: T) => Promise<void>,
): Promise<void> {
  const left = [...items]
  const work = (): Promise<void> =>
    withConnection(registry, async (connection) => {
      for (let item = left.pop(); item !== undefined; item = left.pop()) await use(connection, item)
    })
  await Promise.all(Array.from({ length: setUpConcurrency }, work))
}

const setUpConcurrency = 8
