import { randomBytes, randomUUID } from 'node:crypto'

/** Where identifiers and randomness come from. Passed in, so that tests can make them repeatable. */
export interface IdSource {
  /** A random UUID (version 4), lower case with dashes. */
  uuid(): string
  /** `count` bytes fit for keys and secrets. */
  bytes(count: number): Buffer
}

export const systemIds: IdSource = { uuid: () => randomUUID(), bytes: (count) => randomBytes(count) }

/**
 * A random UUID that begins with its time (version 7): where many are kept in an index, new ones lie side by side.
 * https://www.rfc-editor.org/rfc/rfc9562#section-5.7
 */
export function timeOrderedUuid(ids: Pick<IdSource, 'uuid'>, nowMs: number): string {
  const time = nowMs.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${ids.uuid().slice(15)}`
}
