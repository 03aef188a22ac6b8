/** A condition key's value, or its values where it has several. */
export type ContextValue = string | readonly string[]

/**
 * Condition keys of a request with their values. Either a record, whose keys may be written in any case, or a function
 * from a key in lower case to its value: for callers that compute a value only when a policy asks for it.
 */
export type ConditionContext = Readonly<Record<string, ContextValue>> | ((lowerCaseKey: string) => ContextValue | undefined)

/** The values of one request, as policies ask for them. A record is indexed once, when the first key is asked for. */
export class ContextReader {
  readonly #context: ConditionContext
  #index: ReadonlyMap<string, ContextValue> | undefined

  constructor(context: ConditionContext) {
    this.#context = context
  }

  /** Undefined if the request does not have the key, or has no value for it. */
  value(lowerCaseKey: string): ContextValue | undefined {
    const value = typeof this.#context === 'function' ? this.#context(lowerCaseKey) : this.#indexed(this.#context).get(lowerCaseKey)
    return value?.length === 0 && typeof value !== 'string' ? undefined : value
  }

  /** The value that takes a variable's place: only a key with one value has one. */
  readonly single = (lowerCaseKey: string): string | undefined => {
    const value = this.value(lowerCaseKey)
    if (typeof value === 'string') return value
    return value?.length === 1 ? value[0] : undefined
  }

  #indexed(record: Readonly<Record<string, ContextValue>>): ReadonlyMap<string, ContextValue> {
    this.#index ??= indexOf(record)
    return this.#index
  }
}

/** Two keys that differ in case only (tags may) are one key with all their values. */
function indexOf(record: Readonly<Record<string, ContextValue>>): ReadonlyMap<string, ContextValue> {
  const index = new Map<string, ContextValue>()
  for (const [key, value] of Object.entries(record)) {
    const lowerCaseKey = key.toLowerCase()
    const other = index.get(lowerCaseKey)
    index.set(lowerCaseKey, other === undefined ? value : [other, value].flat())
  }
  return index
}
