export type Service = 'cloudtrail' | 'cloudwatch' | 'ecr' | 'events' | 'iam' | 'logs' | 'sts'

/**
 * One call, in members' names that the JS SDK, boto3 and the aws command share. `${name}` in a text stands for what an
 * earlier step saved; `{ $blob: text }` for bytes, and `{ $time: text }` for a time.
 */
export interface Step {
  readonly service: Service
  readonly operation: string
  readonly input: Readonly<Record<string, unknown>>
  /** Names of members of the answer to keep, by the name to keep them under: `repository.repositoryArn`. */
  readonly save?: Readonly<Record<string, string>>
  /** The exception of the service's model that the call has to end with. */
  readonly error?: string
  /** As `error`, for errors that no model has. */
  readonly code?: string
  /** Saved credentials to call with; default: the root's. `${as}.id`, `${as}.secret` and, for a session, `${as}.token`. */
  readonly as?: string
  /** A member that the server writes down a little later: the call is repeated until the answer has it. */
  readonly until?: string
  /** Members of the answer that the model requires, and AWS itself leaves out here. */
  readonly lacks?: readonly string[]
}

/** A list to walk in pages of one. */
export interface Listing {
  readonly service: Service
  readonly operation: string
  readonly input: Readonly<Record<string, unknown>>
  /** How many pages there have to be at least, where the server holds fewer than three such things. */
  readonly pages?: number
  /** Where a client cannot say how long a page is: how long it is, and how many things there are, which are more. */
  readonly fixedPages?: { readonly size: number; readonly items: number }
}

export interface Wait {
  readonly service: Service
  readonly waiter: string
  readonly input: Readonly<Record<string, unknown>>
  /** What boto3 hears at once of what is not there; other clients go on waiting, as all do without it. */
  readonly refusal?: string
}

export interface Scenario {
  readonly steps: readonly Step[]
  /** Walked when all steps are done. */
  readonly lists: readonly Listing[]
  readonly waits: readonly Wait[]
  /** Afterwards. */
  readonly cleaning: readonly Step[]
}

/** What a client's own model says of the operations, by `service.operation`. */
export interface ClientModel {
  readonly errors: Readonly<Record<string, readonly string[]>>
  /** Where in an answer times are: `Users[].CreateDate`. */
  readonly dates: Readonly<Record<string, readonly string[]>>
  /** The members that hold a list's items, for lists that have a paginator. */
  readonly pages: Readonly<Record<string, readonly string[]>>
  /** The operation that a waiter asks, by `service.waiter`. */
  readonly waiters: Readonly<Record<string, string>>
}

/** What a run of a scenario comes to. */
export interface Report {
  /** Empty when all was as it has to be. */
  readonly problems: readonly string[]
  /** Where in answers there were times: `iam.GetUser User.CreateDate`. */
  readonly dates: readonly string[]
}

type Calls = (operation: string, input?: Step['input'], more?: Partial<Step>) => Step

export function callsOf(service: Service): Calls {
  return (operation, input = {}, more = {}) => ({ service, operation, input, ...more })
}

/** The same call with other members, which is refused with this exception. */
export function refused(error: string, step: Step, changes: Step['input'] = {}): Step {
  const { save: _, ...rest } = step
  return { ...rest, input: { ...step.input, ...changes }, error }
}

/** What all of these make, one after the other. */
export function each<Item>(items: readonly Item[], make: (item: Item) => Step | readonly Step[]): Step[] {
  return items.flatMap((item) => make(item))
}

export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}
