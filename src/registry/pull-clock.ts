import type { Principal } from '../iam/principal.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { ClientKinds } from './client-kinds.ts'
import { recordPulls, type Pulls } from './commands/pulls.ts'
import type { RequestContext } from './context.ts'
import { pullingPrincipal } from './pulling-principal.ts'

/** How far the clock may lag behind the pulls. */
const flushIntervalMs = 1000
/** A burst over more images or principals than this is written early: bounds memory and the size of one change. */
const maxWaiting = 1000

/** The pulls of one principal that wait, by the number of the manifest. */
interface Waiting {
  readonly registryId: number
  readonly principal: string | undefined
  readonly pulls: Map<number, { lastPulledAt: number; count: number }>
}

/**
 * Remembers when images were pulled, and by whom, and writes it in batches: a pull does not wait for a disk. Pulls of kinds of
 * client that are no use are left out at once. Which principals' pulls do not count is asked with the writing, so that a pull
 * does not wait for that either and every server knows at once.
 */
export class PullClock {
  readonly #database: MetadataDatabase
  readonly #context: () => CommandContext
  readonly #kinds: Pick<ClientKinds, 'isUse'>
  readonly #onError: (error: unknown) => void
  /** By registry, then by principal. */
  #waiting = new Map<number, Map<string | undefined, Waiting>>()
  #waitingCount = 0
  /** Of the access keys at work: found out once for each. */
  readonly #principals = new WeakMap<Principal, { readonly name: string | undefined }>()
  readonly #pulls = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<void> = Promise.resolve()

  constructor(database: MetadataDatabase, context: () => CommandContext, kinds: Pick<ClientKinds, 'isUse'>, onError: (error: unknown) => void) {
    this.#database = database
    this.#context = context
    this.#kinds = kinds
    this.#onError = onError
  }

  /** How many there were since the start, by protocol. */
  get pulls(): ReadonlyMap<string, number> {
    return this.#pulls
  }

  record({ registry, actor, clock, protocol, userAgent, sourceIp }: RequestContext, manifestId: number): void {
    this.#pulls.set(protocol, (this.#pulls.get(protocol) ?? 0) + 1)
    if (!this.#kinds.isUse({ arn: actor.arn, userAgent, sourceIp })) return
    const atMs = clock.now()
    const { pulls } = this.#waitingOf(registry.id, actor)
    const pull = pulls.get(manifestId)
    if (pull) {
      pull.lastPulledAt = Math.max(pull.lastPulledAt, atMs)
      pull.count += 1
    } else {
      pulls.set(manifestId, { lastPulledAt: atMs, count: 1 })
      this.#waitingCount += 1
    }
    if (this.#waitingCount >= maxWaiting) {
      void this.flush()
    } else {
      this.#timer ??= setTimeout(() => void this.flush(), flushIntervalMs).unref()
    }
  }

  #waitingOf(registryId: number, actor: Principal): Waiting {
    let principal = this.#principals.get(actor)
    if (principal === undefined) {
      principal = { name: pullingPrincipal(actor.arn) }
      this.#principals.set(actor, principal)
    }
    let ofRegistry = this.#waiting.get(registryId)
    if (ofRegistry === undefined) {
      ofRegistry = new Map()
      this.#waiting.set(registryId, ofRegistry)
    }
    let waiting = ofRegistry.get(principal.name)
    if (waiting === undefined) {
      waiting = { registryId, principal: principal.name, pulls: new Map() }
      ofRegistry.set(principal.name, waiting)
    }
    return waiting
  }

  /** Writes what waits. Never throws: a clock that cannot be written is an error to report, not a failed pull. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#waitingCount > 0) {
      const pulls = inOrder([...this.#waiting.values()].flatMap((ofRegistry) => [...ofRegistry.values()]))
      this.#waiting = new Map()
      this.#waitingCount = 0
      this.#flushing = this.#flushing.then(async () => {
        try {
          await this.#database.execute(recordPulls, { pulls }, this.#context())
        } catch (error) {
          this.#onError(error)
        }
      })
    }
    return this.#flushing
  }
}

/** In the order of the manifests' numbers, so that two processes never wait for each other's rows. */
function inOrder(waiting: readonly Waiting[]): Pulls[] {
  return waiting
    .flatMap(({ registryId, principal, pulls }) =>
      [...pulls].map(([manifestId, pull]) => ({ registryId, principal, manifestId, ...pull })),
    )
    .sort((a, b) => a.manifestId - b.manifestId)
}
