import { randomBytes, randomUUID } from 'node:crypto'

/** Where identifiers and randomness come from. Passed in, so that tests can make them repeatable. */
export interface IdSource {
  /** A random UUID (version 4), lower case with dashes. */
  uuid(): string
  /** `count` bytes fit for keys and secrets. */
  bytes(count: number): Buffer
}

export const systemIds: IdSource = { uuid: () => randomUUID(), bytes: (count) => randomBytes(count) }
